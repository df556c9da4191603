"""What a comparison with a champion can decide, as `validate` and `plan` print it: from the number of golden rows and the margin. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.settings import CompareWithSettings
from tuneloop_api.statistics.challenger import LEVEL
from tuneloop_operator.decide.model_deployment.gates.evidence import Levels
from tuneloop_operator.decide.model_deployment.gates.power import REQUIRED_POWER, Pairing, chance, least_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_api.v1alpha1.fine_tune_job.evaluation import CompareWith
    from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec

DISCORDANT = 0.1
"""Of two models on the same labelled rows: one row in ten is right in one of them alone."""
_VARYING = {"token-classification": "F1 of spans", "text-generation": "number of bits per byte"}
WORSE_BY = (0.01, 0.02, 0.05)
GAINS = (0.01, 0.02, 0.03)
_LEVELS = Levels(fail=LEVEL, promote=LEVEL)


def comparison_notes(spec: FineTuneJobSpec, rows: Mapping[str, int]) -> Iterator[str]:
    """Yield what `evaluation.compareWith` can decide. rows: by split."""
    given = spec.evaluation.compare_with if spec.evaluation else None
    if given is None:
        return
    if spec.task_id != "text-classification":
        metric = _VARYING.get(spec.task, "micro F1 of several labels")
        yield f"compareWith: how often it decides is not known before: the {metric} varies with the rows"
        return
    if spec.training and spec.training.best_metric == "macro_f1":
        yield "compareWith, by macro_f1 as training.bestMetric: how often it decides is not known before: it varies with the classes' shares and with what is confused"
        return
    asked, golden = _with_defaults(given), rows["test"]
    equal = passes(golden, 0.0, margin=asked.margin)
    stopped = (1 - passes(golden, worse, margin=asked.margin) for worse in WORSE_BY)
    yield (
        f"compareWith, margin {asked.margin:g}: on {golden:,} golden rows an equal model is found not inferior with {chance(equal)}; one that is "
        f"worse by {_points(WORSE_BY)} points is stopped with {', '.join(map(chance, stopped))}{_assumption()}"
    )
    needed = ", ".join(_needed(gain, asked.min_improvement) for gain in GAINS)
    where = "recent" if given.recent else "golden"
    yield (
        f"compareWith, minImprovement {asked.min_improvement:g}: a gain of {_points(GAINS)} points is found with {chance(REQUIRED_POWER)} on {needed} {where} rows{_of_feedback(given)}"
    )


def passes(rows: int, worse_by: float, *, margin: float) -> float:
    """Return the chance that the lower limit of the gain exceeds −margin, for a challenger that is worse by `worse_by`. A negative margin asks for a gain."""
    expected = Pairing(
        discordant=DISCORDANT - worse_by
    )  # `Pairing` adds `worse_by`, so that DISCORDANT is the share of all
    return expected.chances(rows, worse_by, margin=margin, levels=_LEVELS).to_pass


def rows_needed(gain: float, min_improvement: float) -> int | None:
    """Return how many rows find a gain with 80 %; None: no number of rows does."""
    if gain <= min_improvement:
        return None
    return least_sample(lambda rows: passes(rows, -gain, margin=-min_improvement), REQUIRED_POWER)


def _needed(gain: float, min_improvement: float) -> str:
    rows = rows_needed(gain, min_improvement)
    return "no number of" if rows is None else f"{rows:,}"


def _points(shares: tuple[float, ...]) -> str:
    return ", ".join(f"{100 * share:g}" for share in shares)


def _of_feedback(given: CompareWith) -> str:
    return "; 1 text in 10 of feedback is recent" if any(source.is_feedback for source in given.recent or ()) else ""


def _assumption() -> str:
    return f" (where the two disagree on {chance(DISCORDANT)} of the rows)"


def _with_defaults(given: CompareWith) -> CompareWithSettings:
    return CompareWithSettings.from_wire(given.to_wire())
