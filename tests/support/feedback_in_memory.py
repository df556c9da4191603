"""Feedback of one model server, in memory, with a clock of the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from artifact import manifest_of
from prometheus_client import generate_latest

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.feedback.feedback import Feedback
from tuneloop_server.feedback.keys import Keys
from tuneloop_server.feedback.request import FeedbackItem
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.tasks.task import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS = ("negative", "neutral", "positive")
KEY = "k" * 32
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()


@dataclass
class FeedbackServer:
    """What a server process of a revision has of feedback."""

    folder: Path
    revision: str = "7d1f0b2c"
    deployment: str = "reviews"
    labels: Sequence[str] = LABELS
    keys: str = KEY
    now: float = NOON
    seconds: float = 0.0
    monitoring: Monitoring = field(init=False)
    feedback: Feedback = field(init=False)

    def __post_init__(self) -> None:
        self.file = self.folder / f"{self.deployment}-{self.revision}-keys"
        self.file.write_text(self.keys)
        keys = Keys(self.file, namespace="team", deployment=self.deployment, clock=lambda: self.seconds)
        config = ServerConfig(
            namespace="team", name=self.deployment, revision=self.revision, artifact_path="/m", artifact_uri="pvc://m/m"
        )
        self.monitoring = Monitoring(config, manifest_of(self.labels), label_names=self.labels)
        self.feedback = Feedback(
            keys, revision=self.revision, labels=self.labels, monitoring=self.monitoring, clock=lambda: self.now
        )

    def predict(self, label: str = "positive", *, confidence: float = 0.9) -> str:
        """Return the token of a prediction."""
        return self.feedback.token(
            Prediction(label=label, confidence=confidence, calibrated_confidence=confidence, entropy=0.1)
        )

    def take(self, token: str, label: str | int | None = None, *, correct: bool | None = None) -> tuple[int, int]:
        """Take one feedback; return (counted, repeated)."""
        return self.feedback.take([FeedbackItem(token=token, label=label, correct=correct)])

    def rotate(self, keys: str) -> None:
        """Change the mounted keys, and let the time pass after which they are read."""
        self.file.write_text(keys)
        self.seconds += 60

    @property
    def metrics(self) -> str:
        """What Prometheus reads."""
        return generate_latest(self.monitoring.registry).decode()

    def count(self, metric: str, *, day: str = "2026-11-30", predicted_by: str | None = None) -> float:
        """Return the value of a cohort's series; 0 if it is not there."""
        by = predicted_by or self.revision
        ends = f'day="{day}"', f'predicted_by="{by}"'
        lines = [
            line
            for line in self.metrics.splitlines()
            if line.startswith(f"{metric}{{") and all(e in line for e in ends)
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
