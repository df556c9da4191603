"""From the configuration of a server to its feedback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.uris import object_path
from tuneloop_server.errors import CannotServe
from tuneloop_server.feedback.feedback import Feedback
from tuneloop_server.feedback.keys import Keys
from tuneloop_server.feedback.row_metrics import RowMetrics
from tuneloop_server.feedback.row_writer import RowWriter
from tuneloop_server.feedback.shards import Shards
from tuneloop_server.feedback.uploads import Uploads

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import FeedbackStore, ServerConfig
    from tuneloop_server.monitoring import Monitoring

SPOOL = "feedback"
"""Folder below HOME for rows on their way to a bucket. In a pod HOME is a volume of the pod: it stays while containers of the pod are killed and begin again."""
MOST_OBJECT_BYTES = 8 * 1024 * 1024
MOST_OBJECT_SECONDS = 600.0
"""Time for which rows are collected for an object: 144 objects a day and server at most."""
MOST_SPOOL_BYTES = 256 * 1024 * 1024
"""Of rows that wait on the disk of a pod."""


def feedback_of(config: ServerConfig, manifest: Manifest, monitoring: Monitoring) -> Feedback | None:
    """Return what gives out tokens and takes labels; None if the deployment takes no feedback. Raises CannotServe if there is no usable key, or an unknown kind of bucket."""
    if config.feedback is None:
        return None
    path = Path(config.feedback.keys_path)
    keys = Keys(path, namespace=config.namespace, deployment=config.name, clock=time.monotonic)
    store = config.feedback.store
    rows = None if store is None else row_writer_of(store, monitoring)
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


def row_writer_of(store: FeedbackStore, monitoring: Monitoring) -> RowWriter:
    """Return what writes rows to a claim or a bucket. Raises CannotServe for an unknown kind of bucket."""
    metrics = RowMetrics(monitoring)
    if store.folder is not None:
        shards = Shards(Path(store.folder), retention_seconds=store.retention_seconds)
        return RowWriter(shards, folder=Path(store.folder), redacts=store.redact, metrics=metrics)
    place = None if store.bucket is None else object_path(store.bucket)
    if place is None:
        message = f"feedback.store: {store.bucket} is no address of object storage that this server knows; for example s3://labels/feedback/reviews"
        raise CannotServe(message, exit_code=ExitCode.CONFIG)
    folder = Path.home() / SPOOL
    shards = Shards(
        folder,
        retention_seconds=store.retention_seconds,
        most_bytes=MOST_OBJECT_BYTES,
        most_seconds=MOST_OBJECT_SECONDS,
        most_bytes_of_all=MOST_SPOOL_BYTES,
    )
    uploads = Uploads(folder, place, retention_seconds=store.retention_seconds, metrics=metrics)
    return RowWriter(shards, folder=folder, redacts=store.redact, metrics=metrics, uploads=uploads)
