"""The ledger itself: what must be found is found."""

import pytest

from tests.faults.ledger import CUT, Call, Code, Fate, Fault, Ledger, Row, Stores, Text, figures
from tests.faults.reliability import with_figures

NO_FAULT = Fault(10.0, 20.0)
EMPTY = Stores([], set())
SENT = Row("acc_1", "sms.delivery_changed", "sms_1 sent")


def counted(ledger=None, texts=(), stores=EMPTY, fault=NO_FAULT):
    return figures("a run", ledger or Ledger(), list(texts), stores, fault)


def with_code(**members):
    ledger = Ledger()
    ledger.code(Code("acc_1", "totp", "123456", **members))
    return counted(ledger)


def call(status, retry_after=None, what="code", at=1.0):
    ledger = Ledger()
    ledger.call(Call(what, "acc_1", at, 0.1, status, None, retry_after))
    return counted(ledger)


def test_a_quiet_run_has_no_violation():
    ledger = Ledger()
    ledger.code(Code("acc_1", "totp", "123456", good=True, statuses=[503, 200], fate=Fate.PASSED))
    ledger.code(Code("acc_1", "wrong", "000000", good=False, statuses=[401]))
    ledger.call(Call("code", "acc_1", 1.0, 0.1, 503, None, "2"))
    session = Row("acc_1", "session.started", "ses_1", ("password", "totp"))
    line = counted(ledger, [Text("+49", "code", 1.0)], Stores([session, SENT], {SENT}))
    assert line.violations() == {}
    assert (line.passes, line.unavailable) == (1, 1)


def test_a_refused_good_code_is_counted():
    assert with_code(good=True, statuses=[503, 401], fate=Fate.REFUSED).violations() == {"good codes refused": 1}


def test_a_good_code_that_was_used_up_unanswered_is_shown():
    line = with_code(good=True, statuses=[CUT, 401], fate=Fate.SPENT)
    assert (line.spent_unanswered, line.violations()) == (1, {})


def test_a_code_that_never_came_is_lost():
    assert with_code(good=True, fate=Fate.NEVER_CAME).violations() == {"codes lost": 1}


def test_a_good_code_that_is_never_answered_is_lost():
    assert with_code(good=True, statuses=[503, 503]).violations() == {"codes lost": 1}


def test_a_wrong_code_that_passes_is_counted():
    assert with_code(good=False, statuses=[503, 200]).violations() == {"passes without a factor": 1}


def test_a_code_that_passes_twice_is_counted():
    ledger = Ledger()
    for _ in range(2):
        ledger.code(Code("acc_1", "totp", "123456", good=True, statuses=[200], fate=Fate.PASSED))
    assert counted(ledger).violations() == {"passes without a factor": 1}


def test_a_password_that_suffices_is_counted():
    ledger = Ledger()
    ledger.let_in_without("acc_1")
    assert counted(ledger).violations() == {"passes without a factor": 1}


def test_a_session_that_no_good_code_explains_is_counted():
    session = Row("acc_1", "session.started", "ses_1", ("password", "totp"))
    assert counted(stores=Stores([session], set())).violations() == {"passes without a factor": 1}


def test_a_session_with_one_factor_is_counted():
    ledger = Ledger()
    ledger.code(Code("acc_1", "totp", "123456", good=True, statuses=[200], fate=Fate.PASSED))
    session = Row("acc_1", "session.started", "ses_1", ("password",))
    assert counted(ledger, stores=Stores([session], set())).violations() == {"passes without a factor": 1}


def test_a_provider_that_got_a_message_twice_is_counted():
    line = counted(texts=[Text("+49", "code 1", 1.0), Text("+49", "code 2", 2.0), Text("+49", "code 1", 13.0)])
    assert line.violations() == {"SMS twice": 1}


def test_a_death_explains_only_what_it_had_in_hand():
    killed = Fault(10.0, 20.0, kills=(10.0,), send_seconds=1.0)
    in_hand = [Text("+49", "code 1", 9.5), Text("+49", "code 1", 25.0)]
    long_done = [Text("+49", "code 2", 5.0), Text("+49", "code 2", 25.0)]
    line = counted(texts=in_hand + long_done, fault=killed)
    assert (line.sms_twice, line.sms_twice_by_death) == (1, 1)


def test_an_event_that_left_no_trace_is_lost():
    assert counted(stores=Stores([], {SENT})).violations() == {"events lost": 1}


def test_an_event_that_stays_in_the_outbox_is_lost():
    assert counted(stores=Stores([], set(), unpublished=1)).violations() == {"events lost": 1}


def test_an_event_that_acted_twice_is_counted():
    assert counted(stores=Stores([SENT, SENT], {SENT})).violations() == {"events twice": 1}


def test_500_is_counted_and_so_is_a_503_without_a_time():
    assert call(500).violations() == {"500s": 1}
    assert call(503).violations() == {"500s": 1}
    assert call(503, "2").violations() == {}
    assert call(502).violations() == {"500s": 1}


def test_recovery_is_the_later_of_a_pass_and_a_text():
    ledger = Ledger()
    for at in (5.0, 21.0, 22.0):
        ledger.call(Call("code", "acc_1", at, 0.5, 200))
    assert (
        counted(
            ledger, [Text("+49", "1 (ref A)", 4.0), Text("+49", "notice", 20.5), Text("+49", "2 (ref B)", 24.0)]
        ).recovery_seconds
        == 4.0
    )


DOCUMENT = """\
# Title

| fault | promise | calls / let in |
|---|---|---|
| a run | nothing is lost | |
| another | too | 7 / 7 |
"""


def test_figures_are_written_beside_their_promise():
    text = with_figures(DOCUMENT, [with_code(good=True, fate=Fate.REFUSED)])
    first, second = text.splitlines()[4:6]
    assert first.startswith("| a run | nothing is lost | 0 / 0 | 0 | 0 / 0 | 1 / 0 |")
    assert second == "| another | too | 7 / 7 |"
    assert with_figures(text, [with_code(good=True, fate=Fate.REFUSED)]) == text


def test_a_fault_without_a_promise_is_told():
    with pytest.raises(LookupError):
        with_figures("", [counted()])
