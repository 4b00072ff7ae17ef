// What the API's problems become on a page: words, beside their field, for as long as they are true.

import { $, $$, countryName, duration, el, fieldOf, knows, show, t, timeOrDate } from "./page.js";

/** An answer that says no: RFC 9457's members, or code "network" when none came. */
export class Problem extends Error {
  constructor(document, retryAfter) {
    super(document.code);
    Object.assign(this, { code: document.code, document, retryAfter });
  }
}

/** How many tries are left, where the API says so: at the last ones. */
function triesLeft(problem) {
  const key = `form.tries_left_${problem.document?.tries_left}`;
  return knows(key) ? t(key) : "";
}

const withTime = (text, seconds) => `${text} ${t("form.retry_after", { time: duration(seconds) })}`;

/** A problem in words, with how long to wait where it says so. */
export function sentence(problem) {
  return problem.retryAfter ? withTime(inWords(problem), problem.retryAfter) : inWords(problem);
}

function inWords(problem) {
  const key = [`problem.${problem.code}_${problem.document?.cause}`, `problem.${problem.code}`].find(knows);
  const { country, begun_at: begun } = problem.document ?? {};
  const text = key ? t(key, { country: country && countryName(country), time: begun && timeOrDate(begun) }) : problem.document?.detail ?? t("problem.internal_error");
  return [text, triesLeft(problem)].filter(Boolean).join(" ");
}

/** "Your phone's clock is about 2 min 30 s fast", where the API knows. */
export function clockSays(problem) {
  const skew = problem.document?.clock_skew_seconds;
  if (typeof skew !== "number") return null;
  return t(skew > 0 ? "clock.fast" : "clock.slow", { amount: duration(Math.abs(skew)) });
}

const placeOf = (field) => document.getElementById(`${field.closest("[data-name]")?.id || field.id}-error`);

export function setError(form, name, text, problem = null) {
  const input = form.elements.namedItem(name);
  const field = input instanceof RadioNodeList ? input[0] : input;
  const place = field && placeOf(field);
  if (!place) return false;
  field.setAttribute("aria-invalid", "true");
  tell(place, text, problem);
  return field;
}

const waits = new WeakMap();

/**
 * Say what is wrong. Where the API `problem` is that there were too many tries, the wait is counted down, and the words
 * go when it is over. A screen reader hears it once.
 */
export function tell(place, text, problem = null) {
  clear(place);
  show(place).textContent = text;
  place.toggleAttribute("data-refused", problem !== null);
  if (problem?.code !== "too_many_requests" || !problem.retryAfter) return;
  const until = Date.now() + problem.retryAfter * 1000, time = el("span", { "aria-live": "off" });
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0) clear(place);
    else time.textContent = withTime("", left);
  };
  place.replaceChildren(inWords(problem), time);
  tick();
  waits.set(place, setInterval(tick, 1000));
}

export function clear(place) {
  clearInterval(waits.get(place));
  waits.delete(place);
  show(place, false).textContent = "";
  if (place.matches(".error")) for (const input of $$("[aria-invalid]", place.parentElement)) input.removeAttribute("aria-invalid");
}

export function clearErrors(form) {
  for (const place of $$(".error, .form-error", form)) clear(place);
}

// What was refused is about all that was sent, so any edit ends it, but not a wait. The other words are about one field.
addEventListener("input", ({ target }) => {
  if (!target.form || target.type === "checkbox") return;
  const own = placeOf(target);
  for (const place of $$(".error, .form-error", target.form)) {
    if ((place === own || place.matches(".form-error, [data-refused]")) && !waits.has(place)) clear(place);
  }
});

/** Show a problem where it belongs, and put the focus there. */
export function showProblem(form, problem) {
  const wrong = {};
  if (problem.code === "validation_failed") {
    for (const name of Object.keys(problem.document.errors ?? {})) {
      const keys = [`invalid.${name}_${problem.document.cause}`, `invalid.${name}`, "problem.validation_failed"];
      wrong[name] = t(keys.find(knows));
    }
  } else if (problem.document?.clock_skew_seconds !== undefined) {
    wrong.code = [t("clock.wrong_code"), triesLeft(problem)].filter(Boolean).join(" ");
  } else {
    const field = fieldOf[`${problem.code}_${problem.document?.cause}`] ?? fieldOf[problem.code];
    if (field) wrong[field] = sentence(problem);
  }
  const refusal = problem.code === "validation_failed" ? null : problem;
  const shown = Object.entries(wrong).map(([name, text]) => setError(form, name, text, refusal)).filter(Boolean);
  if (shown.length) {
    shown[0].focus();
    shown[0].select?.();
    return;
  }
  tell($(".form-error", form), Object.values(wrong)[0] ?? sentence(problem), problem);
}
