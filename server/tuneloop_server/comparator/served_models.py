"""What the two revisions serve: asked of their servers before anything is compared. The operator does not know it of every artifact."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.model import changed
from tuneloop_server.answers.text_regression import TOLERANCE_SHARE
from tuneloop_server.comparator.connection import ConnectionBroke, connect
from tuneloop_server.errors import CannotServe

if TYPE_CHECKING:
    from tuneloop_api.contract.comparator_config import ComparatorConfig, RevisionAddress

_PAGE = "/info"
_SECONDS = 30.0
"""For both revisions together. The operator starts a comparator once both have a ready server."""
_PAUSE_SECONDS = 0.5
_ANSWER_BYTES = 2 * 1024 * 1024
"""A thousand labels are some kilobytes."""


async def with_served_models(config: ComparatorConfig, *, seconds: float = _SECONDS) -> ComparatorConfig:
    """Return the configuration with the task and the labels of both models, and the tolerance of numbers, if it does not name them; labels of stable first.

    Raises CannotServe where a server does not say in time what it serves, and where the tasks differ.
    """
    if config.task:
        return config
    deadline = asyncio.get_running_loop().time() + seconds
    stable, canary = [await _served(address, deadline=deadline) for address in (config.stable, config.canary)]
    if stable["task"] != canary["task"]:
        raise CannotServe(
            f"{config.stable.name} serves {stable['task']}, {config.canary.name} serves {canary['task']}: models of two tasks cannot be compared",
            exit_code=ExitCode.CONFIG,
        )
    labels = list(dict.fromkeys([*stable["labels"], *canary["labels"]]))
    return changed(config, task=stable["task"], labels=labels, tolerance=_tolerance(stable))


def _tolerance(stable: dict[str, Any]) -> float:
    """Return how far predicted numbers may lie apart and agree; 0 for a model of classes."""
    scale = stable.get("targetScale")
    return TOLERANCE_SHARE * float(scale["std"]) if scale else 0.0


async def _served(address: RevisionAddress, *, deadline: float) -> dict[str, Any]:
    clock = asyncio.get_running_loop().time
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                answer = await _ask(address)
            problem = _problem(answer)
        except TimeoutError:
            answer, problem = None, "no answer in time"
        except (OSError, ConnectionBroke) as error:
            answer, problem = None, f"no connection ({error})"
        if not problem:
            served: dict[str, Any] = json.loads(answer or b"")
            return served
        if clock() + _PAUSE_SECONDS >= deadline:
            raise CannotServe(
                f"{address.name} at {address.host}:{address.port} does not say at {_PAGE} what it serves: {problem}; "
                'expected such as {"task": "text-classification", "labels": ["negative", "positive"]}',
                exit_code=ExitCode.CONFIG,
            )
        await asyncio.sleep(_PAUSE_SECONDS)


async def _ask(address: RevisionAddress) -> bytes | None:
    """Return the body of a good answer, None for another one. Raises OSError and ConnectionBroke."""
    connection = await connect(address, answer_bytes=_ANSWER_BYTES)
    host = f"[{address.host}]" if ":" in address.host else address.host
    head = f"GET {_PAGE} HTTP/1.1\r\nhost: {host}:{address.port}\r\nuser-agent: tuneloop-comparator\r\naccept: application/json\r\n\r\n"
    try:
        reply = await connection.exchange(head.encode())
    finally:
        connection.close()
    return reply.body if reply.failure is None else None


def _problem(answer: bytes | None) -> str:
    """Return why an answer does not say what is served; empty if it does."""
    if answer is None:
        return "its status is not 200, or its answer is too large"
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return "its answer is no JSON"
    task, labels = (document.get("task"), document.get("labels")) if isinstance(document, dict) else (None, None)
    is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    return "" if isinstance(task, str) and task and is_list else "its answer names no task, or no labels"
