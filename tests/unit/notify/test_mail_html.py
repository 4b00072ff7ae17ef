"""The HTML of a mail says what its plain text says, and nothing else."""

import re
from html.parser import HTMLParser

import pytest

from services.auth.domain.notice_texts import CATALOGUE, Kind, wordings
from services.notify.domain.mail_html import as_html
from tests.unit.auth.test_notice_texts import NOW, ORIGIN, VALUES

SIGNED = wordings(CATALOGUE, "Acme & Söhne", ("help@acme.example", "https://acme.example/help?a=1&b=2"))


class Read(HTMLParser):
    """What a person reads, and what a mail program would fetch or run."""

    def __init__(self, document):
        super().__init__()
        self.said, self.links, self.tags, self.title, self.spoken = [], [], [], "", {}
        self._in = None
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._in = tag
        if "lang" in dict(attrs):
            self.spoken[tag] = dict(attrs)["lang"], dict(attrs)["dir"]
        if tag == "a":
            self.links.append(dict(attrs)["href"])
        if tag == "hr":
            self.said.append("--")

    def handle_data(self, data):
        if self._in == "title":
            self.title += data
        else:
            self.said.append(data)

    def handle_endtag(self, tag):
        self._in = None
        if tag in {"p", "br"}:
            self.said.append(" ")

    @property
    def words(self):
        return "".join(f" {part} " if part == "--" else part for part in self.said).split()


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("language", "side"), [("en", "ltr"), ("ja", "ltr"), ("ar", "rtl")])
def test_both_parts_of_every_mail_say_the_same_words_and_name_the_same_links(kind, language, side):
    notice = SIGNED[language].render(kind, origin=ORIGIN, at=NOW, **VALUES)
    html = Read(as_html(notice.subject, notice.email, language))
    assert html.spoken == {"html": (language, side), "body": (language, side)}
    assert html.words == notice.email.split()
    assert html.title == notice.subject
    assert html.links == [url.rstrip(".,:") for url in re.findall(r"https?://[!-~]+", notice.email)]
    assert set(html.tags) <= {"html", "head", "meta", "title", "body", "p", "br", "a", "hr"}


@pytest.mark.parametrize("language", [None, "xx", '"><script>'])
def test_a_mail_without_a_language_of_ours_is_english(language):
    assert Read(as_html("s", "text", language)).spoken == {"html": ("en", "ltr"), "body": ("en", "ltr")}


def test_what_a_stranger_wrote_stays_text():
    body = 'A <script>alert(1)</script> & "b"\n\n  Browser: <img src=x onerror=y>\n\nhttp://a.example/"><script>x\n'
    document = as_html('<b>"&', body)
    html = Read(document)
    assert html.words == body.split()
    assert not {"script", "img", "b"} & set(html.tags)
    assert html.links == ["http://a.example/"]
    assert html.title == '<b>"&'


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "//a.example"])
def test_only_web_addresses_become_links(url):
    assert Read(as_html("s", f"Open {url} now")).links == []
