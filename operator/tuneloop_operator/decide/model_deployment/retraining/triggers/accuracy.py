"""The trigger on accuracy: right answers by the labels of mature days are fewer than allowed, beyond doubt. Pure.

The upper limit of the accuracy, Clopper and Pearson's, is held against `below`. The lower limit would be below it on a day with few labels whatever the model is worth.
Against the baseline it is the lower limit of what was lost. The reasons are in docs/decisions/0065-triggers-of-retraining.md.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_api.statistics.binomial import upper_limit
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE, REVISION
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import (
    Measurement,
    Side,
    TriggerQuery,
    Unmeasured,
    numbers_of,
)
from tuneloop_operator.decide.model_deployment.retraining.triggers.hysteresis import daily, held
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import (
    LABEL_INFLATION,
    least_loss,
    level,
)
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Share
from tuneloop_operator.prometheus.query import written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory

RIGHT, LABELS = "right", "labels"
LEAST_LABELS = 200
LEAST_OF_BASELINE = 500
"""Labels of the baseline: its own doubt is part of every later comparison."""
LEAST_COVERAGE = 0.01
"""Part of the predictions that have a label. With fewer, who sends labels says more than the labels do."""
DEFAULT_FOR = "1d"
"""Two looks in a row, which a day of wrong labels alone does not make: with it the older days are outvoted once at most."""
_OF = '{namespace="{{namespace}}",deployment="{{deployment}}",revision="{{revision}}"}'
_NO_DATA = f"there are no labels of days that are mature, or for less than {LEAST_COVERAGE:.0%} of the predictions"
_QUERIES = {
    RIGHT: f"sum(tuneloop:feedback_correct:mature{_OF})",
    LABELS: f"sum(tuneloop:feedback_labels:mature{_OF})"
    f" and (sum(tuneloop:feedback_labels:mature{_OF}) / sum(tuneloop:feedback_predictions:mature{_OF}) >= {LEAST_COVERAGE})",
}


def queries(trigger: Trigger, about: About, now: datetime) -> tuple[TriggerQuery, ...]:  # noqa: ARG001  (as all triggers)
    """Return the queries for right answers and labels of the stable revision, of all days that are mature."""
    names = {NAMESPACE: about.namespace, DEPLOYMENT: about.deployment, REVISION: about.revision}
    return tuple(
        TriggerQuery(trigger=trigger.name, part=part, query=written(text, names)) for part, text in _QUERIES.items()
    )


def judge(
    trigger: Trigger,
    memory: TriggerMemory,
    readings: Mapping[str, Reading],
    about: About,  # noqa: ARG001  (as all triggers)
    now: datetime,
) -> Judged:
    """Return what the labels say. The first labels of a revision that are enough are its baseline."""
    hold = daily(
        fires_after=seconds(trigger.for_ or DEFAULT_FOR), clears_after=seconds(trigger.clear_for or DEFAULT_FOR)
    )
    found = numbers_of(readings, (RIGHT, LABELS), now=now, no_data=_NO_DATA)
    if isinstance(found, Unmeasured):
        return held(trigger, memory, found, hold, now=now)
    counts = Share(right=found.values[RIGHT], labels=found.values[LABELS])
    if trigger.drop_below_baseline is not None and memory.baseline is None and counts.labels >= LEAST_OF_BASELINE:
        memory = replace(memory, baseline=counts)
    return held(trigger, memory, _measured(trigger, counts, memory.baseline, at=found.at), hold, now=now)


def _measured(trigger: Trigger, counts: Share, baseline: Share | None, *, at: datetime) -> Measurement | Unmeasured:
    if not 0 <= counts.right <= counts.labels:
        return Unmeasured(reason=f"{counts.right:.0f} right answers of {counts.labels:.0f} labels cannot be")
    if counts.labels < LEAST_LABELS:
        return Unmeasured(reason=f"{counts.labels:.0f} labels of days that are mature, and {LEAST_LABELS} are needed")
    if trigger.below is not None:
        return _against(trigger.below, counts, level(trigger.expected_days_between_false_triggers), at=at)
    if baseline is None:
        return Unmeasured(reason=f"the baseline needs {LEAST_OF_BASELINE} labels, and there are {counts.labels:.0f}")
    return _since(baseline, counts, trigger, at=at)


def _against(below: float, counts: Share, level_: float, *, at: datetime) -> Measurement:
    share = counts.right / counts.labels
    most = upper_limit(*_independent(counts), level_)
    side = Side.BEYOND if most < below else Side.CLEAR if share >= below else Side.BETWEEN
    reason = f"accuracy {share:.1%} of {counts.labels:.0f} labels, at most {most:.1%}; allowed is {below:.1%} or more"
    return Measurement(value=most, threshold=below, side=side, at=at, reason=reason)


def _since(baseline: Share, counts: Share, trigger: Trigger, *, at: datetime) -> Measurement:
    drop, level_ = trigger.drop_below_baseline or 0.0, level(trigger.expected_days_between_false_triggers)
    before, share = baseline.right / baseline.labels, counts.right / counts.labels
    least = least_loss(_independent(baseline), _independent(counts), level_)
    side = Side.BEYOND if least > drop else Side.CLEAR if before - share <= drop else Side.BETWEEN
    reason = (
        f"accuracy {share:.1%} of {counts.labels:.0f} labels, {before:.1%} at first: "
        f"at least {least * 100:.1f} points lost; allowed are {drop * 100:.1f}"
    )
    return Measurement(value=least, threshold=drop, side=side, at=at, reason=reason)


def _independent(counts: Share) -> tuple[int, int]:
    """Return right answers and labels of as many users with one label each as say the same; wrong ones are rounded down."""
    labels = math.floor(counts.labels / LABEL_INFLATION)
    return labels - math.floor((counts.labels - counts.right) / LABEL_INFLATION), labels
