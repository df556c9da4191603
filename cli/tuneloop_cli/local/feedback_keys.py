"""The keys of feedback on this machine, in place of the Secret that a user makes in a cluster."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tuneloop_cli.local.cluster.object_files import replace_file
from tuneloop_operator.desired.model_deployment.feedback import KEYS

if TYPE_CHECKING:
    from pathlib import Path


def make_feedback_keys(folder: Path) -> None:
    """Write a key, unless there is one: tokens of an earlier session stay valid."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / KEYS).exists():
        replace_file(folder / KEYS, secrets.token_hex(32).encode(), mode=0o600)
