"""Which prompts join the answers that grow."""

from __future__ import annotations

import pytest

from tuneloop_server.batching.join_plan import PROMPT_TOKENS, Wanted, joining, wanted_of
from tuneloop_server.generation.answer import Generation, Prompt
from tuneloop_server.generation.beam_search import Beams

BEAMS, APART = Wanted(10, 30, source=10, rows=4), Wanted(50, 20, source=50)
SHORT, LONG = Wanted(10, 30), Wanted(PROMPT_TOKENS, PROMPT_TOKENS + 10)


@pytest.mark.parametrize(
    ("waiting", "growing", "limits", "expected"),
    [
        pytest.param([], [], {}, 0, id="nobody waits"),
        pytest.param([SHORT] * 5, [], {}, 5, id="short prompts join together"),
        pytest.param([SHORT] * 5, [SHORT] * 2, {"max_answers": 4}, 2, id="as many as there are rows"),
        pytest.param([SHORT] * 5, [SHORT] * 4, {"max_answers": 4}, 0, id="no row is free"),
        pytest.param([LONG, SHORT], [SHORT], {}, 1, id="a long prompt joins alone"),
        pytest.param([SHORT, LONG], [SHORT], {}, 1, id="and waits for its own pass"),
        pytest.param([SHORT] * 5, [SHORT], {"most_tokens": 95}, 2, id="three rows of 30 tokens fit into 95"),
        pytest.param(
            [SHORT], [LONG], {"most_tokens": 2 * LONG.most - 1}, 0, id="each row may become as long as the longest"
        ),
        pytest.param([BEAMS] * 3, [SHORT], {"most_tokens": 359}, 1, id="each beam of an answer is a row"),
        pytest.param([BEAMS] * 9, [BEAMS] * 2, {"max_answers": 4}, 2, id="and all beams are one answer"),
        pytest.param([APART], [SHORT], {"most_tokens": 159}, 0, id="a source takes room beside each row"),
        pytest.param([APART], [SHORT], {"most_tokens": 160}, 1, id="as long as the longest source"),
        pytest.param([Wanted(900, 1000)], [], {"most_tokens": 1000}, 1, id="the longest prompt fits alone"),
    ],
)
def test_prompts_join_in_their_order_as_far_as_there_is_room(waiting, growing, limits, expected):
    assert joining(waiting, growing, **({"max_answers": 16, "most_tokens": 10**6} | limits)) == expected


@pytest.mark.parametrize(
    ("prompt", "beams", "expected", "alone"),
    [
        pytest.param(Prompt(text="", ids=[1, 2, 3]), None, Wanted(3, 13), 13, id="an answer behind its prompt"),
        pytest.param(
            Prompt(text="", ids=[0], source=[1, 2]), None, Wanted(2, 10, source=2), 12, id="beside its source"
        ),
        pytest.param(
            Prompt(text="", ids=[0], source=[1, 2]),
            Beams(count=3),
            Wanted(2, 10, source=2, rows=3),
            36,
            id="three beams",
        ),
    ],
)
def test_what_an_answer_takes_is_known_beforehand(prompt, beams, expected, alone):
    wanted = wanted_of(prompt, Generation(max_tokens=10, beams=beams))
    assert (wanted, wanted.alone) == (expected, alone)
