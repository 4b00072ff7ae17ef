"""Failing on purpose: at once, through all windows, as a stranger and in the owner's browser."""

from services.otp.limits import STOP_FOR_A_DEVICE
from shared.ids import new_id
from shared.messages import SecondFactorLocked, decode
from tests.support.otp import ACCOUNT, World

IN_A_ROW = f"budget:otp.verify.consecutive:31536000:{ACCOUNT}"
OF_STRANGERS = f"budget:otp.verify.consecutive.strangers:31536000:{ACCOUNT}"
NO_BACKUP_CODE = "0AAA-BBBB-CCCC-DDDD"
MINE = {"device_id": "dev_mine"}


def fail(world: World, times: int, **kwargs) -> list[int]:
    return [world.verify(world.wrong_code(), **kwargs).status_code for _ in range(times)]


def fail_through_all_windows(world: World, times: int, code: str | None = None, **kwargs) -> None:
    for _ in range(times):
        assert world.verify(code or world.wrong_code(), **kwargs).status_code == 401
        world.end_windows()
    world.settle()


def fail_on_devices(world: World, times: int) -> None:
    """As many known devices as it takes: each has ten failures of its own."""
    whole, rest = divmod(times, STOP_FOR_A_DEVICE)
    for failures in [STOP_FOR_A_DEVICE] * whole + [rest]:
        fail_through_all_windows(world, failures, device_id=new_id("dev"))


def scopes(world: World) -> list[str]:
    """What the owner was told of locks."""
    return [event.scope for event in map(decode, world.events()) if isinstance(event, SecondFactorLocked)]


def locked(world: World) -> tuple[bool, bool]:
    """In new browsers, and everywhere."""
    return world.state()["locked"], world.state()["locked_everywhere"]
