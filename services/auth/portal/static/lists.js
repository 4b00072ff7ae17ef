// Sessions, known devices and what holds the account out, on two pages.

import { all, get, load, onClick, Problem, remove, steppedUp } from "./api.js";
import { $, browserName, dateTime, el, say, show, t, toTheSecond } from "./page.js";

export function showDevices() {
  const section = $("#devices"), place = $("[data-list]", section);
  const again = () => load(place, async () => {
    const devices = await all("/v1/trusted-devices");
    if (!devices.length) return el("p", { class: "empty" }, t("lists.no_devices"));
    const forget = (path) => async () => {
      try {
        await remove(path);
        say(t("lists.forgotten"));
      } finally {
        await again();  // after a 503 it may have ended all the same
      }
    };
    const rows = devices.map((device) => el("li", {},
      el("div", { class: "what" },
        el("p", {}, browserName(device.label), ...(device.current ? [" ", el("span", { class: "pill good" }, t("lists.this_one"))] : [])),
        el("small", {}, t("lists.last_used", { date: dateTime(device.last_used_at) }), " ", t(device.trusted_until ? "lists.until" : "lists.known_until", { date: dateTime(device.expires_at) }))),
      onClick(el("button", { type: "button", "aria-label": `${t("lists.forget")}: ${browserName(device.label)}` }, t("lists.forget")), forget(`/v1/trusted-devices/${device.id}`))));
    const list = el("ul", { class: "rows" }, ...rows);
    return rows.length < 2 ? list : [list, onClick(el("button", { type: "button" }, t("lists.forget_all")), forget("/v1/trusted-devices"))];
  });
  return again();
}

export function showSessions() {
  const section = $("#sessions"), place = $("[data-list]", section);
  const again = () => load(place, async () => {
    const sessions = await all("/v1/sessions");
    return el("ul", { class: "rows" }, ...sessions.map((session) => el("li", {},
      el("div", { class: "what" }, el("p", {}, browserName(session.browser)), el("small", {}, t("lists.since", { date: dateTime(session.authenticated_at), ip: session.ip }), " ", t("lists.ends", { date: dateTime(session.expires_at) }))),
      session.current
        ? el("span", { class: "pill good" }, t("lists.this_one"))
        : onClick(el("button", { type: "button", "aria-label": `${t("lists.end")}: ${browserName(session.browser)}` }, t("lists.end")), async () => {
          try {
            await remove(`/v1/sessions/${session.id}`);
            say(t("lists.session_ended"));
          } finally {
            await again();
          }
        }))));
  });
  return again();
}

/** What is refused after too many tries, until when, and what lifts it; nothing where nothing is. */
export function showHeld(holds, again) {
  const rows = holds.map(({ what, until, lifted_by: lifts }) => el("li", {},
    el("div", { class: "what" }, el("p", { class: "tone-bad" }, t(`held.${what}`)),
      el("small", {}, lifts.map((lift) => t(`held.lifted_${lift}`, { time: until ? toTheSecond(until) : "" })).join(" "))),
    ...(lifts.includes("owner_word") ? [letStrangersTry(again)] : [])));
  show($("#held"), rows.length > 0);
  $("#held [data-list]").replaceChildren(el("ul", { class: "rows" }, ...rows));
}

function letStrangersTry(again) {
  return onClick(el("button", { type: "button" }, t("held.let_strangers_try")), async () => {
    await steppedUp(() => remove("/v1/two-factor/wrong-codes"));
    say(t("held.strangers_may_try"));
    again();
  });
}

export async function loadHeld() {
  try {
    showHeld((await get("/v1/two-factor")).held_out, loadHeld);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;  // the lists on the page say that there is no answer
  }
}
