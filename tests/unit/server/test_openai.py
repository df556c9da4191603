"""The bodies of OpenAI's embeddings API: which are understood, and which are refused with which words and in which shape."""

from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.errors import RequestError
from tuneloop_server.model_names import ModelNames
from tuneloop_server.protocols.openai import EmbeddingRequest, error_shape, read

NAMED = partial(ModelNames(deployment="reviews").require, field="model")


def understood(document: object) -> EmbeddingRequest:
    return read(json.dumps(document).encode(), named=NAMED)


@pytest.mark.parametrize(
    ("document", "request_"),
    [
        pytest.param({"input": "a"}, EmbeddingRequest(model="reviews", texts=["a"]), id="a text"),
        pytest.param({"input": ["a", ""]}, EmbeddingRequest(model="reviews", texts=["a", ""]), id="a list"),
        pytest.param(
            {"input": "a", "model": "reviews", "encoding_format": "base64", "dimensions": 16, "user": "u"},
            EmbeddingRequest(model="reviews", texts=["a"], encoding_format="base64", dimensions=16),
            id="all fields",
        ),
        pytest.param(
            {"input": "a", "model": None, "encoding_format": None, "dimensions": None},
            EmbeddingRequest(model="reviews", texts=["a"]),
            id="nulls are defaults",
        ),
    ],
)
def test_good_bodies_are_understood(document, request_):
    assert understood(document) == request_


@pytest.mark.parametrize(
    ("document", "status", "field", "message"),
    [
        pytest.param("a", 422, "the body", "the body: a was given, expected an object", id="a bare string"),
        pytest.param({}, 422, "input", "input: null was given, expected a string or a list of strings", id="no input"),
        pytest.param({"input": []}, 422, "input", "input: is an empty list", id="an empty list"),
        pytest.param({"input": ["a", None]}, 422, "input[1]", "input[1]: null was given", id="null in the list"),
        pytest.param({"input": [["a"]]}, 422, "input[0]", 'input[0]: ["a"] was given', id="a list in the list"),
        pytest.param({"input": [5, 6]}, 422, "input", "input: token ids were given, expected", id="token ids"),
        pytest.param({"input": [[5], [6]]}, 422, "input", "input: token ids were given", id="lists of token ids"),
        pytest.param(
            {"input": "a", "model": "gpt-4"},
            404,
            "model",
            "model: gpt-4 is not served here; allowed is reviews, or nothing",
            id="another model",
        ),
        pytest.param({"input": "a", "model": ["x"]}, 404, "model", 'model: ["x"] is not served', id="a list as model"),
        pytest.param(
            {"input": "a", "encoding_format": "int8"},
            422,
            "encoding_format",
            "encoding_format: int8 was given, allowed are float, base64",
            id="format",
        ),
        pytest.param({"input": "a", "dimensions": True}, 422, "dimensions", "dimensions: true was given", id="boolean"),
        pytest.param({"input": "a", "dimensions": "8"}, 422, "dimensions", "dimensions: 8 was given", id="a string"),
        pytest.param({"input": "a", "inputs": 1}, 422, "inputs", "inputs: is not known; allowed are input", id="field"),
    ],
)
def test_bad_bodies_are_refused_by_field(document, status, field, message):
    with pytest.raises(RequestError) as refused:
        understood(document)
    assert (refused.value.status, refused.value.reason, refused.value.field) == (status, "validation", field)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("status", "field", "sent", "type_", "code"),
    [
        (422, "input", 400, "invalid_request_error", None),
        (400, None, 400, "invalid_request_error", None),
        (413, None, 413, "invalid_request_error", None),
        (404, "model", 404, "invalid_request_error", "model_not_found"),
        (404, None, 404, "invalid_request_error", None),
        (429, None, 429, "rate_limit_error", "rate_limit_exceeded"),
        (500, None, 500, "server_error", None),
        (503, None, 503, "server_error", None),
    ],
)
def test_an_error_has_the_shape_of_openai(status, field, sent, type_, code):
    error = RequestError("so it is", status=status, reason="validation", field=field)
    assert error_shape(error) == (sent, {"error": {"message": "so it is", "type": type_, "param": field, "code": code}})


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NEARLY = st.fixed_dictionaries(
    {"input": JSON}, optional={"model": JSON, "encoding_format": JSON, "dimensions": JSON, "user": JSON}
)


@given(st.binary() | (JSON | NEARLY).map(lambda value: json.dumps(value).encode()))
def test_any_body_is_either_understood_or_refused_in_one_line(body):
    try:
        assert read(body, named=NAMED).texts
    except RequestError as error:
        status, shaped = error_shape(error)
        assert status in {400, 404}
        assert "\n" not in shaped["error"]["message"].encode().decode()
        json.dumps(shaped, ensure_ascii=False).encode()
