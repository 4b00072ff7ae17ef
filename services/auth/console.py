"""How the commands end when something is wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from services.auth.store import accounts
from shared.problems import Unavailable
from shared.settings import SettingsError


def said(longest: int) -> Callable[[click.Context, click.Parameter, str], str]:
    """A callback for an option whose text stands in the timeline: not blank, and as long as the console takes."""

    def check(_context: click.Context, parameter: click.Parameter, value: str) -> str:
        if not value.strip() or len(value) > longest:
            raise click.BadParameter(f"{parameter.name} must be 1 to {longest} characters")
        return value.strip()

    return check


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
        raise click.ClickException(f"{error.reason} does not answer in time; run the command again") from error
    except RedisError as error:
        raise click.ClickException(f"Redis does not answer ({type(error).__name__}); run the command again") from error
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database refused: {type(error).__name__}; did you run migrate?") from error
