"""The queue in front of the model, run on a model that does arithmetic: the length of a text is its prediction."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from artifact import manifest_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.server_config import BatchingSettings, ServerConfig
from tuneloop_server.batching.batcher import Batcher
from tuneloop_server.errors import RequestError
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.predictions import Encoded, Prediction


class LengthModel:
    """Predicts each text's own number; remembers the passes, and can be held or broken."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.started = threading.Event()

    def encode(self, texts):
        return [Encoded(ids=[int(text)] * (1 + int(text) % 40), truncated=False) for text in texts]

    def predict(self, batch):
        self.started.set()
        assert self.may_run.wait(timeout=30)
        numbers = [text.ids[0] for text in batch]
        if 666 in numbers:
            raise RuntimeError("out of memory")
        self.passes.append(numbers)
        return [
            Prediction(logits=[float(n)], probabilities=[1.0], calibrated_confidence=1.0, tokens=1, truncated=False)
            for n in numbers
        ]


def serve(model, scenario, **batching):
    """Run a scenario against a batcher; returns what the scenario returns."""

    async def main():
        config = ServerConfig(namespace="n", name="n", revision="r", artifact_path="/a", artifact_uri="file:///a")
        monitoring = Monitoring(config, manifest_of(["only"]))
        with ThreadPoolExecutor(1) as worker:
            batcher = Batcher(model, settings=BatchingSettings(**batching), monitoring=monitoring, worker=worker)
            task = asyncio.create_task(batcher.run())
            try:
                return await asyncio.wait_for(scenario(batcher), timeout=30)
            finally:
                model.may_run.set()
                task.cancel()

    return asyncio.run(main())


def numbers(predictions):
    return [int(prediction.logits[0]) for prediction in predictions]


async def hold(model, batcher, text="0"):
    """Occupy the model with one text; returns the task that waits for its answer."""
    model.may_run.clear()
    model.started.clear()
    busy = asyncio.create_task(batcher.classify([text]))
    assert await asyncio.to_thread(model.started.wait, 30)
    return busy


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 600), min_size=1, max_size=12), min_size=1, max_size=20), st.integers(1, 16))
def test_every_text_is_answered_once_and_in_order(requests, size):
    model = LengthModel()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.classify([str(n) for n in request]) for request in requests))

    answers = serve(model, scenario, max_batch_size=size, max_queue=1000)
    assert [numbers(answer) for answer in answers] == requests
    assert sorted(n for batch in model.passes for n in batch) == sorted(n for request in requests for n in request)
    assert max(map(len, model.passes)) <= size


def test_requests_gather_while_the_model_is_busy():
    model = LengthModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        others = [asyncio.create_task(batcher.classify(["40"])) for _ in range(10)]
        await until(lambda: batcher.waiting == 10)
        model.may_run.set()
        await asyncio.gather(busy, *others)

    serve(model, scenario, max_batch_size=16)
    assert [len(batch) for batch in model.passes] == [1, 10]


def test_a_full_queue_refuses_with_the_time_to_wait():
    model = LengthModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        waiting = asyncio.create_task(batcher.classify(["1", "2", "3"]))
        await until(lambda: batcher.waiting == 3)
        with pytest.raises(RequestError, match="3 texts are waiting, at most 4 may") as refused:
            await batcher.classify(["4", "5"])
        accepted = asyncio.create_task(batcher.classify(["6"]))
        await until(lambda: batcher.waiting == 4)
        model.may_run.set()
        return refused.value, numbers((await asyncio.gather(busy, waiting, accepted))[2])

    refused, accepted = serve(model, scenario, max_queue=4)
    assert (refused.status, refused.reason, refused.retry_after, accepted) == (429, "overloaded", 1, [6])


def test_a_request_that_can_never_fit_is_refused_for_good():
    async def scenario(batcher):
        await batcher.classify(["1"] * 5)

    with pytest.raises(RequestError, match="5 texts were given, at most 4 are allowed") as refused:
        serve(LengthModel(), scenario, max_queue=4)
    assert (refused.value.status, refused.value.retry_after) == (422, None)


def test_a_failing_pass_fails_its_own_requests_only():
    model = LengthModel()

    async def scenario(batcher):
        with pytest.raises(RequestError) as refused:
            await batcher.classify(["666"])
        return refused.value.status, numbers(await batcher.classify(["5"])), batcher.waiting

    assert serve(model, scenario) == (500, [5], 0)


def test_texts_that_nobody_waits_for_are_not_computed():
    model = LengthModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        gone = asyncio.create_task(batcher.classify(["7", "8"]))
        await until(lambda: batcher.waiting == 2)
        gone.cancel()
        model.may_run.set()
        await busy
        return numbers(await batcher.classify(["9"])), batcher.waiting

    assert serve(model, scenario) == ([9], 0)
    assert model.passes == [[0], [9]]


def test_a_long_body_is_tokenized_beside_the_event_loop():
    threads = []

    class Noticing(LengthModel):
        def encode(self, texts):
            threads.append(threading.current_thread() is threading.main_thread())
            return super().encode(texts)

    async def scenario(batcher):
        await batcher.classify(["1"])
        await batcher.classify([f"{1:04000}"] * 3)

    serve(Noticing(), scenario)
    assert threads == [True, False]


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (the conditions are counts, which have no event)
            await asyncio.sleep(0.001)


def test_a_text_without_a_token_is_refused_and_leaves_its_place_in_the_queue():
    class SilentModel(LengthModel):
        def encode(self, texts):
            return [Encoded(ids=[int(text)] if text else [], truncated=False) for text in texts]

    async def scenario(batcher):
        with pytest.raises(RequestError, match="no token of text 2") as refused:
            await batcher.classify(["1", ""])
        return refused.value.status, batcher.waiting, numbers(await batcher.classify(["3", "4"]))

    assert serve(SilentModel(), scenario, max_queue=2) == (422, 0, [3, 4])
