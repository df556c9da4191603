"""`PlayedRouters` plays the routers of one namespace on a control plane: each pod asks the operator for its split with a token of its own, and counts requests.

    with PlayedRouters(client, "reviews", operator) as routers:
        ...
        routers.requests_per_poll = 1000
        routers.operator = the_next_one

No request is made: by each poll so many are counted as answered, divided by the weights that are in force.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tuneloop_api.contract.router import split_path
from tuneloop_api.wire.names import token_audience

if TYPE_CHECKING:
    from namespace_client import NamespaceClient
    from operator_process import RunningOperator

Manifest = dict[str, Any]
_PAUSE_SECONDS = 0.15


@dataclass
class _Router:
    token: str
    split: Manifest = field(default_factory=dict)
    """In force; empty: none yet."""
    answered: Counter[str] = field(default_factory=Counter)
    """By revision, since the split is in force."""

    @property
    def query(self) -> str:
        counts = ",".join(f"{name}:{count}" for name, count in self.answered.items())
        return f"inForce={self.split.get('generation', 0)}&hold=0" + (f"&requests={counts}" if counts else "")

    def count(self, requests: int) -> None:
        for revision in self.split.get("revisions", ()):
            self.answered[revision["name"]] += requests * revision["weight"] // 100

    def take(self, split: Manifest) -> None:
        self.split, self.answered = split, Counter()


class PlayedRouters:
    """As a context manager it plays inside. An operator that does not answer is asked again."""

    def __init__(self, client: NamespaceClient, name: str, operator: RunningOperator) -> None:
        """name: of the ModelDeployment. client: is used by a thread of this object alone."""
        self.operator = operator
        """Whom routers ask; may be changed."""
        self.requests_per_poll = 100
        """That a router counts; may be changed."""
        self.splits: list[Manifest] = []
        """Those that some router took, the oldest first."""
        self._client, self._name = client, name
        self._routers: dict[str, _Router] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="played-routers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE_SECONDS):
            for pod in self._client.all("Pod"):
                if _is_running_router(pod):
                    self._poll(self._router_of(pod))

    def _router_of(self, pod: Manifest) -> _Router:
        metadata = pod["metadata"]
        if metadata["uid"] not in self._routers:
            self._routers[metadata["uid"]] = _Router(self._token_of(metadata))
        return self._routers[metadata["uid"]]

    def _token_of(self, pod: Manifest) -> str:
        """Return what the kubelet would mount into the pod."""
        owner = self._client.stored("ModelDeployment", self._name)["metadata"]["uid"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        asked = {"spec": {"audiences": [token_audience(owner)], "expirationSeconds": 3600, "boundObjectRef": bound}}
        path = f"/api/v1/namespaces/{self._client.namespace}/serviceaccounts/default/token"
        return str(self._client.request("POST", path, asked).body["status"]["token"])

    def _poll(self, router: _Router) -> None:
        router.count(self.requests_per_poll)
        split = self._split_for(router)
        if split is not None:
            router.take(split)
            self.splits.append(split)

    def _split_for(self, router: _Router) -> Manifest | None:
        operator = self.operator
        trusting = ssl.create_default_context(cafile=f"{operator.environment['TUNELOOP_TLS_DIRECTORY']}/ca.crt")
        url = f"https://localhost:{operator.router_port}{split_path(self._client.namespace, self._name)}?{router.query}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {router.token}"})
        try:
            with urllib.request.urlopen(request, context=trusting, timeout=20) as reply:
                return json.loads(reply.read())
        except (urllib.error.HTTPError, OSError):  # nothing new, or nobody who leads
            return None


def _is_running_router(pod: Manifest) -> bool:
    metadata = pod["metadata"]
    is_ready = any(
        found["type"] == "Ready" and found["status"] == "True" for found in pod["status"].get("conditions", ())
    )
    return (
        metadata["labels"].get("tuneloop.dev/component") == "router"
        and is_ready
        and "deletionTimestamp" not in metadata
    )
