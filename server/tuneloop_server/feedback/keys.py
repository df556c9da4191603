"""The keys of tokens: follows the mounted Secret. A key is never logged and never in an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe
from tuneloop_server.feedback.token import Signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEAST_CHARACTERS = 32
MOST_KEYS = 4
LOOK_SECONDS = 5.0
"""How often the file is read again, at most."""
_EXAMPLE = "for example that of `openssl rand -hex 32`"
_log = logging.getLogger(__name__)


class Keys:
    """One key a line: the first signs, all are accepted. Where a new file cannot be used, the keys before stay."""

    def __init__(self, path: Path, *, namespace: str, deployment: str, clock: Callable[[], float]) -> None:
        """clock: monotonic seconds. Raises CannotServe if there is no key that can be used."""
        self._path = path
        self._namespace, self._deployment = namespace, deployment
        self._clock = clock
        self._problem = ""
        try:
            self._text = path.read_bytes()
            self._signer = self._signer_of(self._text)
        except (OSError, ValueError) as error:
            message = f"{path}: {_words(error)}; it is the key `keys` of the Secret {deployment}-feedback, which spec.feedback needs"
            raise CannotServe(message, exit_code=ExitCode.CONFIG) from None
        self._read_at = clock()

    def signer(self) -> Signer:
        """Return who signs now. The file is read again after some seconds."""
        if (now := self._clock()) - self._read_at >= LOOK_SECONDS:
            self._read_at = now
            self._refresh()
        return self._signer

    def _refresh(self) -> None:
        try:
            text = self._path.read_bytes()
            if text != self._text:
                self._signer = self._signer_of(text)
                _log.info("the keys of feedback have changed")
            self._text, self._problem = text, ""
        except (OSError, ValueError) as error:
            if (problem := _words(error)) != self._problem:
                _log.warning("%s: %s; the keys before stay", self._path, problem)
            self._problem = problem

    def _signer_of(self, text: bytes) -> Signer:
        return Signer(keys_of(text), namespace=self._namespace, deployment=self._deployment)


def keys_of(text: bytes) -> tuple[bytes, ...]:
    """Return the keys of a file. Raises ValueError, without showing a key."""
    keys = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not keys:
        raise ValueError(f"has no key; one key a line is expected, {_EXAMPLE}")
    if len(keys) > MOST_KEYS:
        raise ValueError(f"has {len(keys)} keys, and {MOST_KEYS} are allowed; the first signs")
    for number, key in enumerate(keys, start=1):
        if len(key) < LEAST_CHARACTERS:
            raise ValueError(
                f"key {number} has {len(key)} characters, at least {LEAST_CHARACTERS} are needed, {_EXAMPLE}"
            )
    return keys


def _words(error: OSError | ValueError) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
