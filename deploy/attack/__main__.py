"""`python -m deploy.attack`: every known way around a second factor, tried on a deployment.

Exit status: 0 when all of them were refused, 1 when one got through, 2 when it could not be found out.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError

from deploy.attack import report, stage
from deploy.attack.accounts import AccountsError, write_accounts
from deploy.attack.make_accounts import make_accounts
from deploy.attack.pace import Pace
from deploy.attack.probe import Probe, Target
from deploy.attack.probes import PROBES
from deploy.attack.run import Result, Verdict, exit_status, run
from deploy.attack.stage import StageError
from shared.settings import SettingsError

CANNOT_RUN = 2
# Wide enough for the table where the output goes to a file.
console = Console(width=None if sys.stdout.isatty() else 160)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--base-url", metavar="URL", help="Attack this deployment; needs --accounts. Without it: one of its own.")
@click.option("--accounts", "accounts_file", type=click.Path(path_type=Path), metavar="FILE", help="Accounts for it.")
@click.option("--var-dir", type=click.Path(path_type=Path), metavar="DIR", help="Attack the stack that runs on DIR.")
@click.option(
    "--client-addresses",
    is_flag=True,
    help="We stand where its one trusted proxy stands (TRUSTED_PROXY_COUNT=1): give each client an address of its own.",
)
@click.option("--patient", is_flag=True, help="Wait out what takes minutes to expire.")
@click.option("--only", metavar="NAME,NAME", help="These attacks only; --list shows their names.")
@click.option("--list", "list_only", is_flag=True, help="Show the attacks and try none.")
@click.option(
    "--report", "report_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the result as JSON."
)
@click.pass_context
def main(
    context: click.Context,
    *,
    base_url: str | None,
    accounts_file: Path | None,
    var_dir: Path | None,
    client_addresses: bool,
    patient: bool,
    only: str | None,
    list_only: bool,
    report_file: Path | None,
) -> None:
    """Try every known way around a second factor, and print what came of it.

    The accounts are used up: make new ones for each run with `python -m deploy.attack accounts`.
    """
    if context.invoked_subcommand is not None:
        return
    chosen = _chosen(only)
    if list_only:
        for probe in chosen:
            click.echo(f"{probe.row:>2}  {probe.name:<28} {probe.attack}")
        return
    if base_url and var_dir:
        raise click.UsageError("--base-url or --var-dir, not both.")
    if bool(base_url) != bool(accounts_file):
        raise click.UsageError(
            "--base-url and --accounts go together. Make the accounts where the deployment's database is: "
            "AUTH_DATABASE_URL=… python -m deploy.attack accounts --out accounts.json"
        )
    with (
        _faults(),
        _target(
            len(chosen), base_url, accounts_file, var_dir, client_addresses=client_addresses, patient=patient
        ) as target,
    ):
        results = _run(chosen, target)
        title = f"Attacks on {target.base_url}"
    console.print(report.table_of(results, title))
    console.print(report.summary_of(results))
    if report_file is not None:
        report.write_report(report_file, results)
    context.exit(exit_status(results))


@main.command()
@click.option("--count", default=200, show_default=True, type=click.IntRange(1, 5000), help="Members without a team.")
@click.option("--teams", default=12, show_default=True, type=click.IntRange(0, 500), help="Teams of owner and member.")
@click.option("--support", default=8, show_default=True, type=click.IntRange(0, 100), help="Support operators.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Where to write them.")
def accounts(count: int, teams: int, support: int, out: Path) -> None:
    """Make accounts in the database that AUTH_DATABASE_URL names, and write them to a file.

    Operators of a production system don't want strangers in it: remove these when you are done.
    """
    with _faults():
        made = make_accounts(os.environ, members=count, teams=teams, support=support)
        write_accounts(out, made)
    click.echo(f"{len(made)} accounts stand in {out}, readable by you alone.")


def _chosen(only: str | None) -> list[Probe]:
    if not only:
        return list(PROBES)
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = set(names) - {probe.name for probe in PROBES}
    if unknown:
        raise click.UsageError(f"no attack is named {', '.join(sorted(unknown))}; --list shows the names.")
    return [probe for probe in PROBES if probe.name in names]


@contextmanager
def _target(
    probes: int,
    base_url: str | None,
    accounts_file: Path | None,
    var_dir: Path | None,
    *,
    client_addresses: bool,
    patient: bool,
) -> Iterator[Target]:
    if base_url and accounts_file:
        yield stage.foreign(base_url, accounts_file, client_addresses=client_addresses, patient=patient)
    elif var_dir:
        yield stage.stack_on(var_dir, probes, client_addresses=client_addresses, patient=patient)
    else:
        console.print("Starting a stack to attack ...")
        with stage.own_stack(probes, patient=patient) as target:
            yield target


def _run(probes: list[Probe], target: Target) -> list[Result]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("attacking", total=len(probes))

        def show(result: Result) -> None:
            progress.advance(task)
            if result.verdict in {Verdict.HOLE, Verdict.BROKEN}:
                progress.console.print(f"{result.verdict}: {result.probe.name}: {result.said}", markup=False)

        if isinstance(target.meter, Pace):
            console.print("All clients share one address, so its budgets set the pace: a whole run takes over an hour.")
            return run(probes, target, show, target.meter.wait_for_room)
        return run(probes, target, show)


@contextmanager
def _faults() -> Iterator[None]:
    """What stands in the way, as a sentence and exit status 2."""
    try:
        yield
    except (StageError, AccountsError, SettingsError) as error:
        _give_up(str(error))
    except SQLAlchemyError as error:
        _give_up(f"the database refused ({type(error).__name__}): is it the auth service's, and migrated?")
    except OSError as error:
        _give_up(f"{error.filename or 'the deployment'}: {error.strerror or error}")


def _give_up(said: str) -> None:
    click.echo(f"attack: {said}", err=True)
    sys.exit(CANNOT_RUN)


if __name__ == "__main__":
    main()
