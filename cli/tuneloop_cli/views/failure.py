"""What the pages of jobs and deployments show of a failure. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.lines import pairs

if TYPE_CHECKING:
    from collections.abc import Iterator


def failure_lines(failure: dict[str, Any] | None) -> Iterator[str]:
    """Yield the fields of a failure, then the last lines of the process; nothing if there is no failure."""
    if failure is None:
        return
    yield from pairs({name: value for name, value in failure.items() if name != "lastLines"})
    if lines := failure.get("lastLines"):
        yield "lastLines:"
        yield from (f"  {line}" for line in lines)
