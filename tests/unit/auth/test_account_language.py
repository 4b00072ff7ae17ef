"""The language of an account: the chosen one, else the browser's at enrolment. Notices, texts and calls are in it."""

import pytest

from services.auth import events, notices
from services.auth.domain.notice_texts import Kind, in_sms
from services.auth.domain.session import Factor
from services.auth.models import accounts as table
from services.auth.store import accounts
from shared.database import reading, writing
from shared.messages import AuthenticatorEnrolled
from shared.texts.languages import LANGUAGES, ours
from tests.support.auth import NOW, fresh, notices_in, timeline_of
from tests.support.sign_in import challenge, problem

POLISH = {"Accept-Language": "pl-PL, en;q=0.5"}
PATH = "/v1/language"


@pytest.fixture
def speak(deps):
    """Give an account a language, as the database may have it."""

    def speak(account, language):
        with writing(deps.database) as connection:
            connection.execute(table.update().where(table.c.id == account.id).values(language=language))
        return fresh(deps, account)

    return speak


@pytest.fixture
def tell(deps):
    def tell(account, kind=Kind.RECOVERY_CODES_REGENERATED, **values):
        with writing(deps.database) as connection:
            notices.tell(connection, deps, account, kind, NOW, **values)
        return {notice.recipient: notice for notice in notices_in(deps)}

    return tell


def enrol(caller, otp, account, code="424242", **headers):
    otp.expect(account.id, "enrollment", f"enr_{account.id}", "424242")
    return caller.post(f"/v1/two-factor/enrollment/enr_{account.id}/confirm", {"code": code}, headers=headers)


def told(caller):
    return caller.get("/v1/session").json["account"]["language"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_owner_chooses_a_language_without_a_step_up(api, tom, ann, deps, language):
    caller = api(tom, Factor.PASSWORD)
    assert told(caller) is None
    answer = caller.put(PATH, {"language": language})
    assert (answer.status_code, answer.data) == (204, b"")
    assert (told(caller), fresh(deps, ann).language) == (language, None)


def test_the_timeline_tells_of_each_change_and_of_nothing_else(api, tom, deps):
    caller = api(tom, Factor.PASSWORD)
    for language in ("pl", "pl", "ar"):
        assert caller.put(PATH, {"language": language}).status_code == 204
    changes = [row for row in timeline_of(deps, tom) if row.type == "language.changed"]
    assert [row.details["language"] for row in changes] == ["pl", "ar"]


def test_a_mail_in_the_language_so_far_tells_of_a_change_and_of_no_other_choice(api, tom, deps):
    """The thief of a session may choose a language that the owner cannot read."""
    caller = api(tom, Factor.PASSWORD)
    for language in ("en", "ja", "ja", "de"):
        assert caller.put(PATH, {"language": language}).status_code == 204
    mails = notices_in(deps)
    english = None  # a mail without a language
    assert [(mail.recipient, mail.language) for mail in mails] == [(tom.email, english), (tom.email, "ja")]
    assert "another language: 日本語." in mails[0].body


def test_a_session_changes_a_few_times_and_keeps_nobody_else_from_it(api, tom):
    thief, owner = api(tom, Factor.PASSWORD), api(tom, Factor.PASSWORD)
    equal = [thief.put(PATH, {"language": "ja"}).status_code for _ in range(20)]
    changes = [thief.put(PATH, {"language": language}).status_code for language in ("pl", "ar", "pl", "ar", "pl", "ar")]
    assert (equal, changes) == ([204] * 20, [204] * 4 + [429] * 2)
    assert owner.put(PATH, {"language": "en"}).status_code == 204


@pytest.mark.parametrize("body", [{"language": "xx"}, {"language": "pt-BR"}, {"language": None}, {"language": 1}, {}])
def test_a_language_that_is_not_ours_is_refused(api, tom, body):
    caller = api(tom)
    assert problem(caller.put(PATH, body)) == (422, "validation_failed")
    assert told(caller) is None


def test_nobody_chooses_without_a_session(api, stranger, tom, deps):
    caller = api(tom)
    caller.delete(f"/v1/sessions/{caller.session.id}")
    for nobody in (stranger, caller):
        assert problem(nobody.put(PATH, {"language": "pt"})) == (401, "not_authenticated")
    assert fresh(deps, tom).language is None


@pytest.mark.parametrize("reset", [True, False])
def test_an_account_that_must_enrol_first_chooses_no_language(deps, api, ann, sam, otp, reset):
    """A thief with the password alone could make the notices unreadable."""
    account = ann if reset else sam
    otp.enabled.discard(account.id)
    if reset:
        with writing(deps.database) as connection:
            accounts.set_enrollment_prompt(connection, account.id, prompted=True)
    caller = api(account, Factor.PASSWORD)
    assert problem(caller.put(PATH, {"language": "pt"})) == (403, "enrollment_required")
    assert fresh(deps, account).language is None


def test_an_enrolment_keeps_the_language_of_its_browser(deps, api, tom, otp):
    caller = api(tom, Factor.PASSWORD)
    assert enrol(caller, otp, tom, "000000", **POLISH).status_code == 422
    assert fresh(deps, tom).language is None
    assert enrol(caller, otp, tom, **POLISH).status_code == 200
    assert fresh(deps, tom).language == "pl"


def test_an_enrolment_leaves_the_language_that_was_chosen(deps, api, tom, otp):
    caller = api(tom, Factor.PASSWORD)
    caller.put(PATH, {"language": "nl"})
    assert enrol(caller, otp, tom, **POLISH).status_code == 200
    assert fresh(deps, tom).language == "nl"


def test_an_enrolment_tells_of_its_language_in_the_language_so_far(deps, api, tom, otp):
    assert enrol(api(tom, Factor.PASSWORD), otp, tom, **POLISH).status_code == 200
    [mail] = notices_in(deps)
    assert (mail.language, "another language: Polski." in mail.body) == (None, True)  # English


def test_who_must_enrol_gets_no_language_by_enrolling(deps, api, sam, otp):
    otp.enabled.discard(sam.id)
    with writing(deps.database) as connection:
        connection.execute(table.update().where(table.c.id == sam.id).values(role="member", enrollment_prompted=True))
    assert enrol(api(fresh(deps, sam), Factor.PASSWORD), otp, sam, **POLISH).status_code == 200
    assert fresh(deps, sam).language is None


def test_the_first_notice_after_an_enrolment_is_in_its_language(deps, api, tom, otp):
    enrol(api(tom, Factor.PASSWORD), otp, tom, **{"Accept-Language": "de"})
    events.handle(deps, AuthenticatorEnrolled(id="evt_1", occurred_at=NOW, account_id=tom.id, authenticator_id="aut_1"))
    _, mail = notices_in(deps)
    texts = deps.settings.wordings["de"].texts
    assert (mail.subject, mail.language) == (texts["two_factor_on.subject"], "de")
    assert texts["two_factor_on.happened"] in mail.body


@pytest.mark.parametrize(("language", "written"), [(None, "en"), ("de", "de"), ("ja", "ja"), ("xx", "en")])
def test_notices_go_in_the_language_of_the_account(deps, ann, speak, tell, language, written):
    found = tell(speak(ann, language))
    texts = deps.settings.wordings[written].texts
    mail, text = found[ann.email], found[ann.phone.e164]
    assert mail.subject == texts["recovery_codes_regenerated.subject"]
    assert ours(mail.language) == written
    assert text.body == texts["recovery_codes_regenerated.sms"].format(site="portal.example:8080", when=in_sms(NOW))
    assert text.language is None


def test_each_recipient_is_told_in_their_own_language(deps, ann, tom, speak, tell):
    speak(ann, "fr")
    values = {"member": ann.email, "approval_url": "https://portal.example/a"}
    found = tell(speak(tom, "de"), Kind.OWNER_ASKED, **values)
    assert found[tom.email].language == "de"
    assert found[tom.email].subject == deps.settings.wordings["de"].texts["owner_asked.subject"]


@pytest.mark.parametrize(
    ("own", "headers", "language"),
    [(None, {}, "en"), (None, POLISH, "pl"), ("ja", POLISH, "ja"), ("ja", {}, "ja"), ("xx", POLISH, "pl")],
)
def test_codes_go_in_the_language_of_the_account_else_of_the_request(stranger, mia, otp, speak, own, headers, language):
    speak(mia, own)
    challenge_id = challenge(stranger, mia)
    assert stranger.post(f"/v1/login/{challenge_id}/sms", headers=headers).status_code == 202
    assert stranger.post(f"/v1/login/{challenge_id}/call", headers=headers).status_code == 202
    assert (otp.texted_in, otp.called_in) == ([language, None], [None, language])


def test_every_route_that_sends_a_code_reads_the_language(api, mia, ann, otp):
    api(mia).post("/v1/reauthenticate/sms", headers=POLISH)
    caller = api(ann)
    caller.put("/v1/phone", {"country": "DE", "number": "01512 3456780"}, headers=POLISH)
    for path in ("/v1/phone/sms", "/v1/phone/call"):
        assert caller.post(path, headers=POLISH).status_code == 202
    assert (otp.texted_in, otp.called_in) == (["pl", "pl", "pl", None], [None, None, None, "pl"])


def test_a_release_without_the_column_makes_accounts_that_have_no_language(deps, tom):
    """The earlier release names the columns that it writes, so the new column must accept null."""
    column = table.c.language
    assert (column.nullable, column.default, column.server_default) == (True, None, None)
    with reading(deps.database) as connection:
        assert accounts.by_id(connection, tom.id).language is None
