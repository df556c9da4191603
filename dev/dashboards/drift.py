"""The row of a deployment's dashboard about drift: how far inputs and answers are from the baseline window, and accuracy without labels."""

from __future__ import annotations

from dashboards.page import Panel, Query, Row, Threshold, Variable
from dashboards.queries import GREEN, OF_DEPLOYMENT, OF_REVISIONS, ORANGE, RED, bad_from, largest

_OF_FEATURE = f'{OF_REVISIONS},feature="$feature"'
_PSI = (Threshold(0, GREEN), Threshold(0.1, ORANGE), Threshold(0.2, RED))
_KEY = "namespace, deployment, revision, feature"
FEATURE = Variable(
    name="feature",
    about="Feature whose bins are shown.",
    query=f"label_values(tuneloop_reference_bin_ratio{{{OF_DEPLOYMENT}}}, feature)",
)


def _psi(window: str) -> Panel:
    return Panel(
        title=f"PSI of {window}",
        about="Population stability index of each feature against the baseline window. Below 0.1 little has changed, above 0.2 much. With few texts chance alone makes it large: see the next panels.",
        queries=(
            Query(
                expr=largest(f"tuneloop:feature_psi:{window}", OF_REVISIONS, "revision", "feature"),
                legend="{{revision}} {{feature}}",
            ),
        ),
        unit="short",
        thresholds=_PSI,
    )


DRIFT = Row(
    "Drift",
    (
        _psi("1h"),
        _psi("24h"),
        Panel(
            title="PSI / what chance explains",
            about="PSI of the last 24 hours as a part of what it exceeds once in a hundred times without any drift, with so many texts. Above 1 it is drift.",
            queries=(
                Query(
                    expr=(
                        f"max by (revision, feature) (tuneloop:feature_psi:24h{{{OF_REVISIONS}}}"
                        f" / on ({_KEY}) tuneloop:feature_psi_critical:24h{{{OF_REVISIONS}}})"
                    ),
                    legend="{{revision}} {{feature}}",
                ),
            ),
            unit="percentunit",
            thresholds=bad_from(1),
        ),
        Panel(
            title="Bins of $feature",
            about="Share of the texts in each bin of the feature that is chosen: now, in the baseline window, and in the held-out rows of the training.",
            queries=tuple(
                Query(expr=largest(metric, _OF_FEATURE, "revision", "bin"), legend=legend)
                for legend, metric in (
                    ("last hour", "tuneloop:feature_bin:ratio1h"),
                    ("last 24 hours", "tuneloop:feature_bin:ratio24h"),
                    ("baseline", "tuneloop_reference_bin_ratio"),
                    ("training", "tuneloop_training_bin_ratio"),
                )
            ),
            unit="percentunit",
            kind="table",
        ),
        Panel(
            title="Texts that were measured",
            about="Texts of the last hour, by feature. PSI says little below some hundred.",
            queries=(
                Query(
                    expr=largest("tuneloop:feature_samples:increase1h", OF_REVISIONS, "revision", "feature"),
                    legend="{{revision}} {{feature}}",
                ),
            ),
            unit="short",
        ),
        Panel(
            title="Accuracy without labels and with them",
            about="The mean calibrated confidence estimates accuracy without labels. It is blind to a change of what is right, which shows where the labels of clients lie below it.",
            queries=(
                Query(
                    expr=largest("tuneloop:estimated_accuracy:ratio24h", OF_REVISIONS, "revision"),
                    legend="{{revision}} estimated",
                ),
                Query(
                    expr=largest("tuneloop:feedback_accuracy:ratio", OF_REVISIONS, "revision"),
                    legend="{{revision}} by labels",
                ),
            ),
            unit="percentunit",
            minimum=None,
            maximum=1,
        ),
    ),
)
