"""A task, a runtime and a protocol that only this file knows: each is a value in a table, and the server asks for nothing else."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from app_clients import app_client, metric, wait_until
from artifact import write_manifest
from server_process import configuration
from starlette.routing import Route

from tuneloop_api.contract.router import RETRY_HEADER
from tuneloop_api.features.task_features import TaskFeatures
from tuneloop_server.answers.answer_format import AnswerFormat
from tuneloop_server.body_memory import SMALL_BYTES
from tuneloop_server.model import EmbeddingSupport, Encoded
from tuneloop_server.protocols import PROTOCOLS
from tuneloop_server.protocols.protocol import Endpoint, Reply, WireProtocol
from tuneloop_server.runtimes.runtime import Runtime
from tuneloop_server.tasks.task import Answer, Prediction, Task

# --- a task: how long is a text? ---


def length_answer(text, windows, parameters, facts):
    tokens = int(windows[0].logits[0])
    label = "long" if tokens > parameters["limit"] else "short"
    prediction = Prediction(label=label, confidence=0.75, calibrated_confidence=0.5, entropy=0.25)
    return Answer(value={"text": text, "tokens": tokens, "label": label}, predictions=[prediction], features=dict)


LENGTH = Task(
    name="text-length",
    auto_class="AutoModel",
    needs_offsets=False,
    read_parameters=lambda given: {"limit": given.get("limit", 3)},
    answer=length_answer,
    features=TaskFeatures(numbers=(), choices={}, values=lambda logits, labels: {}),
    answer_format=AnswerFormat(read=lambda answer: [], read_label=lambda label, labels: {}, class_names=list),
)

# --- a runtime: it counts the words ---


NOT_FINITE = {3: float("nan"), 7: float("inf")}
"""Outputs of the model by the number of words: what a damaged model computes."""


@dataclass
class WordCounter:
    """A model whose only output is the number of words."""

    max_tokens: int
    vocabulary: None = None
    pads: bool = True
    embeddings = EmbeddingSupport(refusal="this model makes no embeddings: it counts words")

    def encode(self, texts, *, stride=None):
        return [
            [Encoded(ids=[1] * min(len(text.split()), self.max_tokens), truncated=len(text.split()) > self.max_tokens)]
            for text in texts
        ]

    def predict(self, batch):
        if any(len(window) == 6 for window in batch):
            raise RuntimeError("six words are too heavy")
        return [np.array([NOT_FINITE.get(len(window), len(window))], dtype=np.float32) for window in batch]


def load_word_counter(config, manifest, task):
    assert task is LENGTH
    return WordCounter(manifest.max_tokens)


COUNTER = Runtime(name="word-counter", load=load_word_counter)

# --- a protocol: a text in, a label out ---


def plain_routes(service):
    async def respond(_, body):
        (value,) = await service.answer([body.decode()], service.task.read_parameters({}))
        return Reply(value["label"].encode())

    return [Route("/plain", Endpoint(service=service, protocol="plain", respond=respond), methods=["POST"])]


PLAIN = WireProtocol(name="plain", routes=plain_routes)


@contextmanager
def served(folder, *, runtime=COUNTER, **changes):
    (folder / "model").mkdir(exist_ok=True)
    manifest = write_manifest(folder, ["short", "long"], name="n", max_tokens=8, temperature=1.0, task="text-length")
    protocols = {**PROTOCOLS, PLAIN.name: PLAIN}
    config = configuration(folder, **changes)
    with app_client(config, manifest, task=LENGTH, runtime=runtime, protocols=protocols) as client:
        yield client


@pytest.fixture
def client(tmp_path):
    with served(tmp_path) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


def test_a_new_task_is_served_in_the_hugging_face_protocol(client):
    answered = client.post("/", json={"inputs": ["a b", "a b c d"], "parameters": {"limit": 2}}).json()
    assert answered == [
        {"text": "a b", "tokens": 2, "label": "short"},
        {"text": "a b c d", "tokens": 4, "label": "long"},
    ]
    assert client.post("/predict", json={"inputs": "a b c d e"}).json()["label"] == "long"


def test_letters_beyond_ascii_are_sent_as_they_are(client):
    assert '"text": "größer 大"' in client.post("/", json={"inputs": "größer 大"}).text


def test_a_new_protocol_serves_the_task_with_the_same_limits_and_metrics(client):
    assert client.post("/plain", content=b"a b c d").text == "long"
    assert client.post("/plain", content=b"x" * (1024 * 1024 + 1)).status_code == 413
    labels = 'deployment="reviews",protocol="plain"'
    assert metric(client, f'tuneloop_requests_total{{code="200",{labels},reason="ok"')
    assert metric(client, f'tuneloop_requests_total{{code="413",{labels},reason="validation"')


def test_the_predictions_of_a_new_task_are_counted_by_its_labels(client):
    client.post("/", json={"inputs": ["a", "b", "a b c d"]})
    constant = 'deployment="reviews",label="{}",revision="abc123",task="text-length"'
    assert metric(client, f"tuneloop_predictions_total{{{constant.format('short')}}} 2.0")
    assert metric(client, f"tuneloop_predictions_total{{{constant.format('long')}}} 1.0")


def test_a_wrong_path_names_the_routes_of_all_protocols(client):
    message = client.post("/nothing").json()["error"]
    assert message.startswith("there is no such page; there are: POST /, /predict, ")
    assert "/v1/embeddings, /plain; GET /v2, " in message
    assert message.endswith(", /healthz, /readyz, /metrics, /info")


def test_a_wrong_method_names_the_right_one(client):
    response = client.get("/plain")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["error"].startswith("the method GET is not allowed here, use POST; there are:")


def test_info_and_health_are_pages(client):
    assert client.get("/info").json() == {
        "deployment": "reviews",
        "revision": "abc123",
        "digest": client.service.manifest.digest(),
        "task": "text-length",
        "labels": ["short", "long"],
        "maxTokens": 8,
        "baseModel": "hf://tests/model",
    }
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_metrics_say_that_the_model_is_loaded_and_that_no_text_waits(client):
    constant = 'deployment="reviews",revision="abc123",task="text-length"'
    assert metric(client, f"tuneloop_model_loaded{{{constant}}} 1.0")
    assert not metric(client, f"tuneloop_model_load_duration_seconds{{{constant}}} 0.0\n")
    assert metric(client, f"tuneloop_queue_requests{{{constant}}} 0.0")


def test_a_text_without_a_token_is_refused_by_its_number(client):
    response = client.post("/", json={"inputs": ["a", "", "b"]})
    assert response.status_code == 422
    assert response.json()["error"] == "inputs: the tokenizer makes no token of text 2, at least one is needed"


@pytest.mark.parametrize(
    ("pads", "passes"),
    [
        pytest.param(True, [[1, 1], [8, 8]], id="padded: texts of like length share a pass"),
        pytest.param(False, [[1, 8], [1, 8]], id="not padded: in order of arrival"),
    ],
)
def test_passes_are_planned_as_the_model_computes(tmp_path, pads, passes):
    found = []

    class Noting(WordCounter):
        def predict(self, batch):
            found.append([len(window) for window in batch])
            return super().predict(batch)

    noting = Runtime(name="noting", load=lambda config, manifest, task: Noting(8, pads=pads))
    with served(tmp_path, runtime=noting, batching={"max_batch_size": 2}) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        client.post("/predict", json={"inputs": ["one", "word " * 8, "two", "fine " * 8]})
    assert found == passes


def test_a_failing_pass_is_a_server_error_of_that_request_only(client):
    failed = client.post("/", json={"inputs": "1 2 3 4 5 6"})
    assert (failed.status_code, failed.json()["error"][:27]) == (500, "the model failed on this te")
    assert client.post("/", json={"inputs": "1"}).status_code == 200
    assert metric(client, 'tuneloop_requests_total{code="500",deployment="reviews",protocol="hf",reason="model_error"')


def test_a_defect_of_a_task_is_a_server_error_in_the_shape_of_all_errors(client):
    """The request is counted as any other, and the log holds the traceback."""
    failed = client.post("/", json={"inputs": "1", "parameters": {"limit": "many"}})
    assert (failed.status_code, failed.json()) == (
        500,
        {"error": "the server failed on this request; its log says why"},
    )
    assert client.post("/", json={"inputs": "1"}).status_code == 200
    assert metric(client, 'tuneloop_requests_total{code="500",deployment="reviews",protocol="hf",reason="model_error"')


@pytest.mark.parametrize("words", NOT_FINITE)
def test_outputs_that_are_no_numbers_are_a_server_error_and_no_predictions(client, words):
    """JSON has no NaN. Metrics that once counted a NaN would stay NaN."""
    response = client.post("/", json={"inputs": ["1", "w " * words]})
    assert response.status_code == 500
    assert response.json() == {"error": "the model's output for text 2 is not a finite number: its weights are damaged"}
    assert metric(client, 'tuneloop_requests_total{code="500",deployment="reviews",protocol="hf",reason="model_error"')
    constant = 'deployment="reviews",revision="abc123",task="text-length"'
    assert metric(client, f"tuneloop_confidence_ratio_count{{{constant}}} 0.0")
    assert client.post("/", json={"inputs": "1"}).status_code == 200


@pytest.mark.parametrize(
    ("characters", "beside"), [pytest.param(8192, False, id="short"), pytest.param(8193, True, id="long")]
)
def test_a_long_body_is_tokenized_beside_the_event_loop(client, characters, beside):
    encoded_on = []
    model = client.service._answerers[None]._model
    original = model.encode

    def noticing(texts, *, stride=None):
        encoded_on.append(threading.current_thread().name)
        return original(texts, stride=stride)

    model.encode = noticing
    client.post("/", json={"inputs": ["x" * (characters - 1), "y"]})
    loop_thread = client.portal.call(lambda: threading.current_thread().name)
    assert (encoded_on != [loop_thread]) is beside


def test_a_body_takes_memory_until_it_is_answered(client):
    taken = []
    model, memory = client.service._answerers[None]._model, client.service.bodies
    original = model.encode

    def noticing(texts, *, stride=None):
        taken.append(memory.taken)
        return original(texts, stride=stride)

    model.encode = noticing
    body = b'{"inputs": "' + b"x" * 20_000 + b'"}'
    assert client.post("/", content=body).status_code == 200
    assert taken == [len(body) - SMALL_BYTES]
    assert memory.taken == 0


def test_cut_texts_and_tokens_are_counted(client):
    client.post("/", json={"inputs": ["a b", "w " * 20]})
    constant = 'deployment="reviews",revision="abc123",task="text-length"'
    assert metric(client, f"tuneloop_truncated_requests_total{{{constant}}} 1.0")
    assert metric(client, f'direction="prompt",revision="abc123",task="text-length"}} {2 + 8}.0')


def test_a_draining_server_answers_is_not_ready_and_closes_connections(client):
    assert "connection" not in client.post("/", json={"inputs": "a"}).headers
    client.service.drain()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"error": "the server is being stopped"})
    answered = client.post("/", json={"inputs": "a"})
    assert (answered.status_code, answered.headers["connection"]) == (200, "close")
    assert metric(client, 'tuneloop_draining{deployment="reviews",revision="abc123",task="text-length"} 1.0')


def test_an_early_request_is_asked_to_come_again(tmp_path):
    may_load = threading.Event()

    def slow(config, manifest, task):
        assert may_load.wait(30)
        return load_word_counter(config, manifest, task)

    with served(tmp_path, runtime=Runtime(name="slow", load=slow)) as client:
        early = client.post("/", json={"inputs": "a"})
        ready = client.get("/readyz")
        may_load.set()
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert early.headers[RETRY_HEADER] == "1"
    assert early.json() == {"error": "the model is being loaded; try again in 1 s"}
    assert (ready.status_code, ready.json()) == (503, {"error": "the model is being loaded"})


def test_a_damaged_file_stops_the_server_before_the_runtime_loads(tmp_path):
    loaded = []
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(b"right")

    def never(*_):
        loaded.append(True)

    manifest = write_manifest(tmp_path, ["a"], name="n", max_tokens=8, temperature=1.0, task="text-length")
    (tmp_path / "model/weights").write_bytes(b"wrong")
    runtime = Runtime(name="never", load=never)
    with app_client(configuration(tmp_path), manifest, task=LENGTH, runtime=runtime) as client:
        wait_until(lambda: client.failures)
    assert loaded == []
    assert "model/weights: found SHA-256" in str(client.failures[0])
