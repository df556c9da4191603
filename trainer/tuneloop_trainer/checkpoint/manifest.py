"""The manifest of a checkpoint, and the names of its folder and files."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, Self

from pydantic import Field

from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.model import MessageModel

MANIFEST = "MANIFEST.json"
FOLDER = re.compile(r"step-(?P<step>\d{8,})-a(?P<attempt>\d+)")
WRITING = ".tmp"
DELETING = ".trash"
REPLACED = ".replaced"
"""Suffix of a checkpoint whose step is saved again, until the new one has its name."""
QUARANTINED = ".suspect"
"""Suffix of a quarantined checkpoint: it was committed, but training that resumed from it came to a loss that is not finite."""


class SavedFile(MessageModel):
    """One file of a checkpoint."""

    name: str
    size: int
    sha256: str


class TrainState(MessageModel):
    """The state of a training run that is neither weights nor moments. JSON values; all numbers are finite."""

    data: dict[str, Any] = Field(default_factory=dict)
    """How far the run has read in its data."""
    best: dict[str, Any] | None = None
    """The best evaluation so far."""
    early_stop: dict[str, Any] | None = None
    """What early stopping has counted so far."""
    extra: dict[str, Any] = Field(default_factory=dict)


class Manifest(MessageModel):
    """What a checkpoint holds. It is written last: a folder without a manifest that verifies is no checkpoint."""

    version: Literal[1] = 1
    step: int
    attempt: int
    saved_at: str
    """RFC 3339, UTC."""
    config_hash: str
    """`run_identity`."""
    frozen: str
    """`Engine.frozen_digest()`: the digest of the parameters that are not trained, which no file of the checkpoint holds."""
    adam_step: int
    state: TrainState
    fingerprint: dict[str, Any] = Field(alias="facts")
    """What must be equal for the next steps to repeat those of an uninterrupted run to the last bit."""
    files: list[SavedFile]

    @property
    def folder_name(self) -> str:
        """Name of the folder that this manifest belongs in."""
        return folder_name(self.step, self.attempt)

    def encode(self) -> bytes:
        """Return the only bytes that a manifest with this content may have, with a digest of itself: any change shows."""
        return _encoded(self.to_wire())

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Read what `encode` wrote. Raises ValueError for anything else."""
        wire = json.loads(content)
        if not isinstance(wire, dict):
            raise ValueError("it is no manifest")  # noqa: TRY004  (a file that is wrong in any way is one kind of error)
        wire.pop("digest", None)
        manifest = cls.from_wire(wire)
        if _encoded(wire) != content:  # all that was written, fields of a later release included
            raise ValueError("it differs from what was written")
        return manifest


def _encoded(wire: dict[str, Any]) -> bytes:
    return (json.dumps(wire | {"digest": digest_of(wire)}, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def run_identity(config_hash: str, *, dataset_digest: str, model_revision: str) -> str:
    """Return the hash of the settings, data and model that a checkpoint shares with every run that may resume from it; 16 hex digits."""
    return digest_of([config_hash, dataset_digest, model_revision])[:16]


def folder_name(step: int, attempt: int) -> str:
    """Return the name of a committed checkpoint's folder."""
    return f"step-{step:08d}-a{attempt}"


def order(name: str) -> tuple[int, int] | None:
    """Return the key (attempt, step) that sorts committed folders from old to new; None for any other name.

    The attempt comes first: a checkpoint of a later attempt is newer, even if that attempt had to start further back.
    """
    match = FOLDER.fullmatch(name)
    return (int(match["attempt"]), int(match["step"])) if match else None
