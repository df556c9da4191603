"""Feedback of one model server, in memory, with a clock of the test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from artifact import manifest_of
from prometheus_client import generate_latest

from tuneloop_api.contract.feedback_row import FeedbackRow
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.feedback.feedback import Feedback
from tuneloop_server.feedback.keys import Keys
from tuneloop_server.feedback.request import FeedbackItem
from tuneloop_server.feedback.row_metrics import RowMetrics
from tuneloop_server.feedback.row_writer import RowWriter
from tuneloop_server.feedback.shards import Shards
from tuneloop_server.feedback.start import MOST_OBJECT_SECONDS
from tuneloop_server.feedback.uploads import Uploads
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.tasks.task import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.feedback_row import FeedbackSource
    from tuneloop_api.wire.uris import ObjectPath

LABELS = ("negative", "neutral", "positive")
KEY = "k" * 32
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()


def rows_in(folder: Path) -> list[FeedbackRow]:
    """Return the rows of all files in a folder, those of a file in their order."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [FeedbackRow.from_wire(json.loads(line)) for line in lines]


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
    rows: Path | None = None
    """Folder for rows of feedback; None: counts alone are kept."""
    bucket: ObjectPath | None = None
    """Where files of rows are sent from that folder; None: they stay."""
    most_spool_bytes: int | None = None
    retention_seconds: int = 90 * 86_400
    text_rate: float = 1.0
    redacts: bool = False
    most_waiting_bytes: int = 1_000_000
    uploads: Uploads | None = field(init=False, default=None)
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
        self.writer = None if self.rows is None else self._writer(self.rows)
        self.feedback = Feedback(
            keys,
            revision=self.revision,
            labels=self.labels,
            monitoring=self.monitoring,
            rows=self.writer,
            text_rate=self.text_rate,
            clock=lambda: self.now,
        )

    def _writer(self, folder: Path) -> RowWriter:
        metrics = RowMetrics(self.monitoring)
        shards = Shards(
            folder,
            retention_seconds=self.retention_seconds,
            most_seconds=None if self.bucket is None else MOST_OBJECT_SECONDS,
            most_bytes_of_all=self.most_spool_bytes,
            clock=lambda: self.seconds,
        )
        if self.bucket is not None:
            self.uploads = Uploads(
                folder,
                self.bucket,
                retention_seconds=self.retention_seconds,
                metrics=metrics,
                clock=lambda: self.now,
            )
        return RowWriter(
            shards,
            folder=folder,
            redacts=self.redacts,
            metrics=metrics,
            uploads=self.uploads,
            most_bytes=self.most_waiting_bytes,
        )

    def predict(self, label: str = "positive", *, text: str = "a joy", confidence: float = 0.9) -> str:
        """Return the token of a prediction."""
        prediction = Prediction(label=label, confidence=confidence, calibrated_confidence=confidence, entropy=0.1)
        return self.feedback.token(prediction, text)

    def take(
        self,
        token: str,
        label: str | int | None = None,
        *,
        correct: bool | None = None,
        text: str | None = None,
        source: FeedbackSource = "client",
        client: str = "",
    ) -> tuple[int, int]:
        """Take one feedback; return (counted, repeated)."""
        item = FeedbackItem(token=token, label=label, correct=correct, input=text, source=source)
        return self.feedback.take([item], client=client)

    def say(self, token: str, **said: object) -> tuple[int, int]:
        """Take the feedback for a generated answer: score, correct, correction, input, form."""
        return self.feedback.take([FeedbackItem(token=token, **said)])  # type: ignore[arg-type]

    def written(self) -> list[FeedbackRow]:
        """Write what waits, and return all rows of the folder."""
        assert self.writer is not None
        assert self.rows is not None
        assert self.writer.flush()
        return rows_in(self.rows)

    def value(self, series: str) -> float:
        """Return the value of a series by its name and, behind `{`, its last label; 0 if it is not there."""
        name, _, label = series.partition("{")
        lines = [line for line in self.metrics.splitlines() if line.startswith(f"{name}{{") and label in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

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
