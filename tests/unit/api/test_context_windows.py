"""Windows of a context, for any length: every token is in one, neighbours share what was asked for, and none repeats another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.model_inputs import context_room, context_windows, question_text, split_question

SIZES = {"tokens": st.integers(0, 400), "room": st.integers(1, 60), "stride": st.integers(0, 80)}


@given(**SIZES)
def test_every_token_is_in_a_window_and_no_window_is_longer_than_its_room(tokens, room, stride):
    windows = context_windows(tokens, room=room, stride=stride)
    assert {place for start, end in windows for place in range(start, end)} == set(range(tokens))
    assert all(end - start <= room for start, end in windows)
    assert windows[0][0] == 0
    assert windows[-1][1] == tokens


@given(**SIZES)
def test_neighbours_share_the_stride_or_half_of_the_room_and_every_window_has_tokens_of_its_own(tokens, room, stride):
    for (start, end), (following, following_end) in pairwise(context_windows(tokens, room=room, stride=stride)):
        assert end - following == min(stride, room // 2, room - 1)
        assert following > start
        assert following_end > end


@given(**SIZES, length=st.integers(1, 80))
def test_an_answer_that_is_no_longer_than_what_windows_share_lies_whole_within_one(tokens, room, stride, length):
    shared = min(stride, room // 2, room - 1)
    windows = context_windows(tokens, room=room, stride=stride)
    for start in range(tokens - length + 1):
        if length <= shared + 1:
            assert any(first <= start and start + length <= end for first, end in windows)


@pytest.mark.parametrize(("most", "fixed", "room"), [(40, 10, 30), (40, 30, 10), (40, 31, 0), (40, 50, 0), (8, 3, 5)])
def test_a_question_may_take_three_quarters_of_a_window(most, fixed, room):
    assert context_room(most, fixed=fixed) == room


@given(question=st.text(), context=st.text())
def test_a_question_and_its_context_are_one_text_and_two_again(question, context):
    assert split_question(question_text(question, context)) == (question.replace("\n", " "), context)
