// What every page's script needs: texts, times, and small work on the document.

const data = JSON.parse(document.getElementById("page-data").textContent);
export const language = document.documentElement.lang;
/** For Intl: the reader's language with ASCII digits, because codes, phone numbers and the server's texts have them. */
export const locale = `${language}-u-nu-latn`;
const isRightToLeft = document.documentElement.dir === "rtl";
/** Points in the direction in which the language is read. */
export const arrow = isRightToLeft ? "←" : "→";
export const fieldOf = data.fields;
export const brand = data.brand;

export const knows = (key) => key in data.texts;

const plurals = new Intl.PluralRules(locale);

/**
 * A value in a text that is read from right to left keeps its own direction (UAX #9, isolates). Otherwise the plus sign
 * of "+49…" would stand at the end. portal/texts.py does the same.
 */
export const isolated = (value) => (isRightToLeft && typeof value === "string" && value ? `\u2068${value}\u2069` : value);

/** The text without the marks of isolated(), for what leaves the page. */
const bare = (text) => text.replace(/[\u2068\u2069]/g, "");

/** Several facts in one line. */
export const joined = (parts) => parts.filter(Boolean).map(isolated).join(" · ");

/** A text of the catalogue with its {places} filled. In one with plural forms, {n} chooses the form. */
export function t(key, values = {}) {
  const text = data.texts[key] ?? key;
  const form = typeof text === "string" ? text : text[plurals.select(values.n)] ?? text.other;
  return form.replace(/\{([a-z_]+)\}/g, (_, name) => isolated(values[name]));
}

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element: el("p", {class: "hint"}, "text", child). */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * What a mailed link has behind its #. It leaves the address bar and stays in the links that switch the language. Another
 * mailed link in the same tab loads the page anew; a link to a part of the page does not.
 */
export function takeFragment() {
  const fragment = location.hash;
  for (const link of $$(".languages a")) link.hash = fragment;
  history.replaceState(null, "", location.pathname);
  addEventListener("hashchange", () => document.getElementById(location.hash.slice(1)) || location.reload());
  return fragment.slice(1);
}

export function show(node, yes = true) {
  node.hidden = !yes;
  return node;
}

/** As people say it: "2 min 30 s". */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const parts = [[hours, "hours"], [Math.floor((whole % 3600) / 60), "minutes"], [hours ? 0 : whole % 60, "seconds"]];
  const [first, second] = parts.filter(([n]) => n).map(([n, unit]) => t(`unit.${unit}`, { n }));
  return second ? t("unit.both", { first, second }) : first ?? t("unit.seconds", { n: 0 });
}

const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

/** A moment as a <time>: near ones as "2 minutes ago", others by date; the exact one as its title. */
export function moment(text) {
  const at = new Date(text);
  const seconds = (at - Date.now()) / 1000;
  const [, unit, length] = [[60, "second", 1], [3600, "minute", 60], [Infinity, "hour", 3600]].find(([most]) => Math.abs(seconds) < most);
  const near = Math.abs(seconds) < 24 * 3600;
  return el("time", { datetime: text, title: exact.format(at) }, near ? relative.format(Math.round(seconds / length), unit) : day.format(at));
}

/** A moment to the second, for whoever compares it with a log or a caller's words. */
export const stamp = (text) => el("time", { datetime: text }, toTheSecond(text));

export const toTheSecond = (text) => exact.format(new Date(text));

export const dateTime = (text) => day.format(new Date(text));

const hour = new Intl.DateTimeFormat(locale, { timeStyle: "short" });

/** The time alone where it was today, else with the date. */
export function timeOrDate(text) {
  const at = new Date(text);
  return (at.toDateString() === new Date().toDateString() ? hour : day).format(at);
}

const regions = new Intl.DisplayNames(locale, { type: "region" });

/** A country (ISO 3166-1) in the reader's language. */
export const countryName = (code) => regions.of(code);

/**
 * The country of the first of the browser's languages that names one, such as "de-AT". Some systems list their locale
 * instead: "en_GB.UTF-8" is read, and "C" is passed over, because Intl throws at it.
 */
export function ownCountry() {
  for (const tag of navigator.languages ?? []) {
    try {
      const { region } = new Intl.Locale(tag.replace(/[.@].*/, "").replaceAll("_", "-"));
      if (region) return region;
    } catch {
      // The next one may name a country.
    }
  }
  return null;
}

const TOLD_FOR = 4000;
// A screen reader hears what changes in a place that it has already seen there.
const UNTIL_SEEN = 100;
const isSeen = (node) => Boolean(node?.isConnected && node.getClientRects().length);
const said = document.getElementById("said");
let saying, used = null;
addEventListener("click", ({ target }) => { used = target; }, true);

/**
 * Tell the screen and the screen reader, in passing. It stands in the flow of the page, below what the person has just
 * used, so it covers nothing. Its room stays until something else is told, so nothing moves by itself.
 */
export function say(text) {
  clearTimeout(saying);
  said.textContent = "";
  said.style.minHeight = "";
  requestAnimationFrame(() => {
    clearTimeout(saying);
    const spot = [document.activeElement, used].find((one) => one !== document.body && isSeen(one)) ?? null;
    const card = spot?.closest("dialog, .card") ?? $("main");
    const part = [...card.children].find((one) => one !== said && one.contains(spot));
    (part ?? card.firstElementChild).after(said);
    saying = setTimeout(() => {
      said.textContent = text;
      said.scrollIntoView({ block: "nearest" });
      saying = setTimeout(() => {
        said.style.minHeight = `${said.offsetHeight}px`;
        said.textContent = "";
      }, TOLD_FOR);
    }, UNTIL_SEEN);
  });
}

/** Show what is typed in a field of a password, or hide it again. */
export function reveal(field, yes = true) {
  field.type = yes ? "text" : "password";
  $(`[data-shows="${field.id}"]`).textContent = t(yes ? "form.show_not" : "form.show");
}

for (const button of $$("[data-shows]")) {
  const field = document.getElementById(button.dataset.shows);
  show(button).addEventListener("click", () => reveal(field, field.type === "password"));
  // Browsers remember what is sent from a field of text.
  for (const end of ["submit", "reset"]) field.form.addEventListener(end, () => reveal(field, false));
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(bare(text));
    say(t("form.copied"));
  } catch {
    say(t("form.copy_failed"));
  }
}

export function download(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([bare(text)], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** RFC 4180, and no cell that a spreadsheet would take for a formula. */
export function csv(rows) {
  // Blanks in front and full-width signs count too: spreadsheets differ in what they pass over.
  const isFormula = (value) => /^(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])/.test(value);
  const cell = (value) => `"${(isFormula(value) ? `'${value}` : String(value)).replaceAll('"', '""')}"`;
  return rows.map((row) => row.map(cell).join(",")).join("\r\n");
}

/** A browser in the reader's words, out of the API's: "Firefox on Windows". */
export function browserName(described) {
  const [name, system] = described.split(" on ");
  return [name === "unknown browser" ? t("time.unknown") : name, system].filter(Boolean).join(" · ");
}
