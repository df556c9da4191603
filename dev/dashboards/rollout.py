"""Rows of a deployment's dashboard about its roll-out: weights, steps, gates, and what the comparator found."""

from __future__ import annotations

from typing import get_args

from dashboards.page import Annotation, Panel, Query, Row
from dashboards.queries import (
    BLUE,
    GREEN,
    OF_DEPLOYMENT,
    ORANGE,
    RED,
    YELLOW,
    bad_from,
    coded,
    largest,
    per_second,
    quantile,
    states,
)
from tuneloop_api.v1alpha1.model_deployment.rollout_status import GateVerdict, RolloutPhase

_PHASES = get_args(RolloutPhase)
_VERDICTS = get_args(GateVerdict)
PHASE_COLORS = {
    "Starting": BLUE,
    "Progressing": BLUE,
    "Promoting": BLUE,
    "Baking": YELLOW,
    "Paused": ORANGE,
    "Held": ORANGE,
    "RollingBack": RED,
    "Reverting": RED,
    "RolledBack": RED,
    "Aborted": RED,
    "Done": GREEN,
}
_VERDICT_COLORS = {"Pass": GREEN, "Inconclusive": YELLOW, "NoData": BLUE, "Error": ORANGE, "Fail": RED}
_LIVE = f'{OF_DEPLOYMENT},source="live"'
_KEY = "namespace, deployment, revision"


def _of_role(role: str) -> str:
    return f'max by ({_KEY}) (tuneloop_revision_info{{{OF_DEPLOYMENT},role="{role}"}})'


def _of_role_before(role: str) -> str:
    return f'max by ({_KEY}) (tuneloop_revision_info{{{OF_DEPLOYMENT},role="{role}"}} offset $__rate_interval)'


ANNOTATIONS = (
    Annotation(
        name="Canary started",
        color="blue",
        expr=(
            f"1000 * max by (namespace, deployment) (tuneloop_rollout_start_timestamp_seconds{{{OF_DEPLOYMENT}}})"
            f" * on (namespace, deployment) group_right () {_of_role('canary')}"
        ),
        title="canary {{revision}} started",
        is_time=True,
    ),
    Annotation(
        # another revision was stable just before: the first one of a deployment is no promotion, nor is a gap in the data
        name="Promoted",
        color="green",
        expr=(
            f"({_of_role('stable')} unless {_of_role_before('stable')})"
            f" and on (namespace, deployment) {_of_role_before('stable')}"
        ),
        title="{{revision}} is stable",
    ),
    Annotation(
        name="Rolled back",
        color="red",
        expr=(
            "max by (namespace, deployment, outcome)"
            f' (increase(tuneloop_rollouts_total{{{OF_DEPLOYMENT},outcome=~"RolledBack|Aborted|Reverted"}}[$__rate_interval]))'
            " > 0"
        ),
        title="{{outcome}}",
    ),
)
ROLLOUT = Row(
    "Roll-out",
    (
        Panel(
            title="Phase",
            about="Where the roll-out is. Paused and Held wait for a person.",
            queries=(
                Query(
                    expr=coded(
                        "tuneloop_rollout_phase", OF_DEPLOYMENT, label="phase", words=_PHASES, by=("deployment",)
                    ),
                    legend="{{deployment}}",
                ),
            ),
            unit="none",
            kind="state-timeline",
            width=16,
            height=4,
            minimum=None,
            states=states(_PHASES, PHASE_COLORS),
        ),
        Panel(
            title="Step",
            about="Step that the canary has reached, from 1; 0 without a canary.",
            queries=(Query(expr=largest("tuneloop_rollout_step", OF_DEPLOYMENT), legend="step"),),
            unit="short",
            kind="stat",
            width=4,
            height=4,
        ),
        Panel(
            title="Time since the start",
            about="Time since the servers of the canary began to start. Nothing without a canary.",
            queries=(
                Query(
                    expr=f"time() - {largest('tuneloop_rollout_start_timestamp_seconds', OF_DEPLOYMENT)}",
                    legend="time",
                ),
            ),
            unit="s",
            kind="stat",
            width=4,
            height=4,
            without_data="no canary",
        ),
        Panel(
            title="Wanted and true share of the canary",
            about="The share of the requests that the canary is to get, and the share that it got. Where they differ for long, its servers are not ready, or sticky clients stay with stable.",
            queries=(
                Query(
                    expr=largest("tuneloop_traffic_weight_ratio", f'{OF_DEPLOYMENT},role="canary"', "revision"),
                    legend="{{revision}} wanted",
                ),
                Query(
                    expr=(
                        "sum by (revision) (sum by (namespace, deployment, revision)"
                        f" (tuneloop:requests:rate5m{{{OF_DEPLOYMENT}}})"
                        f" * on ({_KEY}) {_of_role('canary')})"
                        f" / on () group_left () sum(tuneloop:requests:rate5m{{{OF_DEPLOYMENT}}})"
                    ),
                    legend="{{revision}} true",
                ),
            ),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            title="Gates",
            about="What each gate has found in this step. NoData and Error hold a roll-out; Fail takes the canary back.",
            queries=(
                Query(
                    expr=coded("tuneloop_gate_verdict", OF_DEPLOYMENT, label="verdict", words=_VERDICTS, by=("gate",)),
                    legend="{{gate}}",
                ),
            ),
            unit="none",
            kind="state-timeline",
            minimum=None,
            states=states(_VERDICTS, _VERDICT_COLORS),
        ),
        Panel(
            title="Harm as a part of its margin",
            about="How much worse the canary was at a gate's last look, as a part of how much worse it may be. Below 0 it is better; above 1 it is worse than allowed.",
            queries=(
                Query(
                    expr=(
                        f"{largest('tuneloop_gate_harm', OF_DEPLOYMENT, 'gate')}"
                        f" / ({largest('tuneloop_gate_margin', OF_DEPLOYMENT, 'gate')} > 0)"
                    ),
                    legend="{{gate}}",
                ),
            ),
            unit="percentunit",
            minimum=None,
            thresholds=bad_from(1),
        ),
        Panel(
            title="What the gates measured",
            about="The last value of each gate for stable and for canary, in the gate's own unit: shares for errors, disagreement and accuracy, a ratio for latency.",
            queries=(
                Query(expr=largest("tuneloop_gate_value", OF_DEPLOYMENT, "gate", "role"), legend="{{gate}}, {{role}}"),
            ),
            unit="short",
            minimum=None,
            width=12,
        ),
        Panel(
            title="Ends of roll-outs",
            about="Roll-outs that ended in the time that is shown, as counted since the operator began. Superseded: a newer revision took the canary's place.",
            queries=(
                Query(
                    expr=f"max by (outcome) (increase(tuneloop_rollouts_total{{{OF_DEPLOYMENT}}}[$__range]))",
                    legend="{{outcome}}",
                ),
            ),
            unit="short",
            kind="stat",
            width=12,
        ),
    ),
)
AGREEMENT = Row(
    "Agreement of canary and stable",
    (
        Panel(
            title="Verdicts on live requests",
            about="Copies of live requests that both revisions were asked, per second, by what came of them.",
            queries=(
                Query(expr=per_second("tuneloop_shadow_comparisons_total", _LIVE, "verdict"), legend="{{verdict}}"),
            ),
            unit="cps",
            is_stacked=True,
        ),
        Panel(
            title="Changed classes",
            about="Answers per second for which the canary chose another class, the ten most frequent changes.",
            queries=(
                Query(
                    expr=f"topk(10, {per_second('tuneloop_shadow_flips_total', OF_DEPLOYMENT, 'stable_class', 'canary_class')})",
                    legend="{{stable_class}} → {{canary_class}}",
                ),
            ),
            unit="cps",
        ),
        Panel(
            title="Time of the canary / time of stable",
            about="On the same request, after the warm-up. Above 1 the canary is slower.",
            queries=tuple(
                Query(expr=quantile(share, "tuneloop_shadow_latency_ratio", OF_DEPLOYMENT, "source"), legend=f"p{share * 100:.0f} {{{{source}}}}")
                for share in (0.5, 0.9)
            ),
            unit="percentunit",
            minimum=None,
            thresholds=bad_from(1.5),
        ),
        Panel(
            title="Copies of live requests",
            about="Copies per second, by what became of them on arrival. Those that were not taken are not compared; clients do not notice.",
            queries=(Query(expr=per_second("tuneloop_shadow_copies_total", OF_DEPLOYMENT, "outcome"), legend="{{outcome}}"),),
            unit="cps",
            is_stacked=True,
        ),
        Panel(
            title="Requests without an answer",
            about="Requests of the comparator per second that a revision did not answer, by revision and reason.",
            queries=(Query(expr=per_second("tuneloop_shadow_failures_total", OF_DEPLOYMENT, "role", "reason"), legend="{{role}}: {{reason}}"),),
            unit="cps",
        ),
        Panel(
            title="Golden rows",
            about="Rows of the golden set that both answered, by who was right.",
            queries=(Query(expr=f"sum by (outcome) (tuneloop_golden_rows_total{{{OF_DEPLOYMENT}}})", legend="{{outcome}}"),),
            unit="short",
            is_stacked=True,
        ),
    ),
)  # fmt: skip
