"""Every text is there in every language, says what the English one says, and fits where it goes."""

from datetime import timedelta
from importlib.resources import files

import pytest

from services.auth.domain import notice_texts
from services.auth.domain.account import Role
from services.auth.domain.notice_texts import HAS_LINK, PARAGRAPHS, Kind, LanguageName, Phrase, wordings
from services.auth.domain.reset import EndedBecause
from services.otp.domain import sms_text
from services.otp.domain.passcode import Passcode
from shared.texts import catalogue
from shared.texts.languages import DEFAULT_LANGUAGE, LANGUAGES
from tests.support import translations
from tests.support.auth import NOW
from tests.support.sms_segments import GSM_7, UCS_2, count

FILES = ("pages.toml", "notices.toml", "codes.toml")
OTHERS = [language for language in LANGUAGES if language != DEFAULT_LANGUAGE]
BEYOND_GSM = {"ja", "ar"}  # the languages whose letters the GSM alphabet lacks
MOST = {GSM_7: 2, UCS_2: 4}  # segments of a notice
MOST_OF_A_CODE = {GSM_7: 1, UCS_2: 2}
ORIGIN = "https://portal.example.com"
WORDINGS = wordings(notice_texts.CATALOGUE, "Example Ltd")
TEXTED = [kind for kind in Kind if f"{kind}.sms" in notice_texts.CATALOGUE]
AT = Phrase(("schedule_at",), {"at": NOW + timedelta(days=2)})
BY_APPROVAL = (Phrase(("schedule_approval_then_wait",)), Phrase(("schedule_approval",)))
SCHEDULES = {Kind.RESET_APPROVED_ONCE: BY_APPROVAL, Kind.RESET_SCHEDULED: (AT,)}
# Values of a notice that have several possible texts.
CHOICES = {
    "cancel_by_text": (
        Phrase(("cancel_it",), {"url": f"{ORIGIN}/reset/cancel#t.{'t' * 43}"}),
        Phrase(("cancel_by_other_means",)),
    ),
    "because": tuple(Phrase((f"ended_{because}",)) for because in EndedBecause),
    "role": tuple(Role),
}
VALUES = {
    "meanwhile": notice_texts.NOTHING,
    "cancel_url": f"{ORIGIN}/reset/cancel#{'t' * 43}",
    "words": "marigold tambourine",
    "confirm_url": f"{ORIGIN}/reset/confirm#{'t' * 43}",
    "approval_url": f"{ORIGIN}/team/approvals#idc_{'1' * 24}",
    "member": "somebody.with.a.long.name@customer.example.com",
    "remaining": 10,
    "count": 88,
    "phone_hint": "+********6789",
    "browser": "Firefox on Linux",
    "ip": "192.0.2.7",
    "language": LanguageName("ja"),
    "until": NOW,
    "taken_at": NOW,
    "what": "-",
}


def longest_sms(kind: Kind, language: str) -> str:
    """The SMS of the notice with its longest values. A notice without a link stands for 88 equal ones."""
    wording, times = WORDINGS[language], 1 if kind in HAS_LINK else 88
    here = {**CHOICES, "schedule": SCHEDULES.get(kind, (AT, *BY_APPROVAL))}

    def sms(**chosen: object) -> str:
        first = {name: choices[0] for name, choices in here.items()}
        return wording.render(kind, origin=ORIGIN, at=NOW, times=times, **VALUES, **{**first, **chosen}).sms

    chosen = {}
    for name, choices in here.items():
        chosen[name] = max(choices, key=lambda choice, name=name: len(sms(**{name: choice})))
    return sms(**chosen)


def nothing_wrong(faults):
    """Name every fault, a line each: a translator mends them all at once."""
    found = sorted(faults)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_each_text_and_no_other(file, language):
    texts = catalogue.read(file)
    ours = {key for key, row in texts.items() if language in row}
    english = {key for key, row in texts.items() if DEFAULT_LANGUAGE in row}
    name = f"shared/texts/{language}/{file}"
    nothing_wrong(
        [f"{name} lacks {key}" for key in english - ours]
        + [f"{name}: {key} is not the key of a text" for key in ours - english]
    )


def test_every_folder_is_a_language_and_has_no_other_files():
    folders = {folder.name: folder for folder in files(catalogue.__package__).iterdir() if folder.is_dir()}
    assert folders.keys() - {"__pycache__"} == LANGUAGES.keys()
    for language in LANGUAGES:
        assert {file.name for file in folders[language].iterdir()} == set(FILES)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_places_of_the_english_text(file, language):
    """It is checked against the English text as a deployment's own text is checked against ours."""
    texts = catalogue.read(file)
    english = {key: {language: row[DEFAULT_LANGUAGE]} for key, row in texts.items()}
    own = {key: {language: row[language]} for key, row in texts.items() if language in row}
    paragraphs = PARAGRAPHS if file == "notices.toml" else frozenset()
    nothing_wrong(catalogue.replaced(english, own, paragraphs=paragraphs)[1])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_forms_of_its_language_and_fits_where_the_english_text_does(file, language):
    nothing_wrong(
        f"{key} in {language} {fault}"
        for key, row in catalogue.read(file).items()
        if language in row
        for fault in translations.faults(row[language], row[DEFAULT_LANGUAGE], language, is_page=file == "pages.toml")
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_by_sms_says_who_writes_and_keeps_to_its_segments(language):
    wrong = {}
    for kind in TEXTED:
        sms = longest_sms(kind, language)
        counted = count(sms)
        if not sms.startswith("portal.example.com: "):
            wrong[kind] = sms
        if counted.segments > MOST[counted.alphabet] or (counted.outside and language not in BEYOND_GSM):
            wrong[kind] = len(sms), counted
    assert wrong == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sms_with_a_code_is_one_segment_and_ends_with_the_origin_bound_line(language):
    text = sms_text.render("Example Ltd", "portal.example.com", Passcode("012345"), "BCDF", language)
    counted = count(text)
    assert counted.segments <= MOST_OF_A_CODE[counted.alphabet]
    assert language in BEYOND_GSM or not counted.outside
    said, blank, bound = text.rpartition("\n\n")
    assert (blank, bound) == ("\n\n", "@portal.example.com #012345")
    for place in ("Example Ltd", "012345", "BCDF", "5"):
        assert place in said
    assert "\n" not in said


@pytest.mark.parametrize("language", [None, "xx"])
def test_the_sms_with_a_code_is_english_where_the_language_is_not_ours(language):
    said = "Example Ltd", "portal.example.com", Passcode("012345"), "BCDF"
    assert sms_text.render(*said, language) == sms_text.render(*said, "en")


@pytest.mark.parametrize(
    ("text", "alphabet", "segments"),
    [
        ("", GSM_7, 1),
        ("a" * 160, GSM_7, 1),
        ("a" * 161, GSM_7, 2),
        ("a" * 306, GSM_7, 2),
        ("a" * 307, GSM_7, 3),
        ("€" * 80, GSM_7, 1),
        ("€" * 81, GSM_7, 2),
        ("é" * 160, GSM_7, 1),
        ("ê", UCS_2, 1),
        ("あ" * 70, UCS_2, 1),
        ("あ" * 71, UCS_2, 2),
        ("あ" * 268, UCS_2, 4),
        ("あ" * 269, UCS_2, 5),
        ("😀" * 35, UCS_2, 1),
        ("😀" * 36, UCS_2, 2),
    ],
)
def test_segments_are_counted_as_networks_count_them(text, alphabet, segments):
    counted = count(text)
    assert (counted.alphabet, counted.segments) == (alphabet, segments)


@pytest.mark.parametrize(
    ("translated", "english", "says"),
    [
        ({"one": "{n} kod", "few": "{n} kody", "other": "{n} kodu"}, "{n} codes", "lacks the forms many"),
        ("Log in to see what was going on", "Log in to see what was going on", "is not translated"),
        ("Wyślij\u200e", "Send", "has U+200E"),
        ("x" * 17, "Send", "is too long: 17 characters for 4"),
        ("x" * 80, "y" * 35, "is too long: 80 characters for 35"),
    ],
)
def test_what_is_wrong_with_a_translation_is_said(translated, english, says):
    assert list(translations.faults(translated, english, "pl", is_page=True)) == [says]


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("ja", {"other"}),
        ("en", {"one", "other"}),
        ("fr", {"one", "other"}),
        ("pl", {"one", "few", "many", "other"}),
        ("ar", {"zero", "one", "two", "few", "many", "other"}),
    ],
)
def test_the_forms_that_a_language_needs(language, forms):
    assert translations.needed_forms(language) == forms
