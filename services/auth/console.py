"""How the commands end when something is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store import accounts
from shared.problems import Unavailable
from shared.settings import SettingsError


@contextmanager
def faults() -> Iterator[None]:
    """Faults as one sentence on stderr; none of them shows a URL or a password."""
    try:
        yield
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except accounts.EmailTaken as error:
        raise click.ClickException(f"there is an account with the address {error} already") from error
    except Unavailable as error:
        raise click.ClickException(f"{error.reason} takes too long; try again") from error
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database refused: {type(error).__name__}; did you run migrate?") from error
