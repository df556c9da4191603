"""The bodies of the Open Inference Protocol: which are understood, and which are refused with which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.errors import RequestError
from tuneloop_server.protocols.oip_request import read
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_server.tasks.token_classification import TOKEN_CLASSIFICATION

ALL = ["label", "score", "scores"]


def tensor(*texts: object, **changes: object) -> dict:
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": list(texts)} | changes


def understood(document: object, task=TEXT_CLASSIFICATION):
    return read(json.dumps(document).encode(), task=task, model="reviews", version="abc123")


def refusal(document: object) -> RequestError:
    with pytest.raises(RequestError) as refused:
        understood(document)
    return refused.value


@pytest.mark.parametrize(
    "given_tensor",
    [
        pytest.param(tensor("a", "é"), id="[n]"),
        pytest.param(tensor("a", "é", shape=[2, 1]), id="[n, 1], flat"),
        pytest.param(tensor(["a"], ["é"], shape=[2, 1]), id="[n, 1], nested"),
        pytest.param(tensor("a", "é", parameters={"content_type": "str"}), id="as MLServer's clients write it"),
    ],
)
def test_the_texts_are_those_of_the_tensor(given_tensor):
    assert understood({"inputs": [given_tensor]}).texts == ["a", "é"]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        pytest.param(None, ALL, id="null"),
        pytest.param([], ALL, id="none"),
        pytest.param([{"name": "scores"}, {"name": "label"}], ["scores", "label"], id="two in their own order"),
        pytest.param([{"name": "score", "parameters": {"binary_data": False}}], ["score"], id="as tritonclient asks"),
    ],
)
def test_the_outputs_are_those_that_are_asked_for(asked, names):
    request = understood({"inputs": [tensor("a")], "outputs": asked})
    assert [output.name for output in request.outputs] == names


def test_parameters_are_left_to_the_task_without_those_of_the_protocol():
    parameters = {"aggregation_strategy": "none", "stride": None, "binary_data_output": False}
    request = understood({"inputs": [tensor("a")], "parameters": parameters}, task=TOKEN_CLASSIFICATION)
    assert request.parameters == {"aggregation_strategy": "none"}


@pytest.mark.parametrize("id_", [None, "", "r-1", "é"])
def test_the_id_is_kept(id_):
    assert understood({"inputs": [tensor("a")], "id": id_}).id == id_


def test_the_names_of_the_path_may_stand_in_the_body():
    assert understood({"inputs": [tensor("a")], "model_name": "reviews", "model_version": "abc123"}).texts == ["a"]


BINARY = "the binary extension is not supported; allowed is JSON, with tritonclient: "


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param([], "the body: [] was given, expected an object, for example", id="a list"),
        pytest.param({}, "inputs: null was given, expected a list of one tensor", id="no inputs"),
        pytest.param({"inputs": [tensor("a")] * 2}, "expected a list of one tensor", id="two tensors"),
        pytest.param({"inputs": ["a"]}, "inputs[0]: a was given, expected an object", id="no tensor"),
        pytest.param(
            {"inputs": [tensor("a", name="x")]},
            'inputs[0].name: x was given, allowed are text; for example "text"',
            id="name",
        ),
        pytest.param(
            {"inputs": [tensor("a", datatype="FP32")]},
            "inputs[0].datatype: FP32 was given, allowed are BYTES",
            id="datatype",
        ),
        pytest.param({"inputs": [tensor("a", datum=1)]}, "inputs[0].datum: is not known; allowed are name", id="field"),
        pytest.param({"inputs": [tensor()]}, "inputs[0].shape: [0] was given, expected [n] or [n, 1]", id="no text"),
        pytest.param({"inputs": [tensor("a", shape=[1, 2])]}, "inputs[0].shape: [1, 2] was given", id="two columns"),
        pytest.param({"inputs": [tensor("a", shape=[True])]}, "inputs[0].shape: [true] was given", id="a boolean"),
        pytest.param({"inputs": [tensor("a", shape=[1.0])]}, "inputs[0].shape: [1.0] was given", id="a fraction"),
        pytest.param({"inputs": [tensor("a", shape=None)]}, "inputs[0].shape: null was given", id="no shape"),
        pytest.param(
            {"inputs": [tensor("a", shape=[2])]},
            "inputs[0].data: has 1 elements, expected as many as in shape: 2",
            id="a shape of two for one",
        ),
        pytest.param({"inputs": [tensor("a", data="a")]}, "inputs[0].data: a was given", id="no list"),
        pytest.param({"inputs": [tensor("a", 3)]}, "inputs[0].data[1]: 3 was given, expected a string", id="a number"),
        pytest.param({"inputs": [tensor(["a"])]}, 'inputs[0].data[0]: ["a"] was given', id="nested without a column"),
        pytest.param(
            {"inputs": [tensor("a", parameters={"binary_data_size": 5})]},
            f"inputs[0].parameters.binary_data_size: {BINARY}set_data_from_numpy(…, binary_data=False)",
            id="binary input",
        ),
        pytest.param(
            {"inputs": [tensor("a")], "outputs": [{"name": "label", "parameters": {"binary_data": True}}]},
            f"outputs[0].parameters.binary_data: {BINARY}infer(…, outputs=[InferRequestedOutput(",
            id="binary output",
        ),
        pytest.param(
            {"inputs": [tensor("a")], "parameters": {"binary_data_output": True}},
            f"parameters.binary_data_output: {BINARY}infer(…, outputs=[InferRequestedOutput(",
            id="all outputs binary",
        ),
        pytest.param(
            {"inputs": [tensor("a")], "outputs": [{"name": "logits"}]},
            'outputs[0].name: logits was given, allowed are label, score, scores; for example "label"',
            id="an output that there is not",
        ),
        pytest.param(
            {"inputs": [tensor("a")], "outputs": [{"name": "label"}] * 2}, "expected each name once", id="twice"
        ),
        pytest.param(
            {"inputs": [tensor("a")], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            "outputs[0].parameters.classification: is not known; allowed are binary_data",
            id="Triton's classification",
        ),
        pytest.param({"inputs": [tensor("a")], "outputs": "label"}, "outputs: label was given", id="outputs a name"),
        pytest.param(
            {"inputs": [tensor("a")], "parameters": {"top_k": 2}},
            "parameters.top_k: 2 was given, but the tensor scores has all labels; leave it out",
            id="top_k",
        ),
        pytest.param({"inputs": [tensor("a")], "parameters": []}, "parameters: [] was given", id="parameters"),
        pytest.param({"inputs": [tensor("a")], "id": 3}, "id: 3 was given, expected a string", id="id"),
        pytest.param({"inputs": [tensor("a")], "id": "\ud800"}, "id: holds half of a surrogate pair", id="half an id"),
        pytest.param(
            {"inputs": [tensor("a")], "model_name": "other"},
            'model_name: other was given, allowed is "reviews", or nothing',
            id="another model",
        ),
        pytest.param({"inputs": [tensor("a")], "extra": 1}, "extra: is not known; allowed are inputs", id="unknown"),
    ],
)
def test_bad_bodies_are_refused_by_field(document, message):
    refused = refusal(document)
    assert (refused.status, refused.reason) == (422, "validation")
    assert message in str(refused)
    assert "\n" not in str(refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NEARLY = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.just("text") | JSON,
                    "datatype": st.just("BYTES") | JSON,
                    "shape": st.lists(st.integers(0, 3), max_size=3) | JSON,
                    "data": st.lists(st.text() | st.lists(st.text(), max_size=2), max_size=3) | JSON,
                },
                optional={"parameters": JSON},
            )
            | JSON,
            max_size=2,
        )
        | JSON
    },
    optional={
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(ALL) | JSON}) | JSON, max_size=3) | JSON,
        "parameters": JSON,
        "id": JSON,
    },
)


@given(st.binary() | (JSON | NEARLY).map(lambda value: json.dumps(value).encode()))
def test_any_body_is_either_understood_or_refused_in_one_line(body):
    try:
        understood_, refused = read(body, task=TEXT_CLASSIFICATION, model="reviews", version="abc123"), None
    except RequestError as error:
        understood_, refused = None, error
    if refused is None:
        assert understood_.texts
        assert understood_.outputs
    else:
        assert refused.status in {400, 422}
        assert "\n" not in str(refused).encode().decode()
        assert len(str(refused)) < 600
