// The support console's first page: find an account, see which resets are under way.

import { get, load, onSubmit } from "./api.js";
import { $, el, moment, t } from "./page.js";

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
