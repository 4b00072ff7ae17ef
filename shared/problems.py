"""Every error that leaves a service, in one table (RFC 9457)."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class ProblemType:
    """The HTTP status, a fixed title for machines and a sentence for people."""

    status: int
    title: str
    detail: str


PROBLEMS: dict[str, ProblemType] = {
    # what the request is
    "malformed_body": ProblemType(400, "Malformed body", "The body is not a JSON object that we can read."),
    "validation_failed": ProblemType(422, "Validation failed", "One or more fields are missing, unknown or wrong."),
    "body_too_large": ProblemType(413, "Body too large", "A request body may have at most 16 KiB."),
    "request_timeout": ProblemType(408, "Request timeout", "The request did not arrive in time; send it again."),
    "unsupported_media_type": ProblemType(415, "Unsupported media type", "Send application/json."),
    "bad_request": ProblemType(400, "Bad request", "The request could not be understood."),
    "not_found": ProblemType(404, "Not found", "There is nothing at this address for you."),
    "method_not_allowed": ProblemType(405, "Method not allowed", "This address does not take that method."),
    "misdirected_request": ProblemType(421, "Misdirected request", "This server does not answer to that host."),
    # who asks
    "invalid_credentials": ProblemType(401, "Invalid credentials", "The email address or the password is wrong."),
    "not_authenticated": ProblemType(401, "Not authenticated", "Sign in first; the session is missing or has ended."),
    "invalid_passcode": ProblemType(401, "Invalid code", "Invalid code. Each code works once."),
    "invalid_signature": ProblemType(403, "Invalid signature", "The request was not signed by the provider."),
    "origin_refused": ProblemType(403, "Origin refused", "A page of another site may not make this request."),
    "forbidden": ProblemType(403, "Forbidden", "Your role does not allow this."),
    "second_factor_required": ProblemType(403, "Second factor required", "Sign in with a second factor first."),
    "enrollment_required": ProblemType(
        403, "Enrollment required", "Turn two-factor authentication on first; until then this session changes nothing."
    ),
    "texted_link": ProblemType(
        403, "Texted link", "The phone may be stolen. Use the link in our mail, or sign in with a backup code."
    ),
    "step_up_required": ProblemType(403, "Step-up required", "Confirm it is you: call /v1/reauthenticate, then retry."),
    "browser_not_known": ProblemType(
        403, "Browser not known", "This works in a browser that your account knows: one that is on the list of devices."
    ),
    "other_browser": ProblemType(
        403, "Other browser", "This sign-in was begun in another browser or client, which alone can use the link."
    ),
    # what state it meets
    "challenge_expired": ProblemType(
        410,
        "Challenge expired",
        "This sign-in has expired or was completed, or the request lacks the secret of the client that began it: the "
        "cookie of a browser, or X-Challenge-Binding of a bearer client. Send it, or start anew.",
    ),
    "link_expired": ProblemType(410, "Link expired", "This link was used already, or its sign-in has ended."),
    "confirmation_not_needed": ProblemType(
        409, "Confirmation not needed", "Nothing holds this sign-in back: enter a code."
    ),
    "enrollment_expired": ProblemType(
        410, "Enrollment expired", "This enrollment has expired or was replaced; begin anew."
    ),
    "two_factor_already_on": ProblemType(409, "Already on", "Two-factor authentication is on already."),
    "two_factor_off": ProblemType(409, "Not on", "Two-factor authentication is off for this account."),
    "sms_unavailable": ProblemType(409, "SMS unavailable", "There is no verified phone to send a code to."),
    "call_unavailable": ProblemType(409, "Call unavailable", "There is no verified phone that we can call."),
    "phone_not_pending": ProblemType(409, "No phone to verify", "No phone number waits to be verified; set one first."),
    "reset_not_open": ProblemType(409, "Reset not open", "This reset has moved on and can no longer be changed so."),
    "reset_already_open": ProblemType(409, "Reset already open", "Another reset of this account is still open."),
    "unlock_not_open": ProblemType(409, "Unlock not open", "This unlock was approved already, or its time is over."),
    "reset_needed": ProblemType(
        409,
        "Reset needed",
        "A hundred wrong codes in a row are not lifted; reset two-factor authentication instead.",
    ),
    "same_operator": ProblemType(
        409, "Second operator needed", "An operator who has had no part in this request must approve."
    ),
    "operator_gone": ProblemType(
        409,
        "Operator gone",
        "An operator who requested or approved this is no longer an operator; it must be requested again.",
    ),
    "check_not_possible": ProblemType(409, "Check not possible", "This check is not possible for this account."),
    "check_not_open": ProblemType(409, "Check not open", "This check was answered, replaced or ended; begin anew."),
    "answer_replaced": ProblemType(
        409, "Answer replaced", "A later change of this account voids the answer; read the account's present state."
    ),
    "session_ended": ProblemType(409, "Session ended", "The session that ordered this has ended meanwhile."),
    # what it asks for
    "invalid_phone": ProblemType(422, "Invalid phone number", "That is not a phone number of the chosen country."),
    "country_not_allowed": ProblemType(422, "Country not allowed", "We do not send codes to that country."),
    "enrollment_word_required": ProblemType(
        422, "Enrollment word required", "Enter the one-time word that support or your administrator gave you."
    ),
    "invalid_enrollment_word": ProblemType(
        422, "Invalid enrollment word", "That word is wrong, expired or used; after five wrong tries ask for a new one."
    ),
    "password_too_weak": ProblemType(422, "Password too weak", "Choose a longer or less guessable password."),
    "identity_checks_insufficient": ProblemType(
        422, "Identity checks insufficient", "These identity checks do not allow a reset; see the reset policy."
    ),
    "own_account": ProblemType(422, "Own account", "Operators cannot help their own account; a colleague can."),
    "wrong_words": ProblemType(422, "Wrong words", "Those are not the words that we sent."),
    # how often
    "too_many_requests": ProblemType(429, "Too many requests", "Too many tries; wait and try again."),
    "second_factor_locked": ProblemType(
        429,
        "Second factor locked",
        "Too many wrong codes in a row. Use a browser of yours or a backup code; support can lift the lock.",
    ),
    # what fails on our side
    "service_unavailable": ProblemType(503, "Service unavailable", "A part of the service is down; try again shortly."),
    "internal_error": ProblemType(500, "Internal error", "Something went wrong on our side; it has been logged."),
}

# The status of a code where the request has a live session: 401 would say that the session has ended.
IN_SESSION: dict[str, int] = {"invalid_credentials": 422, "invalid_passcode": 422}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of the program
    """A use case says no. ``code`` names a row of PROBLEMS; an unknown code is a programming error.

    ``reason`` is for logs and the attempt record only; ``extra`` are members of the problem document.
    """

    def __init__(
        self,
        code: str,
        *,
        detail: str | None = None,
        retry_after_seconds: int | None = None,
        reason: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.problem = PROBLEMS[code]
        self.code = code
        self.detail = detail or self.problem.detail
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason
        self.extra = extra or {}
        super().__init__(code)

    def answer_in_session(self) -> None:
        """Take the status of IN_SESSION, if the code stands there: the request has a live session."""
        self.problem = replace(self.problem, status=IN_SESSION.get(self.code, self.problem.status))

    def document(self) -> dict[str, Any]:
        """The problem document (RFC 9457 §3.1)."""
        document: dict[str, Any] = {
            "type": f"urn:latchkey:problem:{self.code}",
            "title": self.problem.title,
            "status": self.problem.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }
        if self.retry_after_seconds is not None:
            document["retry_after"] = self.retry_after_seconds
        return document


RETRY_AFTER_OUTAGE_SECONDS = 2


class Unavailable(Refusal):
    """A part we need does not answer: 503 with Retry-After, never "wrong" and never a pass (ASVS 16.5.3)."""

    def __init__(self, part: str, *, retry_after_seconds: int = RETRY_AFTER_OUTAGE_SECONDS) -> None:
        super().__init__(
            "service_unavailable", retry_after_seconds=retry_after_seconds, reason=part, extra={"part": part}
        )
