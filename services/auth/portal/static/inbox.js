// The development inbox, live: what came since the last look is put on top.

import { get, sentence } from "./api.js";
import { $, copy, el, moment, show, t } from "./page.js";

const phone = $("#phone"), mailbox = $("#mailbox"), error = $("main > .form-error");
const EVERY = 1500;
const seen = new Set();

function bubble(message) {
  const code = message.body.match(/#(\d{6})\s*$/)?.[1];
  const button = code ? el("button", { type: "button" }, t("inbox.copy_code", { code })) : null;
  button?.addEventListener("click", () => copy(code));
  return el("article", {}, el("p", { class: "small" }, t("inbox.to", { to: message.to }), " · ", moment(message.sent_at)), el("div", { class: "bubble" }, message.body), button);
}

/** A call: what it begins with, and behind its keys what it says then. */
function call(message) {
  const told = el("div", { class: "bubble", hidden: true }, message.body);
  const press = el("button", { type: "button", "aria-expanded": "false" }, t("inbox.press"));
  press.addEventListener("click", () => { show(told); press.setAttribute("aria-expanded", "true"); });
  return el("article", {}, el("p", { class: "small" }, t("inbox.to", { to: message.to }), " · ", moment(message.sent_at)), el("div", { class: "bubble" }, message.subject), press, told);
}

const SHOWN = { sms: bubble, call, email: mail };

function mail(message) {
  return el("article", { class: "card" },
    el("h3", {}, message.subject ?? ""),
    el("p", { class: "small" }, t("inbox.to", { to: message.to }), " · ", moment(message.sent_at)),
    el("div", { class: "mail" }, message.body));
}

async function look() {
  try {
    const messages = await get("/dev/inbox.json");
    for (const place of [phone, mailbox]) place.querySelector("[data-loading]")?.remove();
    for (const message of messages.toReversed()) {
      const key = `${message.message_id} ${message.channel} ${message.to} ${message.sent_at}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const place = message.channel === "email" ? mailbox : phone;
      place.querySelector(".empty")?.remove();
      place.prepend(SHOWN[message.channel](message));
    }
    for (const place of [phone, mailbox]) if (!place.children.length) place.append(el("p", { class: "empty" }, t("inbox.empty")));
    show(error, false);
  } catch (problem) {
    show(error).textContent = sentence(problem);
  }
  setTimeout(look, EVERY);
}

look();
