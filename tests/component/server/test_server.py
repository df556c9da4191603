"""The server as a process: its pages, equality with plain transformers, metrics, a full queue."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from server_process import DEADLINE, Server, configuration, start_process, wait_for_status, word_salads

from tuneloop_api.contract.server_config import MOST_BODY_BYTES

LABELS = ("negative", "neutral", "positive")


@pytest.fixture(scope="session")
def plain(artifact):
    """Plain transformers: softmax over the labels, longer texts cut to the manifest's max_tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = artifact.folder / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def classify(text: str) -> dict[str, float]:
        encoded = tokenizer(text, truncation=True, max_length=artifact.manifest.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            scores = model(**encoded).logits.softmax(-1)[0].tolist()
        return {model.config.id2label[index]: score for index, score in enumerate(scores)}

    return classify


@pytest.mark.parametrize("path", ["/", "/predict"])
def test_one_text_gets_every_label_best_first(server, path):
    response = server.client.post(path, json={"inputs": "a good film"})
    answered = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert sorted(entry["label"] for entry in answered) == sorted(LABELS)
    assert [entry["score"] for entry in answered] == sorted((entry["score"] for entry in answered), reverse=True)


def test_a_list_gets_a_list_of_lists_even_for_one_text(server):
    (answered,) = server.ask({"inputs": ["a good film"]}).json()
    assert answered == server.ask({"inputs": "a good film"}).json()


def test_scores_equal_those_of_plain_transformers_label_for_label(server, plain):
    sentences = [*word_salads(40), "", "¿Qué tal? 😀", "word " * 2000]
    for sentence, answered in zip(sentences, server.ask({"inputs": sentences}).json(), strict=True):
        assert {entry["label"]: entry["score"] for entry in answered} == pytest.approx(plain(sentence), abs=1e-4)


def test_clients_at_once_get_their_own_answers(server, plain):
    sentences = word_salads(60, seed=1)

    async def ask_all():
        async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE) as client:
            return await asyncio.gather(*(client.post("/", json={"inputs": sentence}) for sentence in sentences))

    for sentence, response in zip(sentences, asyncio.run(ask_all()), strict=True):
        assert {entry["label"]: entry["score"] for entry in response.json()} == pytest.approx(plain(sentence), abs=1e-4)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        pytest.param("POST", "/predict", b"{", 400, "the body is not JSON", id="bad JSON"),
        pytest.param("POST", "/predict", b'{"inputs": 3}', 422, "inputs: 3 was given", id="bad field"),
        pytest.param(
            "POST", "/predict", b" " * (MOST_BODY_BYTES + 1), 413, "1048577 bytes, at most 1048576", id="too large"
        ),
        pytest.param("POST", "/nothing", b"{}", 404, "there is no such page", id="unknown path"),
        pytest.param("GET", "/predict", None, 405, "the method GET is not allowed here, use POST", id="wrong method"),
        pytest.param(
            "POST", "/metrics", b"{}", 405, "the method POST is not allowed here", id="wrong method of a page"
        ),
    ],
)
def test_what_is_wrong_is_answered_in_one_line_of_json(server, method, path, body, status, message):
    response = server.client.request(method, path, content=body)
    assert response.status_code == status
    assert message in response.json()["error"]
    assert "\n" not in response.text
    is_closed = response.headers.get("connection") == "close"
    assert is_closed == (status == 413)  # a part of the body may be unread


def test_a_body_without_a_length_is_limited_too(server):
    response = server.client.post("/predict", content=(b" " * 65536 for _ in range(20)))
    assert response.status_code == 413


def test_a_body_of_exactly_the_limit_is_read(server):
    body = json.dumps({"inputs": "a good film"}).encode()
    assert server.client.post("/predict", content=body.ljust(MOST_BODY_BYTES)).status_code == 200


def test_the_largest_text_is_answered(server):
    assert server.ask({"inputs": "film " * 200_000}).status_code == 200


def test_info_says_what_is_served(server, artifact):
    answered = server.client.get("/info").json()
    assert (answered["digest"], answered["labels"], answered["revision"]) == (
        artifact.manifest.digest(),
        list(LABELS),
        "abc123",
    )


def test_metrics_count_what_happened(server, plain):
    before, begun = server.metrics(), time.monotonic()
    sentences = [*word_salads(5, longest=8, seed=2), "film " * 50]
    answers = server.ask({"inputs": sentences}).json()
    server.ask({"inputs": "a good film"})
    server.ask({"inputs": 3})
    seconds, after = time.monotonic() - begun, server.metrics()

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0.0)

    assert grown("tuneloop_requests_total", "200", "hf", "ok") == 2
    assert grown("tuneloop_requests_total", "422", "hf", "validation") == 1
    assert grown("tuneloop_request_duration_seconds_count", "hf") == 3
    assert 0 < grown("tuneloop_request_duration_seconds_sum", "hf") < seconds
    assert grown("tuneloop_queue_duration_seconds_count") == 7
    assert grown("tuneloop_batch_size_requests_sum") == 7
    assert grown("tuneloop_inference_duration_seconds_count") == grown("tuneloop_batch_size_requests_count") > 0
    assert grown("tuneloop_truncated_requests_total") == 1
    assert sum(grown("tuneloop_predictions_total", label) for label in LABELS) == 7
    best = [answered[0]["score"] for answered in answers] + [max(plain("a good film").values())]
    assert grown("tuneloop_confidence_ratio_sum") == pytest.approx(sum(best), abs=1e-3)
    assert (
        7 / 3 < grown("tuneloop_calibrated_confidence_ratio_sum") < sum(best)
    )  # a temperature above 1 makes every score less sure
    assert after["tuneloop_model_loaded",] == 1
    assert after["tuneloop_inflight_requests",] == after["tuneloop_queue_requests",] == after["tuneloop_draining",] == 0


def test_prompt_tokens_are_counted_without_padding(server):
    before = server.metrics()["tuneloop_tokens_total", "prompt"]
    server.ask({"inputs": ["a good film", "film " * 50]})
    assert server.metrics()["tuneloop_tokens_total", "prompt"] - before == 5 + 16


def test_nothing_that_a_client_sends_becomes_a_label(server):
    server.ask({"inputs": "a good film"})
    server.ask({"inputs": 3})
    before = server.metrics().keys()
    for sentence in word_salads(20, seed=3):
        server.client.post("/", json={"inputs": sentence}, headers={"x-request-id": sentence, "user-agent": sentence})
        server.client.post(f"/{sentence}", json={"inputs": sentence})
        server.ask({"inputs": "a", "parameters": {"top_k": sentence}})
        server.client.request("BREW", "/predict")
    assert server.metrics().keys() == before


@pytest.fixture(scope="module")
def fresh(artifact, tmp_path_factory):
    """A server with a queue of 8 texts, and its responses from before the model was loaded."""
    config = configuration(artifact.folder, batching={"max_batch_size": 1, "max_queue": 8})
    process, log = start_process(config, tmp_path_factory.mktemp("fresh"))
    server = Server(process, f"http://127.0.0.1:{config.port}", log)
    try:
        wait_for_status(server, "/healthz", 200)
        early = server.client.get("/readyz"), server.ask({"inputs": "a"})
        wait_for_status(server, "/readyz", 200)
        yield server, early
    finally:
        process.kill()
        process.wait()


def test_a_server_is_healthy_at_once_but_ready_only_with_its_model(fresh):
    server, (ready, asked) = fresh
    assert (ready.status_code, ready.json()) == (503, {"error": "the model is being loaded"})
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")
    assert server.metrics()["tuneloop_model_load_duration_seconds",] > 0


def test_a_full_queue_answers_429_with_retry_after(fresh):
    server, _ = fresh

    async def flood() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=server.url, timeout=DEADLINE, limits=httpx.Limits(max_connections=64)
        ) as client:
            return await asyncio.gather(
                *(client.post("/", json={"inputs": word_salads(8, seed=seed)}) for seed in range(64))
            )

    responses = asyncio.run(flood())
    refused = [response for response in responses if response.status_code == 429]
    answered = [response for response in responses if response.status_code == 200]
    assert len(refused) + len(answered) == 64
    assert refused
    assert answered
    assert all(1 <= int(response.headers["retry-after"]) <= 60 for response in refused)
    assert "at most 8 may (batching.maxQueue); try again in" in refused[0].json()["error"]
    assert server.metrics()["tuneloop_requests_total", "429", "hf", "overloaded"] == len(refused)
