"""Structured logs: facts as JSON lines in production, readable lines in development, secrets never."""

import json
import logging
import sys

import structlog

from shared.settings import Mode

# Made once: json.dumps makes an encoder for each line. What JSON does not know is written as it prints itself.
_encode = json.JSONEncoder(default=repr).encode


def _json_line(event: structlog.typing.EventDict, **_: object) -> str:
    return _encode(event)


def configure_logging(service: str, mode: Mode) -> None:
    """Send structlog and the standard library to stderr, one line an event."""

    def name_service(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        # Not a context variable: those stay behind in the thread that bound them.
        event["service"] = service
        return event

    shared_steps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        name_service,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_json_line)
        if mode is Mode.PRODUCTION
        else structlog.processors.LogfmtRenderer()
    )
    structlog.configure(
        processors=[*shared_steps, renderer],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared_steps))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
