"""A model that is loading, that is busy, that fails, or that makes no embeddings: each protocol says so in its own shape, with the same limits."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from app_clients import app_client, wait_until
from artifact import write_manifest
from server_process import configuration

from tuneloop_server.model import EmbeddingSupport, Encoded
from tuneloop_server.runtimes.runtime import Runtime
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION

BODIES = {
    "/predict": {"inputs": "{}"},
    "/v2/models/reviews/infer": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["{}"]}]},
    "/v1/embeddings": {"input": "{}"},
}
REFUSAL = "this model makes no embeddings: it counts words"


@dataclass
class WordCounter:
    """A model that counts words. Its passes wait for `may_run`, and six words are too many for it."""

    may_load: threading.Event = field(default_factory=threading.Event)
    may_run: threading.Event = field(default_factory=threading.Event)
    runs: threading.Event = field(default_factory=threading.Event)
    embeddings: EmbeddingSupport = field(default_factory=lambda: EmbeddingSupport(size=2))
    vocabulary: None = None
    pads: bool = True

    def encode(self, texts, *, stride=None):
        return [[Encoded(ids=[1] * len(text.split()))] for text in texts]

    def predict(self, batch):
        self.runs.set()
        assert self.may_run.wait(30)
        if any(len(window) == 6 for window in batch):
            raise RuntimeError("six words are too heavy")
        number = {3: np.nan}
        return [np.array([number.get(len(window), 1.0), 0.0], dtype=np.float32) for window in batch]


@contextmanager
def served(folder, model, **changes):
    def load(*_):
        assert model.may_load.wait(30)
        return model

    (folder / "model").mkdir()
    manifest = write_manifest(folder, ["no", "yes"], name="n", max_tokens=8, temperature=1.0)
    runtime = Runtime(name="word-counter", load=load)
    with app_client(configuration(folder, **changes), manifest, task=TEXT_CLASSIFICATION, runtime=runtime) as client:
        try:
            yield client
        finally:
            model.may_load.set()
            model.may_run.set()


def ask(client, path, text="a"):
    return client.post(path, json=json.loads(json.dumps(BODIES[path]).replace("{}", text)))


def message_of(response):
    error = response.json()["error"]
    return error["message"] if response.request.url.path == "/v1/embeddings" else error


@pytest.fixture
def ready(tmp_path):
    model = WordCounter()
    model.may_load.set()
    model.may_run.set()
    with served(tmp_path, model) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


def test_a_model_that_is_being_loaded_is_not_ready(tmp_path):
    with served(tmp_path, WordCounter()) as client:
        for path in BODIES:
            response = ask(client, path)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert message_of(response) == "the model is being loaded; try again in 1 s"
        for path in ("/v2/health/ready", "/v2/models/reviews/ready"):
            response = client.get(path)
            assert (response.status_code, response.json()) == (503, {"error": "the model is being loaded"})
        assert client.get("/v2/health/live").status_code == client.get("/v2/models/reviews").status_code == 200
        (model,) = client.get("/v1/models").json()["data"]
        assert model["embeddings"] == {"available": False, "reason": "the model is being loaded; try again in 1 s"}


def test_a_full_queue_is_one_for_all_protocols(tmp_path):
    model = WordCounter()
    model.may_load.set()
    with served(tmp_path, model, batching={"max_queue": 1}) as client, ThreadPoolExecutor(2) as clients:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        in_pass = clients.submit(ask, client, "/predict")
        assert model.runs.wait(30)
        in_queue = clients.submit(ask, client, "/v1/embeddings")
        wait_until(lambda: client.service._answerers[None]._batcher.waiting == 1)
        for path in BODIES:
            response = ask(client, path)
            assert (response.status_code, response.headers["retry-after"]) == (429, "1")
            assert message_of(response).startswith("1 texts are waiting, at most 1 may (batching.maxQueue)")
        model.may_run.set()
        assert [answered.result().status_code for answered in (in_pass, in_queue)] == [200, 200]


@pytest.mark.parametrize("path", BODIES)
def test_a_failing_pass_is_a_server_error(ready, path):
    response = ask(ready, path, "1 2 3 4 5 6")
    assert response.status_code == 500
    assert message_of(response) == "the model failed on this text; the server's log says why"


@pytest.mark.parametrize("path", BODIES)
def test_outputs_that_are_no_numbers_are_a_server_error(ready, path):
    response = ask(ready, path, "1 2 3")
    assert response.status_code == 500
    assert message_of(response) == "the model's output for text 1 is not a finite number: its weights are damaged"


@pytest.mark.parametrize("path", BODIES)
def test_a_text_without_a_token_is_refused(ready, path):
    response = ask(ready, path, "")
    assert response.status_code == (422 if path == "/predict" else 400)
    assert "the tokenizer makes no token of text 1" in message_of(response)


def test_a_model_without_embeddings_says_why(tmp_path):
    model = WordCounter(embeddings=EmbeddingSupport(refusal=REFUSAL))
    model.may_load.set()
    model.may_run.set()
    with served(tmp_path, model) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        for fields in ({}, {"dimensions": 3}):
            response = client.post("/v1/embeddings", json={"input": "a"} | fields)
            assert (response.status_code, response.json()["error"]["message"]) == (400, REFUSAL)
        (listed,) = client.get("/v1/models").json()["data"]
        assert listed["embeddings"] == {"available": False, "reason": REFUSAL}


@pytest.mark.parametrize("path", BODIES)
def test_a_draining_server_closes_the_connections(ready, path):
    ready.service.drain()
    response = ask(ready, path)
    assert (response.status_code, response.headers["connection"]) == (200, "close")
