"""Posts progress to the operator from a thread: only the newest message is posted, and an unreachable operator never slows a stage."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tuneloop_api.contract.progress import ProgressMessage

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import ProgressEndpoint, RunConfig

LOG = logging.getLogger(__name__)
TIMEOUT_SECONDS = 5.0
INTERVAL_SECONDS = 0.5
"""Shortest time between two posts."""
CLOSE_SECONDS = 2.0
"""Longest time that `close` waits for the last message."""


class Posts(Protocol):
    """Takes the progress of a stage."""

    def post(self, **fields: Any) -> None:
        """Send these fields of `ProgressMessage` soon."""


class Reporter:
    """Posts the newest progress of a stage. Without an endpoint it does nothing."""

    def __init__(self, config: RunConfig) -> None:
        self._endpoint = config.progress
        self._stage, self._attempt = config.stage, config.attempt
        self._sequence = 0
        self._fields: dict[str, Any] | None = None
        self._closing = False
        self._unreachable = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        if config.progress is not None:
            self._thread = threading.Thread(target=self._run, args=(config.progress,), name="progress", daemon=True)
            self._thread.start()

    def post(self, **fields: Any) -> None:
        """Send these fields of `ProgressMessage` soon, in place of a message that still waits. Never blocks, never raises."""
        if self._thread is None:
            return
        with self._changed:
            self._fields = fields
            self._changed.notify()

    def close(self) -> None:
        """Send the last message within two seconds, and stop."""
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self, endpoint: ProgressEndpoint) -> None:
        not_before = 0.0
        while (fields := self._next(not_before)) is not None:
            not_before = time.monotonic() + INTERVAL_SECONDS
            self._sequence += 1
            try:
                self._send(endpoint, self._message(fields))
            except Exception as error:  # noqa: BLE001  (progress may be lost for any reason; the stage goes on)
                self._log_unreachable(endpoint, error)
            else:
                self._log_reachable(endpoint)

    def _next(self, not_before: float) -> dict[str, Any] | None:
        """Wait for the next message and return it; None when the reporter is closed and nothing waits."""
        with self._changed:
            while not self._closing and (self._fields is None or time.monotonic() < not_before):
                self._changed.wait(None if self._fields is None else max(0.0, not_before - time.monotonic()))
            fields, self._fields = self._fields, None
            return fields

    def _message(self, fields: dict[str, Any]) -> bytes:
        if unknown := sorted(
            fields.keys() - ProgressMessage.model_fields.keys()
        ):  # reading ignores such fields, writing must not
            raise TypeError(f"a progress message has no field {', '.join(unknown)}")
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = ProgressMessage(
            stage=self._stage, attempt=self._attempt, sequence=self._sequence, sent_at=sent_at, **fields
        )
        return json.dumps(message.to_wire(), separators=(",", ":")).encode()

    def _send(self, endpoint: ProgressEndpoint, body: bytes) -> None:
        token = Path(endpoint.token_path).read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(endpoint.url, data=body, headers=headers, method="POST")  # noqa: S310  (the operator's own address)
        with _opener(endpoint.ca_path).open(request, timeout=TIMEOUT_SECONDS) as reply:
            reply.read()

    def _log_unreachable(self, endpoint: ProgressEndpoint, error: Exception) -> None:
        if not self._unreachable:
            LOG.warning("progress cannot be posted to %s (%s); the stage goes on without", endpoint.url, error)
        self._unreachable = True

    def _log_reachable(self, endpoint: ProgressEndpoint) -> None:
        if self._unreachable:
            LOG.warning("progress is posted to %s again", endpoint.url)
        self._unreachable = False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the token must go nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener(ca_path: str | None) -> urllib.request.OpenerDirector:
    """Return an opener that ignores proxies, since the operator is in the cluster, and trusts only the given authority."""
    context = ssl.create_default_context(cafile=ca_path)
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
    )
