"""What a body of feedback may be."""

from __future__ import annotations

import pytest

from tuneloop_server.errors import RequestError
from tuneloop_server.feedback.request import FeedbackItem, read


def test_one_object_or_a_list_of_them_is_read():
    assert read(b'{"token": "t", "label": "positive"}') == [FeedbackItem(token="t", label="positive")]
    assert read(b'[{"token": "t", "label": 0}, {"token": "u", "correct": false}]') == [
        FeedbackItem(token="t", label=0, field="[0]."),
        FeedbackItem(token="u", correct=False, field="[1]."),
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not JSON"),
        (b"7", "the body: 7 was given, expected an object"),
        (b"[]", "the body is a list of 0; 1 to 1000 objects are allowed"),
        (b"[" + b"{}," * 1000 + b"{}]", "the body is a list of 1001"),
        (b"[" * 200_000, "nested too deeply"),
        (b"{}", "token: null was given"),
        (b'{"token": 7}', "token: 7 was given, expected the text that x-tuneloop-feedback had"),
        (b'{"token": "t"}', "label: either label or correct is needed, for example"),
        (
            b'{"token": "t", "label": "a", "correct": true}',
            "label: label and correct are given, and only one of them is allowed, for example",
        ),
        (b'{"token": "t", "label": true}', "label: true was given, expected the name of a label, or its id"),
        (b'{"token": "t", "label": 1.5}', "label: 1.5 was given"),
        (b'{"token": "t", "correct": 1}', "correct: 1 was given, expected true or false"),
        (b'{"token": "t", "inputs": "text"}', "inputs: is not known; allowed are token, label, correct"),
        (b'[{"token": "t", "correct": true}, 7]', "[1]: 7 was given"),
    ],
)
def test_what_is_wrong_is_named(body, words):
    with pytest.raises(RequestError) as refused:
        read(body)
    assert words in str(refused.value)
