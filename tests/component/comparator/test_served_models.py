"""What a comparator asks its revisions before it begins, of servers that say it at once, late, wrongly or never."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from comparator_process import comparator_config

from tuneloop_server.comparator.config_check import check_config
from tuneloop_server.comparator.served_models import with_served_models
from tuneloop_server.errors import CannotServe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REVIEWS = {"task": "text-classification", "labels": ["negative", "positive"], "digest": "sha256:1"}
SECONDS = 120.0
SHORT = 1.5
"""Of a revision that is to be given up."""


@asynccontextmanager
async def revision(*answers: Any) -> AsyncIterator[int]:
    """Serve each answer once, and the last one for ever; yield the port. An answer is JSON data, bytes of a body, or a status."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("GET /info HTTP/1.1\r\n")
        answer = left.pop(0) if len(left) > 1 else left[0]
        status = answer if isinstance(answer, int) else 200
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def served(stable: list[Any], canary: list[Any], *, seconds: float = SECONDS, **changes: Any) -> Any:
    async def ask() -> Any:
        async with revision(*stable) as old, revision(*canary) as new:
            config = comparator_config(old, new, **{"task": "", "labels": []} | changes)
            check_config(config)
            return await with_served_models(config, seconds=seconds)

    return asyncio.run(ask())


def test_task_and_labels_are_those_of_the_servers() -> None:
    config = served([REVIEWS], [REVIEWS])
    assert (config.task, config.labels) == ("text-classification", ["negative", "positive"])
    check_config(config)


def test_labels_of_the_canary_come_behind_those_of_stable() -> None:
    config = served([REVIEWS], [REVIEWS | {"labels": ["neutral", "negative"]}])
    assert config.labels == ["negative", "positive", "neutral"]


def test_a_server_that_does_not_say_it_yet_is_asked_again() -> None:
    assert served([503, b"<html>", REVIEWS], [404, REVIEWS]).task == "text-classification"


def test_a_configuration_that_names_them_asks_nobody() -> None:
    config = served([404], [404], task="text-classification", labels=["a"])
    assert config.labels == ["a"]


def test_models_of_two_tasks_cannot_be_compared() -> None:
    with pytest.raises(CannotServe, match="models of two tasks cannot be compared"):
        served([REVIEWS], [REVIEWS | {"task": "token-classification"}])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (404, "its status is not 200"),
        (b"<html>", "its answer is no JSON"),
        ({"task": "text-classification"}, "its answer names no task, or no labels"),
        ([REVIEWS], "its answer names no task, or no labels"),
        (REVIEWS | {"labels": [1]}, "its answer names no task, or no labels"),
    ],
)
def test_a_server_that_never_says_it_is_named_with_what_is_expected(answer: Any, says: str) -> None:
    with pytest.raises(CannotServe) as caught:
        served([REVIEWS], [answer], seconds=SHORT)
    assert str(caught.value).startswith("9d8e7f6a at 127.0.0.1:")
    assert says in str(caught.value)
    assert 'expected such as {"task": "text-classification"' in str(caught.value)


def test_a_server_that_is_not_there_is_named() -> None:
    async def ask() -> Any:
        async with revision(REVIEWS) as old, revision(REVIEWS) as gone:
            pass
        return await with_served_models(comparator_config(old, gone, task="", labels=[]), seconds=SHORT)

    with pytest.raises(CannotServe, match="5f0a1b2c at 127.0.0.1:.*: no connection"):
        asyncio.run(ask())
