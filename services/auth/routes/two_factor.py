"""HTTP of 2FA, trusted devices and the password."""

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ParamSpec

from flask import Response, make_response

from services.auth import holds, pages, password_change, phone_numbers, resets, trusted_devices, two_factor, views
from services.auth.password_strength import Strength
from services.auth.routes.cookies import SESSION_HEADER, forget_session, hand_over
from services.auth.routes.guard import (
    LANGUAGE_HEADER,
    client,
    current,
    deps,
    language,
    signed_in,
    stepped_up,
    stepped_up_small,
)
from services.auth.routes.repeats import idempotency_key, repeatable
from services.auth.schemas.common import EndAllArgs, PageArgs
from services.auth.schemas.two_factor import (
    ConfirmArgs,
    ConfirmedSchema,
    DeviceListSchema,
    EnrollmentArgs,
    EnrollmentSchema,
    PasswordAnswer,
    PasswordArgs,
    PasswordChangeArgs,
    RecoveryCodesSchema,
    StrengthSchema,
    TwoFactorSchema,
)
from services.auth.store.devices import Device
from shared.bodies import NothingSchema
from shared.channel import Channel
from shared.problems import Refusal
from shared.rest import RestBlueprint

P = ParamSpec("P")

blueprint = RestBlueprint("two-factor", __name__, url_prefix="/v1", description="Two-factor authentication")


@blueprint.route("/two-factor", methods=["GET"])
@signed_in
@blueprint.response(200, TwoFactorSchema)
def state() -> dict[str, Any]:
    """How this account is protected."""
    account = current().account
    known = deps().otp.state(account.id, current().session.call_id)
    held_out = holds.of_account(deps(), account, known, deps().otp.throttles(account.id))
    pending_reset = resets.open_reset(deps(), account)
    channels = phone_numbers.channels(account.phone, deps().settings.reach)
    return {
        "enabled": known.enabled,
        "locked": known.locked,
        "locked_everywhere": known.locked_everywhere,
        "authenticators": known.authenticators,
        "sms": {"available": known.enabled and Channel.SMS in channels, "phone_hint": views.hint(account.phone)},
        "call": {"available": known.enabled and Channel.CALL in channels, "phone_hint": views.hint(account.phone)},
        "recovery_codes": {
            "remaining": known.recovery_codes_remaining,
            "created_at": known.recovery_codes_created_at,
        },
        "pending_enrollment": {"expires_at": known.pending_until} if known.pending_until else None,
        "pending_reset": pending_reset,
        "held_out": held_out,
    }


@blueprint.route("/two-factor/enrollment", methods=["POST"])
@stepped_up
@blueprint.arguments(EnrollmentArgs)
@blueprint.response(201, EnrollmentSchema)
@blueprint.refuses("two_factor_already_on", "enrollment_word_required", "invalid_enrollment_word", "too_many_requests")
def begin(args: dict[str, Any]) -> dict[str, Any]:
    """Begin: a QR code and a key for the app. 2FA stays off until it is confirmed."""
    principal = current()
    return two_factor.begin(deps(), client(), principal.account, principal.acting, args["word"])


@blueprint.route("/two-factor/enrollment", methods=["GET"])
@stepped_up
@blueprint.response(200, EnrollmentSchema)
@blueprint.refuses("enrollment_expired", "too_many_requests")
def show() -> dict[str, Any]:
    """The same key again, in the session that began; any other session begins with a new one."""
    principal = current()
    return two_factor.show(deps(), principal.account, principal.acting)


@blueprint.route("/two-factor/enrollment", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
def cancel(_args: dict[str, Any]) -> Response:
    """End what this session has begun; 204 also when nothing waits."""
    principal = current()
    two_factor.cancel(deps(), principal.account, principal.acting)
    return make_response("", 204)


@blueprint.route("/two-factor/enrollment/<id:enrollment_id>/confirm", methods=["POST"])
@repeatable
@signed_in
@blueprint.arguments(ConfirmArgs)
@blueprint.response(200, ConfirmedSchema)
@blueprint.sets(200, SESSION_HEADER)
@blueprint.refuses("invalid_passcode", "two_factor_already_on", "enrollment_expired", "too_many_requests")
@blueprint.reads(LANGUAGE_HEADER)
def confirm(args: dict[str, Any], enrollment_id: str) -> dict[str, Any]:
    """Confirm with the code that the app shows. 2FA is on from here; other sessions end.

    An account without a language gets that of this request.
    """
    principal = current()
    codes, acting = two_factor.confirm(
        deps(), principal.account, principal.acting, enrollment_id, args["code"], language()
    )
    return {"recovery_codes": codes, **hand_over(acting)}


def _or_finished(view: Callable[P, Response]) -> Callable[P, Response]:
    """Finish a disable that otp did, though its answer was lost.

    Its event may have closed the step-up window, and an account that must enroll may write nothing else until it has.
    """

    @functools.wraps(view)
    def finished(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return view(*args, **kwargs)
        except Refusal as refusal:
            principal = current() if refusal.code in {"step_up_required", "enrollment_required"} else None
            acting = two_factor.finish_disable(deps(), principal.account, principal.acting) if principal else None
            if acting is None:
                raise
            hand_over(acting)
            return make_response("", 204)

    return finished


def _or_off(view: Callable[P, Response]) -> Callable[P, Response]:
    """Answer 204 where 2FA is off already. It stands outside ``repeatable``, which gives a kept answer first."""

    @functools.wraps(view)
    def done(*args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return view(*args, **kwargs)
        except Refusal as refusal:
            if refusal.code != "two_factor_off":
                raise
            return make_response("", 204)

    return done


@blueprint.route("/two-factor", methods=["DELETE"])
@_or_off
@repeatable
@_or_finished
@stepped_up
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.sets(204, SESSION_HEADER)
def disable(_args: dict[str, Any]) -> Response:
    """Turn 2FA off; 204 also when it is off already."""
    principal = current()
    hand_over(two_factor.disable(deps(), principal.account, principal.acting))
    return make_response("", 204)


@blueprint.route("/two-factor/recovery-codes", methods=["POST"])
@repeatable
@stepped_up
@blueprint.arguments(NothingSchema)
@blueprint.response(200, RecoveryCodesSchema)
@blueprint.refuses("two_factor_off", "too_many_requests")
def regenerate(_args: dict[str, Any]) -> dict[str, Any]:
    """A new sheet of backup codes; the old ones are void. With an Idempotency-Key a repeat within a minute gets it."""
    principal, key = current(), idempotency_key()
    return {"recovery_codes": two_factor.regenerate_recovery_codes(deps(), principal.account, principal.acting, key)}


@blueprint.route("/two-factor/wrong-codes", methods=["DELETE"])
@stepped_up
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
@blueprint.refuses("browser_not_known", "too_many_requests")
def let_strangers_try(_args: dict[str, Any]) -> Response:
    """Forget the wrong codes from browsers that the account does not know, so that they may enter codes again."""
    two_factor.let_strangers_try(deps(), client(), current().acting)
    return make_response("", 204)


@blueprint.route("/trusted-devices", methods=["GET"])
@signed_in
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, DeviceListSchema)
def devices(args: dict[str, Any]) -> dict[str, Any]:
    """The browsers that the account knows; ``trusted_until`` says which of them skip the code."""
    after, own, now = pages.decode_cursor(args["cursor"]) or "", current().session.device_id, deps().clock()
    rows = trusted_devices.listed(deps(), current().account, after=after, limit=args["limit"] + 1)

    def shown(device: Device) -> dict[str, Any]:
        trusted_until = device.trusted_until if device.is_trusted(now) else None
        facts = {"trusted_until": trusted_until, "expires_at": device.ends_at(now), "current": device.id == own}
        return {**asdict(device), **facts}

    return pages.page(rows, args["limit"], lambda device: device.id, shown)


@blueprint.route("/trusted-devices", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.arguments(EndAllArgs, location="query")
@blueprint.response(204)
def revoke_devices(_args: dict[str, Any], wanted: dict[str, Any]) -> Response:
    """End all known devices, or all but this session's, and the sessions that they have opened."""
    revoke = trusted_devices.revoke_others if wanted["keep"] == "current" else trusted_devices.revoke_all
    if revoke(deps(), client(), current().acting):
        forget_session()
    return make_response("", 204)


@blueprint.route("/trusted-devices/<id:device_id>", methods=["DELETE"])
@signed_in
@blueprint.arguments(NothingSchema)
@blueprint.response(204)
def revoke_device(_args: dict[str, Any], device_id: str) -> Response:
    """End a known device, and the sessions that it has opened."""
    if trusted_devices.revoke(deps(), client(), current().acting, device_id):
        forget_session()
    return make_response("", 204)


@blueprint.route("/password/strength", methods=["POST"])
@signed_in
@blueprint.arguments(PasswordArgs)
@blueprint.response(200, StrengthSchema)
@blueprint.refuses("too_many_requests")
def password_strength(args: dict[str, Any]) -> Strength:
    """How strong a new password would be, while it is typed."""
    return password_change.rate(deps(), current().account, args["new_password"])


@blueprint.route("/password", methods=["POST"])
@stepped_up_small
@blueprint.arguments(PasswordChangeArgs)
@blueprint.response(200, PasswordAnswer)
@blueprint.sets(200, SESSION_HEADER)
@blueprint.refuses("invalid_credentials", "password_too_weak", "too_many_requests")
def change_password(args: dict[str, Any]) -> dict[str, Any]:
    """Change the password; ends other sessions and trusted devices."""
    principal = current()
    strength, acting = password_change.change(
        deps(), client(), principal.account, principal.acting, args["current_password"], args["new_password"]
    )
    return {"strength": strength, **hand_over(acting)}
