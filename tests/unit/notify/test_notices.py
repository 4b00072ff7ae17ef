import itertools

import pytest

from services.notify import notice_store
from services.notify.domain.retries import DONE, NOTICE_DELAYS, RECORD_PAUSES, Again
from services.notify.notices import deliver_notice
from services.notify.providers import ProviderMisconfigured, ProviderUnavailable, RecipientRejected
from shared.delivery_reasons import DeliveryReason
from shared.messages import SendEmailNotice, SendSmsNotice
from shared.sending_budgets import SMS_DAILY_CAP
from tests.unit.notify.courier import ACCOUNT, ADDRESS, BODY, CODE, PHONE

KINDS = [SendSmsNotice, SendEmailNotice]


def provider(courier, kind):
    return courier.sms if kind is SendSmsNotice else courier.email


def test_a_notice_by_sms(courier):
    assert deliver_notice(courier.deps, courier.notice()) == DONE
    [message] = courier.sms.sent
    assert (message.to.e164, message.body, message.wants_receipt) == (PHONE, BODY, False)


def test_a_notice_by_email(courier):
    assert deliver_notice(courier.deps, courier.email_notice()) == DONE
    [message] = courier.email.sent
    assert (message.to, message.subject, message.body) == (ADDRESS, "2FA is on", BODY)


@pytest.mark.parametrize("language", ["ar", None])
def test_a_mail_has_the_language_that_was_sealed_with_it_or_none_as_an_earlier_release_sends_it(courier, language):
    sealed = courier.seal(ADDRESS, subject="2FA is on", life=3600, language=language)
    assert deliver_notice(courier.deps, courier.email_notice(sealed=sealed)) == DONE
    assert [message.language for message in courier.email.sent] == [language]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_notice_three_times_is_sent_once(courier, kind):
    notice = courier.notice(kind)
    for _ in range(3):
        assert deliver_notice(courier.deps, notice) == DONE
        courier.clock.turn(notice_store.LEASE.total_seconds())
    assert len(provider(courier, kind).sent) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_overdue_notice_is_dropped(courier, kind):
    notice = courier.notice(kind, life=60)
    courier.clock.turn(60)
    assert deliver_notice(courier.deps, notice) == DONE
    assert provider(courier, kind).calls == 0


def test_a_notice_that_another_worker_sends_is_left_to_it(courier):
    notice = courier.notice()
    notice_store.claim(courier.redis, notice.message_id, courier.clock(), notice.deadline)
    assert isinstance(deliver_notice(courier.deps, notice), Again)
    assert courier.sms.calls == 0


def test_the_notice_of_a_worker_that_died_is_sent_by_another(courier):
    notice = courier.notice()
    notice_store.claim(courier.redis, notice.message_id, courier.clock(), notice.deadline)  # and dies here
    courier.clock.turn(notice_store.LEASE.total_seconds())
    assert deliver_notice(courier.deps, notice) == DONE
    assert len(courier.sms.sent) == 1


def test_a_long_delay_is_a_row_of_short_hops_without_a_try(courier):
    notice = courier.notice()
    courier.sms.troubles = [ProviderUnavailable("down")] * 4
    hops, tried_at = 0, []
    began, calls = courier.clock(), 0
    while isinstance(outcome := deliver_notice(courier.deps, notice), Again):
        hops += 1
        if courier.sms.calls > calls:
            calls = courier.sms.calls
            tried_at.append((courier.clock() - began).total_seconds())
        courier.clock.turn(outcome.seconds)
    tried_at.append((courier.clock() - began).total_seconds())
    waits = [later - earlier for earlier, later in itertools.pairwise(tried_at)]
    assert waits == pytest.approx(NOTICE_DELAYS[:4], abs=0.2)
    assert hops > 15
    assert len(courier.sms.sent) == 1


def test_an_outage_that_outlives_the_notice_gives_it_up(courier, log_text):
    notice = courier.notice(life=30)
    courier.sms.troubles = [ProviderMisconfigured("twilio 20003")] * 100
    while isinstance(outcome := deliver_notice(courier.deps, notice), Again):
        courier.clock.turn(outcome.seconds)
        assert courier.clock() < notice.deadline
    assert "notice given up" in log_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_recipient_is_final(courier, kind, log_text):
    notice = courier.notice(kind)
    provider(courier, kind).troubles = [RecipientRejected(DeliveryReason.ADDRESS_REFUSED, "smtp 550")]
    assert deliver_notice(courier.deps, notice) == DONE
    courier.clock.turn(3000)
    assert deliver_notice(courier.deps, notice) == DONE
    assert provider(courier, kind).calls == 1
    assert '"level": "warning"' in log_text()


def test_a_notice_that_nobody_can_open_is_dropped_loudly(courier, log_text):
    assert deliver_notice(courier.deps, courier.notice(sealed="k1.AAAA")) == DONE
    assert courier.sms.calls == 0
    assert '"level": "error"' in log_text()


def test_a_number_that_is_none_is_refused(courier):
    notice = courier.notice(sealed=courier.seal("079 123 45 67"))
    assert deliver_notice(courier.deps, notice) == DONE
    assert courier.sms.calls == 0


def test_a_store_that_goes_away_after_the_send_is_waited_for(courier, monkeypatch):
    from redis.exceptions import ConnectionError as RedisConnectionError

    settle, failures = notice_store.settle, [RedisConnectionError()]

    def away(*args):
        if failures:
            raise failures.pop()
        settle(*args)

    monkeypatch.setattr(notice_store, "settle", away)
    notice = courier.notice()
    assert deliver_notice(courier.deps, notice) == DONE
    assert courier.slept == [RECORD_PAUSES[0]]
    courier.clock.turn(notice_store.LEASE.total_seconds())
    deliver_notice(courier.deps, notice)
    assert len(courier.sms.sent) == 1


def test_the_mark_outlives_the_deadline(courier):
    notice = courier.notice(life=3600)
    deliver_notice(courier.deps, notice)
    kept_until = courier.redis.execute_command("PEXPIRETIME", f"notify:notice:{notice.message_id}") / 1000
    assert kept_until > notice.deadline.timestamp()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "troubles", [[], [ProviderUnavailable("x")], [RecipientRejected(DeliveryReason.NUMBER_REFUSED, "x")]]
)
def test_no_log_line_shows_a_recipient_or_a_text(courier, kind, troubles, log_text):
    provider(courier, kind).troubles = troubles
    deliver_notice(courier.deps, courier.notice(kind))
    deliver_notice(courier.deps, courier.notice(kind, "ntc_2", sealed=courier.seal("not a number")))
    text = log_text()
    assert "ntc_1" in text
    for planted in (PHONE, PHONE[1:], ADDRESS, CODE, "Your code", "not a number"):
        assert planted not in text


class TestBudgets:
    """shared/sending_budgets.py: what a notice is charged to, and what becomes of one over budget."""

    def send(self, courier, number, kind=SendSmsNotice, **how):
        notice = courier.notice(kind, f"ntc_{number}", **how)
        assert deliver_notice(courier.deps, notice) == DONE
        return notice

    def test_two_texts_of_security_go_in_ten_minutes(self, courier, log_text):
        notices = [self.send(courier, number) for number in range(4)]
        assert [message.message_id for message in courier.sms.sent] == ["ntc_0", "ntc_1"]
        assert "notice over budget" in log_text()
        told = [(event.account_id, event.message_id, event.channel) for event in courier.changes()]
        assert told == [(ACCOUNT, notice.message_id, "sms") for notice in notices[2:]]

    def test_one_over_budget_is_told_once_and_never_sent(self, courier):
        notices = [self.send(courier, number) for number in range(3)]
        courier.redis.delete(*courier.redis.keys("budget:*"))
        deliver_notice(courier.deps, notices[2])
        assert len(courier.sms.sent) == 2
        assert len(courier.changes()) == 1

    def test_no_kind_takes_from_another(self, courier):
        for number in range(9):
            self.send(courier, number, text_kind="news")
        assert len(courier.sms.sent) == 2
        self.send(courier, "change", text_kind="security")
        self.send(courier, "words", text_kind="ceremony")
        assert [message.message_id for message in courier.sms.sent[2:]] == ["ntc_change", "ntc_words"]

    def test_the_words_of_six_checks_leave_room_for_the_steps_of_two_resets(self, courier):
        for number in range(13):
            self.send(courier, number, text_kind="ceremony")
        assert len(courier.sms.sent) == 12

    def test_nor_do_notices_take_from_codes_but_for_the_day(self, courier):
        self.send(courier, 1)
        spent = courier.redis.keys("budget:otp.*")
        assert spent == ["budget:otp.sms.day:86400:all"]
        assert courier.redis.get(spent[0]) == "1"

    def test_codes_leave_a_tenth_of_the_day_to_security(self, courier):
        courier.redis.set("budget:otp.sms.day:86400:all", SMS_DAILY_CAP * 90 // 100, ex=100)
        self.send(courier, 1, text_kind="news")
        assert courier.sms.sent == []
        self.send(courier, 2, text_kind="security")
        assert len(courier.sms.sent) == 1
        courier.redis.set("budget:otp.sms.day:86400:all", SMS_DAILY_CAP, ex=100)
        self.send(courier, 3, text_kind="security")
        assert len(courier.sms.sent) == 1

    def test_a_flood_of_notices_leaves_codes_half_of_the_day(self, courier):
        courier.redis.set("budget:notify.text.day:86400:all", SMS_DAILY_CAP * 40 // 100, ex=100)
        self.send(courier, 1)
        assert courier.sms.sent == []

    def test_a_phone_has_its_own_whatever_the_account(self, courier):
        for number in range(4):
            sealed = courier.seal(account=f"acc_{number}")
            self.send(courier, number, sealed=sealed)
        assert len(courier.sms.sent) == 2

    def test_a_mailbox_has_one_in_every_spelling(self, courier):
        for number, recipient in enumerate(["Ann@Bücher.example", "ann@xn--bcher-kva.example"]):
            sealed = courier.seal(recipient, subject="2FA is on", account=f"acc_{number}", life=3600)
            self.send(courier, number, SendEmailNotice, sealed=sealed)
        (row,) = courier.redis.keys("budget:notify.mail.*.address:3600:*")
        assert courier.redis.get(row) == "2"

    def test_a_prefix_has_its_most(self, courier):
        courier.redis.set("budget:notify.text.prefix:3600:417912", 300, ex=100)
        self.send(courier, 1)
        assert courier.sms.sent == []

    def test_mails_have_budgets_of_their_own(self, courier):
        for number in range(65):
            self.send(courier, number, SendEmailNotice)
        assert len(courier.email.sent) == 60
        assert [event.channel for event in courier.changes()] == ["email"] * 5
        self.send(courier, "text")
        assert len(courier.sms.sent) == 1

    def test_a_flood_of_mails_stops_no_mail_of_another_kind(self, courier):
        for number in range(65):
            self.send(courier, number, SendEmailNotice, text_kind="news")
        for number, kind in enumerate(["security", "ceremony"]):
            self.send(courier, f"mail_{number}", SendEmailNotice, text_kind=kind)
        assert len(courier.email.sent) == 62

    def test_a_text_over_budget_was_mailed(self, courier):
        for number in range(5):
            self.send(courier, number)
            self.send(courier, f"mail_{number}", SendEmailNotice)
        assert (len(courier.sms.sent), len(courier.email.sent)) == (2, 5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_try_that_is_repeated_is_charged_once(self, courier, kind):
        provider(courier, kind).troubles = [ProviderUnavailable("down")] * 3
        courier.run(deliver_notice, courier.notice(kind))
        counts = {courier.redis.get(key) for key in courier.redis.keys("budget:*")}
        assert counts == {"1"}

    def test_all_counters_end(self, courier):
        self.send(courier, 1)
        self.send(courier, 2, SendEmailNotice)
        assert all(0 < courier.redis.ttl(key) <= 86400 for key in courier.redis.keys("budget:*"))

    def test_no_counter_shows_a_recipient(self, courier):
        self.send(courier, 1)
        self.send(courier, 2, SendEmailNotice)
        keys = " ".join(courier.redis.keys())
        assert PHONE[1:] not in keys
        assert ADDRESS not in keys

    def test_what_a_later_release_calls_it_is_news(self, courier):
        self.send(courier, 1, text_kind="another")
        assert courier.redis.keys("budget:notify.text.news.account:*")
