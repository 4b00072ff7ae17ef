// The menu of languages. It works without this script, which closes it and keeps the choice for messages.

import { request } from "./api.js";
import { $, show } from "./page.js";

const menu = $(".languages"), ofMessages = $("#language-of-messages");
const WAIT_AT_MOST = 3000;

/** The language of an account's mails, SMS and calls. A failure does not stop the switch of the page, nor does a slow answer. */
const keep = (language) => request("PUT", "/v1/language", { language }, {}, { keepalive: true, signal: AbortSignal.timeout(WAIT_AT_MOST) }).catch(() => {});

if (ofMessages) {
  show(ofMessages);
  menu.addEventListener("click", async (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    const kept = keep(link.lang);
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;  // the link opens elsewhere, and this page stays
    event.preventDefault();
    await kept;
    location.assign(link.href);
  });
}

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !menu.open) return;
  menu.open = false;
  $("summary", menu).focus();
});
for (const away of ["pointerdown", "focusin"]) addEventListener(away, ({ target }) => { if (!menu.contains(target)) menu.open = false; });
