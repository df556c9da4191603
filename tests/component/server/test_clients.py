"""Clients that nobody changed for us: OpenAI's, Hugging Face's and Triton's, on a real server; and the Python of `docs/serving.md`."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import InferenceClient, constants
from required import skip_or_fail
from server_process import word_salads
from tiny_taggers import CORPUS

PROGRAMS = re.findall(
    r"^```python\n(.*?)^```$",
    (Path(__file__).parents[3] / "docs/serving.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
TEXTS = ["a good film", "", "¿Qué tal? 😀", *word_salads(5)]
JSON = {"Content-Type": "application/json"}
"""A server on loopback wants it; Triton's client names no type by itself, and writes into the headers that it is given."""


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """Let Hugging Face's client ask our server: the tests run offline, where it asks nobody."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def required(module):
    """Return a client's module; skip the test where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        skip_or_fail(f"{missing.name} is not installed (make setup)")


# --- OpenAI ---


@pytest.fixture
def openai(server):
    with required("openai").OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openai_gets_embeddings_though_it_asks_for_base64_by_itself(server, openai):
    answered = openai.embeddings.create(model="reviews", input=TEXTS)
    expected = server.client.post("/v1/embeddings", json={"input": TEXTS}).json()
    assert [element.embedding for element in answered.data] == [element["embedding"] for element in expected["data"]]
    assert answered.usage.prompt_tokens == expected["usage"]["prompt_tokens"]


def test_openai_gets_numbers_where_it_asks_for_them(openai):
    (packed,) = openai.embeddings.create(model="reviews", input="a good film").data
    (numbers,) = openai.embeddings.create(model="reviews", input="a good film", encoding_format="float").data
    assert numbers.embedding == packed.embedding


def test_openai_lists_the_model(openai):
    assert [model.id for model in openai.models.list()] == ["reviews"]
    assert openai.models.retrieve("reviews").owned_by == "tuneloop"


def test_openai_reads_our_errors(openai):
    module = required("openai")
    with pytest.raises(module.NotFoundError) as refused:
        openai.embeddings.create(model="gpt-4", input="a")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(module.BadRequestError, match="token ids were given"):
        openai.embeddings.create(model="reviews", input=[1, 2, 3])
    with pytest.raises(module.NotFoundError, match="there is no such page; there are"):
        openai.chat.completions.create(model="reviews", messages=[])


def test_openai_can_be_used_without_waiting(server):
    import asyncio

    async def life():
        async with required("openai").AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            asked = (client.embeddings.create(model="reviews", input=text) for text in TEXTS)
            return await asyncio.gather(*asked)

    answers = asyncio.run(life())
    together = server.client.post("/v1/embeddings", json={"input": TEXTS}).json()["data"]
    for answered, expected in zip(answers, together, strict=True):
        assert answered.data[0].embedding == pytest.approx(expected["embedding"], abs=1e-5)


# --- Hugging Face ---


def test_hugging_face_gets_the_best_class_of_a_text_and_all_classes_of_a_list(server):
    client = InferenceClient(server.url)
    expected = server.ask({"inputs": "a good film"}).json()
    best = client.text_classification("a good film")
    assert (best.label, best.score) == (expected[0]["label"], expected[0]["score"])
    classes = client.text_classification(["a good film"])
    assert [(found.label, found.score) for found in classes] == [(one["label"], one["score"]) for one in expected]
    assert len(client.text_classification(["a good film"], top_k=2)) == 2


def test_hugging_face_gets_the_server_as_model_as_well(server):
    (best, *_) = InferenceClient().text_classification(["a good film"], model=server.url)
    assert best.label == server.ask({"inputs": "a good film"}).json()[0]["label"]


@pytest.mark.parametrize("strategy", [None, "none", "first"])
def test_hugging_face_gets_entities(tagger, strategy):
    found = InferenceClient(tagger.url).token_classification(CORPUS[0], aggregation_strategy=strategy)
    parameters = {"aggregation_strategy": strategy}
    expected = tagger.ask({"inputs": CORPUS[0], "parameters": parameters}).json()
    assert [(entity.word, entity.start, entity.end, entity.score) for entity in found] == [
        (entity["word"], entity["start"], entity["end"], entity["score"]) for entity in expected
    ]


# --- Triton ---


@pytest.fixture
def triton_of():
    module, clients = required("tritonclient.http"), []

    def connect(server):
        clients.append(module.InferenceServerClient(server.url.removeprefix("http://")))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def text_tensor(texts, *, shape=None, binary_data=False):
    tensor = required("tritonclient.http").InferInput("text", shape or [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(shape or [-1]), binary_data=binary_data)
    return tensor


def requested(*names, binary_data=False):
    return [required("tritonclient.http").InferRequestedOutput(name, binary_data=binary_data) for name in names]


def test_triton_finds_the_model(server, triton_of):
    client = triton_of(server)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("reviews")
    assert client.is_model_ready("reviews", model_version="abc123")
    assert client.get_server_metadata()["name"] == "tuneloop"
    assert client.get_model_metadata("reviews")["versions"] == ["abc123"]
    assert not client.is_model_ready("other")


@pytest.mark.parametrize("columns", [[], [1]])
def test_triton_gets_classes_and_scores(server, triton_of, columns):
    tensor = text_tensor(TEXTS, shape=[len(TEXTS), *columns])
    outputs = requested("label", "score", "scores")
    answered = triton_of(server).infer("reviews", [tensor], outputs=outputs, request_id="r-1", headers=dict(JSON))
    labels = np.array(server.client.get("/info").json()["labels"])
    scores = answered.as_numpy("scores")
    assert (scores.shape, scores.dtype) == ((len(TEXTS), len(labels)), np.float32)
    assert answered.as_numpy("label").tolist() == labels[scores.argmax(1)].tolist()
    assert answered.as_numpy("score").tolist() == scores.max(1).tolist()
    assert answered.get_response()["id"] == "r-1"


def test_triton_gets_entities_as_json(tagger, triton_of):
    import json

    answered = triton_of(tagger).infer(
        "reviews", [text_tensor(CORPUS[:2])], outputs=requested("response"), headers=dict(JSON)
    )
    found = [json.loads(text) for text in answered.as_numpy("response")]
    assert found == tagger.ask({"inputs": CORPUS[:2]}).json()


@pytest.mark.parametrize(
    ("inputs_binary", "outputs", "message"),
    [
        pytest.param(True, ["label"], "Inference-Header-Content-Length: the binary extension", id="inputs"),
        pytest.param(False, None, "parameters.binary_data_output: the binary extension", id="all outputs"),
        pytest.param(False, "binary", "outputs[0].parameters.binary_data: the binary extension", id="an output"),
    ],
)
def test_triton_is_told_to_switch_its_binary_extension_off(server, triton_of, inputs_binary, outputs, message):
    if outputs is not None:
        outputs = requested("label", binary_data=outputs == "binary")
    tensor = text_tensor(["a"], binary_data=inputs_binary)
    with pytest.raises(required("tritonclient.utils").InferenceServerException) as refused:
        triton_of(server).infer("reviews", [tensor], outputs=outputs, headers=dict(JSON))
    assert refused.value.status() == "400"
    assert message in refused.value.message()
    assert "binary_data=False" in refused.value.message()


# --- the page ---


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.split("\n", 1)[0])
def test_the_programs_of_the_page_run(server, tagger, program):
    for module in re.findall(r"^(?:from|import) ([\w.]+)", program, re.MULTILINE):
        required(module)
    for line_of, used in (("token_classification", tagger), ("", server)):
        lines = [line for line in program.splitlines() if ("token_classification" in line) == bool(line_of)]
        if line_of and not lines:
            continue
        setup = [] if not line_of else [line for line in program.splitlines() if "import" in line or "client =" in line]
        exec("\n".join([*setup, *lines]).replace("127.0.0.1:8080", used.url.removeprefix("http://")), {})
