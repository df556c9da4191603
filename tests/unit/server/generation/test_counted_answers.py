"""Which generated answers count as features, and as what."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from types import SimpleNamespace

import pytest
from artifact import manifest_of

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.generating import TextGenerator
from tuneloop_server.generation.answer import Generation, Piece, Prompt
from tuneloop_server.monitoring import Monitoring

PROMPT = Prompt(text="Who was Ada?", ids=[5, 6, 7])
PIECES = [
    Piece(token=8, logprob=-0.5, text="A", finish=None),
    Piece(token=9, logprob=-0.1, text="da", finish=None),
    Piece(token=0, logprob=-0.3, text="", finish="eos_token"),
]


class Features:
    """Takes what is counted, in place of bins."""

    def __init__(self) -> None:
        self.counted: list[dict] = []

    def counter(self, _vocabulary):
        return lambda _text, _windows, answer: self.counted.append(answer.features())


def generator(features: Features | None, *, fails_after: int | None = None) -> TextGenerator:
    async def pieces(_prompt, _generation):
        for number, piece in enumerate(PIECES):
            if number == fails_after:
                raise RuntimeError("no memory")
            yield piece

    place = {"namespace": "n", "name": "n", "revision": "r", "artifact_path": "/a", "artifact_uri": "file:///a"}
    monitoring = Monitoring(ServerConfig.model_validate(place), manifest_of([], task="text-generation"), label_names=[])
    return TextGenerator(
        SimpleNamespace(),
        generating=SimpleNamespace(),
        batcher=SimpleNamespace(pieces=pieces),
        monitoring=monitoring,
        features=features,
        limit=None,
    )


def test_a_whole_answer_counts_once_with_all_of_its_tokens():
    features = Features()
    asyncio.run(generator(features).whole(PROMPT, Generation(max_tokens=9)))
    (counted,) = features.counted
    assert counted.pop("mean_logprob") == pytest.approx(-0.3)
    assert counted == {"answer_tokens": 3, "repetition": 0.0, "finish_reason": "eos_token", "answer_kind": "sound"}


def test_an_answer_is_counted_before_its_last_piece_goes_out():
    async def life() -> list[int]:
        features = Features()
        async with aclosing(generator(features).pieces(PROMPT, Generation(max_tokens=9))) as pieces:
            return [len(features.counted) async for _ in pieces]

    assert asyncio.run(life()) == [0, 0, 1]


def test_an_answer_that_its_client_did_not_wait_for_is_no_answer():
    async def life() -> list[dict]:
        features = Features()
        async with aclosing(generator(features).pieces(PROMPT, Generation(max_tokens=9))) as pieces:
            await anext(pieces)
            await anext(pieces)
        return features.counted

    assert asyncio.run(life()) == []


def test_an_answer_on_which_the_model_fails_is_no_answer():
    features = Features()
    with pytest.raises(RuntimeError):
        asyncio.run(generator(features, fails_after=2).whole(PROMPT, Generation(max_tokens=9)))
    assert features.counted == []


def test_answers_for_the_comparator_are_no_traffic():
    features = Features()
    asyncio.run(generator(features).whole(PROMPT, Generation(max_tokens=9), is_traffic=False))
    assert features.counted == []


def test_without_bins_an_answer_is_the_same():
    answer = asyncio.run(generator(None).whole(PROMPT, Generation(max_tokens=9)))
    assert answer.text == "Ada"
