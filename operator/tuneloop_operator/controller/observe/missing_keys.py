"""Which keys of a Secret or ConfigMap a pod needs that the kubelet does not find: the kubelet names the object alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest

_NOT_FOUND = re.compile(r'(secret|configmap) "([^"]+)" not found')
"""The kubelet's words."""
_REFERENCE = {"secret": "secretKeyRef", "configmap": "configMapKeyRef"}


def with_keys(message: str, pod: Manifest) -> str:
    """Return what the kubelet says of a pod that waits, with the keys that the pod needs of the object which is not there.

    The pod itself says what it needs, whoever gave it the variables: the object, the administrator, or we.
    """
    missing = _NOT_FOUND.search(message)
    if missing is None:
        return message
    kind, name = missing.groups()
    keys = [f"key {key} for {variable}" for variable, key in _needed(pod, _REFERENCE[kind], name)]
    return f"{message}; needed: {', '.join(keys)}" if keys else message


def _needed(pod: Manifest, reference: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield variable and key for each variable that cannot be without the object."""
    for container in (pod.get("spec") or {}).get("containers") or ():
        for variable in container.get("env") or ():
            source = (variable.get("valueFrom") or {}).get(reference) or {}
            if source.get("name") == name and not source.get("optional"):
                yield variable["name"], source["key"]
