"""Every route that can reach dear work stands in the table, with that work and with a budget that it counts under."""

import inspect
from functools import cache

import pytest

from deploy import costs
from deploy.costs import AUTH, OTP, PRICES, Dear
from services.auth.app import HASHING_ROUTES
from services.auth.app import create_app as create_auth
from services.auth.deps import Deps
from services.auth.otp_client import OtpClient
from services.otp.app import create_app as create_otp
from services.otp.deps import make_deps
from services.otp.settings import OtpSettings
from shared.settings import Environment
from tests.support import auth, otp
from tests.support.reach import ROOT, Reached, reached

WORDS = {
    "hashing.verify": {Dear.HASH},
    "hashing.hash": {Dear.HASH},
    "hashing.hash_many": {Dear.HASH},
    "hashing.hash_later": {Dear.HASH},
    "hashing.place": {Dear.HASH},
    "sheets.take_expected": {Dear.HASH},
    "sheets.take_spare": {Dear.HASH},
    "rating.run": {Dear.RATING},
    "drawing.run": {Dear.DRAWING},
    "outbox.record": {Dear.SIGNATURE},
    "jwt.encode": {Dear.SIGNATURE},
    "notices.tell": {Dear.TEXT, Dear.MAIL, Dear.SIGNATURE},
    "notices.mail": {Dear.MAIL, Dear.SIGNATURE},
    "consequences.changing": {Dear.CHANGE, Dear.SIGNATURE},
    "accounts.search": {Dear.SEARCH},
    "sms_store.put": {Dear.TEXT},
    "SealedText.sign": {Dear.SIGNATURE},
}
# Where the calls of auth's client end.
HOPS = {
    "otp.state": ("services.otp.routes.two_factor", "read"),
    "otp.verify": ("services.otp.routes.verifications", "verify"),
    "otp.begin_enrollment": ("services.otp.routes.enrollments", "begin"),
    "otp.show_enrollment": ("services.otp.routes.enrollments", "show"),
    "otp.cancel_enrollment": ("services.otp.routes.enrollments", "cancel"),
    "otp.confirm_enrollment": ("services.otp.routes.enrollments", "confirm"),
    "otp.disable": ("services.otp.routes.two_factor", "disable"),
    "otp.regenerate_recovery_codes": ("services.otp.routes.recovery_codes", "regenerate"),
    "otp.end": ("services.otp.routes.two_factor", "end"),
    "otp.create_sms_challenge": ("services.otp.routes.sms_challenges", "request"),
    "otp.withdraw_sms_challenge": ("services.otp.routes.sms_challenges", "withdraw"),
    "otp.attempts": ("services.otp.routes.attempts", "attempts"),
    "otp.throttles": ("services.otp.routes.two_factor", "read_throttles"),
    "otp.those_on": ("services.otp.routes.two_factor", "those_on"),
    "otp.unlock": ("services.otp.routes.two_factor", "unlock"),
}


@cache
def routes(service: str, *, is_followed: bool = True) -> dict[str, Reached]:
    """What each route of a service can reach; in otp too, if its calls of otp are followed."""
    if service == "auth":
        nothing = dict.fromkeys(("database", "redis", "clock", "signer", "otp", "publisher", "hashing"))
        app = create_auth(Deps(settings=auth.settings(), **nothing))
    else:
        environment = {**otp.ENVIRONMENT, "NOTIFY_PUBLIC_KEY": auth.ENVIRONMENT["NOTIFY_PUBLIC_KEY"]}
        settings = OtpSettings.from_env(Environment(environment))
        app = create_otp(settings, make_deps(settings, None, None, None, clock=None, totp_clock=None))
    found = {}
    for rule in app.url_map.iter_rules():
        view = inspect.unwrap(app.view_functions[rule.endpoint])
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            start = (view.__module__, view.__name__)
            found[f"{method} {rule.rule}"] = reached(start, words=WORDS, hops=HOPS if is_followed else {})
    return found


TABLES = [("auth", AUTH), ("otp", OTP)]
ROWS = [pytest.param(service, route, due, id=route) for service, table in TABLES for route, due in table.items()]


@pytest.mark.parametrize(("service", "table"), TABLES, ids=["auth", "otp"])
def test_a_route_that_does_dear_work_stands_in_the_table_with_that_work(service, table):
    works = {route: set().union(*(WORDS[word] for word in seen.words)) for route, seen in routes(service).items()}
    dear = {route: kinds for route, kinds in works.items() if kinds}
    assert dear == {route: set(due.works) for route, due in table.items()}


@pytest.mark.parametrize(("service", "route", "due"), ROWS)
def test_the_budget_that_pays_is_one_that_the_route_counts_under(service, route, due):
    seen = routes(service)[route].functions
    for rate in due.paid_by:
        limits = f"services.{rate.name.partition('.')[0]}.limits"
        names = [name for name, value in vars(inspect.importlib.import_module(limits)).items() if value is rate]
        assert {(limits, name) for name in names} & seen, rate.name
    assert due.paid_by or due.bound


def test_routes_that_hash_in_the_gateway_have_threads_of_their_own():
    here = routes("auth", is_followed=False)
    found = {route for route, seen in here.items() if any(Dear.HASH in WORDS[word] for word in seen.words)}
    assert found == set(HASHING_ROUTES)


def test_every_call_of_otp_is_followed():
    calls = {name for name, member in vars(OtpClient).items() if inspect.isfunction(member) and name[0] != "_"}
    assert {f"otp.{name}" for name in calls - {"close"}} == set(HOPS)


def test_every_kind_of_work_has_a_price_and_is_looked_for():
    assert set(PRICES) == set(Dear) == set().union(*WORDS.values())


def test_the_page_is_the_table():
    assert ROOT.joinpath("docs/costs.md").read_text(encoding="utf-8") == costs.document()
