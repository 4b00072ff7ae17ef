// One account for support: its state, why its owner can't get in, and the ceremony of a reset.

import { facts, late, line, tone, words } from "./activity.js";
import { all, get, load, onClick, onSubmit, post } from "./api.js";
import { $, csv, dateTime, download, duration, el, knows, say, show, t, toTheSecond } from "./page.js";

const id = $("#name").dataset.id, base = `/v1/support/accounts/${id}`;
const FOLLOW_EVERY = 2000;
const TONE = { awaiting_approval: "warn", cooling_off: "warn", approved: "warn", applied: "good", cancelled: "" };
const OVER = new Set(["applied", "cancelled"]);

// --- state at a glance ------------------------------------------------------------------------------------------------------

function showAccount() {
  return load($("#state [data-list]"), async () => {
    const account = await get(base), two = account.two_factor;
    $("#name").textContent = account.name;
    $("#email").textContent = account.email;
    document.title = `${account.name} · Latchkey`;
    const since = two.authenticators[0]?.confirmed_at;
    const rows = [
      ["fact_2fa", two.enabled ? t("support.on_since", { date: since ? dateTime(since) : "–" }) : t(account.enrollment_prompted ? "support.must_enroll" : "support.off")],
      ["fact_lock", locks(account)],
      ["fact_failures", two.consecutive_failures],
      ["fact_codes", two.enabled ? two.recovery_codes.remaining : "–"],
      ["fact_phone", [account.phone && t("support.proven", { phone: account.phone.hint }), account.pending_phone_hint && t("support.pending", { phone: account.pending_phone_hint })].filter(Boolean).join("; ") || t("support.none")],
      ["fact_devices", account.trusted_devices],
      ["fact_sessions", account.sessions],
      ["fact_team", account.team.name],
      ["fact_role", t(`role.${account.role}`)],
    ];
    show($("#unlock-place"), two.locked || two.throttles.length > 0);
    show($("#new-reset"), two.enabled && !account.open_reset);
    if (account.open_reset) follow(account.open_reset.id);
    return el("dl", { class: "facts" }, ...rows.map(([key, value]) => el("div", {}, el("dt", {}, t(`support.${key}`)), el("dd", {}, ...[value].flat()))));
  });
}

/** What is shut, and until when. */
function locks({ two_factor: two, password_throttled_until: until }) {
  const said = [
    ...(two.locked ? [t(two.locked_everywhere ? "support.locked_everywhere" : "support.locked")] : []),
    ...two.throttles.map((one) => t("support.locked_codes", { what: t(`activity.purpose_${one.purpose}`), time: toTheSecond(one.until) })),
    ...(until ? [t("support.locked_password", { time: toTheSecond(until) })] : []),
  ];
  return said.length ? said.map((text) => el("p", { class: "tone-bad" }, text)) : t("support.unlocked");
}

onClick($("#unlock"), async () => {
  await post(`${base}/unlock`);
  say(t("support.unlock_done"));
  await Promise.all([showAccount(), showTimeline()]);
  $("#state-title").focus();  // the button is gone
});

// --- the timeline ---------------------------------------------------------------------------------------------------------

const FILTERS = {
  all: () => true,
  trouble: (item) => tone(item) === "bad" || late(items).has(item),
  sms: (item) => item.type.startsWith("sms.") || item.details.factor === "sms",
  support: (item) => item.actor.startsWith("operator:") || item.type.startsWith("two_factor.reset"),
};
let items = [], next = null;

const shown = () => items.filter(FILTERS[$("#filter").value]);
const draw = () => line(shown(), items);

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
  const rows = [["at", "source", "type", "actor", "text", "details"], ...lines.map((item) => [item.at, item.source, item.type, item.actor, [words(item), ...facts(item)].join(" · "), JSON.stringify(item.details)])];
  download(`timeline-${id}.csv`, "text/csv", csv(rows));
  say(t("support.exported", { n: lines.length }));
});

// --- a reset ----------------------------------------------------------------------------------------------------------------

const form = $("#reset-form");
let policy = null, following = 0;

const nameOf = (check) => (knows(`support.check_${check.id}`) ? t(`support.check_${check.id}`) : check.title);
const howTo = (check) => (knows(`support.how_${check.id}`) ? t(`support.how_${check.id}`) : check.instruction);
const resultOf = (rule) => [t(`support.path_${rule.path}`, { time: duration(rule.cool_off_seconds) }), ...(rule.second_operator ? [t("support.second")] : [])].join(" ");

async function showPolicy() {
  policy = await get("/v1/support/reset-policy");
  const titles = Object.fromEntries(policy.checks.map((check) => [check.id, nameOf(check)]));
  $("#checks").replaceChildren(...policy.checks.map((check) => {
    const box = el("input", { type: "checkbox", name: "identity_checks", value: check.id, id: `check-${check.id}`, "aria-describedby": `how-${check.id}` });
    const unlocks = policy.rules.filter((rule) => rule.identity_checks.includes(check.id)).map((rule) => {
      const others = rule.identity_checks.filter((one) => one !== check.id).map((one) => titles[one]);
      return others.length ? t("support.unlocks", { checks: others.join(" + "), result: resultOf(rule) }) : t("support.unlocks_alone", { result: resultOf(rule) });
    });
    return el("div", {},
      el("label", { class: "check" }, box, el("span", {}, titles[check.id])),
      el("p", { class: "hint", id: `how-${check.id}` }, howTo(check), ...unlocks.flatMap((text) => [el("br"), `→ ${text}`])));
  }));
}

const ticked = () => [...form.querySelectorAll("[name=identity_checks]:checked")].map((box) => box.value);

form.addEventListener("change", () => {
  const passed = ticked();
  const rule = policy?.rules.find((one) => one.identity_checks.every((check) => passed.includes(check)));
  $("#allows").className = `note ${rule ? "good" : ""}`;
  $("#allows").textContent = rule ? `${t("support.allows")} ${resultOf(rule)}` : t("support.not_enough");
});

onSubmit(form, async ({ ticket, reason }) => {
  const reset = await post(`${base}/two-factor-resets`, { ticket: ticket.trim(), reason: reason.trim(), identity_checks: ticked() });
  form.reset();
  show($("#new-reset"), false);
  await follow(reset.id);
  showTimeline();
  $("#open-reset-title").focus();
}, (problem) => {
  if (problem.code === "reset_already_open") showAccount();  // ours, where its answer was lost; or another operator's
});

/** Show a reset, and ask again until it is over. Whoever asks last is answered: an older look would show what was. */
async function follow(reset_id) {
  clearTimeout(following);
  const look = ++looks;
  let reset = null;
  try {
    reset = await get(`/v1/support/two-factor-resets/${reset_id}`);
  } catch {
    // The next look may find it.
  }
  if (look !== looks) return;
  if (!reset) {
    following = setTimeout(() => follow(reset_id), FOLLOW_EVERY);
    return;
  }
  show($("#open-reset")).dataset.id = reset_id;
  const pill = $("#reset-status");
  pill.className = `pill ${TONE[reset.status]}`;
  if (pill.textContent !== t(`reset.${reset.status}`)) pill.textContent = t(`reset.${reset.status}`);
  $("#open-reset-title").textContent = t(OVER.has(reset.status) ? "support.last_reset" : "support.open_reset");
  $("#reset-facts").textContent = [
    reset.ticket, reset.reason, t("support.requested", { date: dateTime(reset.requested_at) }),
    reset.cool_off_ends_at && t("support.cool_off_ends", { date: dateTime(reset.cool_off_ends_at) }),
  ].filter(Boolean).join(" · ");
  $("#reset-line").replaceChildren(...line(reset.timeline).children);
  show($("#approve"), reset.status === "awaiting_approval");
  show($("#cancel"), reset.status === "awaiting_approval" || reset.status === "cooling_off");
  if (!OVER.has(reset.status)) following = setTimeout(() => follow(reset_id), FOLLOW_EVERY);
  else if (wasOpen) { showAccount(); showTimeline(); }
  wasOpen = !OVER.has(reset.status);
}
let wasOpen = false, looks = 0;

for (const action of ["approve", "cancel"]) {
  onClick($(`#${action}`), async () => {
    const reset_id = $("#open-reset").dataset.id;
    await post(`${base}/two-factor-resets/${reset_id}/${action}`);
    await follow(reset_id);
    showTimeline();
    $("#open-reset-title").focus();  // the button may be gone
  });
}

showAccount();
showTimeline();
load($("#checks"), async () => { await showPolicy(); return [...$("#checks").children]; });
