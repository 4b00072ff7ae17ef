// An item of a timeline in words: what happened, why, who did it, how far an SMS came. The same for the owner and for support.

import { browserName, duration, knows, t, toTheSecond } from "./page.js";

const BAD = new Set(["password.refused", "enrollment_word.refused", "second_factor.failed", "second_factor.locked", "second_factor.rejected", "second_factor.throttled", "sms.refused"]);
const GOOD = new Set(["second_factor.verified", "two_factor.enabled", "phone.changed", "second_factor.unlocked"]);
const WARN = new Set(["two_factor.disabled", "two_factor.reset_requested", "two_factor.reset_approved", "two_factor.reset_applied", "recovery_code.spent"]);
const SMS_BAD = new Set(["undelivered", "failed", "expired"]);

export function tone(item) {
  if (BAD.has(item.type) || SMS_BAD.has(item.details.status)) return "bad";
  if (GOOD.has(item.type) || item.details.status === "delivered") return "good";
  return WARN.has(item.type) ? "warn" : "";
}

export const has = (prefix, word) => (word && knows(`activity.${prefix}_${word}`) ? t(`activity.${prefix}_${word}`) : word);

/** One sentence of an item: "Wrong code: a code of another time, clock 90 s slow". */
export function words(item) {
  const key = `activity.${item.type.replaceAll(/[.-]/g, "_")}`;
  return knows(key) ? t(key) : `${t("activity.other")} (${item.type})`;
}

export function facts(item) {
  const d = item.details, said = [];
  if (d.reason && item.source === "otp") said.push(has("reason", d.reason));
  if (d.throttled_until) said.push(t("activity.throttled_until", { time: toTheSecond(d.throttled_until) }));
  if (typeof d.clock_skew_seconds === "number" && d.clock_skew_seconds) {
    said.push(t(d.clock_skew_seconds > 0 ? "activity.clock_fast" : "activity.clock_slow", { amount: duration(Math.abs(d.clock_skew_seconds)) }));
  }
  if (d.channel) said.push(has("channel", d.channel));
  if (d.cause) said.push(has("cause", d.cause));
  if (d.status) said.push(state(d));
  if (d.purpose) said.push(has("purpose", d.purpose));
  if (d.factor) said.push(has("factor", d.factor));
  if (Array.isArray(d.factors)) said.push(d.factors.map((factor) => has("factor", factor)).join(" + "));
  if (d.phone_hint) said.push(d.phone_hint);
  if (d.reference) said.push(t("activity.reference", { reference: d.reference }));
  if (d.check) said.push(has("check", d.check));
  if (d.what) said.push(has("viewed", d.what));
  if (d.by) said.push(has("searched", d.by));
  if (typeof d.found === "number") said.push(t("activity.found", { n: d.found }));
  if (d.ticket) said.push(d.ticket);
  if (d.browser) said.push(browserName(d.browser));
  if (d.ip) said.push(d.ip);
  return said.filter(Boolean);
}

// Anybody can begin a login, so these entries name a place and no person.
const BY_ANYBODY = /^(password\.(accepted|refused)|second_factor\.(verified|rejected|throttled|failed)|login\.|sms\.(requested|refused)|session\.started)/;

/** Who did it. An owner's own list names nobody of support, and says "you". */
export function who({ actor, actor_email: email, type }, { own = false } = {}) {
  if (actor === "owner" && BY_ANYBODY.test(type)) return "";
  if (actor === "owner") return t(own ? "activity.actor_you" : "activity.actor_owner");
  if (actor === "system") return t("activity.actor_system");
  if (actor === "operator:cli") return t("activity.actor_command_line");
  const name = t(actor.startsWith("team") ? "activity.actor_team_owner" : "activity.actor_operator");
  return email ? `${name} (${email})` : name;
}

/** What several items say, each thing once. */
export const sharedFacts = (items) => [...new Set(items.flatMap(facts))].slice(0, 8);

/** How far an SMS or a reset has come. */
function state({ status, reason }) {
  return [`delivery.${reason || status}`, `reset.${status}`].filter(knows).map((key) => t(key))[0] ?? status;
}

/** Codes that reached the phone when they were no longer good: what a carrier's delay looks like from here. */
export function late(items) {
  const expiry = new Map(items.filter((item) => item.type === "sms.requested").map((item) => [item.details.message_id, item.details.expires_at]));
  return new Set(items.filter((item) => item.details.status === "delivered" && new Date(item.at) > new Date(expiry.get(item.details.message_id))));
}
