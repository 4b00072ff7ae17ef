// The menu of languages works without this script. The script closes the menu, and makes the choice the language of messages.

import { request } from "./api.js";
import { $, show } from "./page.js";

const menu = $(".languages"), ofMessages = $("#language-of-messages");
const WAIT_AT_MOST = 3000;

/** Store the language of the account's mails, SMS and calls. The page is switched even if this fails or takes too long. */
const keep = (language) => request("PUT", "/v1/language", { language }, {}, { keepalive: true, signal: AbortSignal.timeout(WAIT_AT_MOST) }).catch(() => {});

if (ofMessages) {
  show(ofMessages);
  menu.addEventListener("click", async (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    const kept = keep(link.lang);
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;  // the link opens in another tab, and this page stays
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
