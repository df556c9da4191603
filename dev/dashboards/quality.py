"""Rows of a deployment's dashboard about the quality of its predictions: with the labels of clients, and without."""

from __future__ import annotations

from dashboards.page import Panel, Query, Row
from dashboards.queries import OF_DEPLOYMENT, OF_REVISIONS, bad_from, largest, mean, per_second, quantile

FEEDBACK = Row(
    "Feedback",
    (
        Panel(
            title="Accuracy of $revision",
            about="Share of right predictions by the labels of clients, of days whose labels have come (`feedback.labelDelay`). The band has Wilson's limits at 95 %: the fewer labels, the wider.",
            queries=tuple(
                Query(expr=f"max(tuneloop:feedback_accuracy:{part}{{{OF_REVISIONS}}})", legend=legend)
                for part, legend in (("ratio", "accuracy"), ("lower95", "lower limit"), ("upper95", "upper limit"))
            ),
            unit="percentunit",
            minimum=None,
            maximum=1,
            width=24,
            band=("lower limit", "upper limit"),
            repeated_by="revision",
        ),
        Panel(
            title="Coverage",
            about="Share of the predictions of mature days that have a label. A small share may not stand for the others.",
            queries=(
                Query(
                    expr=f"max by (revision) (tuneloop:feedback_coverage:ratio{{{OF_REVISIONS}}})",
                    legend="{{revision}}",
                ),
            ),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            title="Labels",
            about="Labels of mature days.",
            queries=(
                Query(
                    expr=f"max by (revision) (tuneloop:feedback_labels:mature{{{OF_REVISIONS}}})", legend="{{revision}}"
                ),
            ),
            unit="short",
        ),
        Panel(
            title="Accuracy by day of the prediction",
            about="Share of right predictions of each day (UTC), over all revisions that are chosen. Of a young day only the quick labels have come.",
            queries=(
                Query(
                    expr=(
                        f"sum by (day) (tuneloop:feedback_cohort_correct:count{{{OF_REVISIONS}}})"
                        f" / (sum by (day) (tuneloop:feedback_cohort_labels:count{{{OF_REVISIONS}}}) > 0)"
                    ),
                    legend="{{day}}",
                ),
            ),
            unit="percentunit",
            minimum=None,
            maximum=1,
        ),
        Panel(
            title="From prediction to label",
            about="Percentiles of the time until a label comes. `feedback.labelDelay` should lie above the upper one.",
            queries=tuple(
                Query(expr=quantile(share, "tuneloop_feedback_lag_seconds", OF_DEPLOYMENT), legend=f"p{share * 100:.0f}")
                for share in (0.5, 0.9)
            ),
            unit="s",
            width=12,
        ),
        Panel(
            title="Refused feedback",
            about="Requests of feedback per second that were not counted, by reason. foreign: another key or deployment; label: not one of the model's.",
            queries=(Query(expr=per_second("tuneloop_feedback_refused_total", OF_DEPLOYMENT, "reason"), legend="{{reason}}"),),
            unit="reqps",
            width=12,
        ),
    ),
)  # fmt: skip
PREDICTIONS = Row(
    "Predictions",
    (
        Panel(
            title="Predictions by label",
            about="Predictions per second: the most probable label of a text, or the type of each entity.",
            queries=(Query(expr=per_second("tuneloop_predictions_total", OF_REVISIONS, "label"), legend="{{label}}"),),
            unit="cps",
            is_stacked=True,
        ),
        Panel(
            title="Confidence",
            about="Mean probability of the predictions; after calibration it estimates the accuracy without labels.",
            queries=(
                Query(expr=mean("tuneloop_confidence_ratio", OF_REVISIONS, "revision"), legend="{{revision}}"),
                Query(
                    expr=mean("tuneloop_calibrated_confidence_ratio", OF_REVISIONS, "revision"),
                    legend="{{revision}} calibrated",
                ),
            ),
            unit="percentunit",
            minimum=None,
            maximum=1,
        ),
        Panel(
            title="Entropy",
            about="Mean entropy of the labels' probabilities as a part of its greatest value: 0 is sure, 1 is no idea.",
            queries=(Query(expr=mean("tuneloop_entropy_ratio", OF_REVISIONS, "revision"), legend="{{revision}}"),),
            unit="percentunit",
            maximum=1,
        ),
        Panel(
            title="Texts that were cut",
            about="Share of the requests with a text longer than the model takes.",
            queries=(
                Query(
                    expr=(
                        f"{per_second('tuneloop_truncated_requests_total', OF_REVISIONS, 'revision')}"
                        f" / {per_second('tuneloop_requests_total', OF_REVISIONS, 'revision')}"
                    ),
                    legend="{{revision}}",
                ),
            ),
            unit="percentunit",
            thresholds=bad_from(0.1),
            width=12,
        ),
        Panel(
            title="Time to load",
            about="Time from the start of a server to its first possible answer, of the slowest server.",
            queries=(
                Query(
                    expr=largest("tuneloop_model_load_duration_seconds", OF_REVISIONS, "revision"),
                    legend="{{revision}}",
                ),
            ),
            unit="s",
            width=12,
        ),
    ),
)
