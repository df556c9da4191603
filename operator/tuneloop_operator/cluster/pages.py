"""Lists as the API server returns them: in pages, each of one scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Kind, Manifest


class Scope(NamedTuple):
    """The objects of one list: a kind, in one namespace or in all."""

    kind: Kind
    namespace: str | None
    """None: all namespaces."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list."""

    scope: Scope
    items: tuple[Manifest, ...]
    """Each with `kind` and `apiVersion`."""
    version: str
    """resourceVersion of the whole list: all its pages are of the same moment."""
    is_first: bool
    is_last: bool
