"""No body makes a 5xx, in no protocol: a real model answers it, or the client did something wrong."""

from __future__ import annotations

import json

import pytest
from app_clients import app_client, wait_until
from generating_artifacts import tiny_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import Artifact, configuration
from tiny_masked import MASK, tiny_masked
from tiny_readers import tiny_reader
from writing_models import writing_artifact

from tuneloop_server.runtimes import RUNTIMES
from tuneloop_server.tasks import TASKS

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
ANY_TEXT = st.text() | st.lists(st.sampled_from(["a ", "\ud800", "\0", "é", MASK]), max_size=3).map("".join)
"""`st.text` alone makes no halves of surrogate pairs, which a JSON document can hold, and no mask tokens."""
TEXTS = ANY_TEXT | st.lists(ANY_TEXT, min_size=1, max_size=4)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            "top_k",
            "function_to_apply",
            "aggregation_strategy",
            "stride",
            "ignore_labels",
            "doc_stride",
            "max_answer_len",
            "handle_impossible_answer",
            "targets",
            "x",
        ]
    ),
    st.integers(-1, 5) | st.sampled_from(["none", "sigmoid", "first"]) | JSON,
)
QUESTIONS = st.fixed_dictionaries({"question": ANY_TEXT, "context": ANY_TEXT | st.just("so Denver " * 40)})
TENSORS = st.lists(ANY_TEXT, min_size=1, max_size=3).flatmap(
    lambda data: st.fixed_dictionaries(
        {
            "name": st.just("text"),
            "datatype": st.just("BYTES"),
            "shape": st.sampled_from([[len(data)], [len(data), 1], [0]]),
            "data": st.sampled_from([data, [[text] for text in data]]),
        }
    )
)
OUTPUTS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["label", "score", "scores", "response", "x"])}), max_size=3
)
DOCUMENTS = {
    "/": st.fixed_dictionaries(
        {"inputs": TEXTS | QUESTIONS | st.lists(QUESTIONS, max_size=3) | JSON},
        optional={"parameters": PARAMETERS | JSON},
    ),
    "/v1/embeddings": st.fixed_dictionaries(
        {"input": TEXTS | JSON},
        optional={"encoding_format": st.sampled_from(["float", "base64"]) | JSON, "dimensions": st.just(16) | JSON},
    ),
    "/v2/models/reviews/infer": st.fixed_dictionaries(
        {"inputs": st.lists(TENSORS | JSON, min_size=1, max_size=1)},
        optional={"outputs": OUTPUTS | JSON, "parameters": PARAMETERS | JSON, "id": ANY_TEXT | JSON},
    ),
}
"""What a client might mean, by the path; whatever else is JSON, or none, comes beside it."""
SAMPLING = {
    "max_tokens": st.integers(-1, 5) | JSON,
    "temperature": st.sampled_from([0, 0.5, 1e-320, 2, 3]) | JSON,
    "top_p": st.sampled_from([0, 1e-9, 0.5, 1]) | JSON,
    "top_k": st.integers(-1, 5) | JSON,
    "repetition_penalty": st.sampled_from([0, 1e-9, 1.5]) | JSON,
    "seed": st.integers() | JSON,
    "stop": TEXTS | JSON,
}
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]) | JSON, "content": TEXTS | JSON}),
    max_size=3,
)
DOCUMENTS_OF_GENERATION = {
    "/v1/completions": st.fixed_dictionaries({"prompt": TEXTS | JSON}, optional=SAMPLING),
    "/v1/chat/completions": st.fixed_dictionaries({"messages": MESSAGES | JSON}, optional=SAMPLING),
}
"""The same, where the task generates text."""
CASES = [
    *((task, path) for task in TASKS for path in DOCUMENTS),
    *(("text-generation", path) for path in DOCUMENTS_OF_GENERATION),
]


@pytest.fixture(scope="module")
def other_artifacts(tmp_path_factory, tagger_artifact):
    """Artifacts by task."""
    decoder, writer, reader, masked = (tmp_path_factory.mktemp(n) for n in ("decoder", "writer", "reader", "masked"))
    return {
        "token-classification": tagger_artifact,
        "text-generation": Artifact(decoder, tiny_decoder(decoder, "llama")),
        "text2text-generation": Artifact(writer, writing_artifact(writer, "bart")),
        "question-answering": Artifact(reader, tiny_reader(reader, "bert")),
        "fill-mask": Artifact(masked, tiny_masked(masked, "bert")),
    }


@pytest.fixture(scope="module")
def client(request, artifact, other_artifacts):
    served = other_artifacts.get(request.param, artifact)
    config = configuration(served.folder, batching={"max_new_tokens": 3})
    task, runtime = TASKS[request.param], RUNTIMES["torch"]
    with app_client(config, served.manifest, task=task, runtime=runtime) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.mark.parametrize(("client", "path"), CASES, indirect=["client"])
def test_every_body_is_answered_or_refused(client, path):
    documents = (DOCUMENTS | DOCUMENTS_OF_GENERATION)[path] | JSON
    wrong = 422 if path == "/" else 400

    @settings(max_examples=200)
    @given(body=documents.map(lambda document: json.dumps(document).encode()) | st.binary())
    def answer(body):
        response = client.post(path, content=body)
        assert response.status_code in {200, 400, 404, wrong}
        json.loads(response.content)

    answer()
