"""How each server of a ModelDeployment runs: batches, start and end, resources."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, ResourceAmounts, positive_duration
from tuneloop_api.v1alpha1.resources import GpuResource, Gpus, PodResources
from tuneloop_api.wire.model import SpecModel


class Batching(SpecModel):
    """How requests are grouped into forward passes."""

    max_batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of texts in one forward pass at most, 1 to 1024: more give more texts per second, and take more memory. Default: 16. For example `32`."""
    max_delay_milliseconds: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Time in milliseconds that a text waits at most for others to join it while the model is idle, 0 to 1000. Default: 5. For example `10`."""
    max_queue: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Number of texts that may wait, 1 to 65536; what comes beyond it is answered 429 with Retry-After. Default: 256. For example `1024`."""
    max_new_tokens: Annotated[int, Field(ge=1, le=1_048_576)] | None = None
    """Number of tokens of an answer at most, 1 to 1048576, where the model generates text; a request for more is refused. Default: what the context window has room for. For example `512`."""


class Lifecycle(SpecModel):
    """How the server starts and stops."""

    startup: Duration | None = None
    """Time that a server may take to load its model before it is restarted. Whole numbers with the units d, h, m, s, longer than 0s.
    Default: 10m; for an artifact of a FineTuneJob of more than 12 GB a second for each 20 MB. For example `30m`."""
    drain: Duration | None = None
    """Time that requests in flight get to be answered when a server is asked to stop. Whole numbers with the units d, h, m, s. Default: 45s. For example `2m`."""

    pre_stop: Duration | None = None
    """Time between the end of a pod and SIGTERM to its server, which still answers: so long may requests come of clients that do not know of the end yet. Whole numbers with the units
    d, h, m, s, longer than 0s. Applies only to `runtime.type: Custom` and `VLLM`; our own server needs none. Default: 15s. For example `1m`."""

    rules = (positive_duration("startup"), positive_duration("pre_stop"))


class ServerResources(PodResources, ResourceAmounts):
    """CPU, memory and devices of each server pod."""

    gpus: Gpus | None = None
    """Number of GPUs of each server pod, 0 to 64. Our own server computes on one, with `runtime.engine: torch`; `replicas` take more. With `runtime.type: VLLM` they share the model
    (`--tensor-parallel-size`). Default: 0, the CPU computes. For example `1`."""
    gpu_resource: GpuResource | None = None
    """Name of the extended resource that stands for one GPU: `DOMAIN/NAME`. Default: `nvidia.com/gpu`. For example `amd.com/gpu`."""
