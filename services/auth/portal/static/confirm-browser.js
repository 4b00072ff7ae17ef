// The link that confirms a login: challenge and token stand behind the #, so that no server and no log sees them before the click.

import { onSubmit, post } from "./api.js";
import { $, show, t, takeFragment } from "./page.js";

// Nothing but two ids, because what stands there becomes a part of a path.
const form = $("#confirm-form"), [, challenge, token] = takeFragment().match(/^([\w-]+)\.([\w-]+)$/) ?? [];
if (!token) {
  show($("button", form), false);
  show($(".form-error", form)).textContent = t("reset.no_token");
}

onSubmit(form, async () => {
  await post(`/v1/login/${challenge}/confirm`, { token });
  show(form, false);
  show($("#confirm-why"), false);
  show($("#confirm-done"));
  $("#enter-code a").href = `/login/${challenge}`;
  show($("#enter-code"));
});
