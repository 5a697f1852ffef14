// Looks at pages in Chromium as a person would: on a phone and on a desk, in the light and in the dark. Takes pictures, and
// says what is wrong: a page that must be scrolled sideways, errors, requests to elsewhere, what keeps people with
// disabilities out, HTML that is not valid, and what a refresh takes away from a person. `main.rs` runs it.
//
//     node look.mjs CHROMIUM TOOLS PICTURES PLAN
//
// TOOLS is the folder where `package.json` is installed. PLAN is a file of JSON: `pages` of `{name, url, status}`, and `refreshed`,
// the addresses of a list of accounts and of one account; and `admin`, `{login, token, pages}`, of pages for who is signed in.

import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [program, tools, pictures, planned] = process.argv.slice(2);
const require = createRequire(path.resolve(tools, "package.json"));
const { chromium } = require("playwright-core");
const { HtmlValidate } = require("html-validate");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const plan = JSON.parse(readFileSync(planned, "utf8"));

const SIZES = {
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  desk: { viewport: { width: 1280, height: 900 } },
};
const GRAVE = ["serious", "critical"];
/** Between two refreshes, as the pages have it, in milliseconds. */
const REFRESH = 5000;

const problems = [];
const problem = (where, what) => problems.push(`${where}: ${what}`);

/** A page of its own that notes what must not happen. */
const open = async (browser, { name, url, status = 200, said }, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const origin = new URL(url).origin;
  page.on("console", (message) => {
    // Chromium reports the status that was asked for as an error.
    const expected = status !== 200 && message.text().includes(`status of ${status}`) || said && message.text().includes(said);
    if (["error", "warning"].includes(message.type()) && !expected) problem(name, `the console says: ${message.text()}`);
  });
  page.on("pageerror", (error) => problem(name, `the script fails: ${error.message}`));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) problem(name, `asks for ${request.url()}`);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`the policy forbids ${event.violatedDirective} ${event.blockedURI}`));
  });
  return { context, page };
};

/** One page in one size and one colour scheme. */
const look = async (browser, one, size, colorScheme, storageState) => {
  const name = `${one.name}-${size}-${colorScheme}`;
  const { context, page } = await open(browser, { ...one, name }, { ...SIZES[size], colorScheme, storageState });
  const answer = await page.goto(one.url, { waitUntil: "networkidle" });
  const expected = one.status ?? 200;
  if (answer.status() !== expected) problem(name, `answers ${answer.status()}, not ${expected}`);
  await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
  const wide = await page.evaluate((width) => {
    const whole = document.documentElement.scrollWidth;
    const sticksOut = (element) => element.getBoundingClientRect().right > width + 1;
    const first = whole > width && [...document.querySelectorAll("main *, header *, footer *")].find(sticksOut);
    return whole > width ? `${whole} px wide, from ${first?.outerHTML.slice(0, 120)}` : "";
  }, SIZES[size].viewport.width);
  if (wide) problem(name, wide);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of violations.filter(({ impact }) => GRAVE.includes(impact))) {
    problem(name, `${impact}, ${id}: ${nodes.length} places, such as ${nodes[0].html.slice(0, 160)}: ${nodes[0].failureSummary}`);
  }
  await context.close();
};

/** The HTML as it was sent. */
const validate = async (one, html) => {
  const validator = new HtmlValidate({
    extends: ["html-validate:recommended"],
    // An account's name may be longer than what search engines show of a title.
    rules: { "long-title": "off" },
  });
  const { results } = await validator.validateString(html);
  for (const { messages } of results) {
    for (const { line, column, message, ruleId } of messages) problem(one.name, `${line}:${column} ${message} (${ruleId})`);
  }
};

/** What a refresh must leave as it is. The clock is ours, so that nothing depends on how fast the machine is. */
const refresh = async (browser, { list, account }) => {
  const name = "refresh";
  const { context, page } = await open(browser, { name, url: list, said: "ERR_FAILED" }, SIZES.desk);
  const must = (holds, what) => { if (!holds) problem(name, what); };
  await page.clock.install();
  let asked = 0;
  page.on("request", (request) => { if (request.resourceType() === "fetch") asked += 1; });
  const mark = () => page.evaluate(() => { document.getElementById("content").firstElementChild.seen = true; });
  const isMarked = () => page.evaluate(() => Boolean(document.getElementById("content").firstElementChild.seen));
  const tick = () => page.clock.runFor(REFRESH);
  // The page's elements are others after a refresh.
  const refreshed = async (what) => {
    await mark();
    await tick();
    const others = () => !document.getElementById("content").firstElementChild.seen;
    await page.waitForFunction(others, null, { polling: 20 }).catch(() => problem(name, `no refresh ${what}`));
  };
  const unrefreshed = async (what) => {
    await mark();
    const before = asked;
    await tick();
    await tick();
    must(await isMarked() && asked === before, `a refresh ${what}`);
  };

  await page.goto(list);
  const link = page.locator("tbody th a").nth(20);
  await link.focus();
  await page.evaluate(() => scrollTo(0, 300));
  await refreshed("while nothing is done");
  must(await page.evaluate(() => scrollY) === 300, "it scrolls");
  must(await page.evaluate(() => document.activeElement.matches("tbody th a")), "the focus is lost");

  await page.locator("input[name=q]").pressSequentially("acc");
  await unrefreshed("while a person types");
  await page.locator("input[name=q]").pressSequentially("ount");
  await page.locator("select[name=state]").selectOption("flowing");
  await page.evaluate(() => document.activeElement.blur());
  await refreshed("after a person typed");
  must(await page.inputValue("input[name=q]") === "account", "what was typed is lost");
  must(await page.inputValue("select[name=state]") === "flowing", "what was chosen is lost");

  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("tbody th")));
  await unrefreshed("while a text is selected");
  await page.evaluate(() => getSelection().removeAllRanges());
  await page.click("#pause");
  await unrefreshed("while it is paused");
  await page.click("#pause");
  await page.evaluate(() => document.activeElement.blur());
  await refreshed("after the pause");

  await page.route("**", (route) => route.abort());
  must(await page.isHidden("#stale"), "it says too early that nobody answers");
  await tick();
  await page.waitForSelector("#stale", { state: "visible" }).catch(() => problem(name, "it does not say that nobody answers"));
  await page.unroute("**");
  await refreshed("after the replica was away");
  must(await page.isHidden("#stale"), "it still says that nobody answers");

  await page.goto(account);
  await page.click("details summary");
  await refreshed("while something is unfolded");
  must(await page.evaluate(() => document.querySelector("details").open), "what was unfolded is folded");
  await page.click("details summary");
  await refreshed("after it was folded");
  must(await page.evaluate(() => !document.querySelector("details").open), "what was folded is unfolded");
  must(await page.evaluate(() => document.activeElement.matches("summary")), "the focus of what is folded is lost");
  await context.close();
};

/** The list and the filter without a script. */
const scriptless = async (browser, { list }) => {
  const { context, page } = await open(browser, { name: "scriptless", url: list }, { javaScriptEnabled: false });
  await page.goto(list);
  await page.fill("input[name=q]", "no such account");
  await page.click("form button[type=submit]");
  const words = await page.textContent("main");
  if (!words.includes("No account matches")) problem("scriptless", `the filter shows ${words.slice(0, 200)}`);
  await context.close();
};

/** What a browser keeps of somebody who signs in. */
const signIn = async (browser, { login, token }) => {
  const { context, page } = await open(browser, { name: "sign-in", url: login }, {});
  await page.goto(login);
  await page.fill("input[name=token]", token);
  await page.click("main button[type=submit]");
  await page.waitForURL(/dead-letters$/);
  const state = await context.storageState();
  await context.close();
  return state;
};

mkdirSync(pictures, { recursive: true });
const browser = await chromium.launch({ executablePath: program, chromiumSandbox: false });
const lookAtAll = async (pages, state) => {
  for (const one of pages) {
    const cookie = (state?.cookies ?? []).map(({ name, value }) => `${name}=${value}`).join("; ");
    await validate(one, await (await fetch(one.url, { headers: { cookie } })).text());
    for (const size of Object.keys(SIZES)) {
      for (const scheme of ["light", "dark"]) await look(browser, one, size, scheme, state);
    }
  }
};
await lookAtAll(plan.pages);
if (plan.admin) await lookAtAll(plan.admin.pages, await signIn(browser, plan.admin));
if (plan.refreshed) {
  await refresh(browser, plan.refreshed);
  await scriptless(browser, plan.refreshed);
}
await browser.close();
for (const line of problems) console.log(line);
process.exitCode = problems.length > 0 ? 1 : 0;
