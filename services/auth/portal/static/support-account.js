// One account for support: its state, why its owner can't get in, and the ceremony of a reset.

import { facts, late, tone, who, words } from "./activity.js";
import { all, change, get, load, look, onClick, onSubmit, post, steppedUp } from "./api.js";
import { diagnosis } from "./diagnosis.js";
import { $, arrow, brand, csv, dateTime, download, duration, el, isolated, joined, say, show, t, toTheSecond } from "./page.js";
import { steps, timeline } from "./timeline.js";

const id = $("#name").dataset.id, base = `/v1/support/accounts/${id}`;
const operator = $("#name").dataset.operator, isOwn = operator === id, unlockForm = $("#unlock-form");
const FOLLOW_EVERY = 2000;
const TONE = { awaiting_approval: "warn", cooling_off: "warn", approved: "warn", applied: "good", cancelled: "", ended: "" };
const OVER = new Set(["applied", "cancelled", "ended"]);

let openUnlock = null;

// --- state at a glance ------------------------------------------------------------------------------------------------------

function showAccount() {
  return load($("#state [data-list]"), async () => {
    const account = await get(base).catch((problem) => {
      show($("#why"), false);  // the list of its state says what is wrong
      throw problem;
    });
    const two = account.two_factor;
    $("#name").textContent = isolated(account.name);
    $("#email").textContent = account.email;
    document.title = `${account.name} · ${brand}`;
    const since = two.authenticators[0]?.confirmed_at;
    const rows = [
      ["fact_2fa", two.enabled ? t("support.on_since", { date: since ? dateTime(since) : "–" }) : t(account.enrollment_prompted ? "support.must_enroll" : "support.off")],
      ["fact_lock", locks(account)],
      ["fact_failures", two.consecutive_failures],
      ["fact_codes", two.enabled ? two.recovery_codes.remaining : "–"],
      ["fact_phone", [account.phone && t("support.proven", { phone: account.phone.hint }), account.pending_phone_hint && t("support.pending", { phone: account.pending_phone_hint })].filter(Boolean).join("; ") || t("support.none")],
      ["fact_devices", account.trusted_devices],
      ["fact_sessions", account.sessions],
      ["fact_team", isolated(account.team.name)],
      ["fact_role", t(`role.${account.role}`)],
    ];
    $("[data-list]", show($("#why"))).replaceChildren(diagnosis(account.diagnosis));
    showUnlock(account);
    show($("#new-reset"), !isOwn && (two.enabled || account.enrollment_prompted) && !account.open_reset);
    $("#new-reset .muted").textContent = t(two.enabled ? "support.reset_note" : "support.words_note");
    if (account.open_reset) follow(account.open_reset.id);
    return el("dl", { class: "facts" }, ...rows.map(([key, value]) => el("div", {}, el("dt", {}, t(`support.${key}`)), el("dd", {}, ...[value].flat()))));
  });
}

/** What is shut, and until when. */
function locks({ two_factor: two, held_out: holds }) {
  const passwords = holds.filter(({ what }) => what.startsWith("passwords_"));
  const said = [
    ...(two.locked ? [t(two.locked_everywhere ? "support.locked_everywhere" : two.reset_needed ? "support.locked_until_reset" : "support.locked")] : []),
    ...two.throttles.map((one) => t("support.locked_codes", { what: t(`activity.purpose_${one.purpose}`), time: toTheSecond(one.until) })),
    ...passwords.map(({ what, until }) => t(`support.locked_${what}`, { time: toTheSecond(until) })),
  ];
  if (said.length && two.reset_needed && !two.locked) said.push(t("support.only_reset"));
  return said.length ? said.map((text) => el("p", { class: "tone-bad" }, text)) : t("support.unlocked");
}

/** The form, or the unlock that waits. An operator is not offered what would be refused. */
function showUnlock({ two_factor: two, held_out: holds, open_unlock: unlock }) {
  const isLocked = holds.length > 0;
  show(unlockForm, isLocked && !unlock && !isOwn && !two.locked_everywhere && !two.reset_needed);
  const place = show($("#open-unlock"), Boolean(unlock));
  if (!unlock) return;
  openUnlock = unlock;
  $("p", place).textContent = t("support.unlock_waits", { ticket: unlock.ticket, reason: unlock.reason, who: unlock.requested_by_email, date: dateTime(unlock.requested_at) });
  show($("#approve-unlock"), unlock.requested_by !== operator && !isOwn && !two.locked_everywhere && !two.reset_needed);
}

async function unlocked(text) {
  say(text);
  await Promise.all([showAccount(), showTimeline()]);
  $("#state-title").focus();  // the button may be gone
}

onSubmit(unlockForm, async ({ ticket, reason }) => {
  const waits = await steppedUp(() => post(`${base}/unlock`, { ticket: ticket.trim(), reason: reason.trim() }));
  unlockForm.reset();
  await unlocked(t(waits ? "support.unlock_second" : "support.unlock_done"));
});

onClick($("#approve-unlock"), async () => {
  await steppedUp(() => post(`${base}/unlocks/${openUnlock.id}/approve`));
  await unlocked(t("support.unlock_done"));
});

// --- the timeline ---------------------------------------------------------------------------------------------------------

const FILTERS = {
  all: () => true,
  trouble: (item) => tone(item) === "bad" || late(items).has(item),
  sms: (item) => item.type.startsWith("sms.") || item.details.factor === "sms",
  support: (item) => item.actor.startsWith("operator:") || item.type.startsWith("two_factor.reset"),
};
let items = [], next = null;

const draw = () => timeline(items, { keep: FILTERS[$("#filter").value] });

function showTimeline() {
  return load($("#timeline [data-list]"), async () => {
    ({ items, next_cursor: next } = await get(`${base}/timeline?limit=100`));
    show($("#more"), Boolean(next));
    return draw();
  });
}

$("#filter").addEventListener("change", () => $("#timeline [data-list]").replaceChildren(draw()));
onClick($("#more"), async () => {
  const page = await get(`${base}/timeline?limit=100&cursor=${encodeURIComponent(next)}`);
  items.push(...page.items);
  next = page.next_cursor;
  show($("#more"), Boolean(next));
  $("#timeline [data-list]").replaceChildren(draw());
});

onClick($("#csv"), async () => {
  const lines = (await all(`${base}/timeline`, { most: 10000 })).filter(FILTERS[$("#filter").value]);
  const rows = [["at", "source", "type", "actor", "actor_email", "text", "details"], ...lines.map((item) => [item.at, item.source, item.type, item.actor, item.actor_email ?? "", [words(item), who(item), ...facts(item)].filter(Boolean).join(" · "), JSON.stringify(item.details)])];
  download(`timeline-${id}.csv`, "text/csv", csv(rows));
  say(t("support.exported", { n: lines.length }));
});

// --- a reset ----------------------------------------------------------------------------------------------------------------

const form = $("#reset-form"), CHECKS = `${base}/identity-checks`, CHECKS_EVERY = 5000;
const begin = $("#begin-reset"), ceremony = $("#ceremony");
let following = 0, checking = 0, seen = null;

/** The ceremony opens by a button. Opening the account alone does not read the checks, so it writes no audit entry. */
begin.addEventListener("click", () => {
  const opens = ceremony.hidden;
  show(ceremony, opens);
  begin.setAttribute("aria-expanded", opens);
  if (!opens) return clearTimeout(checking);
  drawChecks();
  if (!$("#policy li")) load($("#policy"), showPolicy);
});

function closeCeremony() {
  clearTimeout(checking);
  show(ceremony, false);
  begin.setAttribute("aria-expanded", false);
}

const nameOf = (check) => t(`support.check_${check}`);
const resultOf = (rule) => [
  t(`support.path_${rule.path}`, { time: duration(rule.cool_off_seconds) }),
  ...(rule.approvals ? [t(`support.approvals_${rule.approvals}`)] : []),
].join(t("unit.comma"));

/** What the operator may do for each check; while one waits for its answer, look again. */
async function showChecks(answer) {
  clearTimeout(checking);
  const { items: rows, allows } = seen = answer ?? await get(CHECKS);
  $("#allows").className = `note ${allows ? "good" : ""}`;
  $("#allows").textContent = allows ? `${t("support.allows")} ${resultOf(allows)}` : t("support.not_enough");
  $("button[type=submit]", form).disabled = !allows;
  if (rows.some((row) => row.latest?.status === "pending")) checking = setTimeout(refreshChecks, CHECKS_EVERY);
  return rows.map(checkRow);
}

/** Draw the checks anew. What was typed for another check stays; the focus goes to what comes next in `next`. */
async function drawChecks({ next = null, answer = null } = {}) {
  const place = $("#checks"), focused = place.contains(document.activeElement) && document.activeElement.id, typed = new Map();
  await load(place, async () => {
    const rows = await showChecks(answer);
    for (const field of fieldsIn(place)) if (field.closest("[data-check]").dataset.check !== next) typed.set(field.id, field.value);
    for (const row of rows) for (const field of fieldsIn(row)) field.value = typed.get(field.id) ?? "";
    return rows;
  });
  const row = next && $(`[data-check=${next}]`, place);
  if (row) ($("input", row) ?? $("h3", row)).focus();
  else if (focused) document.getElementById(focused)?.focus();
}

const fieldsIn = (place) => [...place.querySelectorAll("input, textarea")];

/** Look whether an answer came. Nothing is drawn when none did, so that nobody is disturbed while writing. */
async function refreshChecks() {
  const answer = await look(CHECKS).catch(() => seen);
  const isSame = JSON.stringify(answer) === JSON.stringify(seen);
  if (isSame || $("#checks [aria-busy]")) checking = setTimeout(refreshChecks, CHECKS_EVERY);
  else drawChecks({ answer });
}

function checkRow(row) {
  const { check, latest, kind } = row, passed = latest?.status === "passed";
  const pill = passed ? ["good", "support.check_passed"] : latest ? ["warn", `support.check_${latest.status}`] : ["", `support.kind_${kind}`];
  return el("div", { class: "check-row", "data-check": check },
    el("div", { class: "head" }, el("h3", { tabindex: -1 }, nameOf(check)), el("span", { class: `pill ${row.possible ? pill[0] : "bad"}` }, t(row.possible ? pill[1] : "support.not_possible"))),
    el("p", { class: "hint" }, t(`support.how_${check}`), row.sent_to ? ` ${t("support.sent_to", { to: row.sent_to })}` : ""),
    ...(row.possible ? doing(row) : [el("p", { class: "note" }, t(`support.why_not_${row.why_not}`))]));
}

/** The form of the next step of this check. */
function doing({ check, latest, kind }) {
  if (latest?.status === "passed") {
    return [el("p", {}, t("support.check_until", { time: toTheSecond(latest.expires_at) }), latest.evidence ? ` · ${isolated(latest.evidence)}` : "")];
  }
  if (kind === "attested") {
    const evidence = el("textarea", { id: `evidence-${check}`, name: "evidence", dir: "auto", required: true, maxlength: 1000 });
    return [ask(check, evidence, "support.evidence", "support.write_down", ({ evidence: words }) => post(CHECKS, { check, evidence: words.trim() }))];
  }
  const again = el("button", { type: "button" }, t(latest ? "support.begin_again" : `support.begin_${check}`));
  onClick(again, async () => {
    await steppedUp(() => post(CHECKS, { check }));
    await drawChecks({ next: check });
  });
  const start = el("div", { class: "actions" }, again);
  if (latest?.status !== "pending" || check === "owner_approval") return [start];
  const code = el("input", { id: `words-${check}`, name: "code", required: true, autocomplete: "off", maxlength: 100 });
  return [ask(check, code, "support.words", "support.check_words", ({ code: read }) => post(`${CHECKS}/${latest.id}/verify`, { code: read })), start];
}

function ask(check, input, label, button, send) {
  input.setAttribute("aria-describedby", `${input.id}-error`);
  const one = el("form", { method: "post" },
    el("div", { class: "field" }, el("label", { for: input.id }, t(label)), input, el("p", { class: "error", id: `${input.id}-error`, role: "alert", hidden: true })),
    el("p", { class: "form-error", role: "alert", hidden: true }),
    el("button", { type: "submit", "aria-label": `${t(button)}: ${nameOf(check)}` }, t(button)));
  onSubmit(one, async (members) => {
    await steppedUp(() => send(members));
    await drawChecks({ next: check });
    showTimeline();
  });
  return one;
}

async function showPolicy() {
  const { rules } = await get("/v1/support/reset-policy");
  return rules.map((rule) => {
    const checks = rule.identity_checks.map(nameOf).join(" + ") || t("support.any_two");
    const when = rule.when === "any" ? "" : `${t(`support.when_${rule.when}`)}: `;
    return el("li", {}, `${when}${checks} ${arrow} ${resultOf(rule)}`);
  });
}

onSubmit(form, async ({ ticket, reason, reason_kind }) => {
  // Sent so that it can be repeated, because the caller's words are shown once and the answer may be lost.
  const reset = await steppedUp(() => change("POST", `${base}/two-factor-resets`, { ticket: ticket.trim(), reason: reason.trim(), reason_kind }));
  form.reset();
  show($("#new-reset"), false);
  closeCeremony();
  $("#checks").replaceChildren();  // what was typed belonged to this reset
  show($("#word")).textContent = t("support.word", { word: reset.enrollment_word });
  await follow(reset.id);
  showTimeline();
  $("#open-reset-title").focus();
}, (problem) => {
  if (problem.code === "reset_already_open") showAccount();  // another operator's
  else if (problem.code === "identity_checks_insufficient") drawChecks();
});

/** Show a reset, and ask again until it is over. Whoever asks last is answered: an older look would show what was. */
async function follow(reset_id) {
  clearTimeout(following);
  const turn = ++looks;
  let reset = null;
  try {
    reset = await look(`/v1/support/two-factor-resets/${reset_id}`);
  } catch {
    // The next look may find it.
  }
  if (turn !== looks) return;
  if (!reset) {
    following = setTimeout(() => follow(reset_id), FOLLOW_EVERY);
    return;
  }
  show($("#open-reset")).dataset.id = reset_id;
  const pill = $("#reset-status");
  pill.className = `pill ${TONE[reset.status]}`;
  if (pill.textContent !== t(`reset.${reset.status}`)) pill.textContent = t(`reset.${reset.status}`);
  $("#open-reset-title").textContent = t(OVER.has(reset.status) ? "support.last_reset" : "support.open_reset");
  $("#reset-facts").replaceChildren(...[
    ["ticket", reset.ticket],
    ["reason", reset.reason],
    ["reason_kind", t(`support.reason_${reset.reason_kind}`)],
    ["asked_by", reset.requested_by_email ?? t("support.command_line")],
    ["asked_at", dateTime(reset.requested_at)],
    ["approved_by", reset.approved_by_email],
    ["second_approved_by", reset.second_approved_by_email],
    ["approve_before", reset.approvals_missing && reset.approval_ends_at && dateTime(reset.approval_ends_at)],
    ["cool_off_ends", reset.cool_off_ends_at && dateTime(reset.cool_off_ends_at)],
    ["ended", reset.ended_because && t(`support.ended_${reset.ended_because}`)],
  ].filter(([, text]) => text).map(([name, text]) => el("div", {}, el("dt", {}, t(`support.${name}`)), el("dd", {}, el("bdi", {}, text)))));
  $("#reset-rule").textContent = `${reset.identity_checks.map(nameOf).join(" + ")} ${arrow} ${resultOf({ ...reset, approvals: reset.approvals_needed })}`;
  $("#reset-checks").replaceChildren(...reset.checks.map((one) => el("li", {}, joined([nameOf(one.check), one.kind === "attested" ? t("support.attested_by", { who: reset.requested_by_email ?? reset.requested_by }) : t(`support.kind_${one.kind}`), dateTime(one.passed_at), one.confirmed_by_email, one.evidence]))));
  $("#reset-line").replaceChildren(...steps(reset.timeline));
  show($("#approve"), reset.may_approve);
  const because = reset.may_not_approve_because;
  show($("#why-not-approve"), Boolean(reset.approvals_missing) && Boolean(because)).textContent = because ? t(`problem.${because}`) : "";
  show($("#cancel"), !isOwn && (reset.status === "awaiting_approval" || reset.status === "cooling_off"));
  if (!OVER.has(reset.status)) following = setTimeout(() => follow(reset_id), FOLLOW_EVERY);
  else if (wasOpen) { showAccount(); showTimeline(); }
  wasOpen = !OVER.has(reset.status);
}
let wasOpen = false, looks = 0;

for (const action of ["approve", "cancel"]) {
  onClick($(`#${action}`), async () => {
    const reset_id = $("#open-reset").dataset.id;
    await steppedUp(() => post(`${base}/two-factor-resets/${reset_id}/${action}`));
    await follow(reset_id);
    showTimeline();
    $("#open-reset-title").focus();  // the button may be gone
  });
}

showAccount();
showTimeline();
