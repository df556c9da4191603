"""What a router is told, and how it asks for more: its settings in a mounted file, and the split of the requests by a long poll.

A router never reads the custom resource, and the operator never writes Envoy's configuration: the split is all that passes between them.
"""

from __future__ import annotations

from typing import Literal

from tuneloop_api.wire.model import MessageModel

ROUTER_SETTINGS_PATH = "/etc/tuneloop/router.json"
START_SPLIT_PATH = "/etc/tuneloop/split.json"
ROUTER_PORT = 8080
ROUTER_METRICS_PORT = 8081
ROUTER_MEMORY_BYTES = 512 * 1024 * 1024
"""What the pod of a router may take. The operator writes it as the pod's limit, and a router keeps below it whatever its clients do."""
LONGEST_HOLD_SECONDS = 30
"""For an answer to a poll if there is nothing new."""
CANARY_HOLD_SECONDS = 5
"""The same while a canary gets requests: each poll reports how many it has answered."""
MOST_COUNTED_REVISIONS = 8
"""Of which a poll may report requests. A split has four at most."""
LONGEST_REASON = 1024
"""Characters of the reason why a router refuses a split."""
CLIENT_HEADER = "x-tuneloop-client"
"""Names the client of feedback. A router that asks for keys writes it, as `key-` and the line of the key; else it is what the sender says."""
RETRY_HEADER = "x-tuneloop-retry"
"""In an answer 503 of a server: the request was not begun, and another server may be asked. Routers do so; to the comparator no server is there."""


class RoutedRevision(MessageModel):
    """A revision that gets requests, or takes them over."""

    name: str
    host: str
    port: int
    weight: int
    """Percent of the requests. The weights of a split make 100."""
    health_path: str | None = None
    """Path at which its servers say that they are ready; None: that of our own server, `/readyz`."""
    only_once: bool | None = None
    """Whether a request that its servers may have begun is never made again; None: it may be, since a prediction of our own server changes nothing."""


class StickyHeader(MessageModel):
    """Requests with the same value of a header go to the same revision."""

    header: str
    salt: str
    """Changes with each roll-out; otherwise the same users would always be the first on a new revision."""


class ShadowTarget(MessageModel):
    """Where copies of requests go."""

    host: str
    port: int
    percent: int


class RateLimit(MessageModel):
    """Requests that one router lets through."""

    requests_per_second: float
    burst: int | None = None


class RouterLimits(MessageModel):
    """What a client may ask for. A field that is absent has the router's own default."""

    body_bytes: int | None = None
    idle_seconds: int | None = None
    """A request on which no byte moves for so long is ended."""
    per_try_idle_seconds: int | None = None
    """A revision that sends no byte for so long is given up, and the request is made again where it may be."""
    rate_limit: RateLimit | None = None
    api_key: bool = False
    """Whether a request needs one of the keys of the router's key file."""


class RouterSplit(MessageModel):
    """Where the routers of a deployment are to send requests. Generations only grow."""

    generation: int
    deployment: str
    revisions: list[RoutedRevision]
    """Newest first, stable last."""
    sticky: StickyHeader | None = None
    shadow: ShadowTarget | None = None
    limits: RouterLimits = RouterLimits()


class OperatorAddress(MessageModel):
    """Where a router asks for its split, and how each proves who it is."""

    url: str
    ca_path: str
    token_path: str


class RouterSettings(MessageModel):
    """How one router runs; it stays as it is for the life of the process."""

    version: Literal[1] = 1
    deployment: str
    folder: str
    """Where the router and Envoy keep their files."""
    split_path: str = START_SPLIT_PATH
    """The split to start with."""
    host: str = "0.0.0.0"  # noqa: S104  (a pod's port is reached through its Service; local mode sets 127.0.0.1)
    port: int = ROUTER_PORT
    metrics_port: int = ROUTER_METRICS_PORT
    operator: OperatorAddress | None = None
    """None: the split never changes."""
    api_keys_path: str | None = None
    """A file with one key a line."""
    memory_bytes: int = ROUTER_MEMORY_BYTES
    """That router and Envoy may take together."""
    drain_seconds: int = 45
    """Longest time from SIGTERM to the end."""
    quiet_seconds: int = 5
    """Shortest time from SIGTERM to the end: other proxies learn meanwhile that this one goes."""


def split_path(namespace: str, name: str) -> str:
    """Return the path of the operator at which the routers of a deployment ask for their split."""
    return f"/v1/namespaces/{namespace}/modeldeployments/{name}/split"
