// 2-Factor Auth: turn it on, save the backup codes, look after it, turn it off.

import { change, clockSays, codeIn, get, load, onClick, once, onSubmit, post, Problem, remove, sentence, steppedUp } from "./api.js";
import { diagnosis } from "./diagnosis.js";
import { showHeld } from "./lists.js";
import { $, $$, copy, dateTime, download, duration, el, joined, locale, say, show, t, timeOrDate } from "./page.js";
import { timeline } from "./timeline.js";

const toggle = $("#toggle"), setup = $("#setup"), sheet = $("#new-codes"), later = $("#later");
const wordPlace = $("#word-place"), wordForm = $("#word-form");
const confirmForm = $("#confirm-form"), code = confirmForm.elements.code;
const CLOCK_TOLERANCE = 20;

let state = null, enrollment = null, codes = [], clockTimer = 0;

// --- how things stand ---------------------------------------------------------------------------------------------------

function refresh() {
  return load($("#state-said"), async () => {
    state = await get("/v1/two-factor");
    await resume();
    return showState();
  });
}

const redraw = () => $("#state-said").replaceChildren(...showState());

function showState() {
  const pill = show($("#state-pill"));
  toggle.disabled = false;
  toggle.checked = state.enabled || enrollment !== null;
  pill.textContent = t(state.enabled ? "two_factor.is_on" : enrollment ? "two_factor.is_pending" : "two_factor.is_off");
  pill.className = `pill ${state.enabled ? "good" : enrollment ? "warn" : ""}`;
  if (state.enabled) $("#prompt")?.remove();
  for (const note of $$("[data-until-on]")) show(note, !state.enabled && !enrollment);
  show(later, state.enabled && !codes.length);
  show($("#around"), !enrollment && !codes.length && wordPlace.hidden);
  showReset(state.pending_reset);
  showHeld(state.held_out, refresh);
  if (!state.enabled) {
    const waits = !enrollment && state.pending_enrollment;
    return waits ? [el("span", {}, t("two_factor.go_on", { time: timeOrDate(waits.expires_at) }))] : [];
  }
  const { remaining, created_at: made } = state.recovery_codes;
  $("#codes-left").textContent = t(!remaining ? "two_factor.codes_none" : remaining <= 3 ? "two_factor.codes_few" : "two_factor.codes_left", { n: remaining });
  $("#codes-made").textContent = made ? t("two_factor.codes_made", { date: dateTime(made) }) : "";
  const way = ["phone_has", "phone_called"][[state.sms, state.call].findIndex((one) => one?.available)] ?? "phone_none";
  $("#sms-said").textContent = t(`two_factor.${way}`, { phone: state.sms.phone_hint });
  const app = state.authenticators[0];
  const said = app?.confirmed_at ? [t("two_factor.authenticator"), t("two_factor.on_since", { date: dateTime(app.confirmed_at) })] : [];
  return [el("span", {}, joined(said))];
}

function showReset(reset) {
  const note = show($("#reset-note"), Boolean(reset));
  if (!reset) return;
  const ends = reset.cool_off_ends_at ? ` ${t("reset.ends", { date: dateTime(reset.cool_off_ends_at) })}` : "";
  $("p", note).textContent = t("reset.pending", { date: dateTime(reset.requested_at) }) + ends;
  const button = $("button", note);
  show(button, reset.status !== "approved" && reset.reason_kind !== "stolen");
  button.onclick = async () => {
    try {
      await steppedUp(() => remove(`/v1/two-factor/resets/${reset.id}`));
      show(note, false);
      say(t("reset.cancelled_done"));
      refresh();
    } catch (problem) {
      if (problem.code === "reset_not_open") { // the code that proved the owner has ended it
        show(note, false);
        return refresh();
      }
      show($(".form-error", note)).textContent = sentence(problem);
    }
  };
}

function showAround() {
  load($("#why [data-list]"), async () => diagnosis((await get("/v1/activity/diagnosis")).items, true));
  load($("#activity [data-list]"), async () => timeline((await get("/v1/activity?limit=100")).items, { own: true, most: 15 }));
}

// --- turning it on and off ------------------------------------------------------------------------------------------------

toggle.addEventListener("change", () => once($("#state"), async () => {
  const place = show($("#state .form-error"), false);
  try {
    if (toggle.checked) await begin();
    else if (state.enabled) {
      toggle.checked = true;
      $("#off").showModal();
    } else await cancelSetup();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.code === "enrollment_word_required") return askForWord();
    toggle.checked = state.enabled;
    if (problem.code !== "cancelled") show(place).textContent = sentence(problem);
  }
}));

function askForWord() {
  show(wordPlace);
  redraw();
  wordForm.elements.word.focus();
}

onSubmit(wordForm, ({ word }) => begin({ word: word.trim() }));

async function begin(body) {
  toggle.disabled = true;
  try {
    showSetup(await steppedUp(() => keyOf(body)));
  } finally {
    toggle.disabled = false;
  }
  $("#setup-title").focus();
}

/** The key that waits in this session, for another tab may have begun; else a new one. */
async function keyOf(body) {
  state = await get("/v1/two-factor");
  return state.pending_enrollment ? get("/v1/two-factor/enrollment") : post("/v1/two-factor/enrollment", body);
}

/** Go on after a reload, or in a second tab. Where that takes the password, it waits for the switch. */
async function resume() {
  if (!state.pending_enrollment || enrollment) return;
  try {
    showSetup(await get("/v1/two-factor/enrollment"));
  } catch (problem) {
    if (!["step_up_required", "enrollment_expired"].includes(problem.code)) throw problem;
  }
}

function showSetup(begun) {
  enrollment = begun;
  show(wordPlace, false);
  $("#qr").src = `data:image/svg+xml,${encodeURIComponent(enrollment.qr_svg)}`;
  $("#key").textContent = enrollment.secret.match(/.{1,4}/g).join(" ");
  $("#open-app").href = enrollment.otpauth_uri;
  confirmForm.reset();
  show($("#clock-coach"), false);
  show(setup);
  redraw();
  checkClock();
}

function endSetup() {
  enrollment = null;
  clearInterval(clockTimer);
  show($("#state .form-error"), false);
  show(wordPlace, false);
  show(setup, false);
  redraw();
}

/** The key ends, too, so that a reload does not bring the set-up back. Where that fails, its time ends it. */
async function cancelSetup() {
  try {
    if (enrollment) await remove("/v1/two-factor/enrollment");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
  }
  state.pending_enrollment = null;
  endSetup();
  toggle.focus();
}

onClick($("#cancel-setup"), cancelSetup);
$("#copy-key").addEventListener("click", () => copy(enrollment.secret));

/** Our time beside the device's own; half the way there and back is taken off. */
async function checkClock() {
  const verdict = $("#clock-verdict"), format = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
  verdict.className = "";
  verdict.textContent = "";
  try {
    const sent = Date.now();
    const { unix_seconds: theirs } = await get("/v1/time");
    const back = Date.now();
    const ahead = (sent + back) / 2 - theirs * 1000;
    const tick = () => {
      $("#clock-ours").textContent = format.format(Date.now() - ahead);
      $("#clock-yours").textContent = format.format(Date.now());
    };
    clearInterval(clockTimer);
    clockTimer = setInterval(tick, 1000);
    tick();
    const seconds = Math.round(ahead / 1000), off = Math.abs(seconds) > CLOCK_TOLERANCE;
    verdict.className = off ? "note warn" : "note good";
    verdict.textContent = off
      ? t(seconds > 0 ? "two_factor.clock_fast" : "two_factor.clock_slow", { amount: duration(Math.abs(seconds)) })
      : t("two_factor.clock_right");
  } catch (problem) {
    verdict.textContent = sentence(problem);
  }
}

onSubmit(
  confirmForm,
  async () => {
    const answer = await change("POST", `/v1/two-factor/enrollment/${enrollment.enrollment_id}/confirm`, { code: codeIn(code, "passcode") });
    // What is known already; the API's own word follows, on a slow line much later.
    const known = { enabled: true, authenticators: [], pending_enrollment: null, pending_reset: null };
    state = { ...state, ...known, recovery_codes: { remaining: answer.recovery_codes.length } };
    endSetup();
    say(t($("#me").dataset.role === "support" ? "two_factor.console_next" : "two_factor.turned_on"));
    showCodes(answer.recovery_codes);
    refresh();
    showAround();
  },
  (problem) => {
    const says = clockSays(problem);
    show($("#clock-coach"), Boolean(says));
    $("#clock-coach .coach-says").textContent = says ?? "";
    if (["enrollment_expired", "two_factor_already_on"].includes(problem.code)) expired(problem);
  },
);

onClick($("#off-yes"), async () => {
  await steppedUp(() => change("DELETE", "/v1/two-factor"));
  $("#off").close();
  state = { ...state, enabled: false };
  showState();
  say(t("two_factor.turned_off"));
  await refresh();
  showAround();
  toggle.focus();
});
$("#off-no").addEventListener("click", () => $("#off").close());

/** Nothing waits to be confirmed: its time is over, another tab was faster, or only the answer to a try was lost. */
async function expired(problem) {
  state.pending_enrollment = null;
  endSetup();
  await refresh();
  show($("#state .form-error")).textContent = state.enabled ? t("two_factor.on_already")
    : enrollment ? t("two_factor.replaced") : sentence(problem);
}

// --- backup codes -------------------------------------------------------------------------------------------------------

function showCodes(list) {
  codes = list;
  $("#codes-head").textContent = heading();
  $("#codes-list").replaceChildren(...codes.map((one) => el("li", {}, one)));
  show($("#around"), false);
  show(sheet);
  $("#new-codes-title").focus();
  addEventListener("beforeunload", warn);
}

const heading = () => t("two_factor.codes_file", { email: $("#me").dataset.email, date: dateTime(new Date()) });
const asText = () => `${$("#codes-site").textContent}\n${heading()}\n\n${codes.join("\n")}\n`;
const warn = (event) => event.preventDefault();

$("#codes-copy").addEventListener("click", () => copy(codes.join("\n")));
$("#codes-download").addEventListener("click", (event) => download(event.currentTarget.dataset.file, "text/plain", asText()));
$("#codes-print").addEventListener("click", () => print());
$("#codes-saved").addEventListener("click", () => {
  codes = [];
  $("#codes-list").replaceChildren();
  removeEventListener("beforeunload", warn);
  show(sheet, false);
  refresh();
  toggle.focus();
});

onClick($("#codes-again"), async () => {
  const answer = await steppedUp(() => change("POST", "/v1/two-factor/recovery-codes"));
  showCodes(answer.recovery_codes);
  showAround();
});

refresh();
showAround();
