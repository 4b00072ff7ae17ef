"""What holds for every error, whatever made it."""

from shared.problems import PROBLEMS

SECRET = "hunter2-at-/srv/latchkey"


def problem(answer, status, code):
    """The whole shape of an error (RFC 9457), whatever made it."""
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    document = answer.json
    assert document["type"] == f"urn:latchkey:problem:{code}"
    assert (document["code"], document["status"], document["title"]) == (code, status, PROBLEMS[code].title)
    assert document["detail"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert SECRET not in answer.text
    return document
