"""Runs the benchmark and prints its table. Compare figures within one run only: machines differ and are shared."""

import contextlib
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyotp
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deploy.attack.slow import CONNECTIONS, slow_clients
from deploy.bench import workers
from deploy.bench.busy import PROCESSES, confirmations
from deploy.bench.flood import flood_of_logins
from deploy.bench.floor_servers import floor_servers
from deploy.bench.load import Call, Measured, drive
from deploy.bench.pool import PASSWORD, Pooled, fill
from deploy.bench.processes import Usage, usage
from deploy.local.ports import free_port
from deploy.local.stack import Stack, StackError, running_stack
from shared.hashing import HashingPool
from tests.support import rabbitmq
from tests.support.stack_settings import settings_for
from tests.support.twilio_stub import TwilioStub

CONCURRENCY = {1: 120, 8: 400, 32: 400}  # concurrency -> accounts; each answers with wrong codes and a right one
WRONG_PER_ACCOUNT = 1  # besides the first one, which is not measured; a third one in a row would tell the owner
ROUNDS = 4  # floor and verification take turns, so that a noisy neighbour disturbs both
LOGIN_CONCURRENCY = 4
FLOOD_CLIENTS, FLOOD_ACCOUNTS = 16, 40  # who flood logins; who verify meanwhile, one after the other
SLOW_ACCOUNTS = 100  # who verify beside slow connections, and as many without them
NEWCOMERS = 15  # who turn 2FA on while the host is busy
SMS_REQUESTS, SMS_PAUSE_SECONDS = 121, 0.15  # the first one opens connections and is not counted
SMS = "SMS request until the provider has it"

Challenges = dict[str, tuple[str, str]]  # address -> id and binding of the login that waits for a code

console = Console()


def main() -> int:
    """0 when it ran to the end; the figures are for people to judge."""
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as folder, TwilioStub() as stub:
        try:
            with running_stack(Path(folder), free_port(5), settings_for(stub)) as stack, floor_servers() as floor_url:
                tables = _run(stack, floor_url, stub)
            _sms_over_rabbitmq(tables[0], Path(folder) / "rabbitmq", stub)
        except StackError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    console.print(*tables)
    return workers.main()


def _run(stack: Stack, floor_url: str, stub: TwilioStub) -> tuple[Table, Table]:
    """The calls and the programs."""
    cores = os.cpu_count() or 1
    idle = usage(stack)
    verifiers = sum(CONCURRENCY.values()) + 2 * FLOOD_ACCOUNTS + 3 * SLOW_ACCOUNTS
    pool = fill(stack, verifiers + SMS_REQUESTS)
    challenges: Challenges = {}
    table = Table(title=f"{cores} cores; compare within this run only")
    for column in ("what", "conc.", "calls", "per s", "p50 ms", "p99 ms", "against"):
        table.add_column(column, justify="left" if column in {"what", "against"} else "right")

    logins, argon2_per_second = _logins(stack, pool, challenges, cores)
    ideal = f"{logins.per_second / argon2_per_second:.0%} of {argon2_per_second:.0f}/s that argon2 allows"
    _row(table, "login with password", LOGIN_CONCURRENCY, logins, ideal)

    _first_tries(stack, pool[:verifiers], challenges)
    start = 0
    spent: dict[str, float] = {}
    verified = 0
    for concurrency, accounts in CONCURRENCY.items():
        slice_ = pool[start : start + accounts]
        start += accounts
        floor, verification, cpu = _verification(stack, floor_url, slice_, challenges, concurrency)
        _row(table, "two hops doing nothing", concurrency, floor, "the floor")
        _row(
            table,
            "TOTP verification",
            concurrency,
            verification,
            f"{verification.per_second / floor.per_second:.0%} of the floor",
        )
        spent = {name: spent.get(name, 0.0) + seconds for name, seconds in cpu.items()}
        verified += len(verification.latencies_ms)
    for what, clients in (("TOTP verification, alone", 0), ("TOTP verification in a flood of logins", FLOOD_CLIENTS)):
        verification, flood = _in_a_flood(stack, pool[start : start + FLOOD_ACCOUNTS], challenges, clients)
        start += FLOOD_ACCOUNTS
        _row(table, what, 1, verification, flood)
    for beside in ("", "auth", "otp"):
        what = f", {CONNECTIONS} slow connections at {beside}" if beside else ", no slow connections"
        verification, health = _beside_slow(stack, pool[start : start + SLOW_ACCOUNTS], challenges, beside)
        start += SLOW_ACCOUNTS
        _row(table, f"TOTP verification{what}", 1, verification, f"GET /healthz p99 {health.percentile(0.99):.1f} ms")
    newcomers = fill(stack, NEWCOMERS, name="newcomer", enrolled=False)
    busy = f"{PROCESSES} processes keep the cores busy"
    _row(table, "2FA confirmed, with its backup codes", 1, confirmations(stack, newcomers), busy)
    _row(table, f"{SMS}, redis", 1, _sms(stack, pool[start:], challenges, stub), "")
    return table, _process_table(idle, usage(stack), spent, verified)


def _sms_over_rabbitmq(table: Table, folder: Path, stub: TwilioStub) -> None:
    """The same of a stack with the other broker."""
    if rabbitmq.server_script() is None:
        table.add_row(f"{SMS}, rabbitmq", "", "", "", "", "", rabbitmq.MISSING)
        return
    with (
        rabbitmq.rabbitmq_server() as (_, url),
        running_stack(folder, free_port(5), {**settings_for(stub), "BROKER_URL": url}) as stack,
    ):
        challenges: Challenges = {}
        pool = fill(stack, SMS_REQUESTS)
        drive(stack.base_url, [_login_call(account, challenges) for account in pool], LOGIN_CONCURRENCY)
        _row(table, f"{SMS}, rabbitmq", 1, _sms(stack, pool, challenges, stub), "")


def _logins(stack: Stack, pool: list[Pooled], challenges: Challenges, cores: int) -> tuple[Measured, float]:
    """Log every account in, in turns with bare argon2 on all cores."""
    hashing, measured = HashingPool(max_waiting=cores * 2), Measured()
    encoded = hashing.hash(PASSWORD)
    bare_count, bare_seconds = 0, 0.0
    chunks = [pool[start::6] for start in range(6)]
    for chunk in track(chunks, description="logins", console=console):
        calls = [_login_call(account, challenges) for account in chunk]
        measured.add(drive(stack.base_url, calls, LOGIN_CONCURRENCY))
        started = time.perf_counter()
        with ThreadPoolExecutor(cores) as threads:
            list(threads.map(lambda _: hashing.verify(encoded, PASSWORD), range(40)))
        bare_seconds += time.perf_counter() - started
        bare_count += 40
    return measured, bare_count / bare_seconds


def _login_call(account: Pooled, challenges: Challenges) -> Call:
    def keep(body: Any) -> None:  # noqa: ANN401 - JSON
        challenges[account.email] = body["challenge"]["id"], body["challenge"]["binding"]

    body: dict[str, object] = {"email": account.email, "password": PASSWORD, "transport": "bearer"}
    return Call("/v1/login", body, 200, account.ip, keep=keep)


def _first_tries(stack: Stack, accounts: list[Pooled], challenges: Challenges) -> None:
    """A wrong code each: an account's first try ever asks SQL for its row of failures, and Redis keeps that."""
    drive(stack.base_url, [call for call in _verify_calls(accounts, challenges) if call.expected == 401], 4)


def _verification(
    stack: Stack, floor_url: str, accounts: list[Pooled], challenges: Challenges, concurrency: int
) -> tuple[Measured, Measured, dict[str, float]]:
    """Wrong and right codes, in turns with the floor; the CPU seconds that verification took, by program."""
    floor, verification = Measured(), Measured()
    cpu: dict[str, float] = {}
    for number in track(range(ROUNDS), description=f"verification, concurrency {concurrency}", console=console):
        calls = _verify_calls(accounts[number::ROUNDS], challenges)
        nothing: dict[str, object] = {"code": "000000", "remember_device": False}
        floor.add(drive(floor_url, [Call("/nothing", nothing, 200, "10.0.0.1")] * len(calls), concurrency))
        before = usage(stack)
        verification.add(drive(stack.base_url, calls, concurrency))
        for name, after in usage(stack).items():
            cpu[name] = cpu.get(name, 0.0) + after.cpu_seconds - before[name].cpu_seconds
    return floor, verification, cpu


def _in_a_flood(stack: Stack, accounts: list[Pooled], challenges: Challenges, clients: int) -> tuple[Measured, str]:
    """One client's verifications while others log in as fast as they are answered; what the flood was answered."""
    calls = _verify_calls(accounts, challenges)
    if not clients:
        return drive(stack.base_url, calls, 1), ""
    with flood_of_logins(stack.base_url, clients) as statuses:
        measured = drive(stack.base_url, calls, 1)
    answered = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    return measured, f"{clients} clients flood: {answered}"


def _beside_slow(
    stack: Stack, accounts: list[Pooled], challenges: Challenges, beside: str
) -> tuple[Measured, Measured]:
    """One client's verifications, and its calls of ``/healthz`` there, beside slow connections at ``beside``."""
    urls = {"": stack.base_url, "auth": stack.base_url, "otp": stack.settings.otp_url}
    calls = _verify_calls(accounts, challenges)
    large = "/healthz" if beside == "otp" else "/docs/swagger-ui-bundle.js"
    with contextlib.ExitStack() as meanwhile:
        if beside:
            meanwhile.enter_context(slow_clients(urls[beside], "/v1/login", large, again=True))
        verification = drive(stack.base_url, calls, 1)
        health = drive(urls[beside], [Call("/healthz", {}, 200, "10.0.0.1", method="GET")] * len(calls), 1)
    return verification, health


def _verify_calls(accounts: list[Pooled], challenges: Challenges) -> list[Call]:
    """Each account's wrong codes before its right one, and the accounts mixed."""
    rounds: list[list[Call]] = []
    for account in accounts:
        challenge, binding = challenges[account.email]
        path = f"/v1/login/{challenge}/verify"
        now = pyotp.TOTP(account.secret).now()
        wrong = f"{(int(now) + 500_000) % 1_000_000:06d}"
        refused = [Call(path, {"code": wrong}, 401, account.ip, binding)] * WRONG_PER_ACCOUNT
        rounds.append([*refused, Call(path, {"code": now}, 200, account.ip, binding)])
    random.shuffle(rounds)
    return [calls[position] for position in range(WRONG_PER_ACCOUNT + 1) for calls in rounds]


def _sms(stack: Stack, accounts: list[Pooled], challenges: Challenges, stub: TwilioStub) -> Measured:
    """One request at a time; from its first byte until the provider's stub has the message.

    The first one opens the connections to broker and provider, and does not count.
    """
    measured = Measured()
    for account in track(accounts, description="SMS", console=console):
        had = len(stub.messages)
        started = time.monotonic()
        challenge, binding = challenges[account.email]
        answer = drive(stack.base_url, [Call(f"/v1/login/{challenge}/sms", {}, 202, account.ip, binding)], 1)
        for status, count in answer.unexpected.items():
            measured.unexpected[status] = measured.unexpected.get(status, 0) + count
        while not answer.unexpected and len(stub.messages) == had and time.monotonic() - started < 10:
            time.sleep(0.001)
        if len(stub.messages) > had:
            measured.latencies_ms.append((stub.messages[had].monotonic - started) * 1000)
        time.sleep(SMS_PAUSE_SECONDS)
    del measured.latencies_ms[:1]
    return measured


def _row(table: Table, what: str, concurrency: int, measured: Measured, against: str) -> None:
    rate = f"{measured.per_second:.0f}" if measured.wall_seconds else "–"
    if measured.unexpected:
        against = f"{against} UNEXPECTED {measured.unexpected}".strip()
    p50, p99 = f"{measured.percentile(0.5):.1f}", f"{measured.percentile(0.99):.1f}"
    table.add_row(what, str(concurrency), str(len(measured.latencies_ms)), rate, p50, p99, against)


def _process_table(idle: dict[str, Usage], busy: dict[str, Usage], spent: dict[str, float], verified: int) -> Table:
    table = Table(title="by program: CPU per verification, memory after the run (PSS shares what processes share)")
    for column in ("program", "processes", "CPU ms", "RSS MiB idle", "RSS MiB", "PSS MiB"):
        table.add_column(column, justify="left" if column == "program" else "right")
    for name, used in busy.items():
        cpu = f"{spent.get(name, 0.0) / verified * 1000:.2f}"
        table.add_row(
            name, str(used.processes), cpu, f"{idle[name].rss_mib:.0f}", f"{used.rss_mib:.0f}", f"{used.pss_mib:.0f}"
        )
    total = [sum(getattr(used, field) for used in busy.values()) for field in ("rss_mib", "pss_mib")]
    table.add_row(
        "all",
        str(sum(used.processes for used in busy.values())),
        f"{sum(spent.values()) / verified * 1000:.2f}",
        f"{sum(used.rss_mib for used in idle.values()):.0f}",
        f"{total[0]:.0f}",
        f"{total[1]:.0f}",
    )
    return table


if __name__ == "__main__":
    sys.exit(main())
