"""HTTP in and out, nothing else: a blueprint for each thing, built over the deps."""

from collections.abc import Callable

from services.otp.deps import Deps
from services.otp.routes import (
    attempts,
    enrollments,
    recovery_codes,
    sms_challenges,
    two_factor,
    verifications,
)
from shared.rest import RestBlueprint

BLUEPRINTS: tuple[Callable[[Deps], RestBlueprint], ...] = (
    two_factor.blueprint,
    enrollments.blueprint,
    recovery_codes.blueprint,
    verifications.blueprint,
    sms_challenges.blueprint,
    attempts.blueprint,
)
