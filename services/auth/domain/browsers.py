"""What a client calls itself, in words of ours: a browser and a system out of two short lists.

The User-Agent is free text of whoever sends it. It may be a formula, a link or a sentence in our name, so nothing of it
is kept, shown or sent. Only these words are.
"""

from functools import lru_cache

# Both tables: a word of ours, and its signs in a User-Agent. The first row with a sign counts, because a browser names
# those that it descends from, too.
_BROWSERS = (
    ("Edge", ("Edg/", "EdgA/", "EdgiOS/", "Edge/")),
    ("Opera", ("OPR/", "Opera/")),
    ("Samsung Internet", ("SamsungBrowser/",)),
    ("Firefox", ("Firefox/", "FxiOS/")),
    ("Chrome", ("Chrome/", "CriOS/")),
    ("Safari", ("Safari/",)),
    ("curl", ("curl/",)),
    ("Python", ("python-", "Python-", "python/", "Python/")),
)
_SYSTEMS = (
    ("iPhone", ("iPhone",)),
    ("iPad", ("iPad",)),
    ("Android", ("Android",)),
    ("ChromeOS", ("CrOS",)),
    ("Windows", ("Windows",)),
    ("macOS", ("Mac OS", "Macintosh")),
    ("Linux", ("Linux",)),
)
UNKNOWN = "unknown browser"


@lru_cache(1024)
def describe(user_agent: str) -> str:
    """Describe a User-Agent, such as ``Firefox on Windows``, ``Firefox`` or ``unknown browser``.

    A description is given back as it is, so a stored text can be read again before it is shown.
    """
    if user_agent in DESCRIPTIONS:
        return user_agent
    browser, system = _word_of(_BROWSERS, user_agent) or UNKNOWN, _word_of(_SYSTEMS, user_agent)
    return f"{browser} on {system}" if system else browser


def _word_of(table: tuple[tuple[str, tuple[str, ...]], ...], user_agent: str) -> str | None:
    return next((word for word, signs in table if any(sign in user_agent for sign in signs)), None)


BROWSERS = frozenset(word for word, _ in _BROWSERS) | {UNKNOWN}
DESCRIPTIONS = BROWSERS | {f"{browser} on {system}" for browser in BROWSERS for system, _ in _SYSTEMS}
