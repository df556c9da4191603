"""Log lines for machines: one JSON object a line with its traceback, so that no collector splits them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from tuneloop_api.wire.printable import printable


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time (RFC 3339 in UTC), level, logger, message, and the traceback if there is one, as JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False)
        return text if printable(text) == text else json.dumps(line)


def write_logs(level: str) -> None:
    """Write log lines of this level and above to stderr. kopf logs each handler at INFO; only its warnings are kept."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if level != "DEBUG":
        logging.getLogger("kopf").setLevel(logging.WARNING)
