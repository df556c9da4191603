"""Keys of labels, annotations and node selectors that a spec may not name. The CRD cannot check the keys of a map within its budget."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.wire.text_formats import KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONGEST_DOMAIN = 253
_OURS = "the operator finds its pods by these keys"
_OF_JOBS = "the Job controller sets these keys"
_OF_SELECTORS = "selectors of the operator, of its chart and of controllers use this key"
_RESERVED_DOMAINS = {"tuneloop.dev": _OURS, "batch.kubernetes.io": _OF_JOBS}
_RESERVED_LABEL_DOMAINS = _RESERVED_DOMAINS | {
    "kueue.x-k8s.io": "Kueue would admit single pods; the queue of a gang is scheduling.queueName"
}
_RESERVED_LABELS = {
    "job-name": _OF_JOBS,
    "controller-uid": _OF_JOBS,
    "pod-template-hash": "the Deployment controller sets this key",
} | {f"app.kubernetes.io/{name}": _OF_SELECTORS for name in ("name", "instance", "component", "managed-by")}


@dataclass(frozen=True, kw_only=True)
class KeyRefusal:
    """A key that cannot be used, and why."""

    key: str
    allowed: str
    """What is allowed, as part of a sentence."""
    example: str


def refused_labels(keys: Iterable[str]) -> Iterator[KeyRefusal]:
    """Yield the keys that pods may not have as labels."""
    return _refused(keys, keys_of_others=_RESERVED_LABELS, domains=_RESERVED_LABEL_DOMAINS)


def refused_annotations(keys: Iterable[str]) -> Iterator[KeyRefusal]:
    """Yield the keys that pods may not have as annotations. Kueue reads annotations of pods, so that its domain is allowed here."""
    return _refused(keys, keys_of_others={}, domains=_RESERVED_DOMAINS)


def refused_node_labels(keys: Iterable[str]) -> Iterator[KeyRefusal]:
    """Yield the keys that no node can have as a label."""
    return _refused(keys, keys_of_others={}, domains={})


def _refused(keys: Iterable[str], *, keys_of_others: dict[str, str], domains: dict[str, str]) -> Iterator[KeyRefusal]:
    for key in keys:
        domain = key.rpartition("/")[0]
        if not re.fullmatch(KEY.pattern, key) or len(domain) > _LONGEST_DOMAIN:
            yield KeyRefusal(key=key, allowed=KEY.allowed, example=KEY.example)
        elif key in keys_of_others:
            yield _reserved(key, key, keys_of_others[key])
        else:
            owner = next((name for name in domains if domain == name or domain.endswith(f".{name}")), None)
            if owner is not None:
                yield _reserved(key, f"{owner}/…", domains[owner])


def _reserved(key: str, owned: str, why: str) -> KeyRefusal:
    return KeyRefusal(key=key, allowed=f"any key but {owned} is allowed: {why}", example="example.com/team")
