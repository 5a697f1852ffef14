// Shows the page as it is now every few seconds, unless a person is doing something with it.
"use strict";
(() => {
  const EVERY = 5000;
  const pause = document.getElementById("pause");
  if (!pause) return;
  let paused = false;
  let busy = false;
  const show = () => {
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
  };
  pause.hidden = false;
  pause.addEventListener("click", () => { paused = !paused; show(); });
  const isInUse = () => {
    const main = document.querySelector("main");
    const selection = getSelection();
    const selected = selection && !selection.isCollapsed && main.contains(selection.anchorNode);
    const focused = document.activeElement;
    const typing = focused && main.contains(focused) && focused.matches("input, select, textarea, button");
    return selected || typing || main.querySelector("input:checked, details[open]");
  };
  const swap = (id, text, from) => {
    const before = document.getElementById(id);
    const after = from.getElementById(id);
    if (!before || !after) return;
    if (text) {
      // Told aloud by screen readers, so it changes only if it says something else.
      if (before.textContent !== after.textContent) before.replaceChildren(...after.childNodes);
      return;
    }
    const focused = document.activeElement;
    const link = before.contains(focused) && focused.getAttribute("href");
    before.replaceChildren(...after.childNodes);
    const again = link && [...before.querySelectorAll("a")].find((one) => one.getAttribute("href") === link);
    if (again) again.focus({ preventScroll: true });
  };
  const refresh = async () => {
    if (paused || busy || document.hidden || isInUse()) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(15000) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.ok && !paused && !isInUse()) {
        swap("headline", true, page);
        swap("content", false, page);
        const foot = document.querySelector("footer");
        foot.replaceChildren(...page.querySelector("footer").childNodes);
        document.body.classList.remove("stale");
      }
    } catch {
      document.body.classList.add("stale");
    } finally {
      busy = false;
    }
  };
  setInterval(refresh, EVERY);
  show();
})();
