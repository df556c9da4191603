"""Collects what a logger says. The unit tests run without pytest's own log capture, which costs 6 % of their time beside torch's loggers."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextmanager
def messages_of(name: str) -> Iterator[list[str]]:
    """Yield the list to which each message of the logger of this name is added, from INFO on."""
    logger, messages = logging.getLogger(name), list[str]()
    collector, level = _Collector(messages), logger.level
    logger.addHandler(collector)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.removeHandler(collector)
        logger.setLevel(level)
