"""The dashboard of one ModelDeployment: traffic, time, roll-out, agreement, feedback, and what its model predicts."""

from __future__ import annotations

from dashboards.drift import DRIFT, FEATURE
from dashboards.generation import GENERATION
from dashboards.page import Page, Panel, Query, Row, Variable
from dashboards.quality import FEEDBACK, PREDICTIONS
from dashboards.queries import (
    OF_DEPLOYMENT,
    OF_REVISIONS,
    good_from,
    largest,
    mean,
    per_second,
    quantile,
    warn_at,
)
from dashboards.retraining import RETRAINED, RETRAINING
from dashboards.rollout import AGREEMENT, ANNOTATIONS, ROLLOUT

UID = "tuneloop-deployment"


def _stat(title: str, about: str, query: Query, **how: object) -> Panel:
    return Panel(title=title, about=about, queries=(query,), kind="stat", width=4, height=4, **how)  # type: ignore[arg-type]


OVERVIEW = Row(
    "Now",
    (
        _stat(
            "Ready",
            "1 if the condition Ready is True. `kubectl describe mdep` says what is wrong otherwise.",
            Query(
                expr=f'max(tuneloop_model_deployment_status_condition{{{OF_DEPLOYMENT},condition="Ready",status="True"}}) or vector(0)',
                legend="ready",
            ),
            unit="short",
            thresholds=good_from(1),
        ),
        _stat(
            "Requests",
            "Requests per second that clients made.",
            Query(expr=f"sum(tuneloop:requests:rate5m{{{OF_DEPLOYMENT}}})", legend="requests"),
            unit="reqps",
        ),
        _stat(
            "Errors",
            "Share of the requests that were answered 5xx, of the worst revision.",
            Query(expr=f"max(tuneloop:request_errors:ratio_rate5m{{{OF_DEPLOYMENT}}})", legend="errors"),
            unit="percentunit",
            thresholds=warn_at(0.01, 0.05),
            without_data="no requests",
        ),
        _stat(
            "p95",
            "95th percentile of the time of whole requests, of the slowest revision.",
            Query(expr=f"max(tuneloop:request_duration_seconds:p95_5m{{{OF_DEPLOYMENT}}})", legend="p95"),
            unit="s",
            without_data="no requests",
        ),
        _stat(
            "Servers that answer",
            "Servers that have loaded their model, of all revisions.",
            Query(expr=f"sum(tuneloop_model_loaded{{{OF_DEPLOYMENT}}})", legend="servers"),
            unit="short",
            thresholds=good_from(1),
        ),
        _stat(
            "Canary's weight",
            "Share of the requests that the canary is to get.",
            Query(
                expr=largest("tuneloop_traffic_weight_ratio", f'{OF_DEPLOYMENT},role="canary"'),
                legend="weight",
            ),
            unit="percentunit",
            without_data="no canary",
        ),
    ),
)
TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            title="Requests by revision",
            about="Requests per second, by the revision that answered. Without a revision the router itself sent the status, since nobody answered.",
            queries=(
                Query(expr=f"sum by (revision) (tuneloop:requests:rate5m{{{OF_REVISIONS}}})", legend="{{revision}}"),
            ),
            unit="reqps",
            is_stacked=True,
        ),
        Panel(
            title="Requests by status",
            about="Requests per second, by HTTP status. 0: the client left before the answer; 429: a limit was reached, or the queue was full.",
            queries=(Query(expr=f"sum by (code) (tuneloop:requests:rate5m{{{OF_REVISIONS}}})", legend="{{code}}"),),
            unit="reqps",
            is_stacked=True,
        ),
        Panel(
            title="Errors by revision",
            about="Share of the requests that were answered 5xx. Above the lines clients notice.",
            queries=(
                Query(
                    expr=f"max by (revision) (tuneloop:request_errors:ratio_rate5m{{{OF_REVISIONS}}})",
                    legend="{{revision}}",
                ),
            ),
            unit="percentunit",
            thresholds=warn_at(0.01, 0.05),
        ),
        Panel(
            title="Requests that servers refused",
            about="Requests per second that model servers did not answer well, by reason. overloaded: add replicas; timeout and model_error: see the server's log.",
            queries=(
                Query(
                    expr=per_second("tuneloop_requests_total", f'{OF_REVISIONS},reason!="ok"', "revision", "reason"),
                    legend="{{revision}}: {{reason}}",
                ),
            ),
            unit="reqps",
        ),
        Panel(
            title="Requests made again",
            about="Requests per second that a router made again, by the revision that the weights chose.",
            queries=(
                Query(
                    expr=f"max by (revision) (tuneloop:request_retries:rate5m{{{OF_REVISIONS}}})", legend="{{revision}}"
                ),
            ),
            unit="reqps",
        ),
        Panel(
            title="Healthy servers, as routers see them",
            about="Servers that answer a router's health checks, of the router that sees the fewest. Nothing without routers.",
            queries=(
                Query(
                    expr=f"min by (revision) (tuneloop:healthy_servers:min{{{OF_REVISIONS}}})", legend="{{revision}}"
                ),
            ),
            unit="short",
        ),
    ),
)
LATENCY = Row(
    "Time",
    (
        Panel(
            title="p95 by revision",
            about="95th percentile of the time of whole requests, as clients see it.",
            queries=(
                Query(
                    expr=f"max by (revision) (tuneloop:request_duration_seconds:p95_5m{{{OF_REVISIONS}}})",
                    legend="{{revision}}",
                ),
                Query(
                    expr=f"max by (revision) (tuneloop:first_byte_seconds:p95_5m{{{OF_REVISIONS}}})",
                    legend="{{revision}}, first byte",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Time in the server",
            about="Percentiles of the time of whole requests in the model servers, requests of the comparator among them.",
            queries=tuple(
                Query(
                    expr=quantile(share, "tuneloop_request_duration_seconds", OF_REVISIONS),
                    legend=f"p{share * 100:.0f}",
                )
                for share in (0.5, 0.95, 0.99)
            ),
            unit="s",
        ),
        Panel(
            title="Where the time goes",
            about="Means of the time that a text waits for its forward pass, and of a forward pass. A long wait with full batches asks for more replicas.",
            queries=(
                Query(expr=mean("tuneloop_queue_duration_seconds", OF_REVISIONS, "revision"), legend="{{revision}} waits"),
                Query(expr=mean("tuneloop_inference_duration_seconds", OF_REVISIONS, "revision"), legend="{{revision}} computes"),
            ),
            unit="s",
        ),
        Panel(
            title="Texts in a forward pass",
            about="Mean number of texts that one forward pass computes.",
            queries=(Query(expr=mean("tuneloop_batch_size_requests", OF_REVISIONS, "revision"), legend="{{revision}}"),),
            unit="short",
        ),
        Panel(
            title="Texts that wait",
            about="Texts that wait for a forward pass, of the fullest server.",
            queries=(Query(expr=largest("tuneloop_queue_requests", OF_REVISIONS, "revision"), legend="{{revision}}"),),
            unit="short",
        ),
        Panel(
            title="Tokens",
            about="Tokens per second that servers read.",
            queries=(Query(expr=per_second("tuneloop_tokens_total", OF_REVISIONS, "revision", "direction"), legend="{{revision}}, {{direction}}"),),
            unit="cps",
        ),
    ),
)  # fmt: skip
PAGE = Page(
    uid=UID,
    title="Tuneloop / Deployment",
    about="One ModelDeployment: what clients get, where its roll-out is, and how good its predictions are.",
    rows=(OVERVIEW, TRAFFIC, LATENCY, ROLLOUT, AGREEMENT, GENERATION, FEEDBACK, PREDICTIONS, DRIFT, RETRAINING),
    variables=(
        Variable(
            name="namespace",
            about="Namespace of the deployment.",
            query="label_values(tuneloop_model_deployment_info, namespace)",
        ),
        Variable(
            name="deployment",
            about="The ModelDeployment.",
            query='label_values(tuneloop_model_deployment_info{namespace="$namespace"}, deployment)',
        ),
        Variable(
            name="revision",
            about="Revisions of the deployment, by hash.",
            query=f"label_values(tuneloop_revision_info{{{OF_DEPLOYMENT}}}, revision)",
            is_multiple=True,
        ),
        FEATURE,
    ),
    annotations=(*ANNOTATIONS, RETRAINED),
)
