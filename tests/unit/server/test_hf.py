"""The bodies of the Hugging Face task API: which are understood, and which are refused with which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.errors import RequestError
from tuneloop_server.protocols.hf import HfRequest, read


def refusal(body: bytes | dict) -> RequestError:
    with pytest.raises(RequestError) as refused:
        read(body if isinstance(body, bytes) else json.dumps(body).encode())
    return refused.value


@pytest.mark.parametrize(
    ("document", "request_"),
    [
        pytest.param({"inputs": "a"}, HfRequest(texts=["a"], is_list=False, parameters={}), id="a text"),
        pytest.param({"inputs": ["a", ""]}, HfRequest(texts=["a", ""], is_list=True, parameters={}), id="a list"),
        pytest.param({"inputs": ["é"]}, HfRequest(texts=["é"], is_list=True, parameters={}), id="a list of one text"),
        pytest.param(
            {"inputs": "a", "parameters": {"top_k": 1, "anything": [2]}},
            HfRequest(texts=["a"], is_list=False, parameters={"top_k": 1, "anything": [2]}),
            id="parameters are left to the task",
        ),
        pytest.param(
            {"inputs": "a", "parameters": {"top_k": None}, "options": {"wait_for_model": True}},
            HfRequest(texts=["a"], is_list=False, parameters={}),
            id="nulls are defaults, and options of old clients change nothing",
        ),
        pytest.param(
            {"inputs": "a", "parameters": None}, HfRequest(texts=["a"], is_list=False, parameters={}), id="null"
        ),
    ],
)
def test_good_bodies_are_understood(document, request_):
    assert read(json.dumps(document).encode()) == request_


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
        pytest.param({"inputs": "x" * 3, "k" * 80: 1}, 422, "k" * 60 + "…: is not known", id="a long name is cut"),
        pytest.param({"inputs": ["a", 5]}, 422, "inputs[1]: 5 was given, expected a string", id="a number in the list"),
        pytest.param({"inputs": [["a"]]}, 422, 'inputs[0]: ["a"] was given', id="a list in the list"),
        pytest.param(b'{"inputs": "\\ud800"}', 422, "inputs: holds half of a surrogate pair", id="no character"),
        pytest.param(
            {"inputs": "a", "input": "b"}, 422, "input: is not known; allowed are inputs, parameters", id="unknown"
        ),
        pytest.param(
            {"inputs": "a", "parameters": [1]}, 422, "parameters: [1] was given, expected an object", id="parameters"
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


@pytest.mark.parametrize("depth", [900, 985, 5000, 100_000])
def test_a_body_of_any_depth_is_refused(depth):
    assert refusal(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}").status in {400, 422}


def test_a_value_at_the_edge_of_what_can_be_read_is_refused_too():
    found = {refusal(b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}").status for depth in range(900, 1000)}
    assert found == {400, 422}
