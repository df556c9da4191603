"""The recording rules, as Prometheus reads them."""

from __future__ import annotations

from importlib.resources import files


def recording_rules() -> str:
    """Return `recording_rules.yaml`. The chart has a copy (`charts/tuneloop/rules-files/`)."""
    return (files(__package__) / "recording_rules.yaml").read_text(encoding="utf-8")
