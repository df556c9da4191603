"""From the spec to the settings in run.json, the defaults that depend on other fields, and the identity of a run.

Every other default stands in `settings`, beside its field.
"""

from __future__ import annotations

from typing import Any

from tuneloop_api.contract.settings import Settings
from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.quantities import memory_bytes

_SAME_NAME = (
    "model",
    "task",
    "taskOptions",
    "data",
    "method",
    "training",
    "search",
    "evaluation",
    "deepspeed",
    "output",
)
_GRACE = "5m"

IDENTITY_VERSIONS = {"model": 1, "task": 1, "taskOptions": 1, "data": 1, "method": 1, "training": 1, "search": 1}
"""The blocks that the course of training depends on. Count a block's version up by hand where a default or the meaning of a field in it changes."""
WITHOUT_IDENTITY = frozenset({"gang", "deepspeed", "checkpoint", "evaluation", "output", "preflight"})
"""The blocks that only change where or how often the same numbers are computed, or what is published: a checkpoint fits after such a change."""
_HASH_VERSION = "v2:"
"""Release 0.1.0 hashed every default too, and wrote no version."""


def as_set(spec: FineTuneJobSpec) -> Settings:
    """Return the settings that the spec sets, with durations in seconds and memory in bytes.

    The nodes, GPUs and processes of the gang and the grace period are always among them, since the operator makes the pods by them.
    """
    wire = spec.to_wire()
    blocks = {name: wire[name] for name in _SAME_NAME if name in wire}
    if "validate" in blocks["data"]:
        blocks["data"]["validateRows"] = blocks["data"].pop("validate")
    if spec.preflight and spec.preflight.rehearsal is not None:
        blocks["preflight"] = {"rehearsal": spec.preflight.rehearsal}
    return Settings.from_wire(blocks | {"gang": _gang(spec), "checkpoint": _checkpoint(spec)})


def with_defaults(given: FineTuneJobSpec | Settings) -> Settings:
    """Return the settings of a spec or of a run.json with every default that needs no data.

    The program that runs fills in the defaults of its own release.
    """
    settings = as_set(given) if isinstance(given, FineTuneJobSpec) else given
    training, missing = settings.training, dict[str, float]()
    if training.epochs is None and training.max_steps is None:
        missing["epochs"] = 3.0
    if training.warmup_ratio is None and training.warmup_steps is None:
        missing["warmup_ratio"] = 0.06
    return changed(settings, training=changed(training, **missing)) if missing else settings


def config_hash(settings: Settings) -> str:
    """Return the identity of a run: the hash of all settings that the course of training depends on, as `v2:` and 16 hex digits.

    A setting counts where it differs from its default, so that a new field with a default changes no hash. A job computes its hash once,
    when it begins, and keeps it for life (`status.lineage.configHash`).
    """
    wire = with_defaults(settings).non_defaults()
    blocks = {
        name: {"version": version, "set": wire.get(name, {})}
        for name, version in IDENTITY_VERSIONS.items()
        if name in wire or version > 1
    }
    return _HASH_VERSION + digest_of(blocks)[:16]


def is_of_first_release(config_hash: str) -> bool:
    """Whether release 0.1.0 began the job with this hash. Its trainer expects epochs and warm-up in run.json, also where nobody set them."""
    return not config_hash.startswith(_HASH_VERSION)


def _gang(spec: FineTuneJobSpec) -> dict[str, Any]:
    """Return the shape of the gang. The pods are made to this shape, so that the trainer takes no default of its own for it."""
    resources = spec.resources
    given_gpus = resources.gpus_per_node if resources else None
    gpus = 1 if given_gpus is None else given_gpus
    gang: dict[str, Any] = {
        "nodes": (resources and resources.nodes) or 1,
        "gpusPerNode": gpus,
        "processesPerNode": (resources and resources.processes_per_node) or max(gpus, 1),
    }
    if resources and resources.memory is not None:
        gang["memoryBytes"] = memory_bytes(resources.memory)
    if spec.failure_policy and spec.failure_policy.hang_timeout is not None:
        gang["hangSeconds"] = seconds(spec.failure_policy.hang_timeout)
    return gang


def _checkpoint(spec: FineTuneJobSpec) -> dict[str, Any]:
    given = spec.checkpoint.to_wire() if spec.checkpoint else {}
    given["graceSeconds"] = seconds(given.pop("gracePeriod", _GRACE))
    if "async" in given:
        given["asynchronous"] = given.pop("async")
    if "every" in given:
        given["everySeconds"] = seconds(given.pop("every"))
    if spec.cleanup and spec.cleanup.checkpoints is not None:
        given["cleanup"] = spec.cleanup.checkpoints
    return given
