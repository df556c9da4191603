"""One answer as it grows: why it ends, and what its last piece has."""

from __future__ import annotations

import numpy as np
import pytest

from tuneloop_server.generation.answer import Generation, GrowingAnswer, Prompt, TokenMeaning, whole

END = 0
MEANING = TokenMeaning(decode=lambda ids: bytes(ids).decode(errors="replace"), ends=frozenset([END]))
PROMPT = Prompt(text="?", ids=[63])


def grown(tokens: bytes, **how: object) -> list[tuple[str, str | None]]:
    """Return the text and the end of each piece, while the model wants these tokens."""
    answer = GrowingAnswer(PROMPT, Generation(**({"max_tokens": 9} | how)), MEANING)
    pieces = []
    for token in tokens:
        logits = np.zeros(256, dtype=np.float32)
        logits[token] = 9.0
        pieces.append(answer.grow(logits))
        if answer.finish is not None:
            break
    return [(piece.text, piece.finish) for piece in pieces]


@pytest.mark.parametrize(
    ("tokens", "how", "expected"),
    [
        pytest.param(b"ab\0c", {}, [("a", None), ("b", None), ("", "eos_token")], id="the model's own end"),
        pytest.param(b"abc", {"max_tokens": 2}, [("a", None), ("b", "length")], id="as many tokens as are allowed"),
        pytest.param(b"a\0", {"max_tokens": 2}, [("a", None), ("", "eos_token")], id="an end in the last one"),
        pytest.param(b"abcd", {"stop": ("bc",)}, [("a", None), ("", None), ("", "stop_sequence")], id="a stop string"),
        pytest.param(
            b"ab\0", {"stop": ("bc",)}, [("a", None), ("", None), ("b", "eos_token")], id="what was held goes out"
        ),
        pytest.param(
            b"ab",
            {"stop": ("b",), "max_tokens": 2},
            [("a", None), ("", "stop_sequence")],
            id="a stop string in the last",
        ),
        pytest.param(
            "aé".encode(), {"max_tokens": 2}, [("a", None), ("\ufffd", "length")], id="cut inside a character"
        ),
    ],
)
def test_an_answer_ends_for_one_reason(tokens, how, expected):
    assert grown(tokens, **how) == expected


def test_a_whole_answer_counts_its_tokens_and_those_of_the_prompt():
    answer = GrowingAnswer(PROMPT, Generation(max_tokens=2), MEANING)
    logits = np.eye(256, dtype=np.float32)[97]
    generated = whole(PROMPT, [answer.grow(logits), answer.grow(logits)])
    assert (generated.text, generated.finish, len(generated.pieces), generated.prompt_tokens) == ("aa", "length", 2, 1)
