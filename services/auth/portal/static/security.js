// Security: the password with a meter while it is typed, sessions, known devices.

import { clearErrors, onSubmit, post, steppedUp } from "./api.js";
import { loadHeld, showPlaces } from "./lists.js";
import { $, el, knows, reveal, say, t } from "./page.js";

const form = $("#password-form"), password = form.elements.new_password;
const meter = $("#strength"), said = $("#strength-said"), advice = $("#strength-advice");
const TYPING_PAUSE = 300;
// No 0, O, 1, I or l: a generated password may have to be typed off a screen.
const ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

let typing = 0, asked = 0;

function rate() {
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const turn = ++asked;
    if (!password.value) return tell(0, "");
    try {
      const strength = await post("/v1/password/strength", { new_password: password.value });
      const word = t(strength.acceptable ? `strength.${strength.score}` : `strength.${Math.min(strength.score, 2)}`);
      if (turn === asked) tell(strength.score, word, strength.warning, strength.suggestions);
    } catch {
      if (turn === asked) tell(0, "");  // saving it says what is wrong
    }
  }, TYPING_PAUSE);
}

function tell(score, text, warning = "", suggestions = []) {
  meter.value = score;
  said.textContent = text;
  const lines = [warning, ...suggestions].filter(Boolean).map((line) => el("li", {}, inWords(line)));
  advice.replaceChildren(...(lines.length ? [el("ul", {}, ...lines)] : []));
}

/** The API's advice in the reader's language; its key is the English sentence. */
function inWords(line) {
  const key = `advice.${line.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "")}`;
  return knows(key) ? t(key) : line;
}

password.addEventListener("input", rate);
if (password.value) rate();  // filled in before anybody listened

$("#generate").addEventListener("click", () => {
  const letters = [];
  while (letters.length < 20) {
    // Only bytes below a multiple of the alphabet's length: each letter is as likely as the next.
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < 256 - (256 % ALPHABET.length)) letters.push(ALPHABET[byte % ALPHABET.length]);
  }
  clearErrors(form);
  password.value = letters.join("").match(/.{5}/g).join("-");
  reveal(password);
  password.focus();
  password.select();
  say(t("security.generated"));
  rate();
});

onSubmit(form, async ({ current_password, new_password }) => {
  await steppedUp(() => post("/v1/password", { current_password, new_password }));
  clearTimeout(typing);
  asked++;  // a rating that is still under way is of the password before
  form.reset();
  tell(0, "");
  say(t("security.changed"));
  showPlaces();
});

showPlaces();
loadHeld();
