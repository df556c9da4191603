"""`Split`: what the operator wants of a router. It says where requests go and within which limits; it is never Envoy's configuration.

Each value is checked here and stands in Envoy's configuration only as a value, so that a message can add no listener and name no file.

    {"generation": 12, "deployment": "reviews",
     "revisions": [{"name": "reviews-7d1f", "host": "reviews-7d1f.team.svc", "port": 8080, "weight": 5},
                   {"name": "reviews-03ab", "host": "reviews-03ab.team.svc", "port": 8080, "weight": 95}],
     "sticky": {"header": "x-user", "salt": "rollout-3"},
     "shadow": {"host": "reviews-comparator.team.svc", "port": 8080, "percent": 10},
     "limits": {"bodyBytes": 4194304, "idleSeconds": 300, "perTryIdleSeconds": 30,
                "rateLimit": {"requestsPerSecond": 20, "burst": 40}, "apiKey": true}}

`sticky`, `shadow`, `limits` and each field of `limits` may be absent. A revision whose servers are not ours has `healthPath`, where they say that they are ready, and
`"onlyOnce": true`: a request that one of them may have begun is not made again.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Any

from tuneloop_router.errors import BadMessage
from tuneloop_router.fields import Fields, TextRule

MOST_REVISIONS = 4
"""A stable one, a canary, and one that replaces it on the way. Each costs about 36 series of metrics."""
LARGEST_GENERATION = 2**53 - 1
"""Every JSON parser reads numbers up to here exactly."""
READYZ = "/readyz"
"""Of our own model server."""
DEFAULT_BODY_BYTES = 4 << 20
DEFAULT_IDLE_SECONDS = 300
KEY_HEADERS = ("authorization", "x-api-key")
"""Headers that carry an API key. They are removed before a request goes on."""
CLIENT_HEADER = "x-tuneloop-client"
"""Says to a server whose key it was."""

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_HOST_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_HEADER = re.compile(r"[a-z0-9]([-a-z0-9]{0,62}[a-z0-9])?", re.ASCII)
_SALT = re.compile(r"[a-z0-9-]{0,64}", re.ASCII)
_NOT_STICKY = frozenset(
    {*KEY_HEADERS, "connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OURS = ("x-envoy-", "x-tuneloop-")


def _is_host(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text).is_unspecified is False
    except ValueError:
        labels = text.removesuffix(".").split(".")
        # a last label of digits would be read as an address of another notation
        return len(text) <= 253 and all(map(_HOST_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


NAME = TextRule.of(
    _LABEL, allowed="1 to 63 lower-case letters, digits and dashes, a letter first (RFC 1035)", example="reviews-7d1f"
)
HOST = TextRule("a host name in lower case, or an IPv4 address", "reviews-7d1f.team.svc", _is_host)
HEADER = TextRule(
    "the name of a header in lower case, of 1 to 64 letters, digits and dashes; no header that carries a key or the connection's state",
    "x-user",
    lambda text: _HEADER.fullmatch(text) and text not in _NOT_STICKY and not text.startswith(_OURS),
)
HEALTH_PATH = TextRule.of(
    re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII),
    allowed="the path of a URL, of letters, digits, ., _, ~ and -, without a query",
    example="/health",
)
SALT = TextRule.of(_SALT, allowed="up to 64 lower-case letters, digits and dashes", example="rollout-3")


@dataclass(frozen=True)
class Revision:
    """One immutable version of the model, behind its own address."""

    name: str
    host: str
    port: int
    weight: int
    """Percent of the requests."""
    health_path: str = READYZ
    """Where its servers say whether they are ready."""
    only_once: bool = False
    """Whether a request that its servers may have begun is never made again: nobody knows that it changes nothing."""


@dataclass(frozen=True)
class Sticky:
    """Requests with the same value of a header go to the same revision."""

    header: str
    salt: str
    """Changes with each roll-out; otherwise the same users would always be the first on a new revision."""


@dataclass(frozen=True)
class Shadow:
    """Where copies of requests go, and how many of 100."""

    host: str
    port: int
    percent: int


@dataclass(frozen=True)
class RateLimit:
    """Requests that one proxy lets through."""

    requests_per_second: float
    burst: int


@dataclass(frozen=True)
class Limits:
    """What a client may ask for."""

    body_bytes: int = DEFAULT_BODY_BYTES
    idle_seconds: int = DEFAULT_IDLE_SECONDS
    """A request on which no byte moves for so long is ended."""
    per_try_idle_seconds: int | None = None
    """A revision that sends no byte for so long is given up, and the request is made again where it may be. None: never."""
    rate_limit: RateLimit | None = None
    api_key: bool = False
    """Whether a request needs one of the keys of the router's key file."""


@dataclass(frozen=True)
class Split:
    """What the operator wants. Generations only grow."""

    generation: int
    deployment: str
    revisions: tuple[Revision, ...]
    """Newest first, stable last. The order stays for the life of a roll-out: it is what keeps users where they are."""
    sticky: Sticky | None = None
    shadow: Shadow | None = None
    limits: Limits = Limits()

    @property
    def stable(self) -> Revision:
        """Return the revision that takes over where another fails."""
        return self.revisions[-1]

    @property
    def only_once(self) -> bool:
        """Return whether requests are never made again once a server may have begun them: any of the revisions may get one."""
        return any(revision.only_once for revision in self.revisions)

    @property
    def is_divided(self) -> bool:
        """Whether there is more than one revision to choose from."""
        return len(self.revisions) > 1

    def hash_of(self, revision: Revision) -> str:
        """Return the name of a revision without that of its deployment: the label `revision` of metrics, here and on model servers."""
        return revision.name.removeprefix(f"{self.deployment}-")

    @classmethod
    def parse(cls, text: bytes) -> Split:
        """Return the split of a JSON document. Raises BadMessage."""
        fields = Fields.parse(text)
        return cls(
            generation=fields.whole("generation", least=1, most=LARGEST_GENERATION, example=12),
            deployment=fields.text("deployment", NAME),
            revisions=_revisions(fields),
            sticky=fields.read("sticky", _sticky),
            shadow=fields.read("shadow", _shadow),
            limits=fields.read("limits", _limits) or Limits(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document that `parse` reads."""
        optional = {"sticky": self.sticky and vars(self.sticky), "shadow": self.shadow and vars(self.shadow)}
        return {
            "generation": self.generation,
            "deployment": self.deployment,
            "revisions": [_revision_to_json(revision) for revision in self.revisions],
            "limits": _limits_to_json(self.limits),
            **{name: dict(value) for name, value in optional.items() if value},
        }


def check_successor(split: Split, *, of: Split) -> None:
    """Raise BadMessage unless `split` may replace the split `of`."""
    if split.deployment != of.deployment:
        raise BadMessage("deployment", split.deployment, allowed="the router's own deployment", example=of.deployment)
    if split.generation <= of.generation:
        allowed = f"a generation after {of.generation}, which is in force"
        raise BadMessage("generation", split.generation, allowed=allowed, example=of.generation + 1)


def _revisions(fields: Fields) -> tuple[Revision, ...]:
    revisions = tuple(
        Revision(
            name=part.text("name", NAME),
            host=part.text("host", HOST),
            port=_port(part),
            weight=part.whole("weight", least=0, most=100, example=5),
            health_path=part.optional_text("healthPath", HEALTH_PATH) or READYZ,
            only_once=part.flag("onlyOnce", default=False),
        )
        for part in fields.parts("revisions", most=MOST_REVISIONS)
    )
    names = [revision.name for revision in revisions]
    if len(set(names)) < len(names):
        raise BadMessage("revisions", ", ".join(names), allowed="each name once", example="reviews-7d1f, reviews-03ab")
    if (total := sum(revision.weight for revision in revisions)) != 100:
        raise BadMessage("the sum of the weights", total, allowed="100", example=100)
    return revisions


def _revision_to_json(revision: Revision) -> dict[str, Any]:
    document = dict(vars(revision))
    path, only_once = document.pop("health_path"), document.pop("only_once")
    return document | ({} if path == READYZ else {"healthPath": path}) | ({"onlyOnce": True} if only_once else {})


def _sticky(part: Fields) -> Sticky:
    return Sticky(part.text("header", HEADER), part.text("salt", SALT, default=""))


def _shadow(part: Fields) -> Shadow:
    return Shadow(part.text("host", HOST), _port(part), part.whole("percent", least=0, most=100, example=10))


def _port(part: Fields) -> int:
    return part.whole("port", least=1, most=65535, example=8080)


def _limits(part: Fields) -> Limits:
    return Limits(
        body_bytes=part.whole("bodyBytes", least=1, most=1 << 28, example=1 << 20, default=DEFAULT_BODY_BYTES),
        idle_seconds=part.whole("idleSeconds", least=1, most=86_400, example=60, default=DEFAULT_IDLE_SECONDS),
        per_try_idle_seconds=part.optional_whole("perTryIdleSeconds", least=1, most=86_400, example=30),
        rate_limit=part.read("rateLimit", _rate_limit),
        api_key=part.flag("apiKey", default=False),
    )


def _rate_limit(part: Fields) -> RateLimit:
    rate = part.number("requestsPerSecond", least=0.01, most=1e6, example=20)
    burst = part.optional_whole("burst", least=1, most=10**7, example=40)
    return RateLimit(rate, math.ceil(rate) if burst is None else burst)


def _limits_to_json(limits: Limits) -> dict[str, Any]:
    rate = limits.rate_limit
    return {
        "bodyBytes": limits.body_bytes,
        "idleSeconds": limits.idle_seconds,
        "perTryIdleSeconds": limits.per_try_idle_seconds,
        "rateLimit": rate and {"requestsPerSecond": rate.requests_per_second, "burst": rate.burst},
        "apiKey": limits.api_key,
    }
