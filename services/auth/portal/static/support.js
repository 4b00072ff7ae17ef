// The support console's first page: find an account, see which resets are under way.

import { facts, tone, words } from "./activity.js";
import { all, asking, get, load, onClick, onSubmit, sentence, wake } from "./api.js";
import { $, csv, download, el, moment, say, stamp, t } from "./page.js";

const found = $("#found"), resets = $("#resets [data-list]"), status = $("#status");
const TONE = { awaiting_approval: "warn", cooling_off: "warn", approved: "warn", applied: "good", cancelled: "", ended: "" };

onSubmit($("#search-form"), async ({ query }) => {
  found.replaceChildren();
  await more(query.trim(), el("ul", { class: "rows" }));
});

async function more(query, list, cursor = null) {
  const page = await get(asking("/v1/support/accounts", { query, limit: 20, cursor }));
  list.append(...page.items.map((account) => el("li", {},
    el("div", { class: "what" }, el("p", {}, el("a", { href: `/support/accounts/${account.id}` }, account.name)), el("small", {}, `${account.email} · ${t(`role.${account.role}`)}`)),
    el("small", {}, moment(account.created_at)))));
  if (!list.children.length) return found.replaceChildren(el("p", { class: "empty" }, t("support.none_found")));
  if (!page.next_cursor) return found.replaceChildren(list);
  found.replaceChildren(list, onClick(el("button", { type: "button" }, t("form.more")), () => more(query, list, page.next_cursor)));
}

function showResets() {
  return load(resets, async () => {
    const { items } = await get(asking("/v1/support/two-factor-resets", { limit: 25, status: status.value }));
    if (!items.length) return el("p", { class: "empty" }, t("support.no_resets"));
    return el("ul", { class: "rows" }, ...items.map((reset) => el("li", {},
      el("div", { class: "what" }, el("p", {}, el("a", { href: `/support/accounts/${reset.account_id}` }, reset.ticket)), el("small", {}, `${reset.reason} · `, moment(reset.requested_at))),
      el("span", { class: `pill ${TONE[reset.status]}` }, t(`reset.${reset.status}`)))));
  });
}

status.addEventListener("change", showResets);
showResets();

// --- the audit trail --------------------------------------------------------------------------------------------------

const trail = $("#audit [data-list]"), auditForm = $("#audit-form");
const AUDIT = "/v1/support/audit";
const auditWanted = () => Object.fromEntries([...new FormData(auditForm)].map(([name, value]) => [name, value.trim()]));

const trailRow = (item) => el("li", {},
  stamp(item.at),
  el("div", {},
    el("p", { class: `tone-${tone(item)}` }, words(item), ...(item.account_id ? [" · ", el("a", { href: `/support/accounts/${item.account_id}` }, item.account_email)] : [])),
    el("p", { class: "small" }, [item.operator_email ?? item.actor.replace("operator:", ""), ...facts(item)].join(" · "))));

function showTrail() {
  const wanted = auditWanted();
  const list = el("ol", { class: "line" });
  let cursor = null;
  const append = async () => {
    const page = await get(asking(AUDIT, { ...wanted, limit: 20, cursor }));
    list.append(...page.items.map(trailRow));
    cursor = page.next_cursor;
  };
  return load(trail, async () => {
    await append();
    if (!list.children.length) return el("p", { class: "empty" }, t("support.audit_none"));
    if (!cursor) return list;
    const more = onClick(el("button", { type: "button" }, t("form.more")), async () => {
      await append();
      if (!cursor) more.remove();
    });
    return [list, more];
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
