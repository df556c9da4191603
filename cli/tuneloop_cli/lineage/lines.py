"""A tree as lines for a terminal, and as plain data for programs. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.values import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_cli.lineage.tree import Node

NOT_RECORDED = "not recorded"
_NAME = 19
"""Width of the names of facts."""
_KINDS = {"BaseModel": "Base model"}


def lines(node: Node) -> Iterator[str]:
    """Yield a node, its facts and its notes, and below them its origins."""
    yield f"{_KINDS.get(node.kind, node.kind)} {node.name}"
    bar = "│  " if node.origins else "   "
    for name, value in node.facts.items():
        yield f"{bar}{_words(name) + ':':<{_NAME}}{NOT_RECORDED if value is None else text(value)}"
    for note in node.notes:
        yield f"{bar}({note})"
    for origin in node.origins:
        is_last = origin is node.origins[-1]
        first, *rest = lines(origin)
        yield f"{'└─ ' if is_last else '├─ '}{first}"
        yield from (f"{'   ' if is_last else '│  '}{line}" for line in rest)


def to_wire(node: Node) -> dict[str, Any]:
    """Return a node as JSON data; null: not recorded."""
    found: dict[str, Any] = {"kind": node.kind, "name": node.name, "facts": node.facts}
    if node.notes:
        found["notes"] = list(node.notes)
    return found | {"from": [to_wire(origin) for origin in node.origins]}


def _words(name: str) -> str:
    """Return a camelCase name as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
