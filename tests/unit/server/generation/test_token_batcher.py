"""The queue in front of a model that generates, with a decoder whose answers are known: it counts up from the last token of the prompt."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from artifact import manifest_of

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.batching.growing_rows import GrowingRows, Row
from tuneloop_server.batching.token_batcher import TokenBatcher
from tuneloop_server.errors import RequestError
from tuneloop_server.generating import TextGenerator
from tuneloop_server.generation.answer import Generation, GrowingAnswer, Prompt, TokenMeaning
from tuneloop_server.generation_metrics import GenerationMetrics
from tuneloop_server.monitoring import Monitoring

END, BROKEN, DAMAGED = 0, 98, 99


@dataclass
class Counting:
    """After token n comes n + 1; after 49 the end. It breaks at 98, and has no numbers at 99."""

    rows: list[list[int]] = field(default_factory=list)
    passes: list[list[int]] = field(default_factory=list)
    """Of each pass the last token of each row."""
    may_run: threading.Event = field(default_factory=threading.Event)
    is_running: threading.Event = field(default_factory=threading.Event)

    def add(self, prompts):
        logits = self._pass([prompt[-1] for prompt in prompts])
        self.rows += [list(prompt) for prompt in prompts]
        return logits

    def step(self, tokens):
        assert len(tokens) == len(self.rows)
        for row, token in zip(self.rows, tokens, strict=True):
            assert token == row[-1] + 1
            row.append(token)
        return self._pass(tokens)

    def keep(self, rows):
        self.rows = [self.rows[row] for row in rows]

    def _pass(self, last):
        self.is_running.set()
        assert self.may_run.wait(timeout=30)
        if BROKEN in last:
            raise RuntimeError("no memory")
        self.passes.append(list(last))
        logits = np.zeros((len(last), 101), dtype=np.float32)
        for row, token in enumerate(last):
            logits[row, END if token == 49 else token + 1] = np.nan if token == DAMAGED else 9
        return logits


class Served:
    def __init__(self, **batching: int) -> None:
        self.decoder = Counting()
        self.decoder.may_run.set()
        place = {"namespace": "n", "name": "n", "revision": "r", "artifact_path": "/a", "artifact_uri": "file:///a"}
        config = ServerConfig.model_validate(place | {"batching": batching})
        self.monitoring = Monitoring(config, manifest_of([], task="text-generation"), label_names=[])
        meaning = TokenMeaning(decode=lambda ids: "".join(f"{token} " for token in ids), ends=frozenset([END]))
        model = SimpleNamespace(decoder=self.decoder, meaning=meaning, most_tokens=1000)
        metrics = GenerationMetrics(self.monitoring)
        self.worker = ThreadPoolExecutor(1)
        self.batcher = TokenBatcher({None: model}, settings=config.batching, metrics=metrics, worker=self.worker)

    def pieces(self, *prompt: int, most: int = 5):
        return self.batcher.pieces(Prompt(text="", ids=list(prompt)), Generation(max_tokens=most))

    async def tokens(self, *prompt: int, most: int = 5) -> list[int]:
        async with aclosing(self.pieces(*prompt, most=most)) as pieces:
            return [piece.token async for piece in pieces]

    def ended(self, reason: str) -> float:
        labels = self.monitoring.constant | {"reason": reason}
        return self.monitoring.registry.get_sample_value("tuneloop_generation_finish_total", labels)

    def value(self, name: str, **labels: str) -> float:
        return self.monitoring.registry.get_sample_value(name, self.monitoring.constant | labels)


def serve(scenario, **batching: int):
    async def main():
        served = Served(**batching)
        running = asyncio.create_task(served.batcher.run())
        try:
            async with asyncio.timeout(30):
                return await scenario(served)
        finally:
            served.decoder.may_run.set()
            running.cancel()
            served.worker.shutdown()

    return asyncio.run(main())


def test_answers_that_grow_together_are_those_that_grow_alone():
    async def scenario(served):
        return await asyncio.gather(*(served.tokens(start, most=most) for start, most in ((1, 3), (20, 6), (47, 9))))

    assert serve(scenario) == [[2, 3, 4], [21, 22, 23, 24, 25, 26], [48, 49, END]]


def test_an_answer_joins_those_that_grow_already_and_leaves_before_them():
    async def scenario(served):
        async with aclosing(served.pieces(1, most=30)) as first:
            await anext(first)
            late = await served.tokens(10, most=2)
            return late, [piece.token async for piece in first], served.decoder.passes

    late, first, passes = serve(scenario)
    assert (late, first) == ([11, 12], list(range(3, 32)))
    assert {len(of_pass) for of_pass in passes} == {1, 2}


def test_no_more_answers_grow_together_than_are_allowed():
    async def scenario(served):
        answers = await asyncio.gather(*(served.tokens(start, most=4) for start in range(10, 17)))
        return answers, max(len(of_pass) for of_pass in served.decoder.passes)

    answers, most = serve(scenario, max_batch_size=2)
    assert answers == [list(range(start + 1, start + 5)) for start in range(10, 17)]
    assert most == 2


def test_a_client_that_leaves_takes_its_answer_out_of_the_batch():
    async def scenario(served):
        async with aclosing(served.pieces(1, most=500)) as pieces:
            await anext(pieces)
        rest = await served.tokens(20, most=3)
        return rest, served.decoder.rows, served.decoder.passes[-1], served.ended("abort")

    rest, _, last_pass, aborted = serve(scenario)
    assert (rest, last_pass, aborted) == ([21, 22, 23], [22], 1)


def test_a_client_that_leaves_while_rows_are_dropped_takes_no_token_from_another_answer():
    decoder = Counting()
    decoder.may_run.set()
    meaning = TokenMeaning(decode=str, ends=frozenset([END]))
    ended, left, goes_on = (
        Row(GrowingAnswer(Prompt(text="", ids=[first]), Generation(max_tokens=9), meaning)) for first in (10, 20, 30)
    )
    rows = GrowingRows(decoder)
    rows.advance([ended, left, goes_on])
    ended.is_wanted = False
    keep = decoder.keep

    def keep_slowly(places):  # the event loop goes on meanwhile
        keep(places)
        left.is_wanted = False

    decoder.keep = keep_slowly
    rows.advance([])
    rows.advance([])
    assert goes_on.answer.tokens == [31, 32, 33]
    assert decoder.rows == [[30, 31, 32]]


def test_a_client_that_leaves_while_it_waits_is_never_computed():
    async def scenario(served):
        served.decoder.may_run.clear()
        first = asyncio.create_task(served.tokens(1, most=2))
        await asyncio.to_thread(served.decoder.is_running.wait, 30)
        waiting = asyncio.create_task(served.tokens(20))
        await asyncio.sleep(0)
        assert served.batcher.waiting == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert served.batcher.waiting == 0
        served.decoder.may_run.set()
        return await first, served.decoder.passes

    assert serve(scenario) == ([2, 3], [[1], [2]])


def test_a_full_queue_is_refused_with_a_time_to_come_again():
    async def scenario(served):
        served.decoder.may_run.clear()
        first = asyncio.create_task(served.tokens(1))
        await asyncio.to_thread(served.decoder.is_running.wait, 30)
        waiting = asyncio.create_task(served.tokens(2))
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as refused:
            await served.tokens(3)
        served.decoder.may_run.set()
        return refused.value, await asyncio.gather(first, waiting)

    refused, answers = serve(scenario, max_queue=1)
    assert (refused.status, refused.reason, refused.retry_after) == (429, "overloaded", 1)
    assert answers == [[2, 3, 4, 5, 6], [3, 4, 5, 6, 7]]


def test_a_request_with_more_texts_than_may_wait_is_wrong():
    async def scenario(served):
        with pytest.raises(RequestError) as refused:
            served.batcher.require_room(4)
        return refused.value.status

    assert serve(scenario, max_queue=3) == 422


@pytest.mark.parametrize(("start", "message"), [(BROKEN, "the model failed"), (DAMAGED, "not finite numbers")])
def test_a_prompt_on_which_the_model_fails_fails_alone(start, message):
    async def scenario(served):
        return await asyncio.gather(served.tokens(1), served.tokens(start), served.tokens(10), return_exceptions=True)

    first, failed, last = serve(scenario)
    assert (first, last) == ([2, 3, 4, 5, 6], [11, 12, 13, 14, 15])
    assert (failed.status, failed.reason) == (500, "model_error")
    assert message in str(failed)


def test_a_step_that_fails_fails_all_that_grow_and_the_next_request_is_served():
    async def scenario(served):
        failed = await asyncio.gather(served.tokens(96), served.tokens(1, most=50), return_exceptions=True)
        return [type(answer) for answer in failed], await served.tokens(10), served.ended("error")

    assert serve(scenario) == ([RequestError, RequestError], [11, 12, 13, 14, 15], 2)


def test_tokens_times_and_ends_are_counted():
    async def scenario(served):
        await served.tokens(1, most=3)
        await served.tokens(48, most=9)
        return served

    served = serve(scenario)
    assert served.value("tuneloop_tokens_total", direction="generated") == 3 + 2
    assert served.value("tuneloop_time_to_first_token_seconds_count") == 2
    assert served.value("tuneloop_inter_token_latency_seconds_count") == 2 + 1
    assert (served.ended("length"), served.ended("stop"), served.ended("abort")) == (1, 1, 0)
    assert served.value("tuneloop_queue_duration_seconds_count") == 2


def test_a_full_queue_is_refused_before_a_prompt_is_tokenized():
    read = []

    def encode(text, *_, **__):
        read.append(text)
        return Prompt(text="", ids=[1])

    async def scenario(served):
        model = SimpleNamespace(prompt_of_text=encode, prompt_of_messages=encode)
        generator = TextGenerator(
            model, generating=None, batcher=served.batcher, monitoring=served.monitoring, features=None, limit=None
        )
        served.decoder.may_run.clear()
        growing = asyncio.create_task(served.tokens(1, most=1))
        await asyncio.to_thread(served.decoder.is_running.wait, 30)
        await generator.prompt_of_text("there is room", field="prompt")
        waiting = asyncio.create_task(served.tokens(2, most=1))
        await asyncio.sleep(0)
        for asked in (
            generator.prompt_of_text("full", field="prompt"),
            generator.prompt_of_messages([{"role": "user", "content": "full"}]),
        ):
            with pytest.raises(RequestError, match="1 prompts are waiting, at most 1 may"):
                await asked
        served.decoder.may_run.set()
        await asyncio.gather(growing, waiting)

    serve(scenario, max_queue=1)
    assert read == ["there is room"]
