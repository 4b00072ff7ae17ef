// The support console's first page: find an account, see which resets are under way.

import { all, asking, get, load, onClick, onSubmit, sentence, wake } from "./api.js";
import { $, csv, download, el, moment, say, t } from "./page.js";
import { timeline } from "./timeline.js";

const found = $("#found"), resets = $("#resets [data-list]"), status = $("#status");
const TONE = { awaiting_approval: "warn", cooling_off: "warn", approved: "warn", applied: "good", cancelled: "", ended: "" };

/** Whose it is: the name leads to the account. */
const named = (id, name, email) => el("div", { class: "what" }, el("p", {}, el("a", { dir: "auto", href: `/support/accounts/${id}` }, name)), el("small", {}, el("bdi", {}, email)));

/** Facts with their names. */
const facts = (rows) => el("dl", { class: "facts" }, ...rows.map(([key, ...value]) => el("div", {}, el("dt", {}, t(`support.${key}`)), el("dd", {}, el("bdi", {}, ...value)))));

function stateOf({ open_reset_status: reset, enrollment_prompted: prompted, two_factor_enabled: isOn }) {
  if (reset) return [el("span", { class: `pill ${TONE[reset]}` }, t(`reset.${reset}`))];
  if (prompted) return [el("span", { class: "pill warn" }, t("support.must_enroll"))];
  if (isOn === null) return [t("support.two_factor_unknown")];
  return [el("span", { class: `pill ${isOn ? "good" : ""}` }, t(isOn ? "support.two_factor_on" : "support.two_factor_off"))];
}

onSubmit($("#search-form"), async ({ query }) => {
  found.replaceChildren();
  await more(query.trim(), el("ul", { class: "rows" }));
});

async function more(query, list, cursor = null) {
  const page = await get(asking("/v1/support/accounts", { query, limit: 20, cursor }));
  list.append(...page.items.map((account) => el("li", {},
    named(account.id, account.name, account.email),
    facts([
      ["fact_role", t(`role.${account.role}`)],
      ["status", ...stateOf(account)],
      ["fact_created", moment(account.created_at)],
    ]))));
  if (!list.children.length) return found.replaceChildren(el("p", { class: "empty" }, t("support.none_found")));
  if (!page.next_cursor) return found.replaceChildren(list);
  found.replaceChildren(list, onClick(el("button", { type: "button" }, t("form.more")), () => more(query, list, page.next_cursor)));
}

function showResets() {
  return load(resets, async () => {
    const { items } = await get(asking("/v1/support/two-factor-resets", { limit: 25, status: status.value }));
    if (!items.length) return el("p", { class: "empty" }, t("support.no_resets"));
    return el("ul", { class: "rows" }, ...items.map((reset) => el("li", {},
      named(reset.account_id, reset.account_name ?? reset.account_id, reset.account_email ?? ""),
      facts([
        ["status", el("span", { class: `pill ${TONE[reset.status]}` }, t(`reset.${reset.status}`))],
        ["fact_asked", moment(reset.requested_at)],
        ["asked_by", reset.requested_by_email ?? t("support.command_line")],
        ["ticket", reset.ticket],
        ["reason", reset.reason],
      ]))));
  });
}

status.addEventListener("change", showResets);
showResets();

// --- the audit trail --------------------------------------------------------------------------------------------------

const trail = $("#audit [data-list]"), auditForm = $("#audit-form");
const AUDIT = "/v1/support/audit";
const auditWanted = () => Object.fromEntries([...new FormData(auditForm)].map(([name, value]) => [name, value.trim()]));

/** The trail's entries bear the operator's address under a name of their own. */
const asTold = (item) => ({ ...item, actor_email: item.operator_email });
const about = ({ account_id: id, account_email: email }) => (id ? [" · ", el("a", { dir: "auto", href: `/support/accounts/${id}` }, email)] : []);

function showTrail() {
  const wanted = auditWanted(), items = [], place = el("div");
  let cursor = null;
  const append = async () => {
    const page = await get(asking(AUDIT, { ...wanted, limit: 20, cursor }));
    items.push(...page.items.map(asTold));
    cursor = page.next_cursor;
    place.replaceChildren(timeline(items, { about }));
  };
  return load(trail, async () => {
    await append();
    if (!items.length) return el("p", { class: "empty" }, t("support.audit_none"));
    if (!cursor) return place;
    const more = onClick(el("button", { type: "button" }, t("form.more")), async () => {
      await append();
      if (!cursor) more.remove();
    });
    return [place, more];
  });
}

auditForm.addEventListener("change", showTrail);
auditForm.addEventListener("submit", (event) => event.preventDefault());  // Enter in a field has changed it
wake(auditForm);
onClick($("#audit-csv"), async () => {
  let why = null;
  const items = await all(AUDIT, { most: 10000, wanted: auditWanted(), stopped: (problem) => { why = sentence(problem); } });
  const rows = items.map((item) => [item.at, item.actor, item.operator_email ?? "", item.type, item.account_id ?? "", item.account_email ?? "", JSON.stringify(item.details)]);
  download("audit.csv", "text/csv", csv([["at", "actor", "operator_email", "type", "account_id", "account_email", "details"], ...rows]));
  say(why ? t("support.exported_in_part", { n: rows.length, why }) : t("support.exported", { n: rows.length }));
});
showTrail();
