"""How often training is restarted: `spec.failurePolicy`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, positive_duration
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule


class FailureRule(SpecModel):
    """What follows some failures, in place of the built-in action."""

    failure_class: Annotated[FailureClass | None, Field(alias="class", strict=False)] = None
    """Class of failure that the rule is for, as in `status.failure.class`. Not together with `exitCodes`. Default: none, exit codes are compared.
    For example `Storage`."""
    exit_codes: Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(min_length=1, max_length=32)] | None = None
    """Exit codes of the container that failed first which the rule is for. Not together with `class`. Default: none, the class is compared.
    For example `[137]`."""
    action: Literal["Restart", "RestartFree", "ReduceMicroBatch", "Fail"]
    """What follows: `Restart` counts against maxRestarts, `RestartFree` against maxDisruptions, `ReduceMicroBatch` restarts with half the rows of a micro-batch and
    the same global batch, `Fail` ends the job."""

    rules = (
        Rule(
            message="exactly one of class and exitCodes must be given",
            cel="[has(self.class), has(self.exitCodes)].exists_one(given, given)",
            holds=lambda rule: (rule.failure_class is None) != (rule.exit_codes is None),
        ),
    )


class FailurePolicy(SpecModel):
    """How often training is restarted, and how long it may take to start or be silent."""

    max_restarts: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of restarts after failures without a newer checkpoint in between, 0 to 1000; after that the job fails. May be changed while the job runs. Default: 3.
    For example `10`."""
    max_total_restarts: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Number of restarts after failures altogether, 0 to 10000; after that the job fails. May be changed while the job runs. Default: 50. For example `100`."""
    max_disruptions: Annotated[int, Field(ge=0, le=10000)] | None = None
    """Number of restarts after evictions, preemptions and lost nodes, 0 to 10000; after that the job fails. May be changed while the job runs. Default: 100.
    For example `1000`."""
    rules_: Annotated[list[FailureRule] | None, Field(alias="rules", max_length=32)] = None
    """What follows some failures, in place of the built-in action; the first rule that fits counts. Default: none. For example `[{class: Storage, action: Fail}]`."""
    start_deadline: Duration | None = None
    """Time that all pods of an attempt get to be placed, to have their image and to run, while no queue holds them; after that the job fails with what the API server
    and the nodes said. Whole numbers with the units d, h, m, s, longer than 0s. Default: 30m. For example `2h`."""
    hang_timeout: Duration | None = None
    """Time without a step or another sign of life after which training counts as hung and is restarted. Whole numbers with the units d, h, m, s, longer than 0s.
    Default: ten times the 95th percentile of the step time, at least 60s, and 10m for the first step. For example `10m`."""

    rules = (positive_duration("start_deadline"), positive_duration("hang_timeout"))
