"""The dashboard of all deployments and jobs: what needs a look, and the way to the dashboard of each."""

from __future__ import annotations

from typing import get_args

from dashboards import deployment, job
from dashboards.page import Link, Page, Panel, Query, Row, Variable
from dashboards.queries import bad_from, coded, largest, states, warn_at
from dashboards.retraining import LOOP_COLORS, LOOP_STATES
from dashboards.rollout import PHASE_COLORS
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutPhase

_HERE = 'namespace=~"$namespace"'
_DEPLOYMENT = ("namespace", "deployment")
_JOB = ("namespace", "name")
_PHASES = get_args(RolloutPhase)


def _count(title: str, about: str, expr: str, *, bad: bool = False) -> Panel:
    return Panel(
        title=title,
        about=about,
        queries=(Query(expr=expr, legend=title),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        thresholds=bad_from(1) if bad else (),
    )


def _counted(selected: str) -> str:
    return f"count({selected}) or vector(0)"


_CONDITION = "tuneloop_model_deployment_status_condition"
NOW = Row(
    "Now",
    (
        _count("Deployments", "ModelDeployments that there are.", _counted(largest("tuneloop_model_deployment_info", _HERE, *_DEPLOYMENT))),
        _count(
            "Deployments not ready",
            "ModelDeployments whose condition Ready is not True. `kubectl describe mdep NAME` says why.",
            _counted(largest(_CONDITION, f'{_HERE},condition="Ready",status!="True"', *_DEPLOYMENT)),
            bad=True,
        ),
        _count(
            "Roll-outs on their way",
            "Deployments with a canary.",
            _counted(largest("tuneloop_revision_info", f'{_HERE},role="canary"', *_DEPLOYMENT)),
        ),
        _count(
            "Roll-outs held",
            "Roll-outs that wait for a person. `tuneloop rollout status NAME` or the dashboard of the deployment says what for.",
            _counted(largest("tuneloop_rollout_phase", f'{_HERE},phase="Held"', *_DEPLOYMENT)),
            bad=True,
        ),
        _count(
            "Jobs that train",
            "FineTuneJobs in the phase Running, of all namespaces that the operator watches.",
            'max(tuneloop_jobs{phase="Running"}) or vector(0)',
        ),
        _count(
            "Jobs that failed",
            "FineTuneJobs that failed and are still there, of the namespaces that are chosen. `kubectl describe ftj NAME` says why.",
            _counted(largest("tuneloop_job_completed_total", f'{_HERE},result="Failed"', *_JOB)),
            bad=True,
        ),
    ),
)  # fmt: skip
DEPLOYMENTS = Row(
    "Deployments",
    (
        Panel(
            title="Deployments",
            about="A line for each ModelDeployment. Its name leads to its dashboard.",
            queries=(
                Query(
                    expr=coded("tuneloop_rollout_phase", _HERE, label="phase", words=_PHASES, by=_DEPLOYMENT),
                    legend="roll-out",
                    states=states(_PHASES, PHASE_COLORS),
                ),
                Query(
                    expr=f"sum by (namespace, deployment) (tuneloop:requests:rate5m{{{_HERE}}})",
                    legend="requests/s",
                    unit="reqps",
                ),
                Query(
                    expr=f"max by (namespace, deployment) (tuneloop:request_errors:ratio_rate5m{{{_HERE}}})",
                    legend="errors",
                    unit="percentunit",
                    thresholds=warn_at(0.01, 0.05),
                ),
                Query(
                    expr=f"max by (namespace, deployment) (tuneloop:request_duration_seconds:p95_5m{{{_HERE}}})",
                    legend="p95",
                    unit="s",
                ),
                Query(
                    expr=largest("tuneloop_traffic_weight_ratio", f'{_HERE},role="canary"', *_DEPLOYMENT),
                    legend="canary weight",
                    unit="percentunit",
                ),
                Query(
                    expr=f"min by (namespace, deployment) (tuneloop:feedback_accuracy:ratio{{{_HERE}}})",
                    legend="accuracy",
                    unit="percentunit",
                ),
                Query(
                    expr=largest("tuneloop:feature_psi:24h", _HERE, *_DEPLOYMENT),
                    legend="largest PSI",
                    thresholds=warn_at(0.1, 0.2),
                ),
                Query(
                    expr=coded("tuneloop_retrain_state", _HERE, label="state", words=LOOP_STATES, by=_DEPLOYMENT),
                    legend="retraining",
                    states=states(LOOP_STATES, LOOP_COLORS),
                ),
            ),
            unit="short",
            kind="table",
            width=24,
            height=9,
            minimum=None,
            links=(
                Link(
                    column="deployment",
                    title="Dashboard of ${__data.fields.deployment}",
                    dashboard=deployment.UID,
                    variables=(("namespace", "namespace"), ("deployment", "deployment")),
                ),
            ),
        ),
    ),
)
TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            title="Requests by deployment",
            about="Requests per second that clients made, by the routers of a deployment, or by its servers if it has none.",
            queries=(
                Query(
                    expr=f"sum by (namespace, deployment) (tuneloop:requests:rate5m{{{_HERE}}})",
                    legend="{{namespace}}/{{deployment}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            title="Errors by deployment",
            about="Share of the requests that were answered 5xx, of the worst revision. Above the line clients notice.",
            queries=(
                Query(
                    expr=f"max by (namespace, deployment) (tuneloop:request_errors:ratio_rate5m{{{_HERE}}})",
                    legend="{{namespace}}/{{deployment}}",
                ),
            ),
            unit="percentunit",
            thresholds=warn_at(0.01, 0.05),
        ),
        Panel(
            title="p95 by deployment",
            about="95th percentile of the time of whole requests, of the slowest revision.",
            queries=(
                Query(
                    expr=f"max by (namespace, deployment) (tuneloop:request_duration_seconds:p95_5m{{{_HERE}}})",
                    legend="{{namespace}}/{{deployment}}",
                ),
            ),
            unit="s",
        ),
    ),
)
JOBS = Row(
    "Jobs",
    (
        Panel(
            title="Jobs",
            about="A line for each FineTuneJob that has begun. Its name leads to its dashboard.",
            queries=(
                Query(expr=largest("tuneloop_job_progress_ratio", _HERE, *_JOB), legend="done", unit="percentunit"),
                Query(expr=largest("tuneloop_job_step", _HERE, *_JOB), legend="step"),
                Query(expr=largest("tuneloop_job_loss", _HERE, *_JOB), legend="loss"),
                Query(expr=largest("tuneloop_job_tokens_per_second", _HERE, *_JOB), legend="tokens/s"),
                Query(
                    expr=largest("tuneloop_job_goodput_ratio", _HERE, *_JOB),
                    legend="goodput",
                    unit="percentunit",
                ),
                Query(
                    expr=f"max by (namespace, name) (sum by (namespace, name, pod) (tuneloop_job_restarts_total{{{_HERE}}}))",
                    legend="restarts",
                    thresholds=warn_at(1, 5),
                ),
                Query(
                    expr=largest("tuneloop_job_completed_total", f'{_HERE},result="Failed"', *_JOB),
                    legend="failed",
                    thresholds=bad_from(1),
                ),
            ),
            unit="short",
            kind="table",
            width=24,
            height=9,
            minimum=None,
            links=(
                Link(
                    column="name",
                    title="Dashboard of ${__data.fields.name}",
                    dashboard=job.UID,
                    variables=(("namespace", "namespace"), ("job", "name")),
                ),
            ),
        ),
        Panel(
            title="Jobs by phase",
            about="FineTuneJobs of all namespaces that the operator watches, by phase.",
            queries=(Query(expr="max by (phase) (tuneloop_jobs)", legend="{{phase}}"),),
            unit="short",
            width=12,
            is_stacked=True,
        ),
        Panel(
            title="GPUs in use",
            about="GPUs that training pods held, on average, by namespace.",
            queries=(
                Query(
                    expr=f"sum by (namespace) (max by (namespace, name) (rate(tuneloop_job_gpu_seconds_total{{{_HERE}}}[$__rate_interval])))",
                    legend="{{namespace}}",
                ),
            ),
            unit="short",
            width=12,
            is_stacked=True,
        ),
    ),
)
PAGE = Page(
    uid="tuneloop-fleet",
    title="Tuneloop / Fleet",
    about="All deployments and jobs: what needs a look, with links to the dashboard of each.",
    rows=(NOW, DEPLOYMENTS, TRAFFIC, JOBS),
    variables=(
        Variable(
            name="namespace",
            about="Namespaces with deployments or jobs.",
            query='label_values({__name__=~"tuneloop_model_deployment_info|tuneloop_job_progress_ratio"}, namespace)',
            is_multiple=True,
        ),
    ),
)
