"""API keys: follows the mounted Secret, and writes what Envoy reads. A key is never logged."""

from __future__ import annotations

import re
from pathlib import Path

from tuneloop_router.envoy_config import api_keys
from tuneloop_router.files import write_json
from tuneloop_router.log import say

_KEY = re.compile(r"[!-~]{1,512}", re.ASCII)
"""What a header can carry."""
_MOST_KEYS = 100


class ApiKeyFile:
    """One key a line, so that an old and a new key can be valid at the same time. Without a key nobody is let in."""

    def __init__(self, source: str | None, *, target: str) -> None:
        self._source = None if source is None else Path(source)
        self._target = target
        self._text: bytes | None = None
        self._problem = ""
        self._keys: tuple[str, ...] | None = None

    def refresh(self) -> None:
        """Write the keys if they have changed. Where they cannot be used, those before stay."""
        try:
            text = b"" if self._source is None else self._source.read_bytes()
            if text != self._text:
                self._put(keys_of(text))
            self._text, self._problem = text, ""
        except (OSError, ValueError) as error:
            if self._keys is None:
                self._put(())
            problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if problem != self._problem:
                say(f"{self._source}: {problem}; {'the keys before stay' if self._keys else 'no key is valid'}")
            self._problem = problem

    def _put(self, keys: tuple[str, ...]) -> None:
        write_json(self._target, api_keys(keys))
        self._keys = keys


def keys_of(text: bytes) -> tuple[str, ...]:
    """Return the keys of a file. Raises ValueError, without showing a key."""
    try:
        lines = [line.strip() for line in text.decode("ascii").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not ASCII") from None
    keys = tuple(dict.fromkeys(filter(None, lines)))  # Envoy refuses a key that stands there twice
    if len(keys) > _MOST_KEYS:
        raise ValueError(f"{len(keys)} keys, and {_MOST_KEYS} are allowed")
    for number, line in enumerate(lines, start=1):
        if line and not _KEY.fullmatch(line):
            raise ValueError(f"line {number} is no key: 1 to 512 printable ASCII characters without spaces are allowed")
    return keys
