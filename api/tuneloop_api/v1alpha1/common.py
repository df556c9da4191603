"""Types that both kinds use: names, quantities, durations, URIs, conditions, resource requests.

Patterns are RE2 (no look-around): the API server checks them with Go's regexp.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic.alias_generators import to_camel

from tuneloop_api.model import WireModel, without_nulls
from tuneloop_api.rules import Rule

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
QUANTITY = r"^([0-9]+|[0-9]*\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
DURATION = r"^([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
"""Each unit once, largest first; no value overflows the API server's 64-bit nanoseconds. The length limit refuses the empty one."""

Name: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Quantity: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=QUANTITY)]
# without `format: duration`: with it the API server (1.36) also takes a list where the text belongs
Duration: TypeAlias = Annotated[str, StringConstraints(min_length=2, max_length=32, pattern=DURATION)]
ShortText: TypeAlias = Annotated[str, StringConstraints(max_length=256)]
LongText: TypeAlias = Annotated[str, StringConstraints(max_length=4096)]
_KEY_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LabelKey: TypeAlias = Annotated[
    str, StringConstraints(max_length=317, pattern=rf"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_KEY_NAME}")
]
AnnotationKey: TypeAlias = Annotated[
    str, StringConstraints(max_length=317, pattern=rf"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?{_KEY_NAME}")
]
LabelValue: TypeAlias = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
]
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


def longer_than_nothing(field: str) -> Rule:
    """Return the rule for an optional `Duration` (Python name) that may not be 0s, 0m and so on."""
    name = to_camel(field)

    def holds(model: Any) -> bool:
        given = getattr(model, field)
        return given is None or seconds(given) > 0

    return Rule(
        field=name,
        message="must be longer than 0s",
        cel=f"!has(self.{name}) || self.{name}.matches('[1-9]')",
        holds=holds,
    )


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


class ObjectMeta(WireModel):
    """The metadata that the API server accepts; what it fills in itself is not looked at."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    labels: Annotated[dict[LabelKey, LabelValue], BeforeValidator(without_nulls)] | None = None
    annotations: Annotated[dict[AnnotationKey, str], BeforeValidator(without_nulls)] | None = None
    finalizers: list[str] | None = None
    owner_references: list[dict[str, Any]] | None = None
    uid: Any = None
    resource_version: Any = None
    generation: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    managed_fields: Any = None
    self_link: Any = None


def _checked_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    ObjectMeta.from_wire(metadata)
    return metadata


Metadata: TypeAlias = Annotated[dict[str, Any], AfterValidator(_checked_metadata)]
"""Object metadata as it stands in the manifest, in which a field or a label that the API server would refuse is an error."""


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


Conditions: TypeAlias = Annotated[
    list[Condition],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
"""At most one condition of each type; server-side apply merges them one by one."""
