"""The fence: keeps an attempt that was replaced from committing checkpoints."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from tuneloop_trainer.durable import replace_durably
from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

FENCE = "ATTEMPT"


class Fence:
    """The file `ATTEMPT` beside the checkpoints. It names the run that may commit. Only rank 0 uses it.

    The number of the attempt is not enough: after a queue has suspended and resumed a Job, the same attempt runs a second time.
    """

    def __init__(self, folder: Path, *, attempt: int) -> None:
        self._path = folder / FENCE
        self._attempt = attempt
        self._owner = uuid.uuid4().hex

    def take(self) -> None:
        """Let no earlier run commit any more. Raises StorageError when a later attempt has started; OSError."""
        attempt, _ = self._read()
        if attempt > self._attempt:
            raise StorageError(f"{self._path}: attempt {attempt} has started; attempt {self._attempt} must not go on")
        replace_durably(self._path, json.dumps({"attempt": self._attempt, "owner": self._owner}).encode())

    def check(self) -> None:
        """Raise StorageError when another run has taken the fence, or the fence is gone; OSError when the fence cannot be read."""
        attempt, owner = self._read()
        if not owner:
            raise StorageError(f"{self._path}: is gone or damaged: attempt {self._attempt} must not save any more")
        if owner != self._owner:
            raise StorageError(
                f"{self._path}: attempt {attempt} has started in another pod; this run of attempt {self._attempt} must not save any more"
            )

    def lost(self) -> str | None:
        """Return why this run must not save any more; None while it may, and where the fence cannot be read."""
        try:
            self.check()
        except StorageError as error:
            return error.message
        except OSError:
            return None
        return None

    def _read(self) -> tuple[int, str]:
        try:
            found = json.loads(self._path.read_bytes())
            return int(found["attempt"]), str(found["owner"])
        except FileNotFoundError:
            return 0, ""
        except (ValueError, KeyError, TypeError):  # a damaged fence names nobody; the next `take` replaces it
            return 0, ""
