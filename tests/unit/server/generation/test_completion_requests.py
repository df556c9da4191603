"""Bodies of OpenAI's completions: what is read, and how each wrong field is named."""

from __future__ import annotations

import json

import pytest

from tuneloop_server.errors import RequestError
from tuneloop_server.generation.settings import AskedSampling
from tuneloop_server.model_names import ModelNames
from tuneloop_server.protocols.completion_request import read_chat, read_completion

NAMES = ModelNames(deployment="stories")
HELLO = {"role": "user", "content": "Hello"}


def named(name):
    return NAMES.require(name, field="model")


def chat(**fields):
    return read_chat(json.dumps({"messages": [HELLO]} | fields).encode(), named=named)


def completion(**fields):
    return read_completion(json.dumps({"prompt": "Once"} | fields).encode(), named=named)


def test_a_chat_without_more_asks_for_the_models_own_way():
    request = chat()
    assert (request.model, request.prompt, request.stream) == ("stories", [HELLO], False)
    assert request.asked.sampling == AskedSampling()
    assert (request.asked.max_tokens, request.asked.default_tokens, request.asked.stop) == (None, None, ())


def test_every_field_that_is_read_is_read():
    request = chat(
        model="stories", max_completion_tokens=5, temperature=0.5, top_p=0.9, top_k=3, seed=7, repetition_penalty=1.1,
        stop=["a", "b"], stream=True, stream_options={"include_usage": True},
    )  # fmt: skip
    assert request.asked.sampling == AskedSampling(temperature=0.5, top_p=0.9, top_k=3, seed=7, repetition_penalty=1.1)
    assert (request.asked.max_tokens, request.asked.stop) == (5, ("a", "b"))
    assert (request.stream, request.include_usage) == (True, True)
    assert request.asked.fields == ("messages", "max_completion_tokens")


def test_a_completion_has_16_tokens_unless_it_says_more():
    assert (completion().asked.max_tokens, completion().asked.default_tokens) == (None, 16)
    assert completion(max_tokens=40).asked.max_tokens == 40
    assert completion(prompt=["Once"], stop="x").prompt == "Once"


def test_what_openais_client_sends_back_and_what_asks_for_nothing_is_taken():
    answer = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "tool_calls": None,
        "annotations": [],
        "audio": None,
    }
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    developer = {"role": "developer", "content": "Be brief.", "name": "me"}
    request = chat(
        messages=[developer, HELLO, answer, parts], n=1, logprobs=False, presence_penalty=0, frequency_penalty=0.0, logit_bias={}, tools=[],
        tool_choice="auto", response_format={"type": "text"}, user="me", metadata={"a": "b"}, store=False,
    )  # fmt: skip
    assert request.prompt == [
        {"role": "system", "content": "Be brief."},
        HELLO,
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "ab"},
    ]


@pytest.mark.parametrize(
    ("read", "fields", "field", "message"),
    [
        (chat, {"messages": []}, "messages", "[] was given, expected a list of at least one message"),
        (chat, {"messages": None}, "messages", "null was given"),
        (chat, {"messages": ["hi"]}, "messages[0]", "hi was given, expected an object"),
        (chat, {"messages": [{"role": "user"}]}, "messages[0].content", "null was given, expected a string"),
        (chat, {"messages": [HELLO, {"role": "tool", "content": "4"}]}, "messages[1].role", "tool was given, allowed are system"),
        (chat, {"messages": [HELLO | {"tool_calls": [{}]}]}, "messages[0].tool_calls", "[{}] was given, this server does not have it"),
        (chat, {"messages": [HELLO | {"mood": "glad"}]}, "messages[0].mood", "is not known"),
        (chat, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type", "image_url was given"),
        (chat, {"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", "holds half of a surrogate pair"),
        (chat, {"n": 2}, "n", "2 was given, this server does not have it; allowed is 1, or nothing"),
        (chat, {"n": True}, "n", "true was given"),
        (chat, {"logprobs": True}, "logprobs", "true was given, this server does not have it"),
        (chat, {"tools": [{"type": "function"}]}, "tools", "this server does not have it; allowed is [], or nothing"),
        (chat, {"response_format": {"type": "json_object"}}, "response_format", "this server does not have it"),
        (chat, {"presence_penalty": 0.5}, "presence_penalty", "0.5 was given, this server does not have it"),
        (chat, {"temperature": 2.5}, "temperature", "2.5 was given, allowed are numbers from 0 to 2; for example 0.7"),
        (chat, {"temperature": "hot"}, "temperature", "hot was given"),
        (chat, {"temperature": True}, "temperature", "true was given"),
        (chat, {"top_p": 0}, "top_p", "0 was given, allowed are numbers above 0 and at most 1; for example 0.9"),
        (chat, {"top_k": -1}, "top_k", "-1 was given, expected a whole number from 0"),
        (chat, {"repetition_penalty": 0}, "repetition_penalty", "0 was given, allowed are numbers from 0.01 to 10"),
        (chat, {"seed": 1.5}, "seed", "1.5 was given, expected a whole number"),
        (chat, {"seed": 2**63}, "seed", "expected a whole number of at most 63 bits"),
        (chat, {"max_tokens": 0}, "max_tokens", "0 was given, expected a whole number from 1; for example 256"),
        (chat, {"max_completion_tokens": 0}, "max_completion_tokens", "0 was given"),
        (chat, {"stop": ""}, "stop", "has an empty string, at which every answer would end"),
        (chat, {"stop": [1]}, "stop", "[1] was given, expected a string or a list of strings"),
        (chat, {"stop": ["a"] * 17}, "stop", "17 strings were given, allowed are at most 16"),
        (chat, {"stream": 1}, "stream", "1 was given, allowed are true and false"),
        (chat, {"stream_options": {"include_usage": True}}, "stream_options", "is only allowed with stream: true"),
        (chat, {"stream": True, "stream_options": {"usage": 1}}, "stream_options.usage", "is not known"),
        (chat, {"stream": True, "stream_options": 3}, "stream_options", "3 was given, expected an object"),
        (chat, {"temprature": 1}, "temprature", "is not known; allowed are model, stream"),
        (chat, {"prompt": "hi"}, "prompt", "is not known"),
        (completion, {"prompt": None}, "prompt", "null was given, expected a string"),
        (completion, {"prompt": [1, 2]}, "prompt", "[1, 2] was given, expected a string"),
        (completion, {"prompt": ["a", "b"]}, "prompt", "was given, expected a string"),
        (completion, {"echo": True}, "echo", "true was given, this server does not have it; allowed is false, or nothing"),
        (completion, {"best_of": 3}, "best_of", "3 was given, this server does not have it"),
        (completion, {"logprobs": 2}, "logprobs", "2 was given, this server does not have it; allowed is nothing"),
        (completion, {"suffix": "end"}, "suffix", "this server does not have it"),
        (completion, {"messages": [HELLO]}, "messages", "is not known"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(read, fields, field, message):
    with pytest.raises(RequestError) as refused:
        read(**fields)
    assert (refused.value.status, refused.value.field) == (422, field)
    assert str(refused.value).startswith(f"{field}: ")
    assert message in str(refused.value)


def test_hugging_faces_client_names_no_model_by_a_name_of_its_own():
    assert chat(model="dummy").model == "stories"


def test_another_model_is_not_found():
    with pytest.raises(RequestError) as refused:
        chat(model="gpt-4")
    assert (refused.value.status, refused.value.field) == (404, "model")
