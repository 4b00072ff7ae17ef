// Team: who belongs to the account, and the cell phone that each proves.

import { all, change, clearErrors, codeIn, get, load, look, onClick, onSubmit, post, put, remove, sentence, steppedUp } from "./api.js";
import { $, countryName, duration, el, isolated, joined, locale, ownCountry, say, show, t } from "./page.js";

const me = $("#me").dataset, dialog = $("#edit"), form = $("#edit-form"), country = form.elements.country;
const other = $("#edit-country"), prove = $("#prove"), proveForm = $("#prove-form"), again = $("#prove-again"), callMe = $("#prove-call");
const FOLLOW_EVERY = 2500;
const FINAL = new Set(["delivered", "undelivered", "failed", "expired"]);
let channels = [], editing = null, filling = null, waiting = 0, following = 0;

// --- members ------------------------------------------------------------------------------------------------------------

function showMembers() {
  return load($("#members [data-list]"), async () => {
    const [{ team }, members] = await Promise.all([get("/v1/team?limit=1"), all("/v1/team")]);
    $("#team-name").textContent = joined([t("team.title"), team.name]);
    members.sort((a, b) => (b.id === me.id) - (a.id === me.id) || a.name.localeCompare(b.name, locale));
    return el("ul", { class: "rows" }, ...members.map(row));
  });
}

function row(member) {
  const own = member.id === me.id, mayEdit = own || me.role === "owner";
  const proven = member.phone && t("team.phone_proven", { phone: member.phone.hint });
  const phone = member.phone?.calls_only ? `${proven}, ${t("team.calls_only")}` : proven;
  const pending = member.pending_phone_hint ? t("team.phone_pending", { phone: member.pending_phone_hint }) : null;
  const edit = el("button", { type: "button", class: "edit", "aria-label": t("team.edit", { name: member.name }), title: t("team.edit", { name: member.name }) });
  edit.append($("#pencil").content.cloneNode(true));
  edit.addEventListener("click", () => open(member));
  return el("li", {},
    el("div", { class: "what" },
      el("p", {}, el("strong", { dir: "auto" }, member.name), " ", own ? el("span", { class: "pill" }, t("team.you")) : null, " ", el("small", {}, t(`role.${member.role}`))),
      el("small", {}, el("bdi", {}, member.email))),
    el("div", { class: "what" },
      phone || !pending ? el("p", {}, phone ?? el("span", { class: "muted" }, t("team.no_phone"))) : null,
      pending ? el("p", { class: "small" }, pending) : null),
    el("div", { class: "end" },
      own && pending ? onClick(el("button", { type: "button" }, t("team.prove")), async () => startProof(await steppedUp(sendFirst))) : null,
      mayEdit ? edit : null));
}

// --- the edit icon --------------------------------------------------------------------------------------------------------

const takesCodes = (one) => one.sms || one.call;

async function fillCountries() {
  country.replaceChildren(el("option", { value: "" }, t("form.loading")));
  const countries = (await get("/v1/phone/countries")).items
    .map((one) => ({ ...one, name: countryName(one.country) }))
    .sort((a, b) => a.name.localeCompare(b.name, locale));
  const option = (one) => el("option", { value: one.country, disabled: !takesCodes(one) }, `${one.name} (${isolated(`+${one.calling_code}`)})`);
  country.replaceChildren(
    el("option", { value: "" }, t("team.choose")),
    el("optgroup", { label: t("team.countries") }, ...countries.filter(takesCodes).map(option)),
    el("optgroup", { label: t("team.countries_without") }, ...countries.filter((one) => !takesCodes(one)).map(option)));
  const guess = ownCountry();
  if (countries.some((one) => one.country === guess && takesCodes(one))) country.value = guess;
}

async function open(member) {
  editing = member;
  const own = member.id === me.id;
  $("#edit-title").textContent = t("team.edit_title", { name: member.name });
  form.elements.number.value = "";
  clearErrors(form);
  show(other, false);
  show($("#edit-remove"), own && Boolean(member.phone || member.pending_phone_hint));
  dialog.showModal();
  form.elements.number.focus();
  try {
    await (filling ??= fillCountries());
  } catch (problem) {
    filling = null;  // opening it again tries again
    show($(".form-error", form)).textContent = sentence(problem);
  }
}

$("#edit-cancel").addEventListener("click", () => dialog.close());

onSubmit(form, async ({ country: code, number }) => {
  show(other, false);
  const own = editing.id === me.id;
  const answer = await steppedUp(() => put(own ? "/v1/phone" : `/v1/team/${editing.id}/phone`, { country: code, number: number.trim() }));
  dialog.close();
  await showMembers();
  if (answer.verified || answer.verified_at) {
    if (own) show(prove, false);
    say(t("team.proven_already"));
  } else if (own) startProof(answer);
  else say(t("team.saved_member", { name: editing.name }));
}, ({ code, document: { cause, country: belongs } }) => {
  if (code !== "invalid_phone" || cause !== "other_country") return;
  show(other).textContent = t("team.choose_country", { country: countryName(belongs) });
  other.dataset.country = belongs;
});

form.addEventListener("input", () => show(other, false));

other.addEventListener("click", () => {
  country.value = other.dataset.country;
  clearErrors(form);
  show(other, false);
  $("[type=submit]", form).focus();
});

onClick($("#edit-remove"), async () => {
  await steppedUp(() => remove("/v1/phone"));
  dialog.close();
  show(prove, false);
  say(t("team.removed"));
  await showMembers();
});

// --- the proof by SMS -----------------------------------------------------------------------------------------------------

function startProof(sent) {
  const isCall = sent.channel === "call";
  channels = sent.channels;
  $("#prove-sent").textContent = t(isCall ? "team.prove_called" : "team.prove_sent", { phone: sent.phone_hint, reference: sent.reference });
  proveForm.reset();
  $("#prove-delivery").textContent = t(isCall ? "delivery.call_queued" : "delivery.queued");
  show(prove);
  follow(sent.message_id, isCall);
  countDown(new Date(sent.resend_after));
  proveForm.elements.code.focus();
}

function countDown(until) {
  clearInterval(waiting);
  const note = $("#prove-wait");
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    show(again, left <= 0 && channels.includes("sms"));
    show(callMe, left <= 0 && channels.includes("call"));
    show(note, left > 0).textContent = t("team.wait", { time: duration(left) });
    if (left <= 0) clearInterval(waiting);
  };
  waiting = setInterval(tick, 1000);
  tick();
}

/** Send a code; call a number that takes no SMS, such as a landline that the team's owner has set. */
async function sendFirst() {
  try {
    return await post("/v1/phone/sms");
  } catch (problem) {
    if (problem.code !== "sms_unavailable") throw problem;
    return post("/v1/phone/call");
  }
}

/** What became of the SMS, from the account's own timeline. */
function follow(messageId, isCall) {
  clearTimeout(following);
  following = setTimeout(async () => {
    if (prove.hidden) return;
    let found = null;
    try {
      const { items } = await look("/v1/activity?limit=20");
      found = items.find((item) => item.type === "sms.delivery_changed" && item.details.message_id === messageId)?.details;
    } catch {
      // The next look may find it.
    }
    if (found) {
      const place = $("#prove-delivery"), text = t(`delivery.${found.reason || (isCall ? `call_${found.status}` : found.status)}`);
      if (place.textContent !== text) place.textContent = text;
      place.dataset.state = found.status === "delivered" ? "good" : FINAL.has(found.status) ? "bad" : "";
    }
    if (!FINAL.has(found?.status)) follow(messageId, isCall);
  }, FOLLOW_EVERY);
}

onClick(again, async () => startProof(await steppedUp(() => post("/v1/phone/sms"))));
onClick(callMe, async () => startProof(await steppedUp(() => post("/v1/phone/call"))));

onSubmit(proveForm, async () => {
  await change("POST", "/v1/phone/verify", { code: codeIn(proveForm.elements.code, "passcode") });
  clearInterval(waiting);
  show(prove, false);
  say(t("team.proven"));
  await showMembers();
  $("#main").focus();
});

showMembers();
