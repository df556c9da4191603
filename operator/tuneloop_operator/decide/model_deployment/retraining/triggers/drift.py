"""The trigger on drift: the requests of a day are not spread as those of the baseline, by more than matters and more than chance. Pure.

Prometheus computes one number: of the feature that is farthest off, its population stability index as a multiple of its limit. The limit is the
practical threshold, or the critical value where that is greater, as with few requests. The index of N requests against M of the baseline, both from the
same source, is distributed as (1/N + 1/M) · χ² with B − 1 degrees of freedom for B bins (Yurdakul, Western Michigan University, dissertation 3208, 2018).
The quantile of χ² is Wilson and Hilferty's (PNAS 17 (1931) 684–688): PromQL has no χ², and the number of bins differs from feature to feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import MOST_FEATURES
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
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import FEATURE_INFLATION, deviations
from tuneloop_operator.prometheus.query import any_of, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory

RATIO = "ratio"
LEAST_SAMPLES = 200
"""Requests of a window, and of the baseline."""
DEFAULT_THRESHOLD = 0.2
DEFAULT_FOR = "2d"
"""Three looks in a row: a weekend or a burst of two days is no drift."""
_NO_DATA = f"there is no baseline of this revision yet, or no feature has {LEAST_SAMPLES} requests of 24 h"


def queries(trigger: Trigger, about: About, now: datetime) -> tuple[TriggerQuery, ...]:  # noqa: ARG001  (as all triggers)
    """Return the query for the greatest multiple of a limit."""
    names = {NAMESPACE: about.namespace, DEPLOYMENT: about.deployment, REVISION: about.revision}
    return (TriggerQuery(trigger=trigger.name, part=RATIO, query=written(_query(trigger), names)),)


def judge(
    trigger: Trigger,
    memory: TriggerMemory,
    readings: Mapping[str, Reading],
    about: About,  # noqa: ARG001  (as all triggers)
    now: datetime,
) -> Judged:
    """Return what the feature that is farthest off says."""
    hold = daily(
        fires_after=seconds(trigger.for_ or DEFAULT_FOR), clears_after=seconds(trigger.clear_for or DEFAULT_FOR)
    )
    found = numbers_of(readings, (RATIO,), now=now, no_data=_NO_DATA)
    if isinstance(found, Unmeasured):
        return held(trigger, memory, found, hold, now=now)
    ratio = found.values[RATIO]
    side = Side.BEYOND if ratio > 1 else Side.CLEAR
    reason = f"the feature that is farthest from the baseline has {ratio:.2f} times its limit"
    return held(
        trigger, memory, Measurement(value=ratio, threshold=1.0, side=side, at=found.at, reason=reason), hold, now=now
    )


def _query(trigger: Trigger) -> str:
    index = _of("tuneloop:feature_psi:24h", trigger)
    samples = _of("tuneloop:feature_samples:increase24h", trigger)
    of_baseline = _of("tuneloop_reference_samples", trigger)
    bins = f"max by (feature, bin) (tuneloop_reference_bin_ratio{_selector(trigger)})"
    freedom = f"(count by (feature) ({bins}) - 1)"
    # each of K features is tested, so each has a K-th of the level
    z = deviations(trigger.expected_days_between_false_triggers, tests=len(trigger.features or ()) or MOST_FEATURES)
    quantile = f"{freedom} * (1 - 2 / (9 * {freedom}) + {z:.6f} * sqrt(2 / (9 * {freedom}))) ^ 3"
    critical = f"{quantile} * {FEATURE_INFLATION:g} * (1 / {of_baseline} + 1 / {samples})"
    limit = f"clamp_min({critical}, {trigger.threshold or DEFAULT_THRESHOLD:g})"
    return f"max({index} / {limit} and ({samples} >= {LEAST_SAMPLES}) and ({of_baseline} >= {LEAST_SAMPLES}))"


def _of(metric: str, trigger: Trigger) -> str:
    return f"max by (feature) ({metric}{_selector(trigger)})"


def _selector(trigger: Trigger) -> str:
    features = f",{any_of('feature', *trigger.features)}" if trigger.features else ""
    return f'{{namespace="{{{{namespace}}}}",deployment="{{{{deployment}}}}",revision="{{{{revision}}}}"{features}}}'
