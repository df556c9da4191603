"""The FineTuneJob of a run: the template's spec with another seed, more data and a limit of what it may cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.uris import FEEDBACK_SCHEME
from tuneloop_operator.desired.common.metadata import owned_metadata
from tuneloop_operator.names import (
    CHAMPION_DIGEST,
    CHAMPION_REVISION,
    FEEDBACK_CUTOFF,
    RETRAINING_LABEL,
    RETRAINING_TRIGGER,
)

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
    from tuneloop_operator.cluster import Manifest

_OF_A_RUN = ("budget", "ttlSecondsAfterFinished", "activeDeadlineSeconds", "suspend", "preflight")
"""Blocks on which no result depends."""
_SPLITS = ("train", "validation", "test")
_OF_THE_TEMPLATE = frozenset({"suspend", "ttlSecondsAfterFinished"})
"""Fields that are not copied: a run begins at once, and its job must be there when its model is taken up, which a pin may delay for weeks."""
_MODEL_FOLDER = "model"
"""Of an artifact: the weights and the tokenizer, as Hugging Face lays them out."""


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """What a run depends on beside its template."""

    name: str
    trigger: str
    """Name of the trigger that asked for the run."""
    champion_revision: str
    """Revision that serves."""
    champion_uri: str
    """Of the artifact that serves. The run compares its model with it."""
    champion_digest: str | None = None
    """Of that artifact, as `sha256:…`; None: not known."""
    cutoff: str
    """Time up to which feedback counts, RFC 3339."""
    gpu_hours: float | None = None
    """That are left in the budget; None: any."""

    @property
    def annotations(self) -> dict[str, str]:
        """Where the run comes from, for people and for the lineage."""
        return {
            RETRAINING_TRIGGER: self.trigger,
            FEEDBACK_CUTOFF: self.cutoff,
            CHAMPION_REVISION: self.champion_revision,
            CHAMPION_DIGEST: self.champion_digest or self.champion_uri,
        }


_NO_RUN = RunOrder(name="", trigger="", champion_revision="", champion_uri="", cutoff="")
"""For what all runs have in common."""


def retraining_job(deployment: ModelDeployment, template: FineTuneJob, order: RunOrder) -> Manifest:
    """Return the FineTuneJob of a run. It belongs to the deployment, and ends with it."""
    spec = _spec(deployment, template, order)
    training = {**(spec.get("training") or {}), "seed": int(digest_of(order.name)[:7], 16)}
    budget = spec.get("budget") or {}
    if order.gpu_hours is not None:
        hours = min(order.gpu_hours, budget.get("maxGpuHours", order.gpu_hours))
        budget = {**budget, "maxGpuHours": hours}
    spec |= {"training": training} | ({"budget": budget} if budget else {})
    labels = {RETRAINING_LABEL: deployment.metadata["name"]}
    metadata = owned_metadata(deployment, name=order.name, labels=labels) | {"annotations": order.annotations}
    return {"apiVersion": template.api_version, "kind": template.kind, "metadata": metadata, "spec": spec}


def recipe_of(deployment: ModelDeployment, template: FineTuneJob) -> str:
    """Return the digest of all that the result of a run depends on, without its data: two runs of the same recipe and data learn the same. Seeds and limits do not count."""
    spec = _spec(deployment, template, _NO_RUN)
    blocks = {name: block for name, block in spec.items() if name not in _OF_A_RUN}
    training = {name: value for name, value in (spec.get("training") or {}).items() if name != "seed"}
    return digest_of(blocks | {"training": training})[:16]


def _spec(deployment: ModelDeployment, template: FineTuneJob, order: RunOrder) -> dict[str, Any]:
    retraining = deployment.spec.retraining
    spec = {name: block for name, block in template.spec.to_wire().items() if name not in _OF_THE_TEMPLATE}
    spec["preflight"] = {name: value for name, value in (spec.get("preflight") or {}).items() if name != "dryRun"}
    added = [source.to_wire() for source in (retraining.data if retraining else None) or ()]
    data = {**spec["data"], "train": [*spec["data"]["train"], *added]}
    splits = {split: [_up_to(order.cutoff, source) for source in data[split]] for split in _SPLITS if split in data}
    spec["data"] = {**data, **splits}
    spec["evaluation"] = _beside_the_champion(spec.get("evaluation") or {}, order)
    if retraining is not None and retraining.start_from == "champion":
        kept = {name: value for name, value in spec["model"].items() if name not in {"revision", "secretRef"}}
        spec["model"] = {**kept, "uri": f"{order.champion_uri}/{_MODEL_FOLDER}"}
    return spec


def _beside_the_champion(evaluation: dict[str, Any], order: RunOrder) -> dict[str, Any]:
    """Return how the result is measured: both models predict the same rows. The template may say with which margins, and on which recent rows."""
    champion = {"uri": order.champion_uri} | ({"digest": order.champion_digest} if order.champion_digest else {})
    options = {name: value for name, value in (evaluation.get("compareWith") or {}).items() if name != "digest"}
    if "recent" in options:
        options["recent"] = [_up_to(order.cutoff, source) for source in options["recent"]]
    return {**evaluation, "compareWith": options | champion}


def _up_to(cutoff: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return a source of feedback with the time up to which it counts, so that a run that starts again reads the same rows."""
    return source | {"cutoff": cutoff} if source["uri"].startswith(FEEDBACK_SCHEME) else source
