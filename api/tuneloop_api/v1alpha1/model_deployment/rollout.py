"""How a new revision takes over the requests: `spec.rollout` of a ModelDeployment."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, positive_duration
from tuneloop_api.v1alpha1.model_deployment.gates import MOST_GATES, ON_COPIES, Gate, Shadow
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only


class Rollback(SpecModel):
    """How the revision before comes back."""

    automatic: bool | None = None
    """Whether servers of a promoted revision that fail for good bring the revision before back without a person. Default: true. For example `false`."""
    baking: Duration | None = None
    """Time after a promotion during which the new revision is watched. Whole numbers with the units d, h, m, s. Default: 1h. For example `2d`."""
    window: Duration | None = None
    """Time after a promotion during which the revision before is kept for a roll-back. Whole numbers with the units d, h, m, s. Default: 1d. For example `7d`."""
    keep_replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of its servers that keep running in that time, 0 to 1000. Default: 0, they start again when they are needed. For example `1`."""


class RolloutStep(SpecModel):
    """A stretch of a canary's way."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """Percentage of the requests that the new revision gets in this step, 1 to 100. For example `25`."""
    min_duration: Duration | None = None
    """Time that the step lasts at least, counted from when every router follows it. Whole numbers with the units d, h, m, s. Default: 0s. For example `30m`."""
    min_requests: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Number of requests that the new revision must answer in this step, 1 to 10000000. Gates on copies of requests look at as many compared ones, at a quarter and a half of them,
    and at each further time as many. Default: 1000 with a gate on Errors, Latency or Agreement, else none. For example `5000`."""
    pause: bool | None = None
    """Whether a person must approve the end of the step (annotation `tuneloop.dev/rollout`). Default: false. For example `true`."""


DEFAULT_STEPS = tuple(RolloutStep(weight=weight, min_duration="10m") for weight in (5, 25, 50, 100))
"""Of a canary where the spec names none."""

_ON_COPIES = f"self.gates.exists(gate, has(gate.metric) && gate.metric in {sorted(ON_COPIES)})"


class RolloutOptions(SpecModel):
    """How a new revision takes over the requests, what is remembered of it, and what a person must approve."""

    strategy: Literal["Canary", "BlueGreen", "Shadow", "Recreate"] | None = None
    """Canary: the new revision gets a growing share of the requests, step by step. BlueGreen: it starts with all its servers, and gets all requests at once. Shadow: it answers copies
    of requests first, which no client sees, then goes the way of Canary. These have routers before the servers. Recreate: as BlueGreen, by the plain Service without a router.
    Default: Canary."""
    steps: Annotated[list[RolloutStep], Field(min_length=1, max_length=32)] | None = None
    """Shares of the requests that the new revision gets one after another, each larger than the one before; the promotion follows the last step. Applies only to `strategy: Canary`
    and `Shadow`. Default: 5, 25, 50 and 100 %, each for 10 minutes; with Shadow none, the promotion follows the copies. For example `[{weight: 10, minDuration: 1h}, {weight: 50, pause: true}]`."""
    gates: Annotated[list[Gate], Field(min_length=1, max_length=MOST_GATES)] | None = None
    """Tests that the new revision must pass in each step; one that it fails brings it back. Default: none, and nothing is compared.
    For example `[{name: errors, metric: Errors, margin: 0.01}]`."""
    shadow: Shadow | None = None
    """Copies of live requests, on which gates compare both revisions. Applies only to `strategy: Shadow`, and to gates on Errors, Latency or Agreement. For example `{percent: 50}`."""
    on_thin_traffic: Literal["Hold", "Replay"] | None = None
    """What to do in a step with fewer requests than `minRequests`. Hold: wait for more. Replay: ask both revisions the requests of the golden set, which count as well. Default: Hold."""
    capacity: Literal["Surge", "Replace"] | None = None
    """Where the servers of a new revision find room. Surge: beside all those of the old revision. Replace: in their place, one by one, with the requests that they carried; a single
    server is replaced beside itself. Applies only to `strategy: Canary`, `BlueGreen` and `Shadow`. Default: Surge."""
    max_duration: Duration | None = None
    """Time that a roll-out may take until its promotion, without time in which it waits for a person. After that a revision without a ready server is rejected; another one waits for
    a person. Whole numbers with the units d, h, m, s, longer than 0s. Default: 1d. For example `6h`."""
    approval: Literal["Automatic", "Manual"] | None = None
    """Whether a person must approve the promotion (annotation `tuneloop.dev/rollout`). Default: Automatic. For example `Manual`."""
    rollback: Rollback | None = None
    """How the revision before comes back. For example `{baking: 2d, keepReplicas: 1}`."""
    revision_history_limit: Annotated[int, Field(ge=1, le=50)] | None = None
    """Number of earlier revisions that are kept without servers, 1 to 50. Default: 5. For example `10`."""

    @property
    def has_routers(self) -> bool:
        """Whether routers divide the requests."""
        return self.strategy != "Recreate"

    @property
    def compares_copies(self) -> bool:
        """Whether a gate looks at copies of live requests."""
        return any(gate.is_on_copies for gate in self.gates or ())

    rules = (
        positive_duration("max_duration"),
        applies_only(
            "steps",
            to="strategy: Canary and Shadow",
            cel="!has(self.strategy) || self.strategy in ['Canary', 'Shadow']",
            holds=lambda options: options.strategy in {None, "Canary", "Shadow"},
        ),
        Rule(
            field="steps",
            cel="!has(self.steps) || self.steps.map(step, step.weight).isSorted()"
            " && self.steps.all(step, self.steps.exists_one(other, other.weight == step.weight))",
            holds=lambda options: _grows([step.weight for step in options.steps or ()]),
            message="the weight of each step must be larger than that of the step before; for example [{weight: 10}, {weight: 50}]",
        ),
        applies_only(
            "capacity",
            to="strategy: Canary, BlueGreen and Shadow",
            cel="!has(self.strategy) || self.strategy != 'Recreate'",
            holds=lambda options: options.has_routers,
        ),
        Rule(
            field="gates",
            cel="!has(self.gates) || self.gates.all(gate, self.gates.exists_one(other, other.name == gate.name))",
            holds=lambda options: _all_differ([gate.name for gate in options.gates or ()]),
            message="no two gates may have the same name; for example [{name: errors, …}, {name: latency, …}]",
        ),
        Rule(
            field="gates",
            reason="FieldValueForbidden",
            cel=f"!has(self.gates) || !has(self.strategy) || self.strategy != 'Recreate' || !({_ON_COPIES})",
            holds=lambda options: options.has_routers or not options.compares_copies,
            message="Errors, Latency and Agreement apply only to strategy: Canary, BlueGreen and Shadow, which have routers that copy requests; for example metric: GoldenAccuracy",
        ),
        applies_only(
            "shadow",
            to="strategy: Shadow, and to gates on Errors, Latency or Agreement",
            cel=f"(has(self.strategy) && self.strategy == 'Shadow') || (has(self.gates) && {_ON_COPIES})",
            holds=lambda options: options.strategy == "Shadow" or options.compares_copies,
        ),
        Rule(
            field="shadow.minRequests",
            reason="FieldValueForbidden",
            cel="!has(self.shadow) || !has(self.shadow.minRequests)"
            " || (has(self.strategy) && self.strategy in ['Shadow', 'BlueGreen'])",
            holds=lambda options: (
                options.strategy in {"Shadow", "BlueGreen"}
                or options.shadow is None
                or options.shadow.min_requests is None
            ),
            message="applies only to strategy: Shadow and BlueGreen; the steps of a Canary have minRequests of their own",
        ),
    )


def _all_differ(names: list[str]) -> bool:
    return len(set(names)) == len(names)


def _grows(weights: list[int]) -> bool:
    return all(first < second for first, second in pairwise(weights))
