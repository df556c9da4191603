"""What a call to the API server is about, and the record of it. No I/O."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

WRITES = frozenset({"create", "update", "patch", "apply", "delete", "deletecollection"})
_VERB_OF_METHOD = {"POST": "create", "PUT": "update"}
_APPLY = "application/apply-patch"
_OF_NAMESPACES = frozenset({"status", "finalize"})
"""Subresources of namespaces; anything else behind a namespace's name is a resource in it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request asks for. A path that is no resource (`/readyz`) has an empty `resource`."""

    verb: str
    """get, list, watch, create, update, patch, apply (server-side), delete, deletecollection; else the method in lower case."""
    path: str
    resource: str = ""
    """Plural name, for example `finetunejobs`."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    """From the path; of a create from the body, `generateName` if it has no name yet."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request and what came of it."""

    n: int
    """From 1, in the order in which the requests arrived."""
    at: float
    """Arrival, in seconds since the proxy started."""
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    """The stored name, where the answer has one."""
    code: int
    """HTTP status; 0: there was no answer."""
    seconds: float
    """Until the answer had come; of a watch, until it had begun."""
    request_bytes: int
    version_in: str
    """The resourceVersion that the request named."""
    version_out: str
    """The resourceVersion in the answer."""
    path: str
    sent: bool
    """Whether the API server answered, so that a code below 300 means that it was done."""
    faults: tuple[str, ...] = ()
    """Kinds of the acts that it met."""

    @property
    def is_applied(self) -> bool:
        """Whether the API server did what was asked."""
        return self.sent and 200 <= self.code < 300

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One watch event that the API server sent."""

    call: int
    """`n` of its watch."""
    at: float
    """Seconds since the proxy started."""
    type: str
    resource: str
    namespace: str
    name: str
    version: str


def target_of(method: str, path: str, query: Mapping[str, str], *, content_type: str, document: Any) -> Target:
    """Return what a request asks for; `document` is its decoded body."""
    parts = [unquote(part) for part in path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:] if parts[:1] == ["apis"] else []
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return Target(verb=method.lower(), path=path)
    resource, name, subresource = rest[0], "".join(rest[1:2]), "/".join(rest[2:])
    verb = _verb(method, query, content_type=content_type, is_one=bool(name))
    if verb == "create" and not name:
        metadata = metadata_of(document)
        name = metadata.get("name") or metadata.get("generateName") or ""
    return Target(verb=verb, path=path, resource=resource, subresource=subresource, namespace=namespace, name=name)


def _verb(method: str, query: Mapping[str, str], *, content_type: str, is_one: bool) -> str:
    if method == "GET":
        is_watch = query.get("watch", "").lower() in {"1", "true"}
        return "watch" if is_watch else "get" if is_one else "list"
    if method == "PATCH":
        return "apply" if content_type.startswith(_APPLY) else "patch"
    if method == "DELETE":
        return "delete" if is_one else "deletecollection"
    return _VERB_OF_METHOD.get(method, method.lower())


def metadata_of(document: Any) -> dict[str, Any]:
    """Return an object's metadata; empty if it has none."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def writes(trace: Iterable[Call], *, without: Collection[str] = ("leases", "events")) -> list[Call]:
    """Return the writes of a trace, whatever became of them, in order. `without`: resources that are left out."""
    return [call for call in trace if call.verb in WRITES and call.resource not in without]


def tally(
    trace: Iterable[Call], *, without: Collection[str] = ("leases", "events")
) -> Counter[tuple[str, str, str, str]]:
    """Count how often each object was created and deleted: (create or delete, resource, namespace, name).

    Only what the API server did is counted; an apply that made the object is a create. Reviews, which are not stored, have no name and are left out.
    """
    counted: Counter[tuple[str, str, str, str]] = Counter()
    for call in writes(trace, without=without):
        if not call.is_applied or call.subresource or not call.name:
            continue
        if call.code == 201 or call.verb == "delete":
            verb = "delete" if call.verb == "delete" else "create"
            counted[verb, call.resource, call.namespace, call.name] += 1
    return counted
