"""What the development environment holds, and a program of the stack has no use for, stays out of its memory.

`.venv` has what the build tests and reviews with, too. Libraries of ours load some of that where they find it; in the
images, which hold a service's own requirements and no more, they find nothing either.
"""

import importlib
import sys
from typing import Any

# structlog loads rich, and that pygments: 4 MB in each process, for tracebacks in colour that nobody sees. yaml (kombu,
# flask-smorest) and chardet (requests) are about one each, greenlet (structlog) and msgpack (kombu) less.
UNNEEDED = ("chardet", "greenlet", "msgpack", "rich", "yaml")


def load(target: str) -> Any:  # noqa: ANN401 - an app of any kind
    """The object at `package.module:name`; whatever its modules import on the way, UNNEEDED is not installed to them.

    Raises ImportError, AttributeError.
    """
    for name in UNNEEDED:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's word for "there is none"
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
