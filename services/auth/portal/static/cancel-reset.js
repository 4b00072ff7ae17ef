// The link in a notice: its token stands behind the #, so that no server and no log sees it before the click.

import { onSubmit, post } from "./api.js";
import { $, show, t, takeFragment } from "./page.js";

const form = $("#cancel-form"), token = takeFragment();
if (!token) {
  show($("button", form), false);
  show($(".form-error", form)).textContent = t("reset.no_token");
}

onSubmit(form, async () => {
  await post("/v1/two-factor/resets/cancel", { token });
  show(form, false);
  show($("#cancel-why"), false);
  show($("#cancel-done"));
});
