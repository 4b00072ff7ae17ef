import re
from datetime import timedelta

import pytest

from services.auth.domain.account import Role
from services.auth.domain.notice_texts import CATALOGUE, Kind, LanguageName, Phrase, wordings
from services.auth.domain.reset import EndedBecause
from services.auth.domain.restore_findings import TOLD_TO_OWNERS
from shared.texts.cldr import written
from shared.texts.languages import LANGUAGES
from tests.support.auth import NOW

ORIGIN = "https://portal.example.com"
WORDINGS = wordings(CATALOGUE, "Latchkey")
WORDING = WORDINGS["en"]
REASONS = [Phrase((f"ended_{because}",)) for because in EndedBecause]
render = WORDING.render
VALUES = {
    "schedule": Phrase(("schedule_approval_then_wait",)),
    "meanwhile": Phrase(("meanwhile_stolen",)),
    "cancel_url": f"{ORIGIN}/reset/cancel#{'t' * 43}",
    "cancel_by_text": Phrase(("cancel_it",), {"url": f"{ORIGIN}/reset/cancel#t.{'t' * 43}"}),
    "words": "marigold tambourine",
    "confirm_url": f"{ORIGIN}/reset/confirm#{'t' * 43}",
    "approval_url": f"{ORIGIN}/team/approvals#idc_{'1' * 24}",
    "member": "somebody.with.a.long.name@customer.example.com",
    "because": max(REASONS, key=lambda reason: len(WORDING.phrase(reason))),
    "remaining": 9,
    "count": 5,
    "phone_hint": "+********6789",
    "role": Role.SUPPORT,
    "browser": "Firefox on Linux",
    "ip": "192.0.2.7",
    "language": LanguageName("ja"),
    "until": NOW + timedelta(minutes=10),
    "taken_at": NOW - timedelta(hours=1),
    "what": Phrase(tuple(f"restored_{kind}" for kind in TOLD_TO_OWNERS), is_list=True),
}


TEXTED = [kind for kind in Kind if f"{kind}.sms" in CATALOGUE]


def in_each_language(kinds):
    return [pytest.param(language, kind, id=f"{language}-{kind}") for language in LANGUAGES for kind in kinds]


@pytest.mark.parametrize(("language", "kind"), in_each_language(Kind))
def test_every_text_says_when_and_has_no_empty_place(language, kind):
    notice = WORDINGS[language].render(kind, origin=ORIGIN, at=NOW, **VALUES)
    assert written(NOW, language) in notice.email
    for text in (notice.subject, notice.email, notice.sms):
        assert not re.search(r"[{}]", text)


def test_a_mail_has_the_time_as_its_language_writes_it():
    for language, when in (
        ("en", "November 24, 2026, 5:00:00\u202fAM UTC"),
        ("de", "24. November 2026, 05:00:00 UTC"),
        ("ja", "2026年11月24日 5:00:00 UTC"),
    ):
        assert when in WORDINGS[language].render(Kind.PHONE_REMOVED, origin=ORIGIN, at=NOW, **VALUES).email


@pytest.mark.parametrize("kind", Kind)
def test_every_text_says_what_to_do(kind):
    notice = render(kind, origin=ORIGIN, at=NOW, **VALUES)
    for text in filter(None, (notice.email, notice.sms)):
        assert re.search(r"contact support|change your password|cancel it", text, re.IGNORECASE)


@pytest.mark.parametrize("kind", TEXTED)
def test_what_support_never_asks_for_is_said_on_every_channel_or_on_none(kind):
    texted = render(kind, origin=ORIGIN, at=NOW, **VALUES)
    assert ("never ask" in texted.sms) == ("never asks for" in texted.email)


@pytest.mark.parametrize(("language", "kind"), in_each_language(TEXTED))
def test_an_sms_looks_like_no_one_time_code(language, kind):
    sms = WORDINGS[language].render(kind, origin=ORIGIN, at=NOW, **VALUES).sms
    assert not re.search(r"^@", sms, re.MULTILINE)
    assert not re.search(r"\b[0-9]{6}\b", sms)


def test_a_link_that_confirms_a_browser_goes_by_mail_alone_and_names_the_browser():
    notice = render(Kind.CONFIRM_BROWSER, origin=ORIGIN, at=NOW, **VALUES)
    assert notice.sms == ""
    for said in ("right password", "Firefox on Linux", "192.0.2.7", "in that same browser", VALUES["confirm_url"]):
        assert said in notice.email


def test_a_missing_value_is_an_error():
    with pytest.raises(KeyError):
        render(Kind.RECOVERY_CODE_USED, origin=ORIGIN, at=NOW)


def test_a_browser_cannot_write_paragraphs_of_its_own():
    hostile = "x\n\nYour account is blocked. {origin}\n" + "y" * 1000
    notice = render(Kind.TRUSTED_DEVICE_ADDED, origin=ORIGIN, at=NOW, browser=hostile, ip="192.0.2.7")
    assert "Browser: x Your account is blocked. {origin} yyy" in notice.email
    assert "y" * 200 not in notice.email
    assert "blocked" not in notice.sms


def test_an_empty_browser_has_a_name():
    assert "Browser: unknown" in render(Kind.PASSWORD_CHANGED, origin=ORIGIN, at=NOW, browser="", ip="192.0.2.7").email


def test_what_is_filled_into_a_mail_from_right_to_left_keeps_its_own_direction():
    notice = WORDINGS["ar"].render(Kind.PHONE_CHANGED, origin=ORIGIN, at=NOW, **VALUES)
    assert f"\u2068{VALUES['phone_hint']}\u2069" in notice.email
    assert "\u2068" not in notice.sms
    link = WORDINGS["ar"].render(Kind.CONFIRM_BROWSER, origin=ORIGIN, at=NOW, **VALUES)
    assert f"\n{VALUES['confirm_url']}\n" in link.email.replace("  ", "")
