"""The name under which the product speaks: each service puts it into what people read."""

from shared.names import is_name
from shared.settings import Environment

DEFAULT_NAME = "Latchkey"
LONGEST_NAME = 40


def brand_name(env: Environment) -> str:
    """``BRAND_NAME``. A fault for one that would not do in a key URI, where ``:`` parts issuer and account."""
    name = env.text("BRAND_NAME", DEFAULT_NAME).strip()
    if not is_name(name, LONGEST_NAME) or ":" in name:
        env.fault(f"BRAND_NAME must be a name of at most {LONGEST_NAME} characters, in one line and without ':'")
    return name
