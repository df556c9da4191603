"""ServerConfig: what the operator tells a model server, as JSON in an immutable ConfigMap mounted at `/etc/tuneloop/server.json`.

The server never reads the custom resource: it reads this. The file belongs to one revision and never changes.
"""

from __future__ import annotations

from typing import Any, Literal

from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.model import MessageModel

SERVER_CONFIG_PATH = "/etc/tuneloop/server.json"
SERVER_PORT = 8080
METRICS_PORT = 8081
MOST_BODY_BYTES = 1024 * 1024
"""Of a request to our own server."""
UPLOAD_SECONDS = 20
"""For a server that ends to bring its last rows of feedback to a bucket, beyond the time for requests in flight."""
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
"""Where the kubelet looks for the last words of a container."""


class BatchingSettings(MessageModel):
    """How requests are grouped into forward passes (`spec.batching` with its defaults)."""

    max_batch_size: int = 16
    """Most texts in one forward pass."""
    max_delay_milliseconds: int = 5
    """Longest wait for more texts while the model is idle."""
    max_queue: int = 256
    """Texts that may wait; beyond it requests are answered 429 with Retry-After."""
    max_new_tokens: int | None = None
    """Most tokens of an answer, where the model generates text; None: what the context window has room for."""


class ServedAdapter(MessageModel):
    """An adapter that is served on the base model (`spec.adapters`)."""

    name: str
    """By which clients ask for it."""
    artifact_path: str
    """Folder of its artifact: `manifest.json` and `adapter/` lie in it. Mounted read-only."""
    artifact_uri: str
    """The same folder as `pvc://CLAIM/PATH`, for messages to users."""
    digest: str | None = None
    """`sha256:…` that the canonical manifest must have; None: take the manifest as it is."""


class FeedbackStore(MessageModel):
    """Where and how the server keeps rows of feedback (`FeedbackRow`)."""

    folder: str | None = None
    """Of this deployment, on a claim that the server may write to; it need not be there. None: rows go to `bucket`."""
    bucket: str | None = None
    """Address in object storage, such as `s3://labels/feedback/reviews`, below which the server makes an object of each file of rows; None: rows go to `folder`."""
    text_rate: float = 1.0
    """Part of the predictions whose text may be kept, by a random draw; 1: all."""
    redact: bool = True
    """Whether personal data is masked in texts."""
    retention_seconds: int = 90 * 86_400
    """How long the files of a day are kept after its end."""


class FeedbackSettings(MessageModel):
    """How the server signs the tokens of feedback (`spec.feedback`)."""

    keys_path: str
    """File with the keys, one a line: the first signs, all are accepted. A Secret, mounted read-only."""
    store: FeedbackStore | None = None
    """None: nothing is kept but counts."""


class ServerConfig(MessageModel):
    """Everything that a model server needs to know."""

    version: Literal[1] = 1
    namespace: str
    name: str
    """The ModelDeployment."""
    revision: str
    """Hash of the artifact and of these settings; part of the Deployment's name."""
    artifact_path: str
    """Folder of the artifact: `manifest.json`, `model/`, … lie in it; with adapters also that of a model in Hugging Face layout. Mounted read-only."""
    artifact_uri: str
    """The same folder as `pvc://CLAIM/PATH`, for messages to users."""
    digest: str | None = None
    """`sha256:…` that the canonical manifest must have; None: take the manifest as it is."""
    adapters: list[ServedAdapter] | None = None
    """None, never an empty list: a server of release 0.1.0 refuses a field that it does not know."""
    engine: str | None = None
    """What runs the model (`spec.runtime.engine`); None: torch. A text, not a choice: a server refuses a word that it does not know, and serves nothing else instead."""
    dtype: str | None = None
    """Numbers that the linear layers of `onnx` compute in (`spec.runtime.dtype`), `fp32` or `int8`, a text likewise; None: fp32."""
    gpus: int | None = None
    """Number of GPUs of the pod (`spec.resources.gpus`), the first of which computes; None: the CPU does."""
    batching: BatchingSettings = BatchingSettings()
    feedback: FeedbackSettings | None = None
    """None: predictions get no token, and no feedback is taken."""
    host: str = "0.0.0.0"  # noqa: S104  (a pod's port is reached through its Service; local mode sets 127.0.0.1)
    port: int = SERVER_PORT
    """Where the server listens; local mode may rewrite it."""
    metrics_port: int | None = None
    """Port of probes and metrics alone; None: everything is on `port`, as in release 0.1.0."""
    startup_seconds: int = 600
    """Time that loading may take."""
    drain_seconds: int = 45
    """Time that requests in flight get after SIGTERM."""
    termination_message: str | None = None
    """File in which the server says why it cannot serve (`ServerEnd`); local mode sets it. None, never written by the operator: that of a container."""


IDENTITY_VERSION = 1
"""Counted up by hand where a default or the meaning of a field changes, so that servers are replaced by a new revision."""
_IDENTITY_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "batching": {"maxBatchSize": 16, "maxDelayMilliseconds": 5, "maxQueue": 256},
    "host": "0.0.0.0",  # noqa: S104
    "port": SERVER_PORT,
    "startupSeconds": 600,
    "drainSeconds": 45,
}
"""The defaults of release 0.1.0, which hashed them. The list never changes: a field that was added later counts where it differs from its default."""


def revision_of(config: ServerConfig, *, pod: list[Any]) -> str:
    """Return 8 hex digits that name the artifact, these settings and what else makes a pod of the revision.

    A new field with a default changes no revision, so that an upgrade of the operator replaces no server.
    """
    wire = config.non_defaults()
    batching = _IDENTITY_DEFAULTS["batching"] | wire.get("batching", {})
    version = {"identityVersion": IDENTITY_VERSION} if IDENTITY_VERSION > 1 else {}
    return digest_of([_IDENTITY_DEFAULTS | wire | {"batching": batching, "revision": ""} | version, *pod])[:8]
