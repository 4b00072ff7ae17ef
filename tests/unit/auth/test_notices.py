"""Equal notices of a few minutes become one, and it says how many they were."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from services.auth import notices
from services.auth.domain.notice_texts import Kind
from services.auth.limits import MERGED_NOTICE_WAITS, NOTICES_MERGED_FOR
from services.auth.models import BOX, notice_series
from shared import outbox
from shared.database import reading, writing
from shared.sending_budgets import Kind as Charged
from tests.support.auth import NOW, OTHER_PHONE, PHONE, notices_in
from tests.support.auth import outbox as recorded

DUE = NOTICES_MERGED_FOR + MERGED_NOTICE_WAITS
LINKS = {"schedule": "", "meanwhile": "", "cancel_url": "https://a/b", "cancel_by_text": "Cancel it."}


@pytest.fixture
def tell(deps, ann, clock):
    def tell(kind=Kind.RECOVERY_CODES_REGENERATED, **values):
        with writing(deps.database) as connection:
            notices.tell(connection, deps, ann, kind, clock(), **values)

    return tell


@pytest.fixture
def waiting(deps, clock):
    """The rows of the outbox that are not published: when each is due."""

    def waiting():
        with reading(deps.database) as connection:
            box = BOX.outbox.c
            return list(connection.execute(select(box.not_before).where(box.published_at.is_(None))).scalars())

    return waiting


@pytest.fixture
def publish(deps, clock):
    """What the relay does: all that is due is published."""

    def publish():
        with writing(deps.database) as connection:
            due = outbox.pending(connection, BOX, clock(), 100)
            outbox.mark_published(connection, BOX, [message.position for message in due], clock())
        return len(due)

    return publish


def texts(deps):
    return [notice.body for notice in notices_in(deps) if notice.recipient == PHONE.e164]


def mails(deps):
    return [notice for notice in notices_in(deps) if "@" in notice.recipient]


def test_the_first_goes_at_once_and_one_more_says_how_many(deps, tell, waiting, clock):
    for _ in range(25):
        tell()
        clock.turn(seconds=1)
    assert waiting() == [None, None, NOW + DUE, NOW + DUE]
    first, repeated = texts(deps)
    assert "times" not in first
    assert "2026-11-24 05:00 UTC (25 times); old ones do not work" in repeated
    assert [mail.subject for mail in mails(deps)] == [
        "New backup codes were made",
        "New backup codes were made (25 times)",
    ]
    assert "When: November 24, 2026, 5:00:24\u202fAM UTC (25 times)" in mails(deps)[1].body


def test_one_that_comes_alone_is_one(deps, tell, waiting):
    tell()
    assert waiting() == [None, None]


def test_when_the_minutes_are_over_it_begins_anew(deps, tell, waiting, publish, clock):
    tell()
    tell()
    clock.turn(seconds=DUE.total_seconds())
    assert publish() == 4
    tell()
    assert waiting() == [None, None]
    assert len(texts(deps)) == 1


def test_what_is_published_already_is_not_changed(deps, tell, publish, waiting, clock):
    """A relay whose clock is ahead: the next one waits anew, and says all of them."""
    tell()
    tell()
    with writing(deps.database) as connection:
        all_of_them = outbox.pending(connection, BOX, NOW + DUE, 100)
        outbox.mark_published(connection, BOX, [message.position for message in all_of_them], clock())
    tell()
    (text,) = texts(deps)
    assert "(3 times)" in text
    tell()
    (text,) = texts(deps)
    assert "(4 times)" in text


def test_others_are_told_besides(deps, tell, waiting):
    tell()
    tell(Kind.TWO_FACTOR_OFF)
    tell(Kind.RECOVERY_CODE_USED, remaining=9)
    tell(Kind.RECOVERY_CODE_USED, remaining=8)
    assert waiting() == [None] * 8


def test_a_mail_that_names_another_browser_is_another_and_its_text_is_not(deps, tell):
    tell(Kind.PASSWORD_CHANGED, ip="192.0.2.1", browser="Firefox")
    tell(Kind.PASSWORD_CHANGED, ip="192.0.2.2", browser="Chrome")
    assert [("192.0.2.1" in mail.body, "times" in mail.body) for mail in mails(deps)] == [(True, False), (False, False)]
    assert "(2 times)" in texts(deps)[1]


def test_one_with_a_link_is_always_sent(deps, tell, waiting):
    for _ in range(3):
        tell(Kind.RESET_REQUESTED, **LINKS)
    assert waiting() == [None] * 6
    with reading(deps.database) as connection:
        assert connection.execute(select(notice_series)).all() == []


def test_nobody_counts_for_another(deps, tell, tom, clock):
    tell()
    with writing(deps.database) as connection:
        notices.tell(connection, deps, tom, Kind.RECOVERY_CODES_REGENERATED, clock())
    assert not any("times" in notice.body for notice in notices_in(deps))


def test_a_change_that_is_rolled_back_counts_nowhere(deps, ann, tell, clock):
    def fail():
        with writing(deps.database) as connection:
            notices.tell(connection, deps, ann, Kind.RECOVERY_CODES_REGENERATED, clock())
            raise ZeroDivisionError

    tell()
    with pytest.raises(ZeroDivisionError):
        fail()
    tell()
    assert "(2 times)" in texts(deps)[1]


def test_rows_of_old_series_go(deps, tell, clock):
    tell()
    clock.turn(seconds=timedelta(days=2).total_seconds())
    tell(Kind.TWO_FACTOR_OFF)
    with reading(deps.database) as connection:
        assert len(connection.execute(select(notice_series)).all()) == 2


@pytest.mark.parametrize("kind", Kind)
def test_what_a_thief_can_cause_takes_nothing_from_what_tells_of_a_change(kind):
    changes = {
        Kind.TWO_FACTOR_ON,
        Kind.TWO_FACTOR_OFF,
        Kind.RECOVERY_CODES_REGENERATED,
        Kind.PASSWORD_CHANGED,
        Kind.PHONE_CHANGED,
        Kind.PHONE_REMOVED,
    }
    support = {Kind.OWNER_ASKED, Kind.NEW_ENROLLMENT_WORD}
    by_support = kind in support or kind.startswith(("identity_", "reset_"))
    # Their own limits leave a thief a few an hour of the 60: test_login_confirmation.py, test_account_language.py.
    few = {Kind.CONFIRM_BROWSER, Kind.LANGUAGE_CHANGED}
    wanted = Charged.CEREMONY if by_support else Charged.SECURITY if kind in changes | few else Charged.NEWS
    assert notices.charged_as(kind) is wanted


def test_the_number_that_was_replaced_is_told_first(deps, ann, clock):
    with writing(deps.database) as connection:
        notices.tell(connection, deps, ann, Kind.PHONE_CHANGED, clock(), extra_phones=[OTHER_PHONE], phone_hint="+*1")
    assert [notice.recipient for notice in notices_in(deps)] == [OTHER_PHONE.e164, PHONE.e164, ann.email]
    assert [getattr(message, "kind", None) for message in recorded(deps)] == ["security"] * 3
