"""The fence: a checkpoint of an attempt that has been replaced must not be committed any more."""

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
    """The file `ATTEMPT` beside the checkpoints: who may commit. Only rank 0 uses it.

    The attempt's number is not enough: a Job that was suspended and resumed by a queue starts the same attempt a second time.
    """

    def __init__(self, folder: Path, *, attempt: int) -> None:
        self._path = folder / FENCE
        self._attempt = attempt
        self._owner = uuid.uuid4().hex

    def take(self) -> None:
        """Close all earlier attempts out. Raises StorageError when a later one has started; OSError."""
        attempt, _ = self._read()
        if attempt > self._attempt:
            raise StorageError(f"{self._path}: attempt {attempt} has started; attempt {self._attempt} must not go on")
        replace_durably(self._path, json.dumps({"attempt": self._attempt, "owner": self._owner}).encode())

    def check(self) -> None:
        """Raise StorageError when somebody else has taken the fence since, or it is gone; OSError when it cannot be read."""
        attempt, owner = self._read()
        if not owner:
            raise StorageError(f"{self._path}: is gone or damaged: attempt {self._attempt} must not save any more")
        if owner != self._owner:
            raise StorageError(
                f"{self._path}: attempt {attempt} has started in another pod; this run of attempt {self._attempt} must not save any more"
            )

    def lost(self) -> str | None:
        """Return why this run must not save any more; None while it may, as far as can be read."""
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
        except (ValueError, KeyError, TypeError):  # damaged: it tells nothing, taking it anew mends it
            return 0, ""
