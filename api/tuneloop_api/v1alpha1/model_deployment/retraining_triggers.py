"""What makes a ModelDeployment retrain its model, or say that it should: `spec.retraining.triggers` of a ModelDeployment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, positive_duration
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, in_cel
from tuneloop_api.wire.text_formats import CRON, FEATURE_NAME, GATE_NAME, TIME_ZONE

if TYPE_CHECKING:
    from collections.abc import Callable

TriggerType: TypeAlias = Literal["accuracy", "drift", "promql", "schedule", "newData", "manual"]
TYPES: tuple[TriggerType, ...] = get_args(TriggerType)
TriggerAction: TypeAlias = Literal["Retrain", "Alert"]
MOST_TRIGGERS = 16
MOST_FEATURES = 32
_MEASURED: tuple[TriggerType, ...] = ("accuracy", "drift", "promql")


def _only(field: str, *types: TriggerType) -> Rule:
    """Return the rule that a field (Python name) is there for triggers of these types alone."""
    rule = applies_only(
        field,
        to=f"type: {' or '.join(types)}",
        cel=f"self.type in [{', '.join(map(repr, types))}]",
        holds=lambda trigger: trigger.type in types,
    )
    return _of_for(rule) if field == "for_" else rule


def _of_for(rule: Rule) -> Rule:
    """Return a rule of the field `for`, whose name is a keyword in Python and in CEL."""
    return replace(rule, field="for", cel=rule.cel.replace("self.for_", f"self.{in_cel('for')}"))


def _required(type_: TriggerType, cel: str, message: str, holds: Callable[[Trigger], bool]) -> Rule:
    """Return the rule of what a trigger of one type must have."""
    return Rule(
        cel=f"self.type != '{type_}' || ({cel})",
        holds=lambda trigger: trigger.type != type_ or holds(trigger),
        message=message,
    )


class Trigger(SpecModel):
    """Why the model would be trained again: what is watched, and what must be true for how long."""

    name: Annotated[str, GATE_NAME.text(most=63)]
    """Name of the trigger, as status, metrics and Events show it: a-z, 0-9 and -, beginning with a letter, ending with a letter or digit. For example `accuracy`."""
    type: TriggerType
    """What is watched. accuracy: the share of right answers by the labels of clients (`spec.feedback`). drift: how far requests are from those after the roll-out (`spec.monitoring`). promql: a query of yours. schedule: a
    time. newData: the number of labels since the last run (`spec.feedback`). manual: the annotation `tuneloop.dev/retrain`, whenever its value is another one. Without data no trigger fires. For
    example `accuracy`."""
    below: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of right answers, more than 0 and less than 1: the trigger fires when the accuracy is below it beyond doubt, which is when the upper limit of its interval is. Applies
    only to `type: accuracy`. Not together with `dropBelowBaseline`. For example `0.9`."""
    drop_below_baseline: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How many points of accuracy may be lost since the first mature labels of the revision, more than 0 and less than 1: 0.05 is five points. Applies only to `type: accuracy`.
    Not together with `below`. For example `0.05`."""
    features: Annotated[list[Annotated[str, FEATURE_NAME.text(most=63)]], Field(min_length=1, max_length=MOST_FEATURES)] | None = None  # fmt: skip
    """Features that are watched, 1 to 32, by their names in the metric `tuneloop_feature_bin_total`. Applies only to `type: drift`. Default: all. For example `[confidence]`."""
    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """PromQL whose result is one number, greater where it is worse. `{{namespace}}`, `{{deployment}}` and `{{revision}}` (the stable one) stand for the names inside its strings. Applies
    only to `type: promql`. Default: none. For example `sum(rate(app_complaints_total{model="{{deployment}}"}[1h]))`."""
    threshold: float | None = None
    """The trigger fires above it. Of a query a number in the unit of its result, and required; of drift the population stability index of a feature, more than 0.
    Applies only to `type: promql` and `drift`. Default: of drift 0.2. For example `0.25`."""
    clear_threshold: float | None = None
    """The number must be at it or below before the trigger is over; at most `threshold`. Applies only to `type: promql`. Default: `threshold`. For example `0.1`."""
    schedule: Annotated[str, CRON.text(most=100)] | None = None
    """Times in the format of cron: minute, hour, day of the month, month, day of the week. Applies only to `type: schedule`, and is required there. Default: none. For example `30 2 * * 6`."""
    time_zone: Annotated[str, TIME_ZONE.text(most=64)] | None = None
    """Time zone of the schedule, by its name in the IANA database. A time that the change of the clock leaves out comes right after the change; one that it repeats comes once.
    Applies only to `type: schedule`. Default: Etc/UTC. For example `Europe/Berlin`."""
    starting_deadline: Duration | None = None
    """How late a scheduled run may begin, as when the operator was away: of the times that were missed only the newest counts, and only for so long. Whole numbers with the units d,
    h, m, s, longer than 0s; less than 1m counts as 1m. Applies only to `type: schedule`. Default: 1h. For example `6h`."""
    min_new_samples: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Number of labels that must have come since the last run, 1 to 1000000000. Applies only to `type: newData`, and is required there. Default: none. For example `5000`."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """How long every number must be beyond the limit before the trigger fires. Of accuracy and drift there is one number a day, so that 2d are three in a row. Whole numbers with the
    units d, h, m, s, longer than 0s. Applies only to `type: accuracy`, `drift` and `promql`. Default: 1h; of accuracy 1d, of drift 2d. For example `30m`."""
    clear_for: Duration | None = None
    """How long every number must be back before the trigger is over. Whole numbers with the units d, h, m, s, longer than 0s. Applies only to `type: accuracy`, `drift` and `promql`.
    Default: 2h; of accuracy 1d, of drift 2d. For example `6h`."""
    expected_days_between_false_triggers: Annotated[int, Field(ge=1, le=36500)] | None = None
    """Number of days between two false alarms, on average and at least, of a model that has not changed, 1 to 36500. The more days, the larger a change must be, or the more labels it
    needs. Applies only to `type: accuracy` and `drift`. Default: 365. For example `90`."""
    action: TriggerAction | None = None
    """Retrain: the model is trained again. Alert: status, metrics and an Event show it, and nothing else follows. Default: Retrain; of drift Alert, since requests that changed are no
    proof that answers got worse. For example `Alert`."""

    rules = (
        _only("below", "accuracy"),
        _only("drop_below_baseline", "accuracy"),
        _only("features", "drift"),
        _only("query", "promql"),
        _only("threshold", "promql", "drift"),
        _only("clear_threshold", "promql"),
        _only("schedule", "schedule"),
        _only("time_zone", "schedule"),
        _only("starting_deadline", "schedule"),
        _only("min_new_samples", "newData"),
        _only("for_", *_MEASURED),
        _only("clear_for", *_MEASURED),
        _only("expected_days_between_false_triggers", "accuracy", "drift"),
        _required(
            "accuracy",
            "has(self.below) != has(self.dropBelowBaseline)",
            "type: accuracy needs exactly one of below and dropBelowBaseline; for example below: 0.9",
            lambda trigger: (trigger.below is None) != (trigger.drop_below_baseline is None),
        ),
        _required(
            "promql",
            "has(self.query) && has(self.threshold)",
            "type: promql needs query and threshold; for example query: sum(rate(app_complaints_total[1h])), threshold: 5",
            lambda trigger: trigger.query is not None and trigger.threshold is not None,
        ),
        _required(
            "schedule",
            "has(self.schedule)",
            'type: schedule needs schedule; for example schedule: "30 2 * * 6"',
            lambda trigger: trigger.schedule is not None,
        ),
        _required(
            "newData",
            "has(self.minNewSamples)",
            "type: newData needs minNewSamples; for example minNewSamples: 5000",
            lambda trigger: trigger.min_new_samples is not None,
        ),
        Rule(
            field="threshold",
            cel="self.type != 'drift' || !has(self.threshold) || self.threshold > 0.0",
            holds=lambda trigger: trigger.type != "drift" or trigger.threshold is None or trigger.threshold > 0,
            message="must be more than 0 for type: drift; for example 0.2",
        ),
        Rule(
            field="clearThreshold",
            cel="!has(self.clearThreshold) || !has(self.threshold) || self.clearThreshold <= self.threshold",
            holds=lambda trigger: (
                trigger.clear_threshold is None
                or trigger.threshold is None
                or trigger.clear_threshold <= trigger.threshold
            ),
            message="must be at most threshold: the trigger is over below it; for example 0.1 with threshold 0.2",
        ),
        positive_duration("starting_deadline"),
        _of_for(positive_duration("for_")),
        positive_duration("clear_for"),
    )
