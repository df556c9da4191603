"""What is checked before any GPU is held: `spec.preflight`."""

from __future__ import annotations

from tuneloop_api.wire.model import SpecModel


class Preflight(SpecModel):
    """What is checked before any GPU is held."""

    dry_run: bool | None = None
    """Whether the job ends after its preparation: model, data, space and memory are checked, the plan is in `status.resolved`, and nothing is trained. Default: false."""
    rehearsal: bool | None = None
    """Whether `prepare` trains a small model for two steps, exports and loads it. Default: true."""
