"""What an account asked of the API server, from the audit log, as the rights that RBAC.md lists."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from helm_chart import Right

from tuneloop_operator.names import NAMESPACE_LEASE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

_RELEASE_ONLY = {"leases", "endpointslices"}
_CLUSTER_ONLY = {"tokenreviews"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All requests of one account."""

    rights: frozenset[Right]
    """What the requests that were answered needed."""
    refused: tuple[str, ...]
    """Requests that were forbidden, as `VERB URI`."""


def asked(log: Path, *, account: str, namespaces: Collection[str], release_namespace: str) -> Asked:
    """Read what an account asked. `namespaces`: those that it watches.

    A request elsewhere that the reviewed roles do not cover shows as a right of the namespace's own name.
    """
    rights, refused = set(), []
    for line in _of(log, account):
        if line["responseStatus"]["code"] in {401, 403}:
            refused.append(f"{line['verb']} {line['requestURI']}")
        elif "objectRef" in line:
            rights.update(_rights(line, namespaces=namespaces, release_namespace=release_namespace))
    return Asked(rights=frozenset(rights), refused=tuple(refused))


def _of(log: Path, account: str) -> Iterable[dict[str, Any]]:
    with log.open() as lines:
        for text in lines:
            if account not in text or not text.endswith("\n"):
                continue
            line: dict[str, Any] = json.loads(text)
            if line["user"]["username"] == account and "responseStatus" in line:  # a watch tells at its start
                yield line


def _rights(line: dict[str, Any], *, namespaces: Collection[str], release_namespace: str) -> Iterable[Right]:
    found = line["objectRef"]
    resource = "/".join(filter(None, (found["resource"], found.get("subresource"))))
    namespace = found.get("namespace", "")
    if found["resource"] in _CLUSTER_ONLY and not namespace:
        where = "cluster"
    elif found["resource"] in _RELEASE_ONLY and namespace == release_namespace and found.get("name") != NAMESPACE_LEASE:
        where = "release"
    else:
        where = "watched" if namespace in namespaces else f"namespace {namespace or '(all)'}"
    yield Right(where, found.get("apiGroup", ""), resource, line["verb"])
    if line["verb"] == "patch" and line["responseStatus"]["code"] == 201:
        yield Right(where, found.get("apiGroup", ""), resource, "create")  # a server-side apply that made the object
