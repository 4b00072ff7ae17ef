"""The HTML part of a mail, made of its plain text: the same words in the same order, and nothing is fetched."""

import re
from html import escape

from shared.texts.languages import direction, ours

# What follows a URL in a sentence is not part of it: its own characters are ASCII (RFC 3986), and no mark ends it.
_URL = re.compile(r"https?://[!#-;=?-~]+(?<![.,;:!?)])")
_SIGNATURE = "-- "  # RFC 3676 §4.3
_BODY = "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;max-width:36em;margin:0 auto;padding:1em"
_WORDS = "overflow-wrap:anywhere"
_FACTS = f"{_WORDS};margin-left:1.5em;font-weight:600"


def as_html(subject: str, body: str, language: str | None = None) -> str:
    """Paragraphs where the text has blank lines, links where it has URLs, a rule where the signature begins.

    A mail that names no language is English (shared/envelope.py). The body repeats language and direction of the
    document, because some mail programs show the body alone.
    """
    written_in = f'lang="{ours(language)}" dir="{direction(ours(language))}"'
    blocks = "\n".join(_block(block) for block in re.split(r"\n{2,}", body.strip("\n")))
    return (
        f'<!doctype html>\n<html {written_in}>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(subject)}</title>\n</head>\n"
        f'<body {written_in} style="{_BODY}">\n{blocks}\n</body>\n</html>\n'
    )


def _block(block: str) -> str:
    lines = block.split("\n")
    if lines[0] == _SIGNATURE:
        return f"<hr>\n{_paragraph(lines[1:])}"
    return _paragraph(lines)


def _paragraph(lines: list[str]) -> str:
    style = _FACTS if all(line.startswith("  ") for line in lines) else _WORDS
    return f'<p style="{style}">' + "<br>\n".join(_line(line.strip()) for line in lines) + "</p>"


def _line(text: str) -> str:
    said, end = [], 0
    for url in _URL.finditer(text):
        said += [escape(text[end : url.start()]), f'<a dir="ltr" href="{escape(url[0])}">{escape(url[0])}</a>']
        end = url.end()
    return "".join([*said, escape(text[end:])])
