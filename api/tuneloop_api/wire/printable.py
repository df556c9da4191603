r"""Makes text safe for a terminal: control characters and characters that change the direction of text become escapes such as `\x1b`."""

from __future__ import annotations

import logging
import re
from typing import Any

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""All control characters but tab and line feed; embeddings, overrides and isolates of direction; separators; half surrogate pairs."""


def printable(text: str) -> str:
    """Return the text with escapes in place of unsafe characters. Tabs and line breaks stay; a plain text stays as it is."""
    return _UNSAFE.sub(_escaped, text)


class PrintableFormatter(logging.Formatter):
    """Formats log lines, tracebacks among them, for terminals."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Write log lines of level INFO and above to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def printable_values(value: Any) -> Any:
    """Return JSON data with printable texts and names: a label may be a name."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_values(item) for item in value]
    if isinstance(value, dict):
        return {printable(name): printable_values(item) for name, item in value.items()}
    return value


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
