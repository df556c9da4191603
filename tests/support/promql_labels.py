"""Which labels the result of a query has: inferred from its text and from the labels of the metrics in it.

A query that asks for a metric or a label that there is not is PromQL as well, and finds nothing. Here it is a `LabelError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import promql_parser as promql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Labels = frozenset[str]
_KEEPS_SERIES = ("topk", "bottomk")
_SETS = ("and", "unless")


class LabelError(Exception):
    """The message names the metric or the labels, and the part of the query."""


def result_labels(query: str, known: Mapping[str, Labels]) -> Labels:
    """Return the labels that every series of the result has. Raises LabelError, or ValueError where it is no PromQL."""
    return _of(promql.parse(query), known) or frozenset()


def _of(node: Any, known: Mapping[str, Labels]) -> Labels | None:
    """Return the labels of a part; None of a scalar or a string."""
    return _PARTS[type(node)](node, known)


def _selected(node: Any, known: Mapping[str, Labels]) -> Labels:
    base = node.name if node.name in known else node.name.removesuffix("_sum").removesuffix("_count")
    if base not in known:
        raise LabelError(f"no program exports {node.name}, and no rule records it")
    _must_have(known[base], (matcher.name for matcher in node.matchers.matchers), node)
    return known[base]


def _aggregated(node: Any, known: Mapping[str, Labels]) -> Labels:
    inner = _of(node.expr, known) or frozenset()
    if str(node.op) in _KEEPS_SERIES:
        return inner
    by = node.modifier.labels if node.modifier else []
    assert not node.modifier or node.modifier.type == promql.AggModifierType.By, f"not `by`: {node}"
    _must_have(inner, by, node)
    return frozenset(by)


def _called(node: Any, known: Mapping[str, Labels]) -> Labels | None:
    arguments = [found for argument in node.args if (found := _of(argument, known)) is not None]
    if node.func.name == "vector":
        return frozenset()
    if not arguments:
        return None
    if node.func.name == "histogram_quantile":
        _must_have(arguments[0], ["le"], node)
        return arguments[0] - {"le"}
    return arguments[0]


def _combined(node: Any, known: Mapping[str, Labels]) -> Labels | None:
    left, right = _of(node.lhs, known), _of(node.rhs, known)
    if left is None or right is None:
        return left if right is None else right
    return _both(node, left, right)


def _both(node: Any, left: Labels, right: Labels) -> Labels:
    operator, modifier = str(node.op), node.modifier
    if operator == "or":
        return left & right
    on = frozenset(modifier.matching.labels) if modifier and modifier.matching else None
    if on is None:
        if left != right:
            raise LabelError(f"{sorted(left)} and {sorted(right)} never match: {node}")
        return left
    for side in (left, right):
        _must_have(side, on, node)
    if operator in _SETS:
        return left
    return _matched(node, left, right, on)


def _matched(node: Any, left: Labels, right: Labels, on: Labels) -> Labels:
    taken = frozenset(node.modifier.group_labels or ())
    match node.modifier.card:
        case promql.VectorMatchCardinality.ManyToOne:
            many, single = left, right
        case promql.VectorMatchCardinality.OneToMany:
            many, single = right, left
        case _:
            return on
    _must_have(single, taken, node)
    return many | taken


def _must_have(there: Labels, wanted: Iterable[str], node: Any) -> None:
    if missing := set(wanted) - there - {"__name__"}:
        raise LabelError(f"{sorted(missing)} is not among {sorted(there)}: {node}")


def _inner(node: Any, known: Mapping[str, Labels]) -> Labels | None:
    return _of(node.expr, known)


def _nothing(_: Any, __: Mapping[str, Labels]) -> None:
    return None


_PARTS = {
    promql.VectorSelector: _selected,
    promql.MatrixSelector: lambda node, known: _selected(node.vector_selector, known),
    promql.ParenExpr: _inner,
    promql.UnaryExpr: _inner,
    promql.AggregateExpr: _aggregated,
    promql.BinaryExpr: _combined,
    promql.Call: _called,
    promql.NumberLiteral: _nothing,
    promql.StringLiteral: _nothing,
}
