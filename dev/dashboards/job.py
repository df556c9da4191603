"""The dashboard of one FineTuneJob."""

from __future__ import annotations

from dashboards.page import Page, Panel, Query, Row, Threshold, Unit, Variable
from dashboards.queries import GREEN, RED, largest, warn_at

UID = "tuneloop-job"
_JOB = 'namespace="$namespace",name="$job"'


def _stat(
    title: str, about: str, expr: str, *, unit: Unit, thresholds: tuple[Threshold, ...] = (), without: str | None = None
) -> Panel:
    return Panel(
        title=title,
        about=about,
        queries=(Query(expr=expr, legend=title),),
        unit=unit,
        kind="stat",
        width=4,
        height=4,
        thresholds=thresholds,
        without_data=without,
    )


def _graph(title: str, about: str, metric: str, *, unit: Unit, minimum: float | None = 0) -> Panel:
    return Panel(
        title=title,
        about=about,
        queries=(Query(expr=largest(metric, _JOB), legend=title),),
        unit=unit,
        minimum=minimum,
    )


NOW = Row(
    "Now",
    (
        _stat(
            "Done",
            "Part of the whole job that is done, over its stages.",
            largest("tuneloop_job_progress_ratio", _JOB),
            unit="percentunit",
        ),
        _stat("Step", "Optimizer steps done.", largest("tuneloop_job_step", _JOB), unit="short"),
        _stat(
            "Last report",
            "Time since the stage at work last reported. Long without a report: its pods hang or wait; `kubectl describe ftj` says more.",
            f"time() - {largest('tuneloop_job_heartbeat_timestamp_seconds', _JOB)}",
            unit="s",
            thresholds=warn_at(120, 600),
        ),
        _stat(
            "Newest checkpoint",
            "Age of the newest checkpoint: what an interruption now would cost.",
            largest("tuneloop_job_checkpoint_age_seconds", _JOB),
            unit="s",
            without="none",
        ),
        _stat(
            "Goodput",
            "Part of the running time that went into steps that were kept.",
            largest("tuneloop_job_goodput_ratio", _JOB),
            unit="percentunit",
            thresholds=(Threshold(0, RED), Threshold(0.5, "orange"), Threshold(0.8, GREEN)),
            without="not yet",
        ),
        _stat(
            "Ended",
            "1 once the job is over, well or not.",
            f"max by (result, class) (tuneloop_job_completed_total{{{_JOB}}})",
            unit="short",
            without="not yet",
        ),
    ),
)
TRAINING = Row(
    "Training",
    (
        _graph(
            "Loss",
            "Training loss of the last reported step. It begins again at a checkpoint after a restart.",
            "tuneloop_job_loss",
            unit="short",
            minimum=None,
        ),
        _graph(
            "Tokens per second",
            "Tokens trained per second over all ranks, without padding.",
            "tuneloop_job_tokens_per_second",
            unit="cps",
        ),
        _graph("Steps", "Optimizer steps done. A step down is a restart from a checkpoint.", "tuneloop_job_step", unit="short"),
        _graph("Progress", "Part of the whole job that is done.", "tuneloop_job_progress_ratio", unit="percentunit"),
        _graph("Age of the newest checkpoint", "Seconds since the newest checkpoint was whole.", "tuneloop_job_checkpoint_age_seconds", unit="s"),
        _graph(
            "Time to save a checkpoint",
            "95th percentile. A grace period below it is too short to save in.",
            "tuneloop_job_checkpoint_save_seconds",
            unit="s",
        ),
    ),
)  # fmt: skip
COSTS = Row(
    "Restarts and costs",
    (
        Panel(
            title="Restarts",
            about="Restarts of the training by class: failure has a limit in `failurePolicy`, disruption is an eviction, a preemption or a lost node.",
            queries=(
                Query(
                    expr=largest("tuneloop_job_restarts_total", _JOB, "class"),
                    legend="{{class}}",
                ),
            ),
            unit="short",
            width=6,
        ),
        Panel(
            title="Steps that were lost",
            about="Optimizer steps of ended attempts that no checkpoint held. Many: save more often.",
            queries=(Query(expr=largest("tuneloop_job_lost_steps_total", _JOB), legend="steps"),),
            unit="short",
            width=6,
        ),
        Panel(
            title="GPU time",
            about="GPUs held by training pods times the time that they were held.",
            queries=(Query(expr=largest("tuneloop_job_gpu_seconds_total", _JOB), legend="GPU time"),),
            unit="s",
            width=6,
        ),
        Panel(
            title="Waiting",
            about="How long the current attempt has been waiting for its pods, and how long the first optimizer step took to come.",
            queries=(
                Query(expr=largest("tuneloop_job_queue_wait_seconds", _JOB), legend="for pods"),
                Query(expr=largest("tuneloop_job_time_to_first_step_seconds", _JOB), legend="until the first step"),
            ),
            unit="s",
            width=6,
        ),
    ),
)
PAGE = Page(
    uid=UID,
    title="Tuneloop / Job",
    about="One FineTuneJob: how far it is, how it learns, and what it costs.",
    rows=(NOW, TRAINING, COSTS),
    variables=(
        Variable(
            name="namespace",
            about="Namespace of the job.",
            query="label_values(tuneloop_job_progress_ratio, namespace)",
        ),
        Variable(
            name="job",
            about="The FineTuneJob.",
            query='label_values(tuneloop_job_progress_ratio{namespace="$namespace"}, name)',
        ),
    ),
)
