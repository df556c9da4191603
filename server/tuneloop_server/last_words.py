"""The last words of a server that cannot serve: one line on stderr, and the termination message that the operator reads."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections import deque
from typing import TYPE_CHECKING

from tuneloop_api.contract.redaction import last_lines, redact
from tuneloop_api.contract.results import MOST_LAST_LINES
from tuneloop_api.contract.server_config import TERMINATION_MESSAGE_PATH
from tuneloop_api.contract.server_end import ServerEnd
from tuneloop_api.contract.termination import fit_termination_message
from tuneloop_api.wire.printable import PrintableFormatter, printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from tuneloop_api.contract.exit_codes import ExitCode
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.errors import CannotServe


class RecentLines(logging.Handler):
    """Keeps the newest lines of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=MOST_LAST_LINES)

    @classmethod
    def of_the_log(cls) -> Self:
        """Return the handler of all log lines from now on."""
        handler = cls()
        handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger().addHandler(handler)
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the lines of a record."""
        self.lines.extend(self.format(record).splitlines())


def say_why(error: CannotServe, config: ServerConfig | None, *, lines: Iterable[str]) -> ExitCode:
    """Say why the server cannot serve; return the exit code. config: None if it could not be read; lines: of the log."""
    message = printable(redact(str(error), os.environ))
    print(f"tuneloop-server: {message}", file=sys.stderr)
    end = ServerEnd(
        failure_class=error.failure_class,
        message=message,
        hint=printable(error.hint) or None,
        last_lines=last_lines([*lines, *_lines_of(error.__cause__)], environment=os.environ) or None,
    )
    _write(fit_termination_message(end), config.termination_message if config else None)
    return error.exit_code


def _lines_of(cause: BaseException | None) -> list[str]:
    """Return the traceback of what a library raised: the log has the one line alone."""
    return "".join(traceback.format_exception(cause)).splitlines() if cause else []


def _write(message: bytes, path: str | None) -> None:
    """Write the termination message. A container has the file; outside of one nothing is made in /dev."""
    create = 0 if path is None else os.O_CREAT
    try:
        file = os.open(path or TERMINATION_MESSAGE_PATH, os.O_WRONLY | os.O_TRUNC | create, 0o644)
    except OSError:
        return  # the kubelet takes the end of the log instead
    with os.fdopen(file, "wb") as opened:
        opened.write(message)
