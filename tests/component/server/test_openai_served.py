"""OpenAI's embeddings API on real servers: formats, usage, sizes, the list of models, errors, metrics."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from server_process import word_salads

from tuneloop_api.contract.server_config import MOST_BODY_BYTES

PATH = "/v1/embeddings"
SIZE = 16


def embeddings(server, texts, **fields):
    response = server.client.post(PATH, json={"input": texts} | fields)
    assert response.status_code == 200, response.text
    return response.json()


def error(response):
    return response.status_code, response.json()["error"]


@pytest.fixture(scope="module")
def plain(artifact):
    """The mean of the last hidden state over the tokens, divided by its norm, as plain transformers computes it."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = artifact.folder / "model"
    encoder = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def embedding(text):
        encoded = tokenizer(text, truncation=True, max_length=artifact.manifest.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            mean = encoder(**encoded).last_hidden_state[0].mean(0)
        return (mean / mean.norm()).numpy()

    return embedding


def test_texts_get_the_embeddings_of_plain_transformers_in_their_order(server, plain):
    texts = [*word_salads(20), "", "¿Qué tal? 😀", "word " * 500]
    answered = embeddings(server, texts)
    assert (answered["object"], answered["model"]) == ("list", "reviews")
    for index, (text, element) in enumerate(zip(texts, answered["data"], strict=True)):
        assert (element["object"], element["index"], len(element["embedding"])) == ("embedding", index, SIZE)
        assert element["embedding"] == pytest.approx(plain(text), abs=1e-5)


def test_a_text_alone_gets_a_list_of_one(server):
    (element,) = embeddings(server, "a good film")["data"]
    assert element["embedding"] == embeddings(server, ["a good film"])["data"][0]["embedding"]


def test_base64_holds_the_same_float32_numbers(server):
    (numbers,), (packed,) = (
        embeddings(server, "a good film", encoding_format=name)["data"] for name in ("float", "base64")
    )
    unpacked = np.frombuffer(base64.b64decode(packed["embedding"]), dtype="<f4")
    assert unpacked.tolist() == numbers["embedding"]


def test_usage_counts_the_tokens_that_the_model_reads(server):
    tokens = 5 + 16  # the second text is cut
    assert embeddings(server, ["a good film", "film " * 50])["usage"] == {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
    }


def test_a_tagger_gives_embeddings_as_well(tagger):
    (element,) = embeddings(tagger, "Ada Lovelace")["data"]
    assert np.linalg.norm(element["embedding"]) == pytest.approx(1, abs=1e-6)


def test_the_size_may_be_named_and_no_other(server):
    embeddings(server, "a", dimensions=SIZE, model="reviews")
    status, answered = error(server.client.post(PATH, json={"input": "a", "dimensions": 8}))
    assert (status, answered["param"]) == (400, "dimensions")
    assert answered["message"] == "dimensions: 8 was given, allowed is 16, or nothing"


def test_the_model_says_what_its_embeddings_are(server):
    listed = server.client.get("/v1/models").json()
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert model == server.client.get("/v1/models/reviews").json()
    assert isinstance(model.pop("created"), int)
    assert model == {
        "id": "reviews",
        "object": "model",
        "owned_by": "tuneloop",
        "task": "text-classification",
        "max_tokens": 16,
        "embeddings": {"available": True, "dimensions": SIZE, "pooling": "mean", "normalized": True},
    }


def test_another_model_is_not_found(server):
    for response in (
        server.client.get("/v1/models/gpt-4"),
        server.client.post(PATH, json={"input": "a", "model": "gpt-4"}),
    ):
        assert error(response) == (
            404,
            {
                "message": "model: gpt-4 is not served here; allowed is reviews, or nothing",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            },
        )


def test_what_this_server_does_not_have_of_openai_is_not_found_in_its_shape(server):
    status, answered = error(server.client.post("/v1/chat/completions", json={"model": "reviews", "messages": []}))
    assert (status, answered["type"], answered["code"]) == (404, "invalid_request_error", None)
    assert answered["message"].startswith("there is no such page; there are: POST /, ")
    status, answered = error(server.client.get(PATH))
    assert status == 405
    assert answered["message"].startswith("the method GET is not allowed here, use POST")


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        pytest.param(b"{", 400, None, "the body is not JSON", id="bad JSON"),
        pytest.param(b'{"input": 3}', 400, "input", "input: 3 was given, expected a string or", id="bad field"),
        pytest.param(b" " * (MOST_BODY_BYTES + 1), 413, None, "1048577 bytes, at most 1048576", id="too large"),
    ],
)
def test_what_is_wrong_is_answered_in_the_shape_of_openai(server, body, status, param, message):
    found, answered = error(server.client.post(PATH, content=body))
    assert (found, answered["type"], answered["param"], answered["code"]) == (
        status,
        "invalid_request_error",
        param,
        None,
    )
    assert message in answered["message"]


def test_more_texts_than_the_queue_holds_are_a_wrong_request(tagger):
    status, answered = error(tagger.client.post(PATH, json={"input": ["a"] * 13}))
    assert status == 400
    assert "at most 12 are allowed in one request (batching.maxQueue)" in answered["message"]


def test_requests_count_by_protocol_and_make_no_predictions(server):
    before = server.metrics()
    embeddings(server, ["a good film", "film " * 50])
    server.client.post(PATH, json={})
    after = server.metrics()

    def grown(*key):
        return after[key] - before.get(key, 0.0)

    assert grown("tuneloop_requests_total", "200", "openai", "ok") == 1
    assert grown("tuneloop_requests_total", "400", "openai", "validation") == 1
    assert grown("tuneloop_request_duration_seconds_count", "openai") == 2
    assert grown("tuneloop_tokens_total", "prompt") == 5 + 16
    assert grown("tuneloop_truncated_requests_total") == 1
    assert grown("tuneloop_confidence_ratio_count") == 0


def test_the_names_of_unknown_models_make_no_series(server):
    """The first unknown name of all makes one, `code="404"`."""
    server.client.post(PATH, json={"input": "a", "model": "unknown"})
    before = server.metrics().keys()
    for name in word_salads(10, seed=5):
        server.client.post(PATH, json={"input": "a", "model": f"x{name}", "user": name})
        server.client.get(f"/v1/models/x{name}")
    assert server.metrics().keys() == before
