"""Answers of several adapters in one batch: which adapter reads a prompt, whose tokens end an answer, and what is counted of it. The decoder counts up from the last token of a prompt."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from artifact import manifest_of

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.batching.growing_rows import GrowingRows, Row
from tuneloop_server.errors import RequestError
from tuneloop_server.generating import Generators
from tuneloop_server.generation.answer import Generation, GrowingAnswer, Prompt, TokenMeaning
from tuneloop_server.monitoring import Monitoring

BROKEN, MOST_TOKENS = 90, 1000
ENDS = {None: 14, "films": 12, "books": 999}
"""The token that ends the answers of each model."""


class Decoder:
    """Adds 1. It breaks on a prompt that ends with 90."""

    def __init__(self) -> None:
        self.joined: list[tuple] = []
        """What each pass over prompts got."""

    def add(self, prompts, *adapters):
        self.joined.append((prompts, *adapters))
        if any(prompt[-1] == BROKEN for prompt in prompts):
            raise RuntimeError("no memory")
        return self.step([prompt[-1] for prompt in prompts])

    def step(self, tokens):
        return np.eye(MOST_TOKENS, dtype=np.float32)[[token + 1 for token in tokens]]

    def keep(self, rows):
        pass


class Features:
    """Takes what is counted, in place of bins."""

    def __init__(self) -> None:
        self.counted: list[tuple] = []

    def counter(self, model):
        return lambda text, _windows, _answer: self.counted.append((model, text))


def prompt_of(first: int, adapter: str | None) -> Prompt:
    return Prompt(text=f"{adapter}'s", ids=[first], adapter=adapter)


def meaning_of(adapter: str | None) -> TokenMeaning:
    return TokenMeaning(decode=lambda ids: "".join(f"{token} " for token in ids), ends=frozenset([ENDS[adapter]]))


def row_of(first: int, adapter: str | None) -> Row:
    return Row(GrowingAnswer(prompt_of(first, adapter), Generation(max_tokens=9), meaning_of(adapter)))


@pytest.mark.parametrize(
    ("prompts", "joined"),
    [
        ([(10, "films"), (20, None), (30, "books")], [([[10], [20], [30]], ["films", None, "books"])]),
        ([(10, "films")], [([[10]], ["films"])]),
        ([(10, None), (20, None)], [([[10], [20]],)]),
        (
            [(10, "films"), (BROKEN, None), (30, "books")],
            [
                ([[10], [BROKEN], [30]], ["films", None, "books"]),
                ([[10]], ["films"]),
                ([[BROKEN]],),
                ([[30]], ["books"]),
            ],
        ),
    ],
    ids=["three models", "one adapter", "a decoder without adapters", "a prompt on which the model fails"],
)
def test_each_prompt_joins_with_its_adapter(prompts, joined):
    decoder = Decoder()
    grown = GrowingRows(decoder).advance([row_of(*prompt) for prompt in prompts])
    assert decoder.joined == joined
    assert [isinstance(pieces, RequestError) for _, pieces in grown] == [first == BROKEN for first, _ in prompts]


def answers(*asked: tuple[str | None, Generation], is_traffic: bool = True):
    """Return the tokens of answers that grow side by side, and what was counted. asked: which model, and how."""
    place = {"namespace": "n", "name": "n", "revision": "r", "artifact_path": "/a", "artifact_uri": "file:///a"}
    config = ServerConfig.model_validate(place)
    monitoring = Monitoring(config, manifest_of([], task="text-generation"), label_names=[])
    decoder, features = Decoder(), Features()
    models = {
        name: SimpleNamespace(name=name, decoder=decoder, meaning=meaning_of(name), most_tokens=100 * MOST_TOKENS)
        for name in ENDS
    }

    async def life(worker):
        batcher, generators = Generators(SimpleNamespace(), config, monitoring, worker, features).start(models)
        running = asyncio.create_task(batcher.run())
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(generators[name].whole(prompt_of(10, name), generation, is_traffic=is_traffic))
                for name, generation in asked
            ]
        running.cancel()
        return [[piece.token for piece in task.result().pieces] for task in tasks]

    with ThreadPoolExecutor(1) as worker:
        tokens = asyncio.run(life(worker))
    return tokens, [(model.name, text) for model, text in features.counted]


def test_an_answer_ends_with_the_token_of_its_own_model():
    tokens, _ = answers(*((name, Generation(max_tokens=6)) for name in ENDS))
    assert tokens == [[11, 12, 13, 14], [11, 12], [11, 12, 13, 14, 15, 16]]


def test_features_are_counted_of_the_base_models_own_answers_alone():
    _, counted = answers(*((name, Generation(max_tokens=6)) for name in ENDS))
    assert counted == [(None, "None's")]


def test_an_adapters_answer_to_a_comparator_is_as_short_as_that_of_a_model():
    (tokens,), _ = answers(("books", Generation(max_tokens=300)), is_traffic=False)
    assert len(tokens) == 256
