"""What the attack probes stand on: who is handed out, what a verdict is, how one address is paced, what is shown."""

import io
import json
import stat
import threading

import pytest
from click.testing import CliRunner
from rich.console import Console

from deploy.attack import __main__ as command
from deploy.attack import report
from deploy.attack.accounts import Account, AccountsError, AccountSource, read_accounts, write_accounts
from deploy.attack.pace import Pace
from deploy.attack.people import race
from deploy.attack.probe import CannotTryError, Finding, Probe, Target
from deploy.attack.run import Verdict, exit_status, run, run_one

HELD = Finding(3, "tried")


def probe(name="one", finding=HELD, *, alone=False, row=1):
    def attack(_target):
        if isinstance(finding, Exception):
            raise finding
        return finding() if callable(finding) else finding

    return Probe(row, name, "An attack", "CVE-0", attack, alone)


@pytest.fixture
def target():
    return Target("http://127.0.0.1:1", AccountSource([]))


# --- accounts --------------------------------------------------------------------------------------------------------


def test_an_account_is_handed_out_once():
    accounts = [Account(f"{number}@example.com", "pw") for number in range(50)]
    source = AccountSource(accounts)
    got = race([lambda: source.take("member")] * 60)
    assert sorted(account.email for account in got if account) == sorted(account.email for account in accounts)
    assert source.left() == 0


def test_members_of_a_team_with_an_owner_are_kept_for_who_names_the_team():
    mate, owner, single = Account("m", "", "member", "t"), Account("o", "", "owner", "t"), Account("s", "", "member")
    source = AccountSource([mate, owner, single])
    assert source.take("member") == single
    assert source.take("owner") == owner
    assert source.take("member", "t") == mate
    assert source.take("member") is None


def test_a_probe_hears_that_no_account_is_left(target):
    with pytest.raises(CannotTryError, match="owner"):
        target.account("owner")


def test_an_accounts_file_is_private_and_read_back(tmp_path):
    path, accounts = tmp_path / "accounts.json", [Account("a@example.com", "secret", "owner", "t", "acc_1")]
    write_accounts(path, accounts)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_accounts(path) == accounts
    assert "secret" not in repr(accounts)


@pytest.mark.parametrize("text", ["", "[]", '{"accounts": [{"mail": "x"}]}', '{"accounts": 1}'])
def test_a_wrong_accounts_file_is_named_and_its_shape_told(tmp_path, text):
    path = tmp_path / "accounts.json"
    path.write_text(text)
    with pytest.raises(AccountsError, match="email"):
        read_accounts(path)


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finding", "verdict", "said"),
    [
        (HELD, Verdict.HELD, ""),
        (Finding(3, "tried", hole="through"), Verdict.HOLE, "through"),
        (Finding(0, "", skipped="no phone"), Verdict.SKIPPED, "no phone"),
        (CannotTryError("no inbox"), Verdict.SKIPPED, "no inbox"),
        (ValueError("odd"), Verdict.BROKEN, "ValueError: odd"),
    ],
)
def test_whatever_a_probe_does_is_a_verdict(target, finding, verdict, said):
    result = run_one(probe(finding=finding), target)
    assert result.verdict is verdict
    assert result.said.startswith(said)


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([HELD, Finding(0, "", skipped="x")], 0),
        ([HELD, ValueError("odd")], 2),
        ([ValueError("odd"), Finding(1, "", hole="x")], 1),
        ([], 0),
    ],
)
def test_the_exit_status_tells_a_hole_before_what_broke(target, findings, status):
    assert exit_status([run_one(probe(finding=finding), target) for finding in findings]) == status


def test_who_wants_to_be_alone_is_alone_and_the_order_stays(target):
    running, most, counting = [], [], threading.Lock()
    together = threading.Barrier(2)

    def attack(name, *, alone):
        def find():
            with counting:
                running.append(name)
                most.append((name, len(running)))
            if not alone:
                together.wait(10)
            with counting:
                running.remove(name)
            return HELD

        return find

    names = {"a": True, "b": False, "c": True, "d": False}
    probes = [probe(name, attack(name, alone=alone), alone=alone) for name, alone in names.items()]
    done = []
    results = run(probes, target, lambda result: done.append(result.probe.name))
    assert [result.probe.name for result in results] == list(names)
    assert done[2:] == ["a", "c"]
    assert [count for name, count in most if name in "ac"] == [1, 1]


def test_with_something_to_do_before_each_they_run_in_order(target):
    seen = []
    probes = [probe(name, lambda name=name: seen.append(name) or HELD) for name in "abc"]
    run(probes, target, lambda _: None, lambda: seen.append("-"))
    assert seen == ["-", "a", "-", "b", "-", "c"]


def test_a_race_raises_what_one_of_it_raised():
    with pytest.raises(ZeroDivisionError):
        race([lambda: 1, lambda: 1 // 0])


# --- the pace of one address -----------------------------------------------------------------------------------------


class Hours:
    def __init__(self):
        self.now, self.slept = 1000.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def hours():
    return Hours()


@pytest.fixture
def pace(hours):
    return Pace(lambda: hours.now, hours.sleep)


def test_an_address_has_sixty_codes_in_five_minutes(pace, hours):
    for number in range(60):
        pace.count("POST", f"/v1/login/chl_{number}/verify")
    with pytest.raises(CannotTryError, match="--client-addresses"):
        pace.count("POST", "/login/chl_1")
    hours.now += 301
    pace.count("POST", "/login/chl_1")


def test_what_has_no_budget_by_address_is_not_counted(pace):
    for _ in range(100):
        pace.count("GET", "/login/chl_1")
        pace.count("POST", "/v1/two-factor/enrollment")
    pace.wait_for_room()


def test_a_completed_login_costs_nothing(pace):
    for _ in range(100):
        pace.count("POST", "/v1/login")
        pace.give_back("POST", "/v1/login")


def test_a_probe_begins_when_the_address_has_room(pace, hours):
    pace.wait_for_room()
    assert hours.slept == []
    for _ in range(16):
        pace.count("POST", "/v1/login/chl_1/verify")
    pace.wait_for_room()
    assert 300 <= sum(hours.slept) < 302


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_the_table_shows_every_probe_with_its_hole(target):
    results = [run_one(probe("held-one"), target), run_one(probe("[x]", Finding(2, "a [b]", hole="got [c]")), target)]
    out = io.StringIO()
    Console(file=out, width=200).print(report.table_of(results, "title"))
    for text in ("held-one", "[x]", "a [b]", "got [c]", "HOLE", "CVE-0"):
        assert text in out.getvalue()
    assert report.summary_of(results) == "2 attacks, 5 tries: 1 held, 1 HOLE."


def test_the_report_is_json(target, tmp_path):
    report.write_report(tmp_path / "r.json", [run_one(probe(), target)])
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert (row["name"], row["verdict"], row["tries"]) == ("one", "held", 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "no-such-attack"], "--list"),
        (["--base-url", "http://127.0.0.1:1"], "--accounts"),
        (["--base-url", "http://127.0.0.1:1", "--accounts", "x", "--var-dir", "y"], "not both"),
        (["--base-url", "http://127.0.0.1:1", "--accounts", "/nowhere/at.all"], "can't be read"),
        (["--var-dir", "/nowhere/at/all"], "No stack runs"),
    ],
)
def test_what_can_not_be_run_says_what_to_do_and_ends_with_2(arguments, said):
    result = CliRunner().invoke(command.main, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_the_list_tries_nothing():
    result = CliRunner().invoke(command.main, ["--list"])
    assert result.exit_code == 0
    assert "same-code-twice" in result.output
