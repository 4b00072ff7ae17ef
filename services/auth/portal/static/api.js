// All calls of the API go through here: problems become texts beside their field. A call is sent once. Only a change whose
// answer was lost is repeated, and the API gives the repeat the first answer.
// Writes carry the session's cookie and the browser's own Origin header, which is what the API checks.

import { isPasscode, readCode } from "./codes.js";
import { $, $$, el, knows, show, t } from "./page.js";
import { clear, clearErrors, Problem, sentence, setError, showProblem, tell } from "./problems.js";

export { clearErrors, clockSays, Problem, sentence, showProblem } from "./problems.js";

const SLOW_AFTER = 1000;
const GIVE_UP_AFTER = 30000;

/**
 * The code that is meant in a field, which shows it from then on. `only` is "passcode" or "backup" where the field takes
 * just that. Throws a Problem that says what is wrong, so that no try is lost.
 */
export function codeIn(field, only = null) {
  const { code, cause } = readCode(field.value);
  const kind = isPasscode(code) ? "passcode" : "backup";
  if (code && (only ?? kind) === kind) return field.value = code;
  const said = only === "backup" || cause !== "several" ? only ?? cause : cause;
  throw new Problem({ code: "validation_failed", errors: { [field.name]: [] }, cause: said });
}

/** Send one request in the form that the API expects. `options` override those of fetch. */
export const request = (method, path, body, more = {}, options = {}) => fetch(path, {
  method,
  headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...more },
  body: body === undefined ? undefined : JSON.stringify(body),
  credentials: "same-origin",
  signal: AbortSignal.timeout(GIVE_UP_AFTER),
  ...options,
});

export async function call(method, path, body, more = {}) {
  let response;
  try {
    response = await request(method, path, body, more);
  } catch {
    throw new Problem({ code: "network" });
  }
  const document_ = response.status === 204 ? null : await response.json().catch(() => ({ code: "internal_error" }));
  if (response.ok) return document_;
  const wait = Number(response.headers.get("Retry-After")) || document_.retry_after;
  if (document_.code === "not_authenticated") return leave(`/login?ended=1&next=${encodeURIComponent(location.pathname)}`);
  throw new Problem({ code: "internal_error", ...document_ }, wait);
}

export const get = (path) => call("GET", path);
/** As get, for a page that looks again by itself: it does not keep the session of an absent person alive. */
export const look = (path) => call("GET", path, undefined, { "X-Unattended": "1" });
export const post = (path, body) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);
export const remove = (path) => call("DELETE", path);

// randomUUID exists on https and localhost only.
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const isLost = (problem) => problem instanceof Problem && ["network", "service_unavailable"].includes(problem.code);
let unheard = null;

/**
 * A change that the API tells again to the same call for a minute: sent once more by itself when no answer came. What is
 * then asked for again by hand has the same key.
 */
export async function change(method, path, body) {
  const same = JSON.stringify([method, path, body]);
  const key = unheard?.same === same ? unheard.key : newKey();
  unheard = { same, key };
  const send = () => call(method, path, body, { "Idempotency-Key": key });
  try {
    const answer = await send().catch(async (problem) => {
      if (!isLost(problem)) throw problem;
      await new Promise((done) => setTimeout(done, Math.min(problem.retryAfter ?? 0.5, 5) * 1000));
      return send();
    });
    unheard = null;
    return answer;
  } catch (problem) {
    if (!isLost(problem)) unheard = null;
    throw problem;
  }
}

/** A path with what is wanted as its query; what is empty is left out. */
export function asking(path, wanted) {
  const query = String(new URLSearchParams(Object.entries(wanted).filter(([, value]) => value)));
  return query ? `${path}?${query}` : path;
}

/** All pages of a list, up to a number of items. Where a later page is refused, `stopped` hears why, if it is given. */
export async function all(path, { most = 1000, wanted = {}, stopped = null } = {}) {
  const items = [];
  let cursor = "";
  do {
    const page = await get(asking(path, { ...wanted, limit: 200, cursor })).catch((problem) => {
      if (!stopped || !items.length) throw problem;
      stopped(problem);
      return { items: [], next_cursor: "" };
    });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items;
}

/** Go to another page; what led there stays under way until this one is gone, so that nothing is sent again. */
export function leave(path) {
  location.assign(path);
  return new Promise(() => {});
}

const watches = new Set();

/** Say so when something takes long; calling what comes back takes it back. */
function whileSlow(put) {
  const slow = el("p", { class: "slow", role: "status" });
  let timer = 0;
  const watch = {
    begin() {
      timer = setTimeout(() => {
        slow.textContent = t("form.slow");
        put(slow);
      }, SLOW_AFTER);
    },
    stop() {
      clearTimeout(timer);
      slow.remove();
    },
  };
  watches.add(watch);
  watch.begin();
  return () => {
    watches.delete(watch);
    watch.stop();
  };
}

/** Wait for the person. Nothing that began before says meanwhile that it takes long. */
async function personsTurn(done) {
  const stopped = [...watches];
  for (const watch of stopped) watch.stop();
  try {
    return await done;
  } finally {
    for (const watch of stopped) if (watches.has(watch)) watch.begin();
  }
}

const underWay = new WeakSet();

/** Do something for a form or button once at a time; say so when it takes long. What was typed stays. */
export async function once(node, action) {
  if (underWay.has(node)) return;
  underWay.add(node);
  const buttons = node.matches("button") ? [node] : $$("button", node);
  node.setAttribute("aria-busy", "true");
  for (const button of buttons) button.setAttribute("aria-disabled", "true");
  if (node.matches("button")) node.dataset.busy = "";
  const over = whileSlow((slow) => (node.matches("button") ? node.after(slow) : node.append(slow)));
  try {
    return await action();
  } finally {
    over();
    underWay.delete(node);
    node.removeAttribute("aria-busy");
    delete node.dataset.busy;
    for (const button of buttons) button.removeAttribute("aria-disabled");
  }
}

/**
 * A form that is sent through the API. `send` gets its members; its problems are shown in the form.
 *
 * The form is asleep until here, because without this listener the browser would send it to the page's own address.
 */
export function onSubmit(form, send, onProblem = () => {}) {
  form.noValidate = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    once(form, async () => {
      clearErrors(form);
      if (!filled(form)) return;
      try {
        await send(Object.fromEntries(new FormData(form)));
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (problem.code === "cancelled") return;
        showProblem(form, problem);
        onProblem(problem);
      }
    });
  });
  wake(form);
}

/** People, and programs that drive the page, can use a form from here on. */
export function wake(form, awake = true) {
  form.inert = !awake;
  form.setAttribute("aria-disabled", String(!awake));
}

function filled(form) {
  const empty = $$("[required]", form).filter((input) => !input.value.trim() && input.offsetParent !== null);
  for (const input of empty) setError(form, input.name, t(knows(`invalid.${input.name}`) ? `invalid.${input.name}` : "form.required"));
  empty[0]?.focus();
  return !empty.length;
}

/** A button whose click calls the API; its problem is said in the nearest .form-error. */
export function onClick(button, action) {
  button.addEventListener("click", () => button.getAttribute("aria-disabled") !== "true" && once(button, async () => {
    const place = $(".form-error", button.closest("section, dialog, main"));
    if (place) clear(place);
    try {
      await action();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.code === "cancelled") return;
      if (place) tell(place, sentence(problem), problem);
    }
  }));
  return button;
}

const wishes = new WeakMap();

/** Fill a place from the API with what was wished last; a failure says so there, with a button that tries again. */
export async function load(place, fetchAndFill) {
  const wish = {}, isLast = () => wishes.get(place) === wish;
  wishes.set(place, wish);
  place.setAttribute("aria-busy", "true");
  const over = $("[data-loading]", place) ? () => {} : whileSlow((slow) => place.prepend(slow));
  try {
    const nodes = await fetchAndFill();
    if (isLast()) place.replaceChildren(...[nodes].flat());
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (!isLast()) return;
    const again = el("button", { type: "button" }, t("form.try_again"));
    again.addEventListener("click", () => load(place, fetchAndFill));
    const said = el("p", { class: "form-error", role: "alert" });
    place.replaceChildren(said, again);
    tell(said, sentence(problem), problem);
  } finally {
    over();
    if (isLast()) place.removeAttribute("aria-busy");
  }
}

/** Do what may need the step-up window; when it does, ask for password and code, then do it again. */
export async function steppedUp(action) {
  try {
    return await action();
  } catch (problem) {
    if (problem.code !== "step_up_required") throw problem;
    await personsTurn(askForProof(problem.document.step_up === "small"));
  }
  return action();
}

/** Offer a texted code only where the small window is enough; else the dialog says why not. */
function askForProof(smallIsEnough) {
  const dialog = document.getElementById("step-up");
  const form = $("form", dialog);
  clearErrors(form);
  form.reset();
  const codeField = form.elements.code.closest(".field");
  const sms = $("#step-up-sms"), smsNote = $("#step-up-sms-note");
  show(sms, false);
  show(smsNote, false);
  get("/v1/two-factor").then((state) => {
    show(codeField, state.enabled);
    show(sms, state.sms.available && smallIsEnough);
    show(smsNote, state.sms.available && !smallIsEnough).textContent = t("step_up.no_sms");
  }, () => {});
  wake(form);
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    const end = (settle) => { done.abort(); dialog.close(); form.reset(); wake(form, false); settle(); };
    const cancel = () => end(() => reject(new Problem({ code: "cancelled" })));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      once(form, async () => {
        clearErrors(form);
        if (!filled(form)) return;
        try {
          const code = form.elements.code.value.trim() && codeIn(form.elements.code);
          await post("/v1/reauthenticate", { password: form.elements.password.value, ...(code ? { code } : {}) });
          end(resolve);
        } catch (problem) {
          if (!(problem instanceof Problem)) throw problem;
          showProblem(form, problem);
        }
      });
    }, { signal: done.signal });
    sms.addEventListener("click", () => once(sms, async () => {
      clearErrors(form);
      try {
        const sent = await post("/v1/reauthenticate/sms");
        show(smsNote).textContent = t("step_up.sms_sent", { phone: sent.phone_hint, reference: sent.reference });
        form.elements.code.focus();
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        showProblem(form, problem);
      }
    }), { signal: done.signal });
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); cancel(); }, { signal: done.signal });
    $("[data-cancel]", dialog).addEventListener("click", cancel, { signal: done.signal });
  });
}
