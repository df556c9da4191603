"""From spec to settings: fills in every documented default that needs no data, and names what a training result depends on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tuneloop_api.contract.run_config import CheckpointSettings, GangSettings, Settings
from tuneloop_api.v1alpha1.common import memory_bytes, seconds
from tuneloop_api.v1alpha1.fine_tune_job.policy import Checkpoint, Cleanup, FailurePolicy
from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec, Resources

_SAME_NAME = ("model", "task", "taskOptions", "data", "method", "training", "evaluation", "deepspeed", "output")


def with_defaults(spec: FineTuneJobSpec) -> Settings:
    """Return the spec's blocks with every default that needs no data filled in."""
    wire = spec.to_wire()
    blocks = {name: wire[name] for name in _SAME_NAME if name in wire}
    if "validate" in blocks["data"]:
        blocks["data"]["validateRows"] = blocks["data"].pop("validate")
    training = blocks.setdefault("training", {})
    if not training.keys() & {"epochs", "maxSteps"}:
        training["epochs"] = 3.0
    if not training.keys() & {"warmupRatio", "warmupSteps"}:
        training["warmupRatio"] = 0.06
    return Settings.model_validate(
        blocks
        | {
            "gang": _gang(spec.resources or Resources(), spec.failure_policy or FailurePolicy()).to_wire(),
            "checkpoint": _checkpoint(spec.checkpoint or Checkpoint(), spec.cleanup or Cleanup()).to_wire(),
        }
    )


def config_hash(settings: Settings) -> str:
    """Return the hash of everything that the course of training depends on, 16 hex digits.

    Left out: what changes only where or how often the same numbers are computed (nodes, ranks, ZeRO stage, micro-batch,
    checkpoint rhythm, evaluation of the finished model, what is published), so that a checkpoint fits after such a change.
    """
    wire = settings.to_wire()
    for name in ("gang", "deepspeed", "checkpoint", "evaluation", "output"):
        wire.pop(name, None)
    return digest_of(wire)[:16]


def digest_of(data: Any) -> str:
    """Return the SHA-256 of JSON data in canonical form (sorted keys, no spaces, UTF-8), in hex."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _gang(resources: Resources, policy: FailurePolicy) -> GangSettings:
    gpus = 1 if resources.gpus_per_node is None else resources.gpus_per_node
    return GangSettings(
        nodes=resources.nodes or 1,
        gpus_per_node=gpus,
        processes_per_node=resources.processes_per_node or max(gpus, 1),
        memory_bytes=None if resources.memory is None else memory_bytes(resources.memory),
        hang_seconds=None if policy.hang_timeout is None else seconds(policy.hang_timeout),
    )


def _checkpoint(checkpoint: Checkpoint, cleanup: Cleanup) -> CheckpointSettings:
    given = checkpoint.to_wire()
    every, grace = given.pop("every", None), given.pop("gracePeriod", "5m")
    given["graceSeconds"] = seconds(grace)
    given["asynchronous"] = given.pop("async", True)
    if every is not None:
        given["everySeconds"] = seconds(every)
    if cleanup.checkpoints is not None:
        given["cleanup"] = cleanup.checkpoints
    return CheckpointSettings.model_validate(given)
