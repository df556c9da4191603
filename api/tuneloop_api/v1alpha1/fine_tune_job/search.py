"""The part of a FineTuneJob's spec that asks for several trainings, of which the best is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from tuneloop_api.v1alpha1.common import ShortText
from tuneloop_api.v1alpha1.fine_tune_job.search_fields import (
    CHOICES,
    WHOLE_NUMBERS,
    WORDS,
    ParameterValue,
    SearchedField,
    choices_of,
)
from tuneloop_api.v1alpha1.fine_tune_job.training import MetricName
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.fine_tune_job.checkpoint import Checkpoint

MOST_DIMENSIONS = 8
MOST_VALUES = 16
MOST_TRIALS = 1000


class Dimension(SpecModel):
    """A field that differs between trials."""

    path: SearchedField
    """The field, which the spec itself leaves out. Others need a job for each value: the prepared data depend on model and data, and a seed would be chosen by luck."""
    type: Literal["float", "log-float", "int", "categorical"]
    """How values are drawn: from a range evenly (`float`, `int`) or by orders of magnitude (`log-float`), or from a list (`categorical`)."""
    low: float | None = None
    """Smallest value of a range. Default: none, a list has no range. For example `1e-5`."""
    high: float | None = None
    """Largest value of a range. Default: none, a list has no range. For example `1e-3`."""
    values: Annotated[list[ShortText], Field(min_length=1, max_length=MOST_VALUES)] | None = None
    """The words of `type: categorical`, 1 to 16; of a switch `"true"` and `"false"`. Default: none. For example `[full, lora]`."""
    numbers: Annotated[list[float], Field(min_length=1, max_length=MOST_VALUES)] | None = None
    """The numbers of `type: categorical`, 1 to 16. Default: none. For example `[16, 32]`."""

    rules = (
        Rule(
            field="type",
            message="does not fit the path: int is for whole numbers, float and log-float for other numbers; words, switches and training.globalBatchSize have a list; for example categorical",
            cel=f"self.type == 'categorical' || (!(self.path in {list(CHOICES)}) && (self.type == 'int') == (self.path in {list(WHOLE_NUMBERS)}))",
            holds=lambda dimension: (
                dimension.type == "categorical"
                or (dimension.path not in CHOICES and (dimension.type == "int") == (dimension.path in WHOLE_NUMBERS))
            ),
        ),
        Rule(
            message="type: categorical has values (words and switches) or numbers (other fields) alone; every other type has low and high alone",
            cel=f"self.type == 'categorical' ? !has(self.low) && !has(self.high) && has(self.values) == (self.path in {list(WORDS)}) && has(self.numbers) != has(self.values) : has(self.low) && has(self.high) && !has(self.values) && !has(self.numbers)",
            holds=lambda dimension: dimension.has_its_values,
        ),
        Rule(
            field="low",
            message="must be less than high; for example low: 1e-5 with high: 1e-3",
            cel="!has(self.low) || !has(self.high) || self.low < self.high",
            holds=lambda dimension: dimension.low is None or dimension.high is None or dimension.low < dimension.high,
        ),
        Rule(
            field="low",
            message="must be more than 0 for type: log-float; for example 1e-5",
            cel="self.type != 'log-float' || !has(self.low) || self.low > 0.0",
            holds=lambda dimension: dimension.type != "log-float" or dimension.low is None or dimension.low > 0,
        ),
    )

    @property
    def has_its_values(self) -> bool:
        """Whether the dimension has what its type draws from, and nothing else."""
        ends, lists = (self.low, self.high), (self.values, self.numbers)
        if self.type == "categorical":
            given = self.values if self.path in WORDS else self.numbers
            return ends == (None, None) and given is not None and None in lists
        return None not in ends and lists == (None, None)

    @property
    def extremes(self) -> list[ParameterValue]:
        """The values that are checked before the search: all of a list, both ends of a range."""
        ends = None if self.low is None or self.high is None else [self.low, self.high]
        return choices_of(self.path, self.values, ends or self.numbers)


class Search(SpecModel):
    """Several trainings, one after another in the same pods on the same prepared data; the best on the validation split is published."""

    space: Annotated[list[Dimension], Field(min_length=1, max_length=MOST_DIMENSIONS)]
    """The fields that differ between trials, 1 to 8. For example `[{path: training.learningRate, type: log-float, low: 1e-5, high: 1e-3}]`."""
    sampler: Literal["tpe", "random", "grid"] | None = None
    """How values are chosen: `tpe` learns from the trials before, `random` draws, `grid` trains every combination. Default: `tpe`."""
    pruner: Literal["none", "median", "asha"] | None = None
    """When a trial ends early, after an evaluation: `median` if it is worse than the median of the trials before, `asha` if it is not in the best quarter at evaluations 1, 4,
    16 and so on. Default: `asha`."""
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """How many trainings are made, 1 to 1000. Not for `sampler: grid`. Default: 20. For example `50`."""
    metric: MetricName | None = None
    """Validation metric that trials are compared by, in place of `training.bestMetric`. Default: `training.bestMetric`."""

    rules = (
        Rule(
            field="space",
            message="names a path twice; each field has one dimension; for example training.learningRate and training.epochs",
            cel="self.space.all(dimension, self.space.exists_one(other, other.path == dimension.path))",
            holds=lambda search: len({found.path for found in search.space}) == len(search.space),
        ),
        Rule(
            field="sampler",
            message="grid needs a finite number of values: type: categorical for every dimension; for example numbers: [1e-5, 3e-5, 1e-4]",
            cel="self.?sampler.orValue('tpe') != 'grid' || self.space.all(dimension, dimension.type == 'categorical')",
            holds=lambda search: search.sampler != "grid" or all(found.type == "categorical" for found in search.space),
        ),
        applies_only(
            "trials",
            to="sampler: tpe or random: grid has a trial for each combination; leave it out",
            cel="self.?sampler.orValue('tpe') != 'grid'",
            holds=lambda search: search.sampler != "grid",
        ),
    )


class SpecWithSearch(Protocol):
    """What the rules read of a FineTuneJobSpec, which lies above this file."""

    @property
    def search(self) -> Search | None:
        """The trials."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where training begins."""


def search_rules() -> tuple[Rule, ...]:
    """Return the rules of a FineTuneJob's spec."""
    return (
        Rule(
            field="search",
            reason="FieldValueForbidden",
            message="cannot be combined with checkpoint.resumeFrom, which holds the state of a single training; leave one of the two out",
            cel="!has(self.search) || !has(self.checkpoint) || !has(self.checkpoint.resumeFrom)",
            holds=lambda spec: spec.search is None or spec.checkpoint is None or spec.checkpoint.resume_from is None,
        ),
    )
