// Shows the page as it is now every few seconds, unless a person is at work on it; and keeps what a person has done to it:
// what is typed, chosen and unfolded, where the focus is, how far it is scrolled.
"use strict";
(() => {
  const EVERY = 5000;
  const pause = document.getElementById("pause");
  if (!pause) return;
  const stale = document.getElementById("stale");
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
    return selected || typing || main.querySelector("input:checked");
  };
  // What a person has changed, by what it is called: the page that comes has other elements in its place.
  const called = (element) => element.id || element.name || element.textContent;
  const all = (inside, selector) =>
    new Map([...inside.querySelectorAll(selector)].map((element) => [called(element), element]));
  const fields = "input[type=search], input[type=text], textarea, select";
  const isChanged = (field) => field.matches("select")
    ? [...field.options].some((option) => option.selected !== option.defaultSelected)
    : field.value !== field.defaultValue;
  const kept = (before) => {
    const focused = document.activeElement;
    const link = before.contains(focused) && focused.getAttribute("href");
    const summary = before.contains(focused) && focused.matches("summary") && called(focused);
    const values = [...all(before, fields).values()].filter(isChanged).map((field) => [called(field), field.value]);
    const open = [...all(before, "summary")].map(([name, one]) => [name, one.parentElement.open]);
    return () => {
      const now = all(before, fields);
      for (const [name, value] of values) if (now.has(name)) now.get(name).value = value;
      const summaries = all(before, "summary");
      for (const [name, is] of open) if (summaries.has(name)) summaries.get(name).parentElement.open = is;
      const again = link ? [...before.querySelectorAll("a")].find((one) => one.getAttribute("href") === link)
        : summaries.get(summary);
      if (again) again.focus({ preventScroll: true });
    };
  };
  const swap = (id, text, from) => {
    const before = document.getElementById(id);
    const after = from.getElementById(id);
    if (!before || !after) return;
    // Told aloud by screen readers, so it changes only if it says something else.
    if (text && before.textContent === after.textContent) return;
    const restore = kept(before);
    before.replaceChildren(...after.childNodes);
    restore();
  };
  const refresh = async () => {
    if (paused || busy || document.hidden || isInUse()) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(15000) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok) throw new Error(answer.statusText);
      if (!paused && !isInUse()) {
        swap("headline", true, page);
        swap("content", false, page);
        document.querySelector("footer").replaceChildren(...page.querySelector("footer").childNodes);
      }
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    } finally {
      busy = false;
    }
  };
  setInterval(refresh, EVERY);
  show();
})();
