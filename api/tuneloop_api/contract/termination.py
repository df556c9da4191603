"""Makes a termination message fit: Kubernetes keeps 4096 bytes of it.

Nothing here raises. The message is written after the work of a stage is done, and a message that is too long must not turn success into failure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_api.wire.model import MessageModel

TERMINATION_MESSAGE_BYTES = 4096

_SHORTENED: tuple[tuple[str, ...], ...] = (
    ("prepare", "resolved", "labels"),
    ("prepare", "notes"),
    ("prepare", "rehearsal"),
    ("train", "findings"),
    ("export", "baselines"),
    ("export", "metrics"),
    ("export", "formats"),
    ("export", "comparison", "message"),
    ("lastLines",),
    ("hint",),
    ("message",),
)
"""Lists and texts that are shortened, the least needed first. A list or a text loses its end; `lastLines` loses its oldest lines."""
_LEFT_OUT: tuple[tuple[str, ...], ...] = (
    ("prepare", "memory"),
    ("export", "paired"),
    ("export", "comparison"),
    ("train", "best"),
    ("train", "last"),
    ("prepare",),
    ("train",),
    ("export",),
    ("failureClass",),
    ("result",),
)
"""Optional fields that are left out, where texts in them have no bound of their own. `result` goes only with a path of nearly 4 KiB, longer than Linux allows."""


def fit_termination_message(message: MessageModel) -> bytes:
    """Return the message as JSON of at most 4096 bytes, shortened list by list, then text by text, then block by block."""
    wire = message.to_wire()
    for path in _SHORTENED:
        if _fits(wire):
            break
        _shorten(wire, path)
    for path in _LEFT_OUT:
        if _fits(wire):
            break
        if (block := _block(wire, path)) is not None:
            block.pop(path[-1], None)
    return _encode(wire)


def _shorten(wire: dict[str, Any], path: tuple[str, ...]) -> None:
    """Keep as much of a list or a text as fits, perhaps nothing."""
    block, name = _block(wire, path), path[-1]
    if block is None or not block.get(name):
        return
    whole = block[name]
    fewest, most = 0, len(whole) - 1
    while fewest < most:
        middle = (fewest + most + 1) // 2
        block[name] = _part(whole, middle, name)
        fewest, most = (middle, most) if _fits(wire) else (fewest, middle - 1)
    block[name] = _part(whole, fewest, name)


def _part(whole: Any, size: int, name: str) -> Any:
    if isinstance(whole, str):
        return whole[:size] + "…"
    return whole[len(whole) - size :] if name == "lastLines" else whole[:size]


def _block(wire: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the object that holds the last name of a path, None where the message has no such object."""
    block: dict[str, Any] | None = wire
    for name in path[:-1]:
        block = block.get(name) if block is not None else None
    return block


def _fits(wire: dict[str, Any]) -> bool:
    return len(_encode(wire)) <= TERMINATION_MESSAGE_BYTES


def _encode(wire: dict[str, Any]) -> bytes:
    """Return compact JSON; half a surrogate pair, as names of files in another encoding have, becomes a question mark."""
    return json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
