"""From the configuration of a server to its feedback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_server.feedback.feedback import Feedback
from tuneloop_server.feedback.keys import Keys
from tuneloop_server.feedback.row_writer import RowWriter
from tuneloop_server.feedback.shards import Shards

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import FeedbackStore, ServerConfig
    from tuneloop_server.monitoring import Monitoring


def feedback_of(config: ServerConfig, manifest: Manifest, monitoring: Monitoring) -> Feedback | None:
    """Return what gives out tokens and takes labels; None if the deployment takes no feedback. Raises CannotServe if there is no usable key."""
    if config.feedback is None:
        return None
    path = Path(config.feedback.keys_path)
    keys = Keys(path, namespace=config.namespace, deployment=config.name, clock=time.monotonic)
    store = config.feedback.store
    rows = None if store is None else _row_writer(store, monitoring)
    if rows is not None:
        rows.start()
    return Feedback(
        keys,
        revision=config.revision,
        labels=manifest.labels,
        monitoring=monitoring,
        rows=rows,
        text_rate=0.0 if store is None else store.text_rate,
    )


def _row_writer(store: FeedbackStore, monitoring: Monitoring) -> RowWriter:
    folder = Path(store.folder)
    shards = Shards(folder, retention_seconds=store.retention_seconds)
    return RowWriter(shards, folder=folder, redacts=store.redact, monitoring=monitoring)
