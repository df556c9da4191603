"""The row of a deployment's dashboard about the loop of retraining: where it is, what its triggers found, and what it may still spend."""

from __future__ import annotations

from typing import get_args

from dashboards.page import Annotation, Panel, Query, Row, State, Unit
from dashboards.queries import BLUE, GREEN, OF_DEPLOYMENT, ORANGE, RED, YELLOW, coded, good_from, largest, states
from tuneloop_api.v1alpha1.model_deployment.retraining_status import RetrainingState
from tuneloop_api.v1alpha1.model_deployment.trigger_status import TriggerStateWord

LOOP_STATES = get_args(RetrainingState)
LOOP_COLORS = {
    "Idle": GREEN,
    "Suspected": YELLOW,
    "Confirmed": ORANGE,
    "Blocked": RED,
    "Training": BLUE,
    "Evaluating": BLUE,
    "Canary": BLUE,
    "Promoting": BLUE,
    "Baking": YELLOW,
}
_TRIGGER_STATES = get_args(TriggerStateWord)
_TRIGGER_COLORS = {"Inactive": GREEN, "Pending": YELLOW, "Firing": RED, "Unknown": BLUE}
RETRAINED = Annotation(
    name="Retrained",
    color="purple",
    expr=(
        "max by (namespace, deployment, trigger, outcome)"
        f" (increase(tuneloop_retrains_total{{{OF_DEPLOYMENT}}}[$__rate_interval])) > 0"
    ),
    title="run of {{trigger}}: {{outcome}}",
)


def _stat(title: str, about: str, expr: str, *, unit: Unit, without: str, is_left: bool = True) -> Panel:
    return Panel(
        title=title,
        about=about,
        queries=(Query(expr=expr, legend=title),),
        unit=unit,
        kind="stat",
        width=4,
        height=4,
        thresholds=good_from(1) if is_left else (),
        without_data=without,
    )


RETRAINING = Row(
    "Retraining",
    (
        Panel(
            title="Loop",
            about="Where the loop of retraining is. `kubectl get mdep` says why a run does not start.",
            queries=(
                Query(
                    expr=coded(
                        "tuneloop_retrain_state",
                        OF_DEPLOYMENT,
                        label="state",
                        words=LOOP_STATES,
                        by=("deployment",),
                    ),
                    legend="{{deployment}}",
                ),
            ),
            unit="none",
            kind="state-timeline",
            width=12,
            height=4,
            minimum=None,
            states=states(LOOP_STATES, LOOP_COLORS),
        ),
        _stat(
            "Runs left",
            "Runs that the budget still allows in its window.",
            largest("tuneloop_retrain_budget_remaining_runs", OF_DEPLOYMENT),
            unit="short",
            without="no budget",
        ),
        _stat(
            "GPU time left",
            "GPU time that the budget still allows in its window.",
            largest("tuneloop_retrain_budget_remaining_gpu_seconds", OF_DEPLOYMENT),
            unit="s",
            without="any",
        ),
        _stat(
            "Last promotion",
            "Time since a model of the loop was last promoted.",
            f"time() - {largest('tuneloop_retrain_last_success_timestamp_seconds', OF_DEPLOYMENT)}",
            unit="s",
            without="never",
            is_left=False,
        ),
        Panel(
            title="Triggers",
            about="What each trigger last found. Unknown: it has no data, and does not fire.",
            queries=(
                Query(
                    expr=coded(
                        "tuneloop_retrain_trigger_state",
                        OF_DEPLOYMENT,
                        label="state",
                        words=_TRIGGER_STATES,
                        by=("trigger",),
                    ),
                    legend="{{trigger}}",
                ),
            ),
            unit="none",
            kind="state-timeline",
            width=12,
            minimum=None,
            states=states(_TRIGGER_STATES, _TRIGGER_COLORS),
        ),
        Panel(
            title="What the triggers measured",
            about="The last value of each trigger, in its own unit.",
            queries=(
                Query(expr=largest("tuneloop_retrain_trigger_value", OF_DEPLOYMENT, "trigger"), legend="{{trigger}}"),
            ),
            unit="short",
            width=12,
            minimum=None,
        ),
        Panel(
            title="What blocks a run",
            about="Why no run starts although a trigger fires. Nothing here: nothing is blocked.",
            queries=(Query(expr=largest("tuneloop_retrain_blocked", OF_DEPLOYMENT, "reason"), legend="{{reason}}"),),
            unit="none",
            kind="state-timeline",
            width=12,
            height=5,
            states=(State(1, "blocked", RED),),
        ),
        Panel(
            title="Ends of runs",
            about="Runs that ended in the time that is shown, by trigger and outcome.",
            queries=(
                Query(
                    expr=f"max by (trigger, outcome) (increase(tuneloop_retrains_total{{{OF_DEPLOYMENT}}}[$__range]))",
                    legend="{{trigger}}: {{outcome}}",
                ),
            ),
            unit="short",
            kind="stat",
            width=12,
            height=5,
        ),
    ),
)
