"""Where a pod is reached in local mode: the kubelet of a single machine writes its address down as an annotation. On a cluster there is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

_ON_LOOPBACK = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]{0,4})", re.ASCII)


def local_port(pod: Manifest) -> int | None:
    """Return the port of this machine at which a pod is reached; None for a pod of a cluster, and before its process is started."""
    url = str((pod["metadata"].get("annotations") or {}).get(LOCAL_URL, ""))
    found = _ON_LOOPBACK.fullmatch(url)  # on a cluster, anybody who may change a pod can write anything there
    return int(found[1]) if found else None
