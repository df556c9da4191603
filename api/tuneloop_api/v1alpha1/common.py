"""Types that both kinds use: names, quantities, durations, URIs, conditions, resource requests."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.model import MessageModel, SpecModel, without_nulls
from tuneloop_api.wire.quantities import OR_WHOLE_NUMBER
from tuneloop_api.wire.rules import Rule
from tuneloop_api.wire.text_formats import (
    BASE_MODEL_URI,
    CPU,
    DATA_URI,
    DURATION,
    FILES_URI,
    IMAGE,
    LABEL_VALUE,
    MEMORY,
    MODEL_URI,
    NAME,
    SUB_PATH,
)

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

Name: TypeAlias = Annotated[str, NAME.text(most=253)]
Cpu: TypeAlias = Annotated[str, CPU.text(most=32), *OR_WHOLE_NUMBER]
Memory: TypeAlias = Annotated[str, MEMORY.text(most=32), *OR_WHOLE_NUMBER]
# without `format: duration`: with it the API server (1.36) also takes a list where the text belongs
Duration: TypeAlias = Annotated[str, DURATION.text(most=32)]
ModelUri: TypeAlias = Annotated[str, MODEL_URI.text(most=1024)]
BaseModelUri: TypeAlias = Annotated[str, BASE_MODEL_URI.text(most=1024)]
FilesUri: TypeAlias = Annotated[str, FILES_URI.text(most=1024)]
DataUri: TypeAlias = Annotated[str, DATA_URI.text(most=1024)]
MOST_IMAGE_CHARACTERS = 512
Image: TypeAlias = Annotated[str, IMAGE.text(most=MOST_IMAGE_CHARACTERS)]
ReportedImage: TypeAlias = Annotated[str, StringConstraints(max_length=MOST_IMAGE_CHARACTERS)]
"""An image in a status: as the spec, the operator's settings or the node's runtime name it."""
MOST_SHORT_TEXT_CHARACTERS = 256
ShortText: TypeAlias = Annotated[str, StringConstraints(max_length=MOST_SHORT_TEXT_CHARACTERS)]
LongText: TypeAlias = Annotated[str, StringConstraints(max_length=4096)]
_KEY_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LabelKey: TypeAlias = Annotated[
    str, StringConstraints(max_length=317, pattern=rf"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_KEY_NAME}")
]
AnnotationKey: TypeAlias = Annotated[
    str, StringConstraints(max_length=317, pattern=rf"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?{_KEY_NAME}")
]
LabelValue: TypeAlias = Annotated[str, LABEL_VALUE.text(most=63)]
Opaque: TypeAlias = Annotated[dict[str, Any], Field(max_length=16)]
"""An object of Kubernetes that the CRD holds without a schema."""


def positive_duration(field: str) -> Rule:
    """Return the rule for an optional `Duration` (Python name) that may not be 0s, 0m and so on."""
    name = to_camel(field)

    def holds(model: Any) -> bool:
        given = getattr(model, field)
        return given is None or seconds(given) > 0

    return Rule(
        field=name,
        message="must be longer than 0s; for example 5m",
        cel=f"!has(self.{name}) || self.{name}.matches('[1-9]')",
        holds=holds,
    )


def name_rule(*, most: int) -> Rule:
    """Return the rule for a kind's own name: the names of its children are built from it, so it must leave them room."""

    def holds(kind: Any) -> bool:
        name = kind.metadata.get("name")
        return isinstance(name, str) and len(name) <= most and re.fullmatch(DNS_LABEL, name) is not None

    return Rule(
        field="metadata.name",
        message=f"must be a DNS label of at most {most} characters: a-z, 0-9 and -, beginning with a letter, ending with a letter or digit; for example reviews",
        cel=f"self.metadata.name.size() <= {most} && self.metadata.name.matches('{DNS_LABEL}')",
        holds=holds,
    )


MOST_ANNOTATION_BYTES = 256 * 1024
"""Of all keys and values; a constant of Kubernetes (TotalAnnotationSizeLimitB)."""


def _small_enough(annotations: dict[str, str]) -> dict[str, str]:
    size = sum(len(text.encode(errors="replace")) for pair in annotations.items() for text in pair)
    if size > MOST_ANNOTATION_BYTES:
        words = f"are {size} bytes in all; the API server takes at most {MOST_ANNOTATION_BYTES}: keep the rest in a ConfigMap or a file"
        raise PydanticCustomError("rule", "{message}", {"message": words})
    return annotations


_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123 label, as the API server asks for."""


def _namespace(name: str) -> str:
    if not _NAMESPACE.fullmatch(name):
        words = "must be the name of a namespace: a-z, 0-9 and -, beginning and ending with a letter or digit, at most 63; for example team-a"
        raise PydanticCustomError("rule", "{message}", {"message": words})
    return name


_Given: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class OwnerReference(MessageModel):
    """An owner of an object, with the fields that the API server requires."""

    api_version: _Given
    kind: _Given
    name: _Given
    uid: _Given


class ObjectMeta(SpecModel):
    """The metadata that the API server accepts. The fields that the API server fills in are not checked."""

    name: str | None = None
    generate_name: str | None = None
    namespace: Annotated[str, AfterValidator(_namespace)] | None = None
    labels: Annotated[dict[LabelKey, LabelValue], BeforeValidator(without_nulls)] | None = None
    annotations: (
        Annotated[dict[AnnotationKey, str], BeforeValidator(without_nulls), AfterValidator(_small_enough)] | None
    ) = None
    finalizers: list[str] | None = None
    owner_references: list[OwnerReference] | None = None
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


class ObjectReference(SpecModel):
    """A reference to an object in the same namespace."""

    name: Name
    """Name of the object in this namespace: a-z, 0-9, - and ., beginning and ending with a letter or digit. For example `reviews`."""


class ResourceAmounts(SpecModel):
    """CPU and memory of one pod, as Kubernetes quantities."""

    cpu: Cpu | None = None
    """Cores that each pod requests and may use at most, in cores or, with `m`, thousandths of a core. Default: no request and no limit. For example `4` or `500m`."""
    memory: Memory | None = None
    """Memory that each pod requests and may use at most: bytes with a unit (`k`, `M`, `G` …, or `Ki`, `Mi`, `Gi` … in powers of 1024). Default: no request and no limit.
    For example `16Gi`."""


class Storage(SpecModel):
    """Where data sets, checkpoints and artifacts live."""

    claim: Name | None = None
    """PersistentVolumeClaim of the same namespace to write to. Jobs of more than one node need one that can be mounted ReadWriteMany. Default: the operator's setting
    (`children.defaultClaim` of the chart); without either, the job is refused. For example `models`."""
    sub_path: Annotated[str, SUB_PATH.text(most=256)] | None = None
    """Folder inside the claim under which everything is kept; it is made if it is not there. No part of it may be `.` or `..`. Default: the claim's root.
    For example `team-a/reviews`."""


class Condition(MessageModel):
    """One aspect of an object's state, as metav1.Condition."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)]
    """What the condition is about, as one CamelCase word such as `Accepted`."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds; Unknown while nobody can tell."""
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why it holds or does not, as one CamelCase word that programs may compare."""
    message: Annotated[str, StringConstraints(max_length=32768)] = ""
    """Why it holds or does not, in words for a person."""
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
