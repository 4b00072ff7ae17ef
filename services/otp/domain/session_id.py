"""The names of auth's sessions: the id alone (``ses_1``), or the id, a dot and its token's number (``ses_1.5``).

The number is a time and no secret. It changes with each new token. Earlier releases of auth send the id alone.
"""


def session_of(session_id: str) -> str:
    """The session's id alone."""
    return session_id.partition(".")[0]
