"""Lists as the API server answers them: in pages, each of one scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Kind, Manifest


class Scope(NamedTuple):
    """What one list covers."""

    kind: Kind
    namespace: str | None
    """None: all namespaces."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list, as the API server answered it."""

    scope: Scope
    items: tuple[Manifest, ...]
    """With `kind` and `apiVersion` in each."""
    version: str
    """resourceVersion of the whole list: all its pages show the same moment."""
    is_first: bool
    is_last: bool
