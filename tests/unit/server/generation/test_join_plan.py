"""Which prompts join the answers that grow."""

from __future__ import annotations

import pytest

from tuneloop_server.batching.join_plan import PROMPT_TOKENS, Wanted, joining

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
        pytest.param([Wanted(900, 1000)], [], {"most_tokens": 1000}, 1, id="the longest prompt fits alone"),
    ],
)
def test_prompts_join_in_their_order_as_far_as_there_is_room(waiting, growing, limits, expected):
    assert joining(waiting, growing, **({"max_answers": 16, "most_tokens": 10**6} | limits)) == expected
