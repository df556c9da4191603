"""Stop strings are found wherever the borders between tokens lie, and no part of one is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.generation.stop_strings import StopStrings


def sent(parts: list[str], *stops: str) -> tuple[list[str], bool]:
    """Return what goes out after each part, and whether a stop string was found."""
    finder = StopStrings(stops)
    out = []
    for part in parts:
        text, stopped = finder.push(part)
        out.append(text)
        if stopped:
            return out, True
    return [*out, finder.rest()], False


@pytest.mark.parametrize(
    ("parts", "stops", "expected"),
    [
        pytest.param(["a b", "c"], [], (["a b", "c", ""], False), id="without one all goes out at once"),
        pytest.param(["one END two"], ["END"], (["one "], True), id="in the middle of a token"),
        pytest.param(["one E", "N", "D two"], ["END"], (["one ", "", ""], True), id="over three tokens"),
        pytest.param(["E", "N", "d"], ["END"], (["", "", "ENd", ""], False), id="what only began as one goes out"),
        pytest.param(["one EN"], ["END"], (["one ", "EN"], False), id="the held part goes out at the end"),
        pytest.param(["aab"], ["ab"], (["a"], True), id="that begins with its own beginning"),
        pytest.param(["aa", "b"], ["ab"], (["a", ""], True), id="the same over a border"),
        pytest.param(["xabcd"], ["bc", "abcd"], (["xa"], True), id="the one that is complete first"),
        pytest.param(["xabc"], ["bc", "abc"], (["x"], True), id="of two that end together the longer"),
        pytest.param(["\n", "\nQ"], ["\n\n"], (["", ""], True), id="line breaks"),
    ],
)
def test_an_answer_ends_before_the_stop_string(parts, stops, expected):
    assert sent(parts, *stops) == expected


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.data())
def test_where_the_borders_lie_changes_nothing(text, stops, data):
    borders = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    parts = [text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)]
    by_letter, stopped = sent(list(text), *stops)
    assert ("".join(sent(parts, *stops)[0]), sent(parts, *stops)[1]) == ("".join(by_letter), stopped)
    assert not any(stop in "".join(by_letter) for stop in stops)
