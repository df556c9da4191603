"""The dashboard of the operator itself."""

from __future__ import annotations

from dashboards.page import Page, Panel, Query, Row, Threshold, Unit
from dashboards.queries import GREEN, ORANGE, RED, per_second, quantile, warn_at


def _stat(title: str, about: str, expr: str, *, unit: Unit, thresholds: tuple[Threshold, ...] = ()) -> Panel:
    return Panel(
        title=title,
        about=about,
        queries=(Query(expr=expr, legend=title),),
        unit=unit,
        kind="stat",
        width=4,
        height=4,
        thresholds=thresholds,
    )


def _of_operators(metric: str) -> str:
    """Return a metric that every Python program has, of the operator's processes alone."""
    return f"({metric} and on (instance) tuneloop_build_info)"


NOW = Row(
    "Now",
    (
        _stat(
            "Leaders",
            "Processes that lead. Anything but 1 for longer than half a minute is wrong: without a leader nothing happens.",
            "sum(tuneloop_leader)",
            unit="short",
            thresholds=(Threshold(0, RED), Threshold(1, GREEN), Threshold(2, RED)),
        ),
        _stat("Processes", "Replicas of the operator that are scraped.", "count(tuneloop_build_info)", unit="short"),
        _stat(
            "Waiting objects",
            "Objects that wait for a worker, of the fullest process.",
            "max(tuneloop_work_queue_depth)",
            unit="short",
            thresholds=warn_at(100, 1000),
        ),
        _stat(
            "Errors of work",
            "Reconciliations per second that did not go well.",
            "sum(rate(tuneloop_reconcile_errors_total[$__rate_interval])) or vector(0)",
            unit="cps",
            thresholds=(Threshold(0, GREEN), Threshold(0.01, ORANGE), Threshold(1, RED)),
        ),
        _stat(
            "Namespaces of another release",
            "Namespaces that another release holds: this one does nothing there.",
            "max(tuneloop_foreign_namespaces)",
            unit="short",
            thresholds=(Threshold(0, GREEN), Threshold(1, ORANGE)),
        ),
        _stat(
            "Routers that refuse",
            "Routers that did not take the last split that they got. Their log says why.",
            "sum(max by (namespace, deployment) (tuneloop_model_deployment_refusing_routers)) or vector(0)",
            unit="short",
            thresholds=(Threshold(0, GREEN), Threshold(1, RED)),
        ),
    ),
)
WORK = Row(
    "Work",
    (
        Panel(
            title="Time of work on one object",
            about="99th percentile of a reconciliation, by kind.",
            queries=(Query(expr=quantile(0.99, "tuneloop_reconcile_seconds", "", "kind"), legend="{{kind}}"),),
            unit="s",
        ),
        Panel(
            title="Reconciliations",
            about="Reconciliations per second, by kind.",
            queries=(Query(expr=per_second("tuneloop_reconcile_seconds_count", "", "kind"), legend="{{kind}}"),),
            unit="ops",
        ),
        Panel(
            title="Errors of work",
            about="Reconciliations per second that did not go well, by kind and error. Conflicts come and go; others stay in the operator's log.",
            queries=(
                Query(
                    expr=per_second("tuneloop_reconcile_errors_total", "", "kind", "error"),
                    legend="{{kind}}: {{error}}",
                ),
            ),
            unit="cps",
        ),
        Panel(
            title="Wait for a worker",
            about="Percentiles of the time from due to taken by a worker. Above a second the operator has too little processor time or too many objects.",
            queries=tuple(
                Query(expr=quantile(share, "tuneloop_work_queue_wait_seconds", ""), legend=f"p{share * 100:.0f}")
                for share in (0.5, 0.99)
            ),
            unit="s",
            thresholds=warn_at(1, 10),
        ),
        Panel(
            title="Waiting objects",
            about="Objects that wait for a worker, by process.",
            queries=(Query(expr="max by (instance) (tuneloop_work_queue_depth)", legend="{{instance}}"),),
            unit="short",
        ),
        Panel(
            title="Leader",
            about="1 for the process that leads.",
            queries=(Query(expr="max by (instance) (tuneloop_leader)", legend="{{instance}}"),),
            unit="short",
            maximum=1,
        ),
    ),
)
CALLS = Row(
    "API server, routers, Prometheus",
    (
        Panel(
            title="Requests to the API server",
            about="Requests per second, by verb and status; 0: no answer. 409 is another writer and is tried again; 403: a right is missing.",
            queries=(
                Query(expr=per_second("tuneloop_api_calls_total", "", "verb", "code"), legend="{{verb}} {{code}}"),
            ),
            unit="reqps",
        ),
        Panel(
            title="Time of requests to the API server",
            about="99th percentile, by verb.",
            queries=(Query(expr=quantile(0.99, "tuneloop_api_call_seconds", "", "verb"), legend="{{verb}}"),),
            unit="s",
        ),
        Panel(
            title="Polls of routers",
            about="Polls of routers that wait, one for each router. Fewer than routers: some do not reach the operator.",
            queries=(Query(expr="sum(tuneloop_router_polls)", legend="polls"),),
            unit="short",
        ),
        Panel(
            title="Queries of gates",
            about="Queries to Prometheus per second, by result. With Error a roll-out is held.",
            queries=(Query(expr=per_second("tuneloop_prometheus_queries_total", "", "result"), legend="{{result}}"),),
            unit="cps",
        ),
        Panel(
            title="Processor time",
            about="Cores in use, by process.",
            queries=(
                Query(
                    expr=f"sum by (instance) {_of_operators('rate(process_cpu_seconds_total[$__rate_interval])')}",
                    legend="{{instance}}",
                ),
            ),
            unit="short",
        ),
        Panel(
            title="Memory",
            about="Resident memory, by process.",
            queries=(
                Query(
                    expr=f"max by (instance) {_of_operators('process_resident_memory_bytes')}",
                    legend="{{instance}}",
                ),
            ),
            unit="bytes",
        ),
    ),
)
PAGE = Page(
    uid="tuneloop-operator",
    title="Tuneloop / Operator",
    about="The operator: whether it leads, how quickly it works, and what goes wrong.",
    rows=(NOW, WORK, CALLS),
)
