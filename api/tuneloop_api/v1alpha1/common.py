"""Types that both kinds use: names, quantities, durations, URIs, conditions, resource requests.

Patterns are RE2 (no look-around): the API server checks them with Go's regexp.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints

from tuneloop_api.model import WireModel
from tuneloop_api.rules import Rule

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
QUANTITY = r"^([0-9]+|[0-9]*\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
DURATION = r"^([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
"""Each unit once, largest first; no value overflows the API server's 64-bit nanoseconds. The length limit refuses the empty one."""

Name: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Quantity: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=QUANTITY)]
Duration: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=2, max_length=32, pattern=DURATION),
    Field(json_schema_extra={"format": "duration"}),
]
ShortText: TypeAlias = Annotated[str, StringConstraints(max_length=256)]
LongText: TypeAlias = Annotated[str, StringConstraints(max_length=4096)]
Uri: TypeAlias = Annotated[
    str,
    StringConstraints(
        min_length=8,
        max_length=1024,
        pattern=r"^(file:///.+|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+|hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)$",
    ),
]

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(duration: str) -> int:
    """Return the length of a `Duration` such as `1h30m` in seconds."""
    return sum(int(count) * _SECONDS[unit] for count, unit in re.findall(r"([0-9]+)([dhms])", duration))


def named(*, most: int) -> Rule:
    """Return the rule for a kind's own name: the names of its children are built from it, so it must leave them room."""

    def holds(kind: Any) -> bool:
        name = kind.metadata.get("name")
        return isinstance(name, str) and len(name) <= most and re.fullmatch(DNS_LABEL, name) is not None

    return Rule(
        field="metadata.name",
        message=f"must be a DNS label of at most {most} characters: a-z, 0-9 and -, beginning with a letter, ending with a letter or digit",
        cel=f"self.metadata.name.size() <= {most} && self.metadata.name.matches('{DNS_LABEL}')",
        holds=holds,
    )


class ObjectReference(WireModel):
    """A reference to an object in the same namespace."""

    name: Name
    """Name of the object."""


class ResourceAmounts(WireModel):
    """CPU and memory of one pod, as Kubernetes quantities."""

    cpu: Quantity | None = None
    """CPU request and limit of the pod, for example `4` or `500m`. Unset: no request."""
    memory: Quantity | None = None
    """Memory request and limit of the pod, for example `16Gi`. Unset: no request."""


class Storage(WireModel):
    """Where data sets, checkpoints and artifacts live."""

    claim: Name | None = None
    """PersistentVolumeClaim in the same namespace. More than one node needs ReadWriteMany. Default: the operator's setting."""
    sub_path: (
        Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")]
        | None
    ) = None
    """Folder inside the claim under which everything is kept. Default: the claim's root."""


class Condition(WireModel):
    """One aspect of an object's state, as metav1.Condition."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)]
    """What the condition is about, in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why, as one CamelCase word that programs may compare."""
    message: Annotated[str, StringConstraints(max_length=32768)] = ""
    """Why, for a person."""
    last_transition_time: Annotated[str, StringConstraints(max_length=32)]
    """When `status` last changed (RFC 3339)."""
    observed_generation: int | None = None
    """The `metadata.generation` that the condition was computed from."""
