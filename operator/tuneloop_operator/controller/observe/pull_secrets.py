"""Which pull secrets a pod has whose image cannot be pulled: the registry, whose words the kubelet repeats, does not know them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

_NOT_PULLED = frozenset({"ErrImagePull", "ImagePullBackOff"})
_NOT_ALLOWED = re.compile(r"denied|authori[sz]|authentic|credential|forbidden|\b40[13]\b", re.IGNORECASE)
"""How registries say that somebody must log in, or may not read the image."""


def with_pull_secrets(message: str, *, reason: str, pod: Manifest) -> str:
    """Return what the kubelet says of a pod that waits, with the names of its pull secrets if an image cannot be pulled.

    The kubelet goes on without a pull secret that is not there. The operator reads no Secret, so it names all that the pod has.
    """
    if reason not in _NOT_PULLED:
        return message
    names = [secret["name"] for secret in (pod.get("spec") or {}).get("imagePullSecrets") or () if secret.get("name")]
    if names:
        return f"{message}; pull secrets of the pod, which must be in its namespace: {', '.join(names)}"
    return f"{message}; the pod has no pull secret (imagePullSecrets)" if _NOT_ALLOWED.search(message) else message
