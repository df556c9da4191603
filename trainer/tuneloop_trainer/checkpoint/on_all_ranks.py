"""Runs an action on files on every rank, so that all ranks go on or all ranks raise the same error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from safetensors import SafetensorError

from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable


class Ranks(Protocol):
    """Exchanges values with all ranks: the engine does for the training loop, a `Channel` for a thread beside the loop."""

    rank: int

    def exchange(self, value: Any) -> list[Any]:
        """Give every rank the JSON values of all ranks, in the order of ranks. Collective."""


def plain_reason(error: OSError) -> str:
    """Return the system's reason and the file name of an OSError, without its number."""
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def on_all_ranks(
    ranks: Ranks, action: Callable[[], Any], *, doing: str, reason: Callable[[OSError], str] = plain_reason
) -> list[Any]:
    """Run an action on every rank; return the JSON values of all ranks. Collective.

    When the action fails on any rank, all ranks raise StorageError with `doing` and the `reason` of the first rank that failed.
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
    answers = ranks.exchange({"value": value, "problem": problem})
    for answer in answers:
        if answer["problem"] is not None:
            raise StorageError(answer["problem"])
    return [answer["value"] for answer in answers]


def on_rank_0(
    ranks: Ranks, action: Callable[[], Any], *, doing: str, reason: Callable[[OSError], str] = plain_reason
) -> Any:
    """Run an action on rank 0 alone; return its JSON value on all ranks. Collective. Raises StorageError on all ranks."""
    return on_all_ranks(ranks, action if ranks.rank == 0 else lambda: None, doing=doing, reason=reason)[0]
