// The link in the mail of an identity check: its token stands behind the #, so that no server and no log sees it before the click.

import { onSubmit, post } from "./api.js";
import { $, show, t, takeFragment } from "./page.js";

const form = $("#confirm-form"), token = takeFragment();
if (!token) {
  show($("button", form), false);
  show($(".form-error", form)).textContent = t("reset.no_token");
}

onSubmit(form, async () => {
  await post("/v1/two-factor/resets/confirm", { token });
  show(form, false);
  show($("#confirm-why"), false);
  show($("#confirm-done"));
});
