"""The Open Inference Protocol on real servers: the same answers as the Hugging Face task API, metadata, health, errors, metrics."""

from __future__ import annotations

import json

import pytest
from server_process import word_salads
from tiny_taggers import CORPUS

INFER = "/v2/models/reviews/infer"


def tensor(texts, **changes):
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts} | changes


def infer(server, texts, *, path=INFER, **fields):
    response = server.client.post(path, json={"inputs": [tensor(texts)]} | fields)
    assert response.status_code == 200, response.text
    return response.json()


def outputs_of(answered):
    return {output["name"]: output for output in answered["outputs"]}


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_classes_and_scores_are_those_of_the_hugging_face_api_to_the_last_digit(server, function):
    texts, parameters = [*word_salads(8), "", "¿Qué tal? 😀"], {"function_to_apply": function}
    expected = [
        server.ask({"inputs": text, "parameters": parameters}).json() for text in texts
    ]  # alone: the last digits of a pass depend on its other texts
    answers = [outputs_of(infer(server, [text], parameters=parameters)) for text in texts]
    labels = server.client.get("/info").json()["labels"]
    for answered, elements in zip(answers, expected, strict=True):
        assert answered["label"]["data"] == [elements[0]["label"]]
        assert answered["score"]["data"] == [elements[0]["score"]]
        assert dict(zip(labels, answered["scores"]["data"], strict=True)) == {
            element["label"]: element["score"] for element in elements
        }


def test_the_tensors_have_a_row_for_each_text(server):
    texts = word_salads(3)
    answered = infer(server, texts)
    assert (answered["model_name"], answered["model_version"]) == ("reviews", "abc123")
    assert [(output["name"], output["datatype"], output["shape"]) for output in answered["outputs"]] == [
        ("label", "BYTES", [3]),
        ("score", "FP32", [3]),
        ("scores", "FP32", [3, 3]),
    ]
    assert [len(output["data"]) for output in answered["outputs"]] == [3, 3, 9]
    together = server.ask({"inputs": texts}).json()
    assert outputs_of(answered)["label"]["data"] == [elements[0]["label"] for elements in together]


def test_an_output_is_left_out_and_the_id_comes_back(server):
    answered = infer(server, ["a good film"], outputs=[{"name": "score"}], id="r-1")
    assert (answered["id"], [output["name"] for output in answered["outputs"]]) == ("r-1", ["score"])
    assert "id" not in infer(server, ["a good film"])


def test_the_version_may_be_named(server):
    path = "/v2/models/reviews/versions/abc123/infer"
    assert infer(server, ["a good film"], path=path) == infer(server, ["a good film"])


@pytest.mark.parametrize("parameters", [{}, {"aggregation_strategy": "none"}, {"stride": 4}])
def test_entities_are_the_json_of_the_hugging_face_api(tagger, parameters):
    (output,) = infer(tagger, CORPUS[:2], parameters=parameters)["outputs"]
    expected = tagger.ask({"inputs": CORPUS[:2], "parameters": parameters}).json()
    assert (output["name"], output["datatype"], output["shape"]) == ("response", "BYTES", [2])
    assert [json.loads(text) for text in output["data"]] == expected


@pytest.mark.parametrize("path", ["/v2/models/reviews", "/v2/models/reviews/versions/abc123"])
def test_metadata_names_the_tensors_and_the_classes_in_their_order(server, path):
    metadata = server.client.get(path).json()
    assert json.loads(metadata["parameters"].pop("labels")) == server.client.get("/info").json()["labels"]
    assert metadata == {
        "name": "reviews",
        "versions": ["abc123"],
        "platform": "tuneloop",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
        ],
        "parameters": {"task": "text-classification"},
    }


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/reviews/ready", {"name": "reviews", "ready": True}),
        ("/v2/models/reviews/versions/abc123/ready", {"name": "reviews", "ready": True}),
    ],
)
def test_a_ready_server_says_so(server, path, answered):
    response = server.client.get(path)
    assert (response.status_code, response.json()) == (200, answered)


def test_the_server_names_itself_and_no_extension(server):
    answered = server.client.get("/v2").json()
    assert (answered["name"], answered["extensions"]) == ("tuneloop", [])
    assert answered["version"]


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "/v2/models/other/infer", "model: other is not served here; allowed is reviews"),
        ("POST", "/v2/models/reviews/versions/1/infer", "version: 1 is not served here; allowed is abc123"),
        ("GET", "/v2/models/other", "model: other is not served here; allowed is reviews"),
        ("GET", "/v2/models/reviews/versions/1/ready", "version: 1 is not served here; allowed is abc123"),
    ],
)
def test_another_model_or_version_is_not_found(server, method, path, message):
    response = server.client.request(method, path, content=b"{}")
    assert (response.status_code, response.json()) == (404, {"error": message})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "inputs: null was given, expected a list of one tensor", id="a field that is wrong"),
        pytest.param(
            {"inputs": [tensor(["a"])], "parameters": {"priority": 1}},
            "parameters.priority: is not known; allowed are top_k, function_to_apply",
            id="a parameter that the task does not have",
        ),
    ],
)
def test_what_is_wrong_is_answered_400_with_the_field(server, body, message):
    response = server.client.post(INFER, json=body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(message)


def test_the_binary_extension_is_refused_by_its_name_and_with_the_setting_to_change(server):
    response = server.client.post(
        INFER, content=b'{"inputs": []}\x00\x00', headers={"inference-header-content-length": "14"}
    )
    assert response.status_code == 400
    assert response.json()["error"] == (
        "Inference-Header-Content-Length: the binary extension is not supported, send JSON; "
        "with tritonclient: set_data_from_numpy(…, binary_data=False) and InferRequestedOutput(…, binary_data=False)"
    )


def test_more_texts_than_the_queue_holds_are_a_wrong_request(tagger):
    response = tagger.client.post(INFER, json={"inputs": [tensor(["a"] * 13)]})
    assert response.status_code == 400
    assert "at most 12 are allowed in one request (batching.maxQueue)" in response.json()["error"]


def test_requests_count_by_protocol_and_predictions_as_everywhere(server):
    before = server.metrics()
    infer(server, ["a good film", "film " * 50])
    server.client.post(INFER, json={})
    after = server.metrics()

    def grown(*key):
        return after[key] - before.get(key, 0.0)

    assert grown("tuneloop_requests_total", "200", "oip", "ok") == 1
    assert grown("tuneloop_requests_total", "400", "oip", "validation") == 1
    assert grown("tuneloop_request_duration_seconds_count", "oip") == 2
    assert grown("tuneloop_tokens_total", "prompt") == 5 + 16
    assert grown("tuneloop_truncated_requests_total") == 1
    assert sum(grown("tuneloop_predictions_total", label) for label in ("negative", "neutral", "positive")) == 2


def test_the_names_of_unknown_models_make_no_series(server):
    """The first unknown name of all makes one, `code="404"`."""
    server.client.post("/v2/models/unknown/infer", json={})
    before = server.metrics().keys()
    for name in word_salads(10, seed=4):
        server.client.post(f"/v2/models/x{name}/infer", json={"id": name})
        server.client.post(f"/v2/models/reviews/versions/x{name}/infer", json={})
        server.client.get(f"/v2/models/x{name}")
    assert server.metrics().keys() == before
