"""Where a pod is reached in local mode: the kubelet of a single machine writes its address down as an annotation. On a cluster there is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneloop_operator.names import LOCAL_METRICS_URL
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

_ON_LOOPBACK = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]{0,4})", re.ASCII)


def local_port(pod: Manifest) -> int | None:
    """Return the port of this machine at which a pod is reached; None for a pod of a cluster, and before its process is started."""
    return _port(pod, LOCAL_URL)


def local_metrics_port(pod: Manifest) -> int | None:
    """Return the port of this machine with the probes, metrics and counts of a pod; None as for `local_port`."""
    return _port(pod, LOCAL_METRICS_URL)


def _port(pod: Manifest, annotation: str) -> int | None:
    url = str((pod["metadata"].get("annotations") or {}).get(annotation, ""))
    found = _ON_LOOPBACK.fullmatch(url)  # on a cluster, anybody who may change a pod can write anything there
    return int(found[1]) if found else None
