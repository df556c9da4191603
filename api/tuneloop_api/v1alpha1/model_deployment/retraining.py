"""When a model is trained again by itself: `spec.retraining` of a ModelDeployment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import DataUri, Duration, ObjectReference, positive_duration
from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import MOST_TRIGGERS, Trigger
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule

MOST_RUNS = 20
"""In a window; as many as the history of the status holds."""


class AddedSource(SpecModel):
    """Rows that are added to those of the template."""

    uri: DataUri
    """A file or folder as in `data.train` of a FineTuneJob, with the usual names of columns; or `feedback://DEPLOYMENT`: what clients have labelled until the run is decided, also of this
    deployment itself. For example `feedback://reviews`."""


class RetrainingBackoff(SpecModel):
    """How the pause between runs grows."""

    factor: Annotated[float, Field(ge=1, le=10)] | None = None
    """How many times longer the pause is after each run in a row that failed, was rejected or was rolled back, 1 to 10; a promotion starts it anew. Default: 2. For example `3`."""
    max: Duration | None = None
    """Longest pause to which repeated setbacks lead. Whole numbers with the units d, h, m, s, longer than 0s. Default: 14d. For example `7d`."""

    rules = (positive_duration("max"),)


class RetrainingBudget(SpecModel):
    """What runs may cost in a window of time."""

    max_runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] | None = None
    """Number of runs that may start in a window, 1 to 20. Default: 20. For example `4`."""
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """GPU hours that runs may use in a window. A run starts only if there is room for what the last one took, or if all hours are left, and ends where nothing is left. Default: any. For example `64`."""
    window: Duration | None = None
    """Time back from now in which runs count. Whole numbers with the units d, h, m, s, longer than 0s. Default: 30d. For example `7d`."""

    rules = (positive_duration("window"),)


class Retraining(SpecModel):
    """When the model is trained again, with what, and how often at most."""

    enabled: bool | None = None
    """Whether triggers start runs. A run in flight goes on when this is turned off. Default: false."""
    suspend: bool | None = None
    """Whether no new run starts for now; a run in flight goes on. Default: false."""
    dry_run: bool | None = None
    """Whether runs are only recorded in `status.retraining.history`: what would have started, when and why. Default: false."""
    job_template_ref: ObjectReference | None = None
    """A FineTuneJob in this namespace whose spec each run copies, with another seed; needed with `enabled`. It may have `suspend: true`: the runs have not. For example `{name: reviews}`."""
    data: Annotated[list[AddedSource], Field(min_length=1, max_length=16)] | None = None
    """Sources that are added to `data.train` of the template, 1 to 16. Default: none. For example `[{uri: feedback://reviews}]`."""
    start_from: Literal["base", "champion"] | None = None
    """Which model a run starts from: `base` is that of the template, `champion` the one that serves when the run starts. Default: `base`."""
    triggers: Annotated[list[Trigger], Field(min_length=1, max_length=MOST_TRIGGERS)] | None = None
    """What asks for a run, 1 to 16; one that fires is enough. Default: the annotation `tuneloop.dev/retrain` alone, which is always there. For example `[{name: weekly, type: schedule, schedule: "30 2 * * 6"}]`."""
    cooldown: Duration | None = None
    """Pause after each run, however it ended. Whole numbers with the units d, h, m, s, longer than 0s. Default: 1d. For example `6h`."""
    backoff: RetrainingBackoff | None = None
    """How the pause grows after runs that failed, were rejected or were rolled back. For example `{factor: 3, max: 30d}`."""
    budget: RetrainingBudget | None = None
    """What runs may cost in a window of time. For example `{maxRuns: 4, gpuHours: 64}`."""
    require_new_data: bool | None = None
    """Whether a run ends before its training if its data are those that the champion, or an earlier run against the same champion, has learned from. Default: true. For example `false`."""

    rules = (
        positive_duration("cooldown"),
        Rule(
            field="triggers",
            cel="!has(self.triggers) || self.triggers.all(trigger, self.triggers.exists_one(other, other.name == trigger.name))",
            holds=lambda retraining: (
                len({trigger.name for trigger in retraining.triggers or ()}) == len(retraining.triggers or ())
            ),
            message="no two triggers may have the same name; for example accuracy and weekly",
        ),
        Rule(
            field="jobTemplateRef",
            cel="has(self.jobTemplateRef) || !self.?enabled.orValue(false)",
            holds=lambda retraining: retraining.job_template_ref is not None or not retraining.enabled,
            message="must be given with enabled: true, since runs copy its spec; for example {name: reviews}",
        ),
    )
