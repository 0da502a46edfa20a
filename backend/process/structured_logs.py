"""Structured logs: a JSON object a line, or plain lines on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog

_WARNINGS_ONLY = (
    *("botocore", "boto3", "aiobotocore", "urllib3", "uvicorn.access", "alembic"),
    # Below that they write addresses with their login and token, and the values of SQL.
    *("httpx", "httpcore", "apprise", "aiosqlite", "sqlalchemy"),
    "apscheduler",  # of 2.0b's VEN: two lines a second, and what is to be read is out of sight
)


def configure_structured_logs(level: str) -> None:
    """Logs of ours and of the libraries, to standard error. Raises ValueError for no level."""
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise ValueError(f"LOG_LEVEL {level!r}: use DEBUG, INFO, WARNING or ERROR")
    on_terminal = sys.stderr.isatty()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for library in _WARNINGS_ONLY:
        logging.getLogger(library).setLevel(max(number, logging.WARNING))
