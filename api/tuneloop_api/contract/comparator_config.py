"""ComparatorConfig: what the operator tells a comparator, as JSON in an immutable ConfigMap mounted at `/etc/tuneloop/comparator.json`.

A file is for one pair of revisions: another pair is another file and another process, so that the counts of two pairs never mix.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneloop_api.contract.server_config import METRICS_PORT, SERVER_PORT
from tuneloop_api.wire.model import MessageModel

COMPARATOR_CONFIG_PATH = "/etc/tuneloop/comparator.json"


class RevisionAddress(MessageModel):
    """Where a revision answers."""

    name: str
    host: str
    port: int = SERVER_PORT


class ComparatorLimits(MessageModel):
    """What a comparator may cost: itself, and the revisions that it asks."""

    requests_per_second: float = 50.0
    """Most copies of live requests that are taken. Each asks each revision once."""
    golden_requests_per_second: float = 50.0
    """Most golden rows that are begun while a replay runs."""
    concurrency: int = 4
    """Most pairs under way, of both kinds together."""
    queue_requests: int = 256
    """Copies that may wait. Further ones are dropped and counted."""
    queue_bytes: int = 16 * 1024 * 1024
    """Bytes of all bodies that arrive, wait or are being compared."""
    body_bytes: int = 1024 * 1024
    """Largest body of a copy."""
    answer_bytes: int = 2 * 1024 * 1024
    """Largest answer that is read. More is a failure of the revision."""
    answer_seconds: float = 10.0
    """Longest time for one answer, connection included."""
    generated_answer_seconds: float = 120.0
    """The same where the models generate text. Servers of ours give a comparator at most 256 tokens."""


class GoldenSet(MessageModel):
    """Requests whose right answers are known: JSON lines `{"inputs": "A fine film.", "label": "positive"}`; `label` may be absent."""

    path: str
    times: int = 0
    """Replays that begin by themselves; more are asked for at the control port."""
    max_bad_fraction: float = 0.01
    """With a greater share of rows that cannot be used the set is refused."""


class ComparatorConfig(MessageModel):
    """Everything that a comparator needs to know."""

    version: Literal[1] = 1
    namespace: str
    name: str
    """The ModelDeployment."""
    task: str = ""
    """Hugging Face task id of both revisions. Empty: the comparator asks their servers for task and labels before it begins."""
    labels: list[str] = Field(default=[])
    """Labels of the models, in the order of their ids."""
    tolerance: float = 0.0
    """Predicted numbers that lie no further apart agree, in their unit; 0 where the models have classes."""
    stable: RevisionAddress
    canary: RevisionAddress
    host: str = "0.0.0.0"  # noqa: S104  (a pod's port is reached through its Service; local mode sets 127.0.0.1)
    port: int = SERVER_PORT
    """Where Envoy sends copies."""
    control_port: int = METRICS_PORT
    """Where probes, metrics and counts are, and where replays are asked for."""
    limits: ComparatorLimits = ComparatorLimits()
    warm_up_pairs: int = 20
    """Pairs that both revisions answer before their times are compared: first requests meet cold caches."""
    golden: GoldenSet | None = None
    drain_seconds: int = 30
    """Time from SIGTERM to the end; pairs under way are finished within it."""
