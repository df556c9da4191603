"""The queue in front of the model, with a model that answers each number with itself."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from artifact import manifest_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.server_config import BatchingSettings, ServerConfig
from tuneloop_server.batching.batcher import Batcher
from tuneloop_server.errors import RequestError
from tuneloop_server.monitoring import Monitoring


class Number(int):
    """A row: it has as many tokens as its value says."""

    def __len__(self):
        return 1 + self % 40


class EchoModel:
    """Answers each number with itself; remembers the passes, and can be held or broken."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.started = threading.Event()

    def predict(self, batch):
        self.started.set()
        assert self.may_run.wait(timeout=30)
        if 666 in batch:
            raise RuntimeError("out of memory")
        self.passes.append(list(batch))
        return list(batch)


def serve(model, scenario, *, group=lambda _: None, pads=True, **batching):
    """Run a scenario against a batcher; returns what the scenario returns. group: of which rows may be in a pass with others. pads: whether the model does."""

    async def main():
        config = ServerConfig(namespace="n", name="n", revision="r", artifact_path="/a", artifact_uri="file:///a")
        monitoring = Monitoring(config, manifest_of(["only"]), label_names=["only"])
        with ThreadPoolExecutor(1) as worker:
            limits = BatchingSettings(**batching)
            batcher = Batcher(
                model.predict, settings=limits, monitoring=monitoring, worker=worker, group=group, pads=pads
            )
            task = asyncio.create_task(batcher.run())
            try:
                return await asyncio.wait_for(scenario(batcher), timeout=30)
            finally:
                model.may_run.set()
                task.cancel()

    return asyncio.run(main())


async def ask(batcher, numbers, *, windows=1):
    """Submit texts that are numbers, each as so many windows; returns the outputs, window by window."""

    async def encode():
        return [[Number(number)] * windows for number in numbers]

    texts = await batcher.submit(len(numbers), encode)
    return [output for rows in texts for _, output in rows]


async def hold(model, batcher, number=0):
    """Occupy the model with one text; returns the task that waits for its answer."""
    model.may_run.clear()
    model.started.clear()
    busy = asyncio.create_task(ask(batcher, [number]))
    assert await asyncio.to_thread(model.started.wait, 30)
    return busy


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 600), min_size=1, max_size=12), min_size=1, max_size=20), st.integers(1, 16))
def test_every_text_is_answered_once_and_in_order(requests, size):
    model = EchoModel()

    async def scenario(batcher):
        return await asyncio.gather(*(ask(batcher, request) for request in requests))

    answers = serve(model, scenario, max_batch_size=size, max_queue=1000)
    assert answers == requests
    assert sorted(n for batch in model.passes for n in batch) == sorted(n for request in requests for n in request)
    assert max(map(len, model.passes)) <= size


@pytest.mark.parametrize(
    ("pads", "passes"),
    [
        pytest.param(True, [[0, 40], [39, 79]], id="padded: texts of like length share a pass"),
        pytest.param(False, [[0, 39], [40, 79]], id="not padded: in order of arrival"),
    ],
)
def test_passes_are_planned_as_the_model_computes(pads, passes):
    model = EchoModel()
    serve(model, lambda batcher: ask(batcher, [0, 39, 40, 79]), pads=pads, max_batch_size=2)
    assert model.passes == passes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 600), min_size=1, max_size=12), min_size=1, max_size=20), st.integers(1, 16))
def test_rows_of_different_groups_are_never_in_one_pass(requests, size):
    model = EchoModel()

    async def scenario(batcher):
        return await asyncio.gather(*(ask(batcher, request) for request in requests))

    answers = serve(model, scenario, group=lambda number: number % 3, max_batch_size=size, max_queue=1000)
    assert answers == requests
    assert all(len({number % 3 for number in batch}) == 1 for batch in model.passes)


def test_the_oldest_text_has_its_turn_and_texts_of_its_group_beside_it():
    model = EchoModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        others = [asyncio.create_task(ask(batcher, [number])) for number in (41, 42, 44, 43)]
        await until(lambda: batcher.waiting == 4)
        model.may_run.set()
        await asyncio.gather(busy, *others)

    serve(model, scenario, group=lambda number: number % 2, max_batch_size=16)
    assert [sorted(batch) for batch in model.passes] == [[0], [41, 43], [42, 44]]


def test_requests_gather_while_the_model_is_busy():
    model = EchoModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        others = [asyncio.create_task(ask(batcher, [40])) for _ in range(10)]
        await until(lambda: batcher.waiting == 10)
        model.may_run.set()
        await asyncio.gather(busy, *others)

    serve(model, scenario, max_batch_size=16)
    assert [len(batch) for batch in model.passes] == [1, 10]


def test_a_full_queue_refuses_with_the_time_to_wait():
    model = EchoModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        waiting = asyncio.create_task(ask(batcher, [1, 2, 3]))
        await until(lambda: batcher.waiting == 3)
        with pytest.raises(RequestError, match="3 texts are waiting, at most 4 may") as refused:
            await ask(batcher, [4, 5])
        accepted = asyncio.create_task(ask(batcher, [6]))
        await until(lambda: batcher.waiting == 4)
        model.may_run.set()
        return refused.value, (await asyncio.gather(busy, waiting, accepted))[2]

    refused, accepted = serve(model, scenario, max_queue=4)
    assert (refused.status, refused.reason, refused.retry_after, accepted) == (429, "overloaded", 1, [6])


def test_a_request_that_can_never_fit_is_refused_for_good():
    async def scenario(batcher):
        await ask(batcher, [1] * 5)

    with pytest.raises(RequestError, match="5 texts were given, at most 4 are allowed") as refused:
        serve(EchoModel(), scenario, max_queue=4)
    assert (refused.value.status, refused.value.retry_after) == (422, None)


def test_a_failing_pass_fails_its_own_requests_only():
    model = EchoModel()

    async def scenario(batcher):
        with pytest.raises(RequestError) as refused:
            await ask(batcher, [666])
        return refused.value.status, await ask(batcher, [5]), batcher.waiting

    assert serve(model, scenario) == (500, [5], 0)


@pytest.mark.parametrize("bad", [[0], [3], [7], [2, 5], list(range(8))])
def test_a_text_on_which_the_model_fails_fails_alone_in_its_batch(bad):
    model = EchoModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        numbers = [666 if index in bad else 667 + index for index in range(8)]  # of like length: one batch
        asked = [asyncio.create_task(ask(batcher, [number])) for number in numbers]
        await until(lambda: batcher.waiting == 8)
        model.may_run.set()
        await busy
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = serve(model, scenario)
    assert [index for index, answer in enumerate(answers) if isinstance(answer, RequestError)] == bad
    assert all(answer == [667 + index] for index, answer in enumerate(answers) if index not in bad)


def test_texts_that_nobody_waits_for_are_not_computed():
    model = EchoModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        gone = asyncio.create_task(ask(batcher, [7, 8]))
        await until(lambda: batcher.waiting == 2)
        gone.cancel()
        model.may_run.set()
        await busy
        return await ask(batcher, [9]), batcher.waiting

    assert serve(model, scenario) == ([9], 0)
    assert model.passes == [[0], [9]]


def test_an_idle_model_waits_for_the_texts_that_are_likely_to_come():
    model = EchoModel()

    async def scenario(batcher):
        await ask(batcher, [0] * 8)
        first = asyncio.create_task(ask(batcher, [1]))
        await until(lambda: batcher.waiting == 1)
        await asyncio.gather(first, ask(batcher, [2, 3, 4]))

    serve(model, scenario, max_batch_size=8, max_delay_milliseconds=60_000)
    assert model.passes == [[0] * 8, [1, 2, 3, 4]]


def test_a_text_waits_for_others_no_longer_than_allowed():
    model = EchoModel()

    async def scenario(batcher):
        await ask(batcher, [0] * 8)
        return await ask(batcher, [1])

    # In seconds instead of milliseconds, the wait would outlast the scenario's 30 s.
    assert serve(model, scenario, max_batch_size=8, max_delay_milliseconds=40) == [1]


def test_the_windows_of_a_text_are_answered_together_and_in_order():
    async def scenario(batcher):
        async def encode():
            return [[Number(1), Number(50)], [Number(2)], [Number(3), Number(60), Number(4)]]

        return await batcher.submit(3, encode)

    texts = serve(EchoModel(), scenario, max_batch_size=2)
    assert texts == [[(1, 1), (50, 50)], [(2, 2)], [(3, 3), (60, 60), (4, 4)]]


def test_windows_take_places_in_the_queue_and_give_them_back():
    model = EchoModel()

    async def scenario(batcher):
        busy = await hold(model, batcher)
        waiting = asyncio.create_task(ask(batcher, [7], windows=3))
        await until(lambda: batcher.waiting == 3)
        with pytest.raises(RequestError, match="4 texts are waiting, at most 4 may") as refused:
            await ask(batcher, [8], windows=2)
        assert batcher.waiting == 3
        model.may_run.set()
        await asyncio.gather(busy, waiting)
        return refused.value.status, batcher.waiting

    assert serve(model, scenario, max_queue=4) == (429, 0)


def test_a_text_of_more_windows_than_the_queue_holds_is_refused_for_good():
    async def scenario(batcher):
        with pytest.raises(RequestError, match="the texts make 5 windows, at most 4 are allowed") as refused:
            await ask(batcher, [1], windows=5)
        return refused.value.status, batcher.waiting, await ask(batcher, [2], windows=4)

    assert serve(EchoModel(), scenario, max_queue=4) == (422, 0, [2] * 4)


def test_a_request_that_cannot_be_encoded_leaves_its_places_in_the_queue():
    async def broken():
        raise ValueError("no tokens")

    async def scenario(batcher):
        with pytest.raises(ValueError, match="no tokens"):
            await batcher.submit(2, broken)
        return batcher.waiting, await ask(batcher, [3, 4])

    assert serve(EchoModel(), scenario, max_queue=2) == (0, [3, 4])


def test_the_metrics_say_how_long_each_text_waited_and_how_large_passes_were():
    model = EchoModel()

    async def scenario(batcher):
        start = time.perf_counter()
        busy = await hold(model, batcher)
        others = asyncio.create_task(ask(batcher, [1, 1, 1]))
        await until(lambda: batcher.waiting == 3)
        held_from = time.perf_counter()
        await asyncio.sleep(0.02)
        held = time.perf_counter() - held_from
        model.may_run.set()
        await asyncio.gather(busy, others)
        return held, time.perf_counter() - start, batcher._monitoring.registry

    held, whole, registry = serve(model, scenario)
    labels = {"deployment": "n", "revision": "r", "task": "text-classification"}
    found = {
        name: registry.get_sample_value(f"tuneloop_{name}", labels)
        for name in ("batch_size_requests_sum", "batch_size_requests_count", "inference_duration_seconds_count")
    }
    assert found == {
        "batch_size_requests_sum": 4,
        "batch_size_requests_count": 2,
        "inference_duration_seconds_count": 2,
    }
    assert registry.get_sample_value("tuneloop_queue_duration_seconds_count", labels) == 4
    assert 3 * held <= registry.get_sample_value("tuneloop_queue_duration_seconds_sum", labels) <= 4 * whole
    assert held <= registry.get_sample_value("tuneloop_inference_duration_seconds_sum", labels) <= whole


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (the conditions are counts, which have no event)
            await asyncio.sleep(0.001)
