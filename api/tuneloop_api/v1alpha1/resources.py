"""What a pod asks of its node besides cores and memory: shared memory, disk, devices; and requests apart from limits. For both kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints

from tuneloop_api.v1alpha1.common import Cpu, Memory, ResourceAmounts
from tuneloop_api.wire.model import SpecModel, without_nulls
from tuneloop_api.wire.quantities import OR_WHOLE_NUMBER, amount_of
from tuneloop_api.wire.text_formats import GPU_RESOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_DOMAIN = 253
GPU = "nvidia.com/gpu"
"""The resource of one GPU where an object names none."""
GpuResource: TypeAlias = Annotated[str, GPU_RESOURCE.text(most=316)]
Gpus: TypeAlias = Annotated[int, Field(ge=0, le=64)]
# a CEL rule over the keys of a map would exceed the API server's budget: the operator checks keys and numbers
Extended: TypeAlias = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=9), *OR_WHOLE_NUMBER]],
    Field(max_length=16),
    BeforeValidator(without_nulls),
]


class Requests(SpecModel):
    """What the scheduler keeps free for a pod, where that is less than the pod may use."""

    cpu: Cpu | None = None
    """Cores that are requested, at most the limit. Default: the limit. For example `4`."""
    memory: Memory | None = None
    """Memory that is requested, at most the limit. Default: the limit. For example `8Gi`."""


class PodResources(SpecModel):
    """What a pod asks of its node besides cores and memory."""

    requests: Requests | None = None
    """Requests that are less than the limits. Default: equal to the limits. For example `{memory: 8Gi}`."""
    shared_memory: Memory | None = None
    """Size of /dev/shm, part of the pod's memory. Default: half of `memory`, at most 64Gi, for training on GPUs; else the cluster's. For example `16Gi`."""
    ephemeral_storage: Memory | None = None
    """Local disk that each pod requests and may use at most, for /tmp and logs. Default: no request and no limit. For example `20Gi`."""
    extended: Extended | None = None
    """Further devices of each pod, such as those of RDMA, by resource name. Default: none. For example `{rdma/hca: 1}`."""


@dataclass(frozen=True, kw_only=True)
class ResourceRefusal:
    """An amount that no pod can have, and why."""

    field: str
    """Path below `resources`."""
    given: str
    allowed: str
    """What is allowed, as part of a sentence."""
    example: str


def refused_resources(resources: PodResources, *, limits: ResourceAmounts, gpu: str) -> Iterator[ResourceRefusal]:
    """Yield the devices that are none, and the amounts that are more than the pod may use. gpu: the resource that stands for one GPU."""
    for name, count in (resources.extended or {}).items():
        if allowed := _wrong_device(name, gpu):
            yield ResourceRefusal(field="extended", given=ascii(name)[:100], allowed=allowed, example="rdma/hca")
        elif not re.fullmatch("[1-9][0-9]*", count):
            yield ResourceRefusal(
                field=f"extended.{name}",
                given=ascii(count),
                allowed="devices are counted in whole numbers, at least 1",
                example="rdma/hca: 1",
            )
    requests = resources.requests or Requests()
    most = "cannot be more than the pod may use"
    yield from _above("requests.cpu", requests.cpu, limit=limits.cpu, allowed=f"{most}: resources.cpu is")
    yield from _above("requests.memory", requests.memory, limit=limits.memory, allowed=f"{most}: resources.memory is")
    allowed = "shared memory counts to the memory of the pod: resources.memory is"
    yield from _above("sharedMemory", resources.shared_memory, limit=limits.memory, allowed=allowed)


def _wrong_device(name: str, gpu: str) -> str:
    """Return what is allowed in place of a name that is no further device; empty if it is one."""
    domain = name.partition("/")[0]
    if not re.fullmatch(GPU_RESOURCE.pattern, name) or len(domain) > _LONGEST_DOMAIN:
        return GPU_RESOURCE.allowed
    if domain == "kubernetes.io" or domain.endswith(".kubernetes.io") or domain.startswith("requests."):
        return "resources of kubernetes.io are no devices; cpu, memory and ephemeralStorage have fields of their own"
    return f"{gpu} stands for the GPUs, whose number has a field of its own" if name == gpu else ""


def _above(field: str, given: str | None, *, limit: str | None, allowed: str) -> Iterator[ResourceRefusal]:
    if given is None or limit is None:
        return
    amount, most = amount_of(given), amount_of(limit)
    if amount is not None and most is not None and amount > most:
        example = f"{field.rpartition('.')[2]}: {limit}"
        yield ResourceRefusal(field=field, given=given, allowed=f"{allowed} {limit}", example=example)
