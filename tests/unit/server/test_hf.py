"""The Hugging Face task API: what is understood, what is refused and how, what is answered."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.errors import RequestError
from tuneloop_server.predictions import Prediction
from tuneloop_server.protocols.hf import HfRequest, read, write

LABELS = ["negative", "neutral", "positive"]


def prediction(*logits: float) -> Prediction:
    total = sum(map(math.exp, logits))
    probabilities = [math.exp(logit) / total for logit in logits]
    return Prediction(
        logits=list(logits), probabilities=probabilities, calibrated_confidence=0.5, tokens=3, truncated=False
    )


def refusal(body: bytes | dict) -> RequestError:
    with pytest.raises(RequestError) as refused:
        read(body if isinstance(body, bytes) else json.dumps(body).encode())
    return refused.value


@pytest.mark.parametrize(
    ("document", "question"),
    [
        pytest.param(
            {"inputs": "a"}, HfRequest(texts=["a"], many=False, top_k=None, function="softmax"), id="one text"
        ),
        pytest.param(
            {"inputs": ["a", ""]}, HfRequest(texts=["a", ""], many=True, top_k=None, function="softmax"), id="a list"
        ),
        pytest.param(
            {"inputs": "é", "parameters": {"top_k": 1, "function_to_apply": "sigmoid"}},
            HfRequest(texts=["é"], many=False, top_k=1, function="sigmoid"),
            id="both parameters",
        ),
        pytest.param(
            {
                "inputs": "a",
                "parameters": {"top_k": None, "function_to_apply": None},
                "options": {"wait_for_model": True},
            },
            HfRequest(texts=["a"], many=False, top_k=None, function="softmax"),
            id="nulls are defaults, and options of old clients change nothing",
        ),
    ],
)
def test_good_bodies_are_understood(document, question):
    assert read(json.dumps(document).encode()) == question


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"", 400, "the body is not JSON", id="nothing"),
        pytest.param(b"{", 400, "the body is not JSON", id="half a document"),
        pytest.param(b"\xff\xfe{", 400, "the body is not JSON", id="not UTF-8"),
        pytest.param(b"[" * 200_000, 400, "nested too deeply", id="a deep nest"),
        pytest.param(b'{"inputs": ' + b"9" * 5000 + b"}", 400, "the body is not JSON", id="a number without end"),
        pytest.param(b'"text"', 422, "the body: text was given, expected an object", id="a bare string"),
        pytest.param({}, 422, "inputs: is missing", id="no inputs"),
        pytest.param(
            {"inputs": None}, 422, "inputs: null was given, expected a string or a list of strings", id="null"
        ),
        pytest.param({"inputs": 3}, 422, "inputs: 3 was given", id="a number"),
        pytest.param({"inputs": []}, 422, "inputs: is an empty list", id="an empty list"),
        pytest.param({"inputs": ["a", 5]}, 422, "inputs[1]: 5 was given, expected a string", id="a number in the list"),
        pytest.param({"inputs": [["a"]]}, 422, 'inputs[0]: ["a"] was given', id="a list in the list"),
        pytest.param(b'{"inputs": "\\ud800"}', 422, "inputs: holds half of a surrogate pair", id="no character"),
        pytest.param(
            {"inputs": "a", "input": "b"}, 422, "input: is not known; allowed are inputs, parameters", id="unknown"
        ),
        pytest.param(
            {"inputs": "a", "parameters": [1]}, 422, "parameters: [1] was given, expected an object", id="parameters"
        ),
        pytest.param(
            {"inputs": "a", "parameters": {"topk": 1}},
            422,
            "parameters.topk: is not known; allowed are top_k",
            id="misspelt",
        ),
        pytest.param({"inputs": "a", "parameters": {"top_k": 0}}, 422, "parameters.top_k: 0 was given", id="top_k 0"),
        pytest.param(
            {"inputs": "a", "parameters": {"top_k": True}}, 422, "parameters.top_k: true was given", id="top_k true"
        ),
        pytest.param(
            {"inputs": "a", "parameters": {"top_k": 1.5}}, 422, "parameters.top_k: 1.5 was given", id="top_k 1.5"
        ),
        pytest.param(
            {"inputs": "a", "parameters": {"function_to_apply": "max"}},
            422,
            "parameters.function_to_apply: max was given, allowed are softmax, sigmoid, none",
            id="function",
        ),
        pytest.param(
            {"inputs": "a", "parameters": {"function_to_apply": []}},
            422,
            "function_to_apply: [] was given",
            id="function list",
        ),
    ],
)
def test_bad_bodies_are_refused_by_field(body, status, message):
    refused = refusal(body)
    assert (refused.status, refused.reason) == (status, "validation")
    assert message in str(refused)
    assert "\n" not in str(refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"inputs": value}).encode())
)
def test_any_body_is_either_understood_or_refused_in_one_short_line(body):
    try:
        understood, refused = read(body), None
    except RequestError as error:
        understood, refused = None, error
    if refused is None:
        assert understood.texts
    else:
        assert refused.status in {400, 422}
        assert "\n" not in str(refused).encode().decode()
        assert len(str(refused)) < 400


def answer(*predictions: Prediction, many: bool = False, top_k: int | None = None, function: str = "softmax") -> object:
    question = HfRequest(texts=["a"] * len(predictions), many=many, top_k=top_k, function=function)
    return json.loads(write(question, predictions, labels=LABELS))


def test_one_text_gets_all_labels_best_first():
    answered = answer(prediction(0.0, 1.0, 2.0))
    assert [entry["label"] for entry in answered] == ["positive", "neutral", "negative"]
    assert sum(entry["score"] for entry in answered) == pytest.approx(1.0)


def test_a_list_gets_a_list_of_lists_even_for_one_text():
    assert answer(prediction(3.0, 1.0, 2.0), many=True, top_k=1) == [
        [{"label": "negative", "score": pytest.approx(0.665, abs=1e-3)}]
    ]


def test_top_k_beyond_the_labels_is_all_labels():
    assert len(answer(prediction(0.0, 1.0, 2.0), top_k=9)) == 3


@pytest.mark.parametrize(
    ("function", "score"),
    [
        pytest.param("none", 2.0, id="none gives logits"),
        pytest.param("sigmoid", 1 / (1 + math.exp(-2.0)), id="sigmoid of each logit"),
        pytest.param("softmax", math.exp(2) / (math.exp(0) + math.exp(1) + math.exp(2)), id="softmax over the labels"),
    ],
)
def test_the_function_makes_scores_of_logits(function, score):
    assert answer(prediction(0.0, 1.0, 2.0), top_k=1, function=function)[0]["score"] == pytest.approx(score)


def test_the_sigmoid_of_a_huge_logit_is_a_number():
    assert answer(prediction(-700.0, 0.0, 700.0), function="sigmoid")[0]["score"] == 1.0


@pytest.mark.parametrize("depth", [900, 985, 5000, 100_000])
def test_a_body_of_any_depth_is_refused(depth):
    assert refusal(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}").status in {400, 422}


def test_a_value_at_the_edge_of_what_can_be_read_is_refused_too():
    found = {refusal(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}").status for depth in range(900, 1000)}
    assert found == {400, 422}
