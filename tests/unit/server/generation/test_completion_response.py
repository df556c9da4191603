"""Objects and events of OpenAI's completions."""

from __future__ import annotations

import json

import pytest

from tuneloop_server.generation.answer import Generated, Piece
from tuneloop_server.protocols.completion_response import Completion, finish_reason
from tuneloop_server.protocols.event_stream import event

CHAT = Completion(id="chatcmpl-1", created=5, model="stories", revision="abc", is_chat=True)
TEXT = Completion(id="cmpl-1", created=5, model="stories", revision="abc", is_chat=False)
PIECES = [Piece(token=7, logprob=-1.0, text="Hi", finish="length")]
GENERATED = Generated(text="Hi", pieces=PIECES, finish="length", prompt_tokens=3)
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def head(completion: Completion, kind: str) -> dict[str, object]:
    return {"id": completion.id, "object": kind, "created": 5, "model": "stories", "system_fingerprint": "abc"}


def test_a_whole_chat_has_one_message():
    message = {"role": "assistant", "content": "Hi", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}
    assert CHAT.whole(GENERATED) == head(CHAT, "chat.completion") | {"choices": [choice], "usage": USAGE}


def test_a_whole_completion_has_one_text():
    choice = {"index": 0, "text": "Hi", "logprobs": None, "finish_reason": "length"}
    assert TEXT.whole(GENERATED) == head(TEXT, "text_completion") | {"choices": [choice], "usage": USAGE}


@pytest.mark.parametrize(
    ("chunk", "content", "reason"),
    [
        (CHAT.beginning(), {"delta": {"role": "assistant", "content": "", "refusal": None}}, None),
        (CHAT.part("Hi", None), {"delta": {"content": "Hi"}}, None),
        (CHAT.part("", "eos_token"), {"delta": {}}, "stop"),
        (TEXT.part("Hi", "length"), {"text": "Hi"}, "length"),
    ],
)
def test_a_chunk_has_what_is_new(chunk, content, reason):
    assert chunk["choices"] == [{"index": 0, **content, "logprobs": None, "finish_reason": reason}]
    assert "usage" not in chunk


def test_the_usage_comes_last_where_it_is_asked_for_and_is_null_before():
    asked = Completion(id="1", created=5, model="m", revision="r", is_chat=True, include_usage=True)
    assert asked.part("a", None)["usage"] is None
    assert asked.end(prompt=3, completion=1)["usage"] == USAGE
    assert asked.end(prompt=3, completion=1)["choices"] == []


@pytest.mark.parametrize(
    ("finish", "word"), [("length", "length"), ("eos_token", "stop"), ("stop_sequence", "stop"), (None, None)]
)
def test_the_end_has_openais_word(finish, word):
    assert finish_reason(finish) == word


def test_an_event_is_one_line_whatever_its_text_holds():
    written = event({"text": "a\n\ndata: b\r 😀"})
    assert written.startswith(b"data: ")
    assert written.endswith(b"\n\n")
    assert b"\n" not in written[:-2]
    assert json.loads(written[6:]) == {"text": "a\n\ndata: b\r 😀"}
