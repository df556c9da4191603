"""`MANIFEST.json`: what a committed checkpoint holds; and the names of folders and files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.model import MessageModel

MANIFEST = "MANIFEST.json"
FOLDER = re.compile(r"step-(?P<step>\d{8,})-a(?P<attempt>\d+)")
WRITING = ".tmp"
DELETING = ".trash"
SUSPECT = ".suspect"
"""Committed, but training that went on from it came to a loss that is not finite."""


@dataclass(frozen=True)
class TrainState:
    """Where training stands, beside the weights: JSON values, finite numbers only."""

    step: int
    """Optimizer steps that were made."""
    data: dict[str, Any] = field(default_factory=dict)
    """Position in the data."""
    best: dict[str, Any] | None = None
    early_stop: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class SavedFile(MessageModel):
    """One file of a checkpoint."""

    name: str
    size: int
    sha256: str


class State(MessageModel):
    """`TrainState` in the manifest."""

    data: dict[str, Any]
    best: dict[str, Any] | None = None
    early_stop: dict[str, Any] | None = None
    extra: dict[str, Any]


class Manifest(MessageModel):
    """Written last; a folder without one that verifies is no checkpoint."""

    version: Literal[1] = 1
    step: int
    attempt: int
    saved_at: str
    """RFC 3339, UTC."""
    config_hash: str
    """`run_identity`."""
    frozen: str
    """`Engine.frozen_digest()`: the parameters that were not trained, and so are not here."""
    adam_step: int
    state: State
    facts: dict[str, Any]
    """What must be the same for the next steps to be the same to the last bit."""
    files: list[SavedFile]

    @property
    def folder_name(self) -> str:
        """Name of the folder that this manifest belongs in."""
        return folder_name(self.step, self.attempt)

    @property
    def train_state(self) -> TrainState:
        """The state to go on from."""
        state = self.state
        return TrainState(self.step, state.data, state.best, state.early_stop, state.extra)

    def encode(self) -> bytes:
        """Return the only bytes that a manifest with this content may have, with a digest of itself: any change shows."""
        return _encoded(self.to_wire())

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Read what `encode` wrote. Raises ValueError for anything else."""
        wire = json.loads(content)
        if not isinstance(wire, dict):
            raise ValueError("it is no manifest")  # noqa: TRY004  (one error for all that is wrong with a file)
        wire.pop("digest", None)
        manifest = cls.from_wire(wire)
        if _encoded(wire) != content:  # all that was written, fields of a later release included
            raise ValueError("it differs from what was written")
        return manifest


def _encoded(wire: dict[str, Any]) -> bytes:
    return (json.dumps(wire | {"digest": digest_of(wire)}, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def run_identity(config_hash: str, *, dataset_digest: str, model_revision: str) -> str:
    """Return the hash of all that a checkpoint must have in common with a run that goes on from it, 16 hex digits."""
    return digest_of([config_hash, dataset_digest, model_revision])[:16]


def folder_name(step: int, attempt: int) -> str:
    """Return the name of a committed checkpoint's folder."""
    return f"step-{step:08d}-a{attempt}"


def order(name: str) -> tuple[int, int] | None:
    """Return what sorts committed folders from old to new, (attempt, step); None for any other name.

    The attempt comes first: what a later attempt saved is newer, even if it had to start further back.
    """
    match = FOLDER.fullmatch(name)
    return (int(match["attempt"]), int(match["step"])) if match else None
