"""Doing something with files on every rank, such that all ranks go on or all raise the same error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from safetensors import SafetensorError

from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable


class Ranks(Protocol):
    """This rank's line to all ranks: the engine for the training loop, a channel for a thread beside it."""

    rank: int

    def exchange(self, value: Any) -> list[Any]:
        """Give every rank the JSON values of all ranks, in the order of ranks. Collective."""


def plain_reason(error: OSError) -> str:
    """Return the system's reason and the file, without the number."""
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def together(
    ranks: Ranks, action: Callable[[], Any], *, doing: str, reason: Callable[[OSError], str] = plain_reason
) -> list[Any]:
    """Run an action on every rank; return all their JSON values. Collective.

    When it fails on any rank, all ranks raise StorageError: `doing` and the first rank's `reason`.
    """
    value, problem = None, None
    try:
        value = action()
    except OSError as error:
        problem = f"{doing}: {reason(error)}"
    except SafetensorError as error:
        problem = f"{doing}: {error}"
    except StorageError as error:
        problem = error.message
    told = ranks.exchange({"value": value, "problem": problem})
    for answer in told:
        if answer["problem"] is not None:
            raise StorageError(answer["problem"])
    return [answer["value"] for answer in told]


def on_rank_0(
    ranks: Ranks, action: Callable[[], Any], *, doing: str, reason: Callable[[OSError], str] = plain_reason
) -> Any:
    """Run an action on rank 0 alone; return its JSON value on all ranks. Collective. Raises StorageError on all."""
    return together(ranks, action if ranks.rank == 0 else lambda: None, doing=doing, reason=reason)[0]
