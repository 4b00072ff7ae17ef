"""Calls that may be repeated when their answer was lost: the same session, path and body have the same answer again."""

import functools
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec

import structlog
from flask import Response, after_this_request, make_response, request
from redis.exceptions import RedisError

from services.auth import repeat_store, standing_answer
from services.auth.repeat_store import Answer, Call
from services.auth.routes.cookies import SESSION_HEADER, deliver
from services.auth.routes.guard import act_with, current, deps, pass_token_on, presented_token
from shared.openapi import Header
from shared.problems import Refusal
from shared.rest import RestBlueprint

P = ParamSpec("P")

IDEMPOTENCY_KEY = "Idempotency-Key"
# The headers by which a session gets a new token.
TOKEN_HEADERS = ("Set-Cookie", SESSION_HEADER.name)
_KEY = re.compile(r'"?([A-Za-z0-9_-]{1,80})"?\Z')  # the IETF's draft puts it in quotes; most clients don't

_HEADER = Header(
    IDEMPOTENCY_KEY,
    "A repeat with the same key, path, body and token within a minute has the same answer.",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$"},
)

log = structlog.get_logger("auth.repeats")


def idempotency_key() -> str | None:
    """The key of this request. Raises Refusal validation_failed for one of another shape."""
    sent = request.headers.get(IDEMPOTENCY_KEY)
    if sent is None:
        return None
    found = _KEY.match(sent)
    if found is None:
        errors = {IDEMPOTENCY_KEY: ["1 to 80 letters, digits, hyphens or underscores."]}
        raise Refusal("validation_failed", extra={"errors": errors})
    return found[1]


def repeatable(view: Callable[P, Any]) -> Callable[P, Response]:
    """Keep the answer for a minute, and give it again where the repeated call is refused because it is already done.

    It stands outside the guards, because the call may have ended its own token. A call that was half done is first done
    in full by its repeat. An answer with a token or a secret is given again only if the call holds another secret
    besides the session's token (a code, or an Idempotency-Key); else a thief of the old token would get the new one. A
    repeat without such a secret gets an answer without token and secrets. A repeat is refused with
    409 answer_replaced when the account was changed since.

    A gateway that is killed before it keeps the answer may have given the session a new token, which nobody got. The
    repeat is then carried out with that token. It needs a call with such a secret, too.
    """

    @functools.wraps(view)
    def answered(*args: P.args, **kwargs: P.kwargs) -> Response:
        call = _call()
        if call is not None and _has_secret():
            pass_token_on(repeat_store.pass_on(call, deps().clock()))
        try:
            response = deliver(make_response(view(*args, **kwargs)))
        except Refusal as refusal:
            kept = token = None
            if call is not None and refusal.problem.status < 500:
                now = deps().clock()
                kept = repeat_store.find(deps().redis, call, now)
                token = repeat_store.passed_on(deps().redis, call, now) if kept is None else None
            if kept is not None:
                return _response(kept)
            if token is None:
                raise
            act_with(token)
            response = deliver(make_response(view(*args, **kwargs)))
        if call is not None:
            # Runs after the functions that the view has deferred: they set the session's new token on the answer.
            after_this_request(functools.partial(_keep, call))
        return response

    return RestBlueprint.reads(_HEADER)(RestBlueprint.refuses("validation_failed", "answer_replaced")(answered))


def _call() -> Call | None:
    token = presented_token()
    if token is None:
        return None
    return repeat_store.call_of(token, request.method, request.path, request.get_data(), idempotency_key())


def _keep(call: Call, response: Response) -> Response:
    headers = [(name, value) for name in TOKEN_HEADERS for value in response.headers.getlist(name)]
    has_secret = _has_secret()
    body, account_id = response.get_data(as_text=True), current().account.id
    answer = Answer(response.status_code, response.content_type, body, tuple(headers if has_secret else ()))
    try:
        if has_secret or not body:
            repeat_store.keep(deps().redis, account_id, call, answer, deps().clock())
        else:
            standing_answer.void(deps().redis, account_id)
    except RedisError as error:
        log.warning("answer not kept", cause=type(error).__name__)  # the change is done; only a repeat would fail
    return response


def _has_secret() -> bool:
    """Whether the call holds a secret besides the session's token: a code, or an Idempotency-Key."""
    with suppress(RecursionError):  # of a body that nests too deep, which the view refuses
        return bool(idempotency_key() or request.get_json(silent=True))
    return False


def _response(kept: Answer) -> Response:
    response = Response(kept.body, status=kept.status, content_type=kept.content_type)
    for name, value in kept.headers:
        response.headers.add(name, value)
    return response
