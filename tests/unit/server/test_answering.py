"""An answer of many numbers is made beside the event loop, which answers other requests meanwhile."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from tuneloop_server.answering import Answerer
from tuneloop_server.model import Encoded
from tuneloop_server.tasks.task import Answer


@pytest.mark.parametrize(
    ("shape", "beside"),
    [
        pytest.param((3,), False, id="the labels of a text"),
        pytest.param((384, 2), False, id="the starts and ends of a window"),
        pytest.param((1, 30_522), True, id="the vocabulary at a mask"),
    ],
)
def test_many_numbers_become_an_answer_in_a_thread(shape, beside):
    threads = []

    def answer(*_):
        threads.append(threading.current_thread())
        return Answer(value="made", predictions=[], features=dict)

    async def submit(*_):
        return [[(Encoded(ids=[1]), np.zeros(shape, dtype=np.float32))]]

    def nothing(_):
        """Count nothing."""

    answerer = Answerer(
        SimpleNamespace(),
        task=SimpleNamespace(stride=lambda _: None, answer=answer),
        facts=None,
        batcher=SimpleNamespace(submit=submit),
        monitoring=SimpleNamespace(predicted=nothing, encoded=nothing, text_answered=nothing),
        features=None,
    )
    (made,) = asyncio.run(answerer.answer(["a"], None, is_traffic=True))
    assert made.value == "made"
    assert [thread is not threading.main_thread() for thread in threads] == [beside]
