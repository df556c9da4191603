"""The seam of the views: what the command line needs to show the objects of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tuneloop_cli.views.values import Manifest

Columns = tuple[tuple[str, str], ...]
"""Header and dotted path of each column."""


@dataclass(frozen=True, kw_only=True)
class KindView:
    """The views of one kind."""

    words: tuple[str, ...]
    """Names that a user may write for the kind, in lower case, the shortest first."""
    columns: Columns
    """The columns of `get` between NAME and AGE."""
    wide: Columns
    """The columns that `get -o wide` adds."""
    page: Callable[[Manifest, datetime], Iterator[str]]
    """Yields the body of the page that `describe` prints."""
    line: Callable[[Manifest], str]
    """Returns the line that `up` prints at each change of phase."""
    restart: str
    """How the user starts an object again that no session runs."""
