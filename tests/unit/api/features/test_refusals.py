"""Words with which an answer refuses."""

from __future__ import annotations

import pytest

from tuneloop_api.features.generated_answers import kind_of
from tuneloop_api.features.refusals import begins_with_refusal
from tuneloop_server.answers.generated import Ending, ending_of

ANSWERS = [
    pytest.param("I'm sorry, but I can't help with that.", True, id="words of a refusal"),
    pytest.param("AS AN AI I have no hands.", True, id="in capital letters"),
    pytest.param(" \n I’m   unable to say.", True, id="with another apostrophe and more spaces"),
    pytest.param(" " * 100 + "I cannot.", False, id="beyond the beginning"),
    pytest.param("He said: I cannot.", False, id="words of a refusal later on"),
    pytest.param("I can.", False, id="half of the words"),
    pytest.param("", False, id="nothing"),
]


@pytest.mark.parametrize(("text", "refuses"), ANSWERS)
def test_an_answer_refuses_by_its_first_words(text, refuses):
    assert begins_with_refusal(text) == refuses


@pytest.mark.parametrize(("text", "refuses"), ANSWERS)
def test_whoever_watches_answers_and_whoever_compares_them_count_the_same(text, refuses):
    assert (kind_of(text, 0.0) == "refused") == refuses
    assert (ending_of(text, "stop") == Ending.REFUSED) == refuses
