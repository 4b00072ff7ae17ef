// A timeline as rows, newest first. A login is one row that opens for its steps; so is a visit of support, a text with what
// became of it, and what repeats.

import { facts, has, late, sharedFacts, tone, who, words } from "./activity.js";
import { browserName, el, joined, stamp, t } from "./page.js";

const A_LOGIN_LASTS = 10 * 60_000;  // as long as its challenge
const A_VISIT_LASTS = 10 * 60_000;  // a longer pause begins another one
const STARTS_LOGIN = new Set(["password.accepted", "session.started"]);

const isSoonAfter = (later, earlier, most) => new Date(later.at) - new Date(earlier.at) <= most;
const oldest = (row) => row.items.at(-1);

/** The rows of these items, which are newest first. For the owner, visits of support that follow each other are one row. */
export function rowsOf(items, { own = false } = {}) {
  const challenges = new Map(items.filter((item) => item.details.challenge_id && item.details.message_id).map(({ details }) => [details.message_id, details.challenge_id]));
  const rows = [], named = new Map();
  const add = (kind, item, key = null) => {
    const row = { kind, key, items: [item] };
    rows.push(row);
    if (key) named.set(key, row);
  };
  for (const item of items) {
    const { details } = item, challenge = details.challenge_id ?? challenges.get(details.message_id);
    const key = challenge ? `login ${challenge}` : details.message_id ? `text ${details.message_id}` : null;
    const last = rows.at(-1);
    if (key) {
      if (named.has(key)) named.get(key).items.push(item);
      else add(challenge ? "login" : "text", item, key);
    } else if (item.type === "password.refused") {
      const login = rows.findLast((row) => row.kind === "login" && leadsTo(item, oldest(row)));
      if (login) login.items.push(item);
      else add("login", item);
    } else if (item.type === "session.started") {
      add("login", item);
    } else if (item.type === "support.viewed") {
      const visit = rows.findLast((row) => row.kind === "visit" && isSameVisitor(row.items[0], item));
      const isThis = visit && (isSoonAfter(oldest(visit), item, A_VISIT_LASTS) || (own && visit === last));
      if (isThis) visit.items.push(item);
      else add("visit", item);
    } else if (last?.kind === "repeat" && isAlike(last.items[0], item)) {
      last.items.push(item);
    } else {
      add("repeat", item);
    }
  }
  return rows;
}

/** Whether this wrong password is of the login that began so: from the same place, soon before it. */
const leadsTo = (refused, began) => (STARTS_LOGIN.has(began.type) || began.type === refused.type)
  && began.details.ip === refused.details.ip && isSoonAfter(began, refused, A_LOGIN_LASTS);

const isSameVisitor = (one, other) => one.actor === other.actor && one.account_id === other.account_id;
const isAlike = (one, other) => one.type === other.type && isSameVisitor(one, other)
  && one.details.purpose === other.details.purpose && one.details.status === other.details.status && one.details.reset_id === other.details.reset_id;

const times = (text, n) => (n > 1 ? `${text} × ${n}` : text);

const TALLIED = ["password.refused", "second_factor.rejected", "second_factor.throttled"];

/** How a login went, in one sentence: "Not logged in: wrong code × 3". */
function outcome({ items }) {
  const count = (type) => items.filter((item) => item.type === type).length;
  const tries = TALLIED.filter(count).map((type) => times(t(`activity.tally_${type.replace(".", "_")}`), count(type)));
  if (count("session.started")) return [t("activity.session_started"), ...(tries.length ? [t("activity.after", { tries: tries.join(t("unit.comma")) })] : [])].join(" ");
  return `${t("activity.not_logged_in")}: ${tries.join(t("unit.comma")) || t("activity.tally_no_code")}`;
}

/** What the one line of a row says: a sentence, its tone, and facts such as where it was. */
export function summary(row, whole = row.items, options = {}) {
  const { kind, items } = row, [newest] = items, tooLate = late(whole);
  if (kind === "login") {
    const started = items.find((item) => item.type === "session.started"), place = items.find((item) => item.details.browser) ?? newest;
    const factors = (started?.details.factors ?? []).map((factor) => has("factor", factor)).join(" + ");
    const ip = place.details.ip ?? items.find((item) => item.details.ip)?.details.ip;
    const isBad = items.some((item) => tone(item) === "bad" || tooLate.has(item));
    return { text: outcome(row), tone: started ? "good" : isBad ? "bad" : "", small: [factors, place.details.browser && browserName(place.details.browser), ip].filter(Boolean) };
  }
  if (kind === "visit") {
    const seen = [...new Set(items.map((item) => has("viewed", item.details.what)))].join(t("unit.comma"));
    return { text: words(newest), tone: "", small: [who(newest, options), seen].filter(Boolean) };
  }
  const isLate = items.some((item) => tooLate.has(item));
  const by = kind === "text" ? "" : who(newest, options);  // what the carrier says is nobody's act
  return { text: times(words(newest), kind === "repeat" ? items.length : 1), tone: isLate ? "bad" : tone(newest), small: [...(isLate ? [t("activity.late")] : []), by, ...sharedFacts(items)].filter(Boolean) };
}

/** One item as a line of its own. */
function step(item, tooLate, options) {
  return el("li", {}, stamp(item.at),
    el("div", {}, el("p", { class: `tone-${tooLate.has(item) ? "bad" : tone(item)}` }, words(item)),
      el("p", { class: "small" }, joined([...(tooLate.has(item) ? [t("activity.late")] : []), who(item, options), ...facts(item)]))));
}

/** What was named by one line, such as an account with a link, goes behind its sentence. */
function line(row, whole, options) {
  const { text, tone: shade, small } = summary(row, whole, options);
  const about = options.about?.(row.items[0]) ?? [], opens = row.items.length > 1, tooLate = late(whole);
  const said = [el("p", { class: `tone-${shade}` }, text, ...(opens ? [] : about)), el("p", { class: "small" }, joined(small))];
  if (!opens) return el("li", {}, stamp(row.items[0].at), el("div", {}, ...said));
  // A summary is a control, and may hold no link.
  const steps = el("details", {}, el("summary", {}, ...said), el("ol", { class: "inner" }, ...row.items.map((item) => step(item, tooLate, options))));
  return el("li", {}, stamp(row.items[0].at), el("div", {}, steps, ...(about.length ? [el("p", {}, ...about.slice(1))] : [])));
}

/**
 * A timeline as it is shown. `keep` picks rows that have such an item; `most` is how many rows; `own` is the owner's list;
 * `about(item)` gives what follows a row's sentence.
 */
export function timeline(items, { keep = () => true, most = Infinity, ...options } = {}) {
  const rows = rowsOf(items, options).filter((row) => row.items.some(keep)).slice(0, most);
  if (!rows.length) return el("p", { class: "empty" }, t("activity.none"));
  return el("ol", { class: "line" }, ...rows.map((row) => line(row, items, options)));
}

/** A few items as they happened, each as a line of its own. */
export function steps(items, options = {}) {
  return items.map((item) => step(item, late(items), options));
}
