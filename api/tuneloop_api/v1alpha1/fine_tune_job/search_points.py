"""Holds every value of a search to the rules of the field, as if the manifest had it. The CRD cannot: CEL does not see through a path."""

from __future__ import annotations

from copy import deepcopy
from itertools import combinations, product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from tuneloop_api.v1alpha1.fine_tune_job.search import MOST_TRIALS
from tuneloop_api.v1alpha1.fine_tune_job.search_fields import METHODS_OF
from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec
from tuneloop_api.wire.paths import value_at, with_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.fine_tune_job.search import Dimension, Search

_TYPE = "method.type"


class RefusedValue(NamedTuple):
    """A value of a dimension that the spec refuses."""

    field: str
    given: str
    reason: str


def refused_values(spec: FineTuneJobSpec) -> Iterator[RefusedValue]:
    """Yield what the spec refuses of its search: too large a grid and a field that is set besides, then values alone, then pairs of values of two dimensions."""
    if spec.search is None:
        return
    wire = spec.to_wire()
    del wire["search"]
    space = spec.search.space
    found = [*_too_large_grid(spec.search), *_set_besides(wire, space), *_refused_metric(wire, spec.search.metric)]
    found = found or [refused for dimension in space for refused in _refused(wire, (dimension,))]
    yield from found or [refused for pair in combinations(space, 2) for refused in _refused(wire, pair)]


def applies(path: str, method: str) -> bool:
    """Whether trials of a method have this field."""
    return method in METHODS_OF.get(path, (method,))


def _too_large_grid(search: Search) -> Iterator[RefusedValue]:
    count = prod(len(dimension.extremes) for dimension in search.space)
    if search.sampler == "grid" and count > MOST_TRIALS:
        reason = f"sampler: grid trains every combination, and a search has at most {MOST_TRIALS} trials; leave values out, or use sampler: tpe"
        yield RefusedValue("spec.search.space", f"{count} combinations", reason)


def _set_besides(wire: dict[str, Any], space: list[Dimension]) -> Iterator[RefusedValue]:
    for dimension in space:
        if (given := value_at(wire, dimension.path)) is not None:
            reason = "the search draws its values, so that this one would never be used; leave the field out"
            yield RefusedValue(f"spec.{dimension.path}", ascii(given), reason)


def _refused_metric(wire: dict[str, Any], metric: str | None) -> Iterator[RefusedValue]:
    best = value_at(wire, "training.bestMetric")
    if metric is not None and best not in {None, metric}:
        reason = f"training.bestMetric is {best}: trials are compared by the metric that chooses their checkpoint; leave one of the two out"
        yield RefusedValue("spec.search.metric", metric, reason)
    elif metric is not None and (refused := _reason(wire, {"training.bestMetric": metric})) is not None:
        yield RefusedValue("spec.search.metric", metric, refused)


def _refused(wire: dict[str, Any], dimensions: tuple[Dimension, ...]) -> Iterator[RefusedValue]:
    """Yield the first combination of values of these dimensions that the spec refuses."""
    for values in product(*(dimension.extremes for dimension in dimensions)):
        point: dict[str, Any] = {found.path: value for found, value in zip(dimensions, values, strict=True)}
        method = point.get(_TYPE) or value_at(wire, _TYPE) or "lora"
        is_whole = all(applies(path, str(method)) for path in point)
        if is_whole and (reason := _reason(wire, point)) is not None:
            given = ", ".join(f"{path}: {value!a}" for path, value in point.items())
            yield RefusedValue("spec.search.space", given, reason)
            return


def _reason(wire: dict[str, Any], point: dict[str, Any]) -> str | None:
    """Return why the spec with these values is refused; None: it is allowed."""
    tried = deepcopy(wire)
    for path, value in point.items():
        tried = with_value(tried, path, value)
    try:
        FineTuneJobSpec.from_wire(tried)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"spec.{'.'.join(map(str, first['loc']))} {first['msg']}"
    return None
