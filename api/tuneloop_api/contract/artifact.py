"""The published artifact: `manifest.json` beside `model/` (Hugging Face layout), `adapter/`, `README.md`.

The artifact's digest is the SHA-256 of the canonical manifest, and the manifest holds the SHA-256 of every file: whoever checks
the one and then the others has checked it all. It finds damage and mix-ups; it is no signature.
"""

from __future__ import annotations

from typing import Any, Literal

from tuneloop_api.contract.defaults import digest_of
from tuneloop_api.contract.results import Measured
from tuneloop_api.wire.model import WireModel

MANIFEST = "manifest.json"


class ArtifactFile(WireModel):
    """One file of the artifact."""

    path: str
    """Path inside the artifact, with `/`."""
    size: int
    sha256: str


class Manifest(WireModel):
    """`manifest.json`."""

    schema_version: Literal[1] = 1
    name: str
    """The FineTuneJob that made it."""
    task: str
    """Hugging Face task id, as in `spec.task`."""
    base_model: str
    """`spec.model.uri`."""
    labels: list[str]
    """Class names in the order of their ids."""
    max_tokens: int
    """Longer texts were cut to this many tokens in training; the server does the same."""
    temperature: float
    """Divide logits by this for calibrated confidence; fitted on the validation split."""
    metrics: list[Measured]
    lineage: dict[str, Any]
    files: list[ArtifactFile]

    def digest(self) -> str:
        """Return `sha256:` and the SHA-256 of the canonical form."""
        return "sha256:" + digest_of(self.to_wire())
