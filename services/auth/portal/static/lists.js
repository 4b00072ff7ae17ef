// Sessions and known devices, on one page; and what holds the account out, on two.

import { all, get, load, onClick, Problem, remove, steppedUp } from "./api.js";
import { $, browserName, dateTime, el, isolated, say, show, t, toTheSecond } from "./page.js";

/** Where the account is open, and which browsers it knows. */
export function showPlaces() {
  return Promise.all([showSessions(), showDevices()]);
}

function showSessions() {
  const place = $("#sessions [data-list]");
  return load(place, async () => {
    const sessions = ownFirst(await all("/v1/sessions"), "authenticated_at");
    const rows = sessions.map((session) => row(session, browserName(session.browser), [],
      [t("lists.since", { date: dateTime(session.authenticated_at), ip: session.ip }), t("lists.ends", { date: dateTime(session.expires_at) })],
      session.current ? null : ending(t("lists.end"), `/v1/sessions/${session.id}`, t("lists.session_ended"), browserName(session.browser))));
    return list(rows, ending(t("lists.end_others"), "/v1/sessions?keep=current", t("lists.others_ended")));
  });
}

function showDevices() {
  const place = $("#devices [data-list]");
  return load(place, async () => {
    const devices = ownFirst(await all("/v1/trusted-devices"), "last_used_at");
    if (!devices.length) return el("p", { class: "empty" }, t("lists.no_devices"));
    const rows = devices.map((device) => row(device, browserName(device.label), device.trusted_until ? [el("span", { class: "pill" }, t("lists.remembered"))] : [],
      [t("lists.last_used", { date: dateTime(device.last_used_at) }), t(device.trusted_until ? "lists.until" : "lists.known_until", { date: dateTime(device.expires_at) })],
      ending(t("lists.forget"), `/v1/trusted-devices/${device.id}`, t("lists.forgotten"), browserName(device.label))));
    // A change of the password, for one, makes this browser unknown. Then all that are listed are others.
    const label = devices[0].current ? t("lists.forget_others") : t("lists.forget_all");
    return list(rows, ending(label, "/v1/trusted-devices?keep=current", t("lists.others_forgotten")));
  });
}

/** This browser's own entry, then the others, latest first. */
function ownFirst(items, time) {
  return items.sort((one, other) => other.current - one.current || (one[time] < other[time] ? 1 : -1));
}

function row({ current }, name, pills, said, button) {
  const own = current ? [el("span", { class: "pill good" }, t("lists.this_one"))] : [];
  const title = [isolated(name), ...own, ...pills].flatMap((part) => [part, " "]);
  return el("li", {}, el("div", { class: "what" }, el("p", {}, ...title), el("small", {}, said.join(" "))), button);
}

function list(rows, endOthers) {
  const shown = el("ul", { class: "rows" }, ...rows);
  return rows.length < 2 ? shown : [shown, el("div", { class: "actions" }, endOthers)];
}

/** A button that ends something. Both lists are loaded anew then, because a device ends with its sessions. */
function ending(label, path, done, of = null) {
  const button = el("button", { type: "button", "aria-label": of && `${label}: ${of}` }, label);
  return onClick(button, async () => {
    try {
      await remove(path);
      say(done);
    } finally {
      await showPlaces();  // after a 503 it may have ended all the same
    }
  });
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
