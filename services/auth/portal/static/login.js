// Logging in: password, then one code field that takes the app's digits, an SMS code or a backup code.

import { clearErrors, clockSays, codeIn, get, leave, onSubmit, post } from "./api.js";
import { $, brand, duration, show, t } from "./page.js";

const passwordStep = $("#password-step"), codeStep = $("#code-step");
const codeForm = $("#code-form"), smsForm = $("#sms-form"), callForm = $("#call-form"), mailForm = $("#mail-form"), code = codeForm.elements.code;
const POLL_EVERY = 2000;
const FINAL = new Set(["delivered", "undelivered", "failed", "expired"]);

// The page that was asked for, as the server has approved it: "?next=/team" or nothing.
const asked = passwordStep.dataset.next;

let challenge = location.pathname.match(/^\/login\/([\w-]+)$/)?.[1] ?? null;
let polling = 0, waiting = 0, webOtp = null;

// --- email and password ------------------------------------------------------------------------------------------------

onSubmit($("form", passwordStep), async ({ email, password }) => {
  const answer = await post("/v1/login", { email: email.trim(), password });
  if (answer.status === "authenticated") await leave(`/${asked}`);
  begin(answer.challenge);
});

function begin(given) {
  challenge = given.id;
  history.pushState(null, "", `/login/${challenge}${asked}`);
  codeForm.action = `/login/${challenge}`;
  codeForm.reset();
  setMode("code");
  show($("#sms-status"), false);
  show($("#one-try"), given.one_try);
  show(mailForm, false);
  show($("#mail-sent"), false);
  show(smsForm, given.sms.available);
  show(callForm, given.call?.available);
  $("button", smsForm).textContent = t("login.send_sms");
  show(passwordStep, false);
  show(codeStep);
  document.title = `${t("login.code")} · ${brand}`;
  code.focus();
  listenForSms();
}

function startOver(event) {
  event?.preventDefault();
  stop();
  challenge = null;
  if (location.pathname !== "/login") history.pushState(null, "", `/login${asked}`);
  show(codeStep, false);
  show(passwordStep);
  document.title = `${t("login.title")} · ${brand}`;
  $("form", passwordStep).elements.password.value = "";
  $("form", passwordStep).elements.email.focus();
}

$("#start-over").addEventListener("click", startOver);
addEventListener("popstate", () => location.reload());
// A browser that kept this page, as after Back, shows what is right by now: a login that is done leads on.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// --- the code ---------------------------------------------------------------------------------------------------------

onSubmit(
  codeForm,
  async () => {
    if (webOtp) webOtp.abort();
    const given = codeIn(code, takesBackupCode() ? "backup" : null);
    await post(`/v1/login/${challenge}/verify`, { code: given, remember_device: codeForm.elements.remember_device.checked });
    stop();
    await leave(`/${asked}`);
  },
  (problem) => {
    const says = clockSays(problem);
    show($("#clock-coach"), Boolean(says));
    $(".coach-says").textContent = says ?? "";
    if (problem.document.tries_left === 0 || problem.document.cause === "guessing") show($("#one-try"), false);
    if (problem.document.cause === "guessing") {
      show(mailForm);
      show($("#mail-sent"), false);
    }
    if (problem.code === "challenge_expired") expired(problem);
  },
);

function expired() {
  startOver();
  const place = $(".form-error", passwordStep);
  show(place).textContent = t("problem.challenge_expired");
}

code.addEventListener("input", () => code.classList.toggle("long", code.value.length > 8));

const takesBackupCode = () => codeStep.dataset.mode === "backup";

/** Ask for a backup code, or for what the one field takes: "backup" or "code". */
function setMode(mode) {
  codeStep.dataset.mode = mode;
  const backup = takesBackupCode();
  codeForm.elements.backup.disabled = !backup;
  code.inputMode = backup ? "text" : "numeric";
  code.autocomplete = backup ? "off" : "one-time-code";
  code.value = "";
  code.classList.remove("long");
  $("#code-hint").textContent = t(backup ? "login.backup_hint" : "login.code_hint");
  show($("#use-backup"), !backup);
  show($("#use-app"), backup);
  show($("#clock-coach"), false);
  clearErrors(codeForm);
}

for (const [link, mode] of [["#use-backup", "backup"], ["#use-app", "code"]]) {
  $(link).addEventListener("click", (event) => {
    event.preventDefault();
    setMode(mode);
    const query = new URLSearchParams(asked);
    if (takesBackupCode()) query.set("backup", "1");
    history.replaceState(null, "", `/login/${challenge}${query.size ? `?${query}` : ""}`);
    code.focus();
  });
}

/** The phone fills in the code of an SMS that ends with our host (WebOTP); elsewhere nothing happens. */
async function listenForSms() {
  if (!("OTPCredential" in window)) return;
  webOtp = new AbortController();
  try {
    const credential = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal: webOtp.signal });
    if (credential?.code && !takesBackupCode()) {
      code.value = credential.code;
      code.dispatchEvent(new Event("input", { bubbles: true }));
    }
  } catch {
    // Nobody must notice: the code can be typed.
  }
}

// --- a link by mail, while the brake on guesses refuses six digits -------------------------------------------------------

onSubmit(
  mailForm,
  async () => {
    const mine = challenge;
    await post(`/v1/login/${mine}/confirmation`);
    if (challenge !== mine) return;  // begun anew meanwhile
    show(mailForm, false);
    show($("#mail-sent"));
    code.focus();
  },
  (problem) => problem.code === "challenge_expired" && expired(problem),
);

// --- SMS and call -----------------------------------------------------------------------------------------------------

for (const [form, channel] of [[smsForm, "sms"], [callForm, "call"]]) {
  onSubmit(
    form,
    async () => {
      if (waiting) return;
      const mine = challenge;
      const sent = await post(`/v1/login/${mine}/${channel}`);
      if (challenge !== mine) return;  // begun anew meanwhile
      $("#sms-to").textContent = t(`login.${channel}_sent`, { phone: sent.phone_hint, reference: sent.reference });
      showDelivery({ status: "queued", channel });
      show($("#sms-status"));
      if (channel === "sms") $("button", smsForm).textContent = t("login.send_again");
      countDown(new Date(sent.resend_after));
      poll();
      code.focus();
    },
    (problem) => {
      if (problem.code === "challenge_expired") expired(problem);
      else if (problem.retryAfter && problem.retryAfter < 120) countDown(Date.now() + problem.retryAfter * 1000);
    },
  );
}

function countDown(until) {
  clearInterval(waiting);
  const buttons = [smsForm, callForm].map((form) => $("button", form)), note = $("#sms-wait");
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left > 0) {
      for (const button of buttons) button.setAttribute("aria-disabled", "true");
      show(note).textContent = t("login.wait", { time: duration(left) });
      return;
    }
    clearInterval(waiting);
    waiting = 0;
    for (const button of buttons) button.removeAttribute("aria-disabled");
    show(note, false);
  };
  waiting = setInterval(tick, 1000);
  setTimeout(tick);
}

function showDelivery({ status, reason, channel }) {
  const place = $("#sms-delivery"), text = t(`delivery.${reason || (channel === "call" ? `call_${status}` : status)}`);
  if (place.textContent !== text) place.textContent = text;
  place.dataset.state = status === "delivered" ? "good" : FINAL.has(status) ? "bad" : "";
}

function poll() {
  clearTimeout(polling);
  const mine = challenge;
  polling = setTimeout(async () => {
    try {
      const { delivery } = await get(`/v1/login/${mine}`);
      if (challenge !== mine) return;
      if (delivery) showDelivery(delivery);
      if (!delivery || !FINAL.has(delivery.status)) poll();
    } catch (problem) {
      if (problem.code !== "challenge_expired" && challenge === mine) poll();
    }
  }, POLL_EVERY);
}

function stop() {
  clearTimeout(polling);
  clearInterval(waiting);
  waiting = 0;
  webOtp?.abort();
}

if (challenge && !codeStep.hidden) {
  code.focus();
  listenForSms();
  if (!$("#sms-status").hidden) poll();
} else {
  const form = $("form", passwordStep);
  (form.elements.email.value ? form.elements.password : form.elements.email).focus();
}
