// Why an account's owner can't get in, as sentences: what the API found, and what to do. The owner reads it in other words.

import { duration, el, knows, t, timeOrDate } from "./page.js";

const CALM = new Set(["nothing", "no_login_yet"]);

const counted = (key, n) => t(`diagnosis.${key}`, { n });
const first = (...keys) => keys.find(knows);

/** What the places of a finding's sentence are filled with. */
function values(finding) {
  const { cause, reason, wrong_codes: codes, networks } = finding;
  const from = networks ? ` ${counted("networks", networks)}` : "";
  return {
    tries: codes ? t("diagnosis.after", { tries: counted("codes", codes) + from }) : "",
    wrong: codes ? counted("wrong", codes) + from : "",
    n: codes ?? finding.wrong_passwords,
    of: finding.of_codes,
    since: finding.since && timeOrDate(finding.since),
    until: finding.until && timeOrDate(finding.until),
    login: finding.last_login_at && timeOrDate(finding.last_login_at),
    amount: duration(Math.abs(finding.clock_skew_seconds ?? 0)),
    phone: finding.phone_hint?.replace(/\*+/, "…"),
    why: t(first(cause === "text_refused" ? `activity.cause_${reason}` : `diagnosis.why_${reason}`, "diagnosis.why_unknown")),
    passwords: finding.wrong_passwords && counted("passwords", finding.wrong_passwords),
  };
}

/** The sentence of one finding. */
export function sentenceOf(finding, own) {
  const reader = own ? "own" : "says";
  return t(`diagnosis.${reader}_${finding.cause}`, values(finding)).replace(/\s+\./, ".");
}

/** What to do about it, or nothing where the page says that elsewhere. */
export function adviceOf({ cause, helps, until }, own) {
  if (own && knows(`held.${cause}`)) return "";  // the card of what is locked has it
  const keys = helps.map((help) => (own ? first(`diagnosis.own_help_${help}`, `held.lifted_${help}`) : `diagnosis.help_${help}`));
  return keys.filter(knows).map((key) => t(key, { time: until ? timeOrDate(until) : "" })).join(" ");
}

/** The answer, and below it what is true as well. */
export function diagnosis([answer, ...others], own = false) {
  const advice = adviceOf(answer, own);
  return el("div", {},
    el("div", { class: `note ${CALM.has(answer.cause) ? "good" : "warn"}`, "data-cause": answer.cause },
      el("p", { class: "answer" }, sentenceOf(answer, own)), ...(advice ? [el("p", {}, advice)] : [])),
    ...(others.length ? [el("p", { class: "small" }, t("diagnosis.also")), el("ul", {}, ...others.map((finding) => el("li", { "data-cause": finding.cause }, [sentenceOf(finding, own), adviceOf(finding, own)].filter(Boolean).join(" "))))] : []));
}
