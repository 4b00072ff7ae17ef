// Another owner's answer: did this member of the team ask support for help?

import { get, load, onClick, post, steppedUp } from "./api.js";
import { $, dateTime, el, say, t } from "./page.js";

const list = $("#approvals [data-list]");

const draw = () => load(list, async () => {
  const { items } = await get("/v1/team/approvals");
  if (!items.length) return el("p", { class: "empty" }, t("approvals.none"));
  return el("ul", { class: "rows" }, ...items.map(row));
});

function row(asked) {
  const answer = (approve, label, kind) => onClick(el("button", { type: "button", class: kind, "aria-label": `${t(label)}: ${asked.member_email}` }, t(label)), async () => {
    await steppedUp(() => post(`/v1/team/approvals/${asked.id}`, { approve }));
    say(t(approve ? "approvals.approved" : "approvals.refused"));
    await draw();
  });
  return el("li", {},
    el("div", { class: "what" }, el("p", {}, t("approvals.asks", { name: asked.member_name, email: asked.member_email })), el("small", {}, t("approvals.until", { date: dateTime(asked.expires_at) }))),
    el("div", { class: "actions" }, answer(true, "approvals.approve", "primary"), answer(false, "approvals.refuse", "danger")));
}

draw();
