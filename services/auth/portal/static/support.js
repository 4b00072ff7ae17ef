// The support console's first page: find an account, see which resets are under way.

import { facts, tone, words } from "./activity.js";
import { all, get, load, onClick, onSubmit } from "./api.js";
import { $, csv, download, el, moment, say, show, stamp, t } from "./page.js";

const found = $("#found"), resets = $("#resets [data-list]"), status = $("#status");
const TONE = { awaiting_approval: "warn", cooling_off: "warn", approved: "warn", applied: "good", cancelled: "" };

onSubmit($("#search-form"), async ({ query }) => {
  found.replaceChildren();
  await more(`/v1/support/accounts?limit=20&query=${encodeURIComponent(query.trim())}`, el("ul", { class: "rows" }));
});

async function more(path, list, cursor = "") {
  const page = await get(path + cursor);
  list.append(...page.items.map((account) => el("li", {},
    el("div", { class: "what" }, el("p", {}, el("a", { href: `/support/accounts/${account.id}` }, account.name)), el("small", {}, `${account.email} · ${t(`role.${account.role}`)}`)),
    el("small", {}, moment(account.created_at)))));
  if (!list.children.length) return found.replaceChildren(el("p", { class: "empty" }, t("support.none_found")));
  const button = page.next_cursor ? el("button", { type: "button" }, t("form.more")) : null;
  button?.addEventListener("click", () => more(path, list, `&cursor=${encodeURIComponent(page.next_cursor)}`));
  found.replaceChildren(list, ...(button ? [button] : []));
}

function showResets() {
  return load(resets, async () => {
    const { items } = await get(`/v1/support/two-factor-resets?limit=25${status.value && `&status=${status.value}`}`);
    if (!items.length) return el("p", { class: "empty" }, t("support.no_resets"));
    return el("ul", { class: "rows" }, ...items.map((reset) => el("li", {},
      el("div", { class: "what" }, el("p", {}, el("a", { href: `/support/accounts/${reset.account_id}` }, reset.ticket)), el("small", {}, `${reset.reason} · `, moment(reset.requested_at))),
      el("span", { class: `pill ${TONE[reset.status]}` }, t(`reset.${reset.status}`)))));
  });
}

status.addEventListener("change", showResets);
showResets();

// --- the audit trail --------------------------------------------------------------------------------------------------

const trail = $("#audit [data-list]"), kind = $("#audit-type"), moreTrail = $("#audit-more");
const auditPath = () => `/v1/support/audit${kind.value && `?type=${kind.value}`}`;
let nextTrail = null;

const trailRow = (item) => el("li", {},
  stamp(item.at),
  el("div", {},
    el("p", { class: `tone-${tone(item)}` }, words(item), " · ", el("a", { href: `/support/accounts/${item.account_id}` }, item.account_id)),
    el("p", { class: "small" }, [item.actor.replace("operator:", ""), ...facts(item)].join(" · "))));

async function trailPage(cursor) {
  const path = auditPath();
  const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
  nextTrail = page.next_cursor;
  show(moreTrail, Boolean(nextTrail));
  return page.items.map(trailRow);
}

function showTrail() {
  return load(trail, async () => {
    const rows = await trailPage(null);
    return rows.length ? el("ol", { class: "line" }, ...rows) : el("p", { class: "empty" }, t("activity.none"));
  });
}

kind.addEventListener("change", showTrail);
onClick(moreTrail, async () => $("ol", trail).append(...await trailPage(nextTrail)));
onClick($("#audit-csv"), async () => {
  const items = await all(auditPath(), 10000);
  const rows = items.map((item) => [item.at, item.actor, item.type, item.account_id, JSON.stringify(item.details)]);
  download("audit.csv", "text/csv", csv([["at", "actor", "type", "account_id", "details"], ...rows]));
  say(t("support.exported", { n: rows.length }));
});
showTrail();
