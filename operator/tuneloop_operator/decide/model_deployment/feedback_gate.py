"""The gate on late labels: while a revision bakes, its accuracy against that of the revision before. Pure.

Prometheus holds the numbers: the counts of a server end with its pod, and those of the revision before are needed after its pods are gone. So the gate is a
query that is written here, over the recording rules. Its number is the lower limit of harm: how much more often the promoted revision is wrong, at least. It is
read as the number of a user's query is, and three in a row beyond the margin bring the revision before back.
The reasons are in docs/decisions/0059-late-labels-gate-the-baking.md.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from tuneloop_operator.decide.gate_query import DEPLOYMENT, NAMESPACE, PREVIOUS, REVISION

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.model_deployment.gates import Gate

LEAST_LABELS = 100
"""Of each revision. With fewer the normal approximation of Wilson's limits is too bold at this level."""
LEAST_COVERAGE = 0.01
"""Part of a revision's predictions that have a label. With fewer, who sends labels says more than the labels do."""
LOOKS = 8
"""Days that can mature while their counts are kept: each brings new labels, and so is a look. All share alpha."""
DEFAULT_ALPHA = 0.05
NO_DATA = (
    f"too few labels of days that are mature: {LEAST_LABELS} of each revision are needed, and labels for "
    f"{LEAST_COVERAGE:.0%} of its predictions; feedback.labelDelay after the end of a day it is mature"
)
_ASSUMED_ERRORS = 0.1
_POWER = 0.8


def feedback_query(*, alpha: float) -> str:
    """Return the query for the lower limit of harm, with variables for the names.

    Harm is the share of wrong answers of the promoted revision − that of the revision before. The limits of the two shares are Wilson's, joined by
    Newcombe's method 10 (Statistics in Medicine 17 (1998) 873–890). Empty where there are too few labels.
    """
    z = critical(alpha)
    right, labels, predictions = (
        {role: _counts(what, role) for role in (REVISION, PREVIOUS)} for what in ("correct", "labels", "predictions")
    )
    share = {role: f"({right[role]} / {labels[role]})" for role in labels}
    most = _wilson(right[REVISION], labels[REVISION], z=z, sign="+")
    least = _wilson(right[PREVIOUS], labels[PREVIOUS], z=z, sign="-")
    harm = f"{share[PREVIOUS]} - {share[REVISION]}"
    below = f"sqrt(({most} - {share[REVISION]}) ^ 2 + ({share[PREVIOUS]} - {least}) ^ 2)"
    enough = " ".join(
        f"and ({labels[role]} >= {LEAST_LABELS}) and ({labels[role]} / {predictions[role]} >= {LEAST_COVERAGE})"
        for role in labels
    )
    return f"({harm} - {below}) {enough}"


def critical(alpha: float) -> float:
    """Return how many standard deviations one of all looks asks for, on one side."""
    return NormalDist().inv_cdf(1 - alpha / LOOKS)


def alpha_of(gate: Gate) -> float:
    """Return alpha of a gate on late labels."""
    return DEFAULT_ALPHA if gate.alpha is None else gate.alpha


def labels_needed(*, margin: float, alpha: float) -> int:
    """Return how many labels of each revision bring back, with 80 %, one whose harm is twice the margin. Nine answers of ten of the other are right."""
    worse = min(_ASSUMED_ERRORS + 2 * margin, 1.0)
    variance = _ASSUMED_ERRORS * (1 - _ASSUMED_ERRORS) + worse * (1 - worse)
    deviations = critical(alpha) + NormalDist().inv_cdf(_POWER)
    return max(LEAST_LABELS, math.ceil(variance * (deviations / margin) ** 2))


def _counts(what: str, role: str) -> str:
    names = f'namespace="{{{{{NAMESPACE}}}}}",deployment="{{{{{DEPLOYMENT}}}}}",revision="{{{{{role}}}}}"'
    return f"sum(tuneloop:feedback_{what}:mature{{{names}}})"


def _wilson(right: str, labels: str, *, z: float, sign: str) -> str:
    """Return Wilson's limit of a share of right answers."""
    square = z * z
    spread = f"{z:.6f} * sqrt({right} * ({labels} - {right}) / {labels} + {square / 4:.6f})"
    return f"(({right} + {square / 2:.6f} {sign} {spread}) / ({labels} + {square:.6f}))"
