"""A server process over an artifact for token classification: Hugging Face's responses at `/`, metrics, errors."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from server_process import DEADLINE
from tiny_taggers import CORPUS

TYPES = ("PER", "LOC", "MISC")


@pytest.fixture(scope="module")
def pipeline(tagger_artifact):
    from transformers import pipeline

    return pipeline("token-classification", model=str(tagger_artifact.folder / "model"), device="cpu")


def assert_same(served, expected):
    fields = ("entity", "entity_group", "index", "word", "start", "end")
    assert [{name: entity.get(name) for name in fields} for entity in served] == [
        {name: entity.get(name) for name in fields} for entity in expected
    ]
    scores = [entity["score"] for entity in served]
    assert scores == pytest.approx([float(entity["score"]) for entity in expected], abs=1e-6)


@pytest.mark.parametrize("path", ["/", "/predict"])
def test_a_text_gets_its_entities(tagger, pipeline, path):
    response = tagger.client.post(path, json={"inputs": CORPUS[0]})
    assert response.status_code == 200
    assert response.json()
    assert_same(response.json(), pipeline(CORPUS[0], aggregation_strategy="simple"))


def test_a_list_gets_a_list_of_lists(tagger, pipeline):
    parameters = {"aggregation_strategy": "none", "ignore_labels": ["B-PER"]}
    served = tagger.ask({"inputs": CORPUS, "parameters": parameters}).json()
    for text, answered in zip(CORPUS, served, strict=True):
        assert_same(answered, pipeline(text, **parameters))


def test_clients_at_once_get_their_own_entities(tagger, pipeline):
    strategies = ("simple", "first", "average", "max")
    asked = [(text, strategy) for text in CORPUS[:3] for strategy in strategies]

    async def ask_all():
        async with httpx.AsyncClient(base_url=tagger.url, timeout=DEADLINE) as client:
            bodies = [{"inputs": text, "parameters": {"aggregation_strategy": name}} for text, name in asked]
            return await asyncio.gather(*(client.post("/", json=body) for body in bodies))

    for (text, strategy), response in zip(asked, asyncio.run(ask_all()), strict=True):
        assert_same(response.json(), pipeline(text, aggregation_strategy=strategy))


def test_a_long_text_is_read_in_windows_where_a_stride_asks_for_it(tagger, pipeline):
    text = " ".join(CORPUS[:2])
    response = tagger.ask({"inputs": text, "parameters": {"stride": 4}})
    assert_same(response.json(), pipeline(text, aggregation_strategy="simple", stride=4))
    assert max(entity["end"] for entity in response.json()) > max(
        entity["end"] for entity in tagger.ask({"inputs": text}).json()
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"top_k": 2}, "parameters.top_k: is not known; allowed are aggregation_strategy", id="field"),
        pytest.param(
            {"stride": 22},
            "parameters.stride: 22 was given, allowed are whole numbers from 0 to 21; for example 10",
            id="a stride as long as a window",
        ),
    ],
)
def test_wrong_parameters_are_named(tagger, parameters, message):
    response = tagger.ask({"inputs": "Ada", "parameters": parameters})
    assert response.status_code == 422
    assert message in response.json()["error"]


def test_the_largest_stride_is_understood(tagger, pipeline):
    served = tagger.ask({"inputs": CORPUS[1][:40], "parameters": {"stride": 21}})
    assert_same(served.json(), pipeline(CORPUS[1][:40], aggregation_strategy="simple", stride=21))


def test_a_text_of_more_windows_than_the_queue_holds_is_refused(tagger):
    response = tagger.ask({"inputs": " ".join(CORPUS * 5), "parameters": {"stride": 0}})
    assert response.status_code == 422
    assert "windows, at most 12 are allowed in one request (batching.maxQueue)" in response.json()["error"]


def test_metrics_count_entities_by_type_and_cut_texts(tagger):
    before, text = tagger.metrics(), " ".join(CORPUS[:2])
    entities = tagger.ask({"inputs": text}).json()
    tagger.ask({"inputs": "Ada", "parameters": {"aggregation_strategy": "none", "ignore_labels": []}})
    tagger.ask({"inputs": text, "parameters": {"stride": 2, "ignore_labels": list(TYPES)}})
    after = tagger.metrics()

    def grown(*key):
        return after[key] - before[key]

    counted = {name: grown("tuneloop_predictions_total", name) for name in TYPES}
    assert sum(counted.values()) >= 2 * len(entities) > 0
    assert sum(counted.values()) == grown("tuneloop_confidence_ratio_count")
    assert 0 < grown("tuneloop_calibrated_confidence_ratio_sum") < grown("tuneloop_confidence_ratio_sum")
    assert grown("tuneloop_truncated_requests_total") == 1  # the text in windows was not cut


def test_info_names_the_task(tagger):
    assert tagger.client.get("/info").json()["task"] == "token-classification"
