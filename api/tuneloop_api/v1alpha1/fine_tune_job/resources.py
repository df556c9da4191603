"""Nodes, ranks, GPUs, cores and memory of the pods: `spec.resources`."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import Cpu, Memory, ResourceAmounts
from tuneloop_api.v1alpha1.resources import GpuResource, Gpus, PodResources
from tuneloop_api.wire.rules import Rule


def _most_ranks(gpus_per_node: int | None) -> float:
    """Return how many ranks fit on a node: one per GPU, any number on CPU."""
    gpus = 1 if gpus_per_node is None else gpus_per_node
    return gpus or math.inf


class Resources(PodResources):
    """Nodes, GPUs and memory of the training pods, and of the two CPU stages."""

    nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of training pods, each on a node of its own, 1 to 1024. More than one need a claim that can be mounted ReadWriteMany. Default: 1. For example `2`."""
    gpus_per_node: Gpus | None = None
    """Number of GPUs of each training pod, 0 to 64; 0 trains on CPU. Default: 1. For example `8`."""
    processes_per_node: Annotated[int, Field(ge=1, le=256)] | None = None
    """Number of ranks (processes) of each training pod, 1 to 256. A rank has a GPU of its own, so that there are at most `gpusPerNode` of them, but for jobs on CPU.
    Default: one per GPU, at least one. For example `4`."""
    gpu_resource: GpuResource | None = None
    """Name of the extended resource that stands for one GPU, as the cluster's device plugin calls it: `DOMAIN/NAME`. Default: `nvidia.com/gpu`.
    For example `amd.com/gpu`."""
    cpu: Cpu | None = None
    """Cores that each training pod requests and may use at most, in cores or, with `m`, thousandths of a core. Default: no request and no limit.
    For example `8` or `7500m`."""
    memory: Memory | None = None
    """Memory that each training pod requests and may use at most: bytes with a unit (`k`, `M`, `G` …, or `Ki`, `Mi`, `Gi` … in powers of 1024). Default: no request and no
    limit. For example `64Gi`."""
    prepare: ResourceAmounts | None = None
    """CPU and memory of the pod that prepares the data; it has no GPU. Default: no request and no limit. For example `{cpu: 4, memory: 16Gi}`."""
    export: ResourceAmounts | None = None
    """CPU and memory of the pod that exports and measures the model; it has no GPU. Default: no request and no limit. For example `{cpu: 4, memory: 16Gi}`."""

    rules = (
        Rule(
            field="processesPerNode",
            message="must be at most gpusPerNode (1 by default), one GPU for each rank; for example gpusPerNode: 4 with processesPerNode: 4, or gpusPerNode: 0 for ranks on CPU",
            cel="!has(self.processesPerNode) || self.?gpusPerNode.orValue(1) == 0 || self.processesPerNode <= self.?gpusPerNode.orValue(1)",
            holds=lambda resources: (resources.processes_per_node or 1) <= _most_ranks(resources.gpus_per_node),
        ),
    )
