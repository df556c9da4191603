"""Generated answers: how alike two of them are, how each ended, and which of their times can be compared."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.comparison import SIMILARITY_STEPS, PairCounts
from tuneloop_server.answers import ANSWERS
from tuneloop_server.answers.answer_format import UnreadableAnswer
from tuneloop_server.answers.rouge_l import MOST_UNITS, similarity
from tuneloop_server.comparator.labelled import LabelledTally
from tuneloop_server.comparator.replies import Failure
from tuneloop_server.comparator.tally import Tally
from tuneloop_server.comparator.verdicts import Side, compared

GENERATED = ANSWERS["text-generation"]
TEXTS = st.text(alphabet="ab ,é東", max_size=30)


def longest_common(first: list[str], second: list[str]) -> int:
    """The textbook's table, a cell for each pair of units."""
    row = [0] * (len(second) + 1)
    for unit in first:
        before, row = row, [0]
        for place, other in enumerate(second):
            row.append(before[place] + 1 if unit == other else max(row[place], before[place + 1]))
    return row[-1]


@given(
    first=st.lists(st.sampled_from("abcd"), min_size=1, max_size=80),
    second=st.lists(st.sampled_from("abcd"), min_size=1, max_size=80),
)
def test_the_common_subsequence_is_that_of_the_textbook(first, second):
    expected = 2 * longest_common(first, second) / (len(first) + len(second))
    assert similarity(" ".join(first), " ".join(second)) == pytest.approx(expected)


@given(first=TEXTS, second=TEXTS)
def test_a_similarity_is_a_share_that_does_not_depend_on_the_order(first, second):
    found = similarity(first, second)
    assert 0 <= found <= 1
    assert found == similarity(second, first)


@given(text=TEXTS)
def test_a_text_is_like_itself(text):
    assert similarity(text, text) == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("the cat sat", "The  CAT\nsat", 1),
        ("the cat sat", "the dog sat", 2 / 3),
        ("the cat sat", "sat cat the", 1 / 3),
        ("東京に行く", "東京へ行く", 4 / 5),
        ("x = 1", "x = 2", 2 / 3),
        ("Straße", "STRASSE", 1),
        ("a word", "", 0),
        ("", " \n", 1),
        ("a", "b", 0),
    ],
)
def test_units_are_words_numbers_and_symbols_and_characters_of_scripts_without_spaces(first, second, expected):
    assert similarity(first, second) == pytest.approx(expected)


def test_a_long_answer_is_compared_by_its_beginning_in_bounded_time():
    words = " ".join(f"w{number % 700}" for number in range(MOST_UNITS))
    long = words + " and more" * 200_000
    began = time.process_time()
    assert similarity(long, words) == 1
    assert time.process_time() - began < 1


def hf(text, **details):
    return [{"generated_text": text, "details": details}]


def chat(content, *, finish="stop", tokens=3, **message):
    choice = {"message": {"role": "assistant", "content": content} | message, "finish_reason": finish}
    return {"choices": [choice], "usage": {"completion_tokens": tokens}}


def completion(text, *, finish="stop", tokens=3):
    return {"choices": [{"text": text, "finish_reason": finish}], "usage": {"completion_tokens": tokens}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (hf("a b", finish_reason="eos_token", generated_tokens=3), ("a b", "stop", 3)),
        (hf("a b", finish_reason="stop_sequence", generated_tokens=3), ("a b", "stop", 3)),
        (hf("a b", finish_reason="length", generated_tokens=64), ("a b", "length", 64)),
        ([{"generated_text": "a b"}], ("a b", "unknown", None)),
        (hf(" \n", finish_reason="eos_token", generated_tokens=1), (" \n", "empty", 1)),
        (hf("I’m sorry, but I can’t help.", finish_reason="eos_token"), ("I’m sorry, but I can’t help.", "refused", None)),
        (hf("I can count to ten.", finish_reason="eos_token"), ("I can count to ten.", "stop", None)),
        (chat("a b"), ("a b", "stop", 3)),
        (chat("a b", finish="length", tokens=16), ("a b", "length", 16)),
        (chat(None, refusal="No."), ("No.", "refused", 3)),
        (completion("a b", finish=None), ("a b", "unknown", 3)),
        (completion("a b", tokens=0), ("a b", "stop", None)),
        (completion("a b", tokens=True), ("a b", "stop", None)),
        (completion("a b", tokens=10**30), ("a b", "stop", None)),
        ({"choices": [{"text": "a b"}]}, ("a b", "unknown", None)),
    ],
)  # fmt: skip
def test_an_answer_of_each_protocol_tells_text_ending_and_length(answer, expected):
    (choice,) = GENERATED.read(answer)
    assert (choice.generated.text, choice.generated.ending, choice.generated.tokens) == expected


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": []},
        {"choices": [{"text": "a"}, {"text": "b"}]},
        {"choices": ["a"]},
        {"choices": [{"message": {"content": 3}}]},
        {"choices": [{"delta": {"content": "a"}}]},
        [{"generated_text": None}],
    ],
)
def test_what_is_no_generated_answer_is_an_error(answer):
    with pytest.raises(UnreadableAnswer):
        GENERATED.read(answer)


def side(*texts, seconds=1.0, tokens=10, finish="eos_token") -> Side:
    answers = [hf(text, finish_reason=finish, generated_tokens=tokens) for text in texts]
    return Side(choices=GENERATED.read(answers if len(answers) > 1 else answers[0]), seconds=seconds)


def counted(*pairs: tuple[Side, Side]) -> PairCounts:
    tally = Tally([])
    for stable, canary in pairs:
        tally.add(compared(stable, canary), is_warm=True)
    return tally.message()


def bins(**pairs: int) -> list[int]:
    """Return the bins of similarities: `at_40=2` is two pairs of 0.40 to 0.45."""
    found = [0] * (SIMILARITY_STEPS + 1)
    for name, count in pairs.items():
        found[int(name.removeprefix("at_")) * SIMILARITY_STEPS // 100] = count
    return found


@pytest.mark.parametrize(
    ("stable", "canary", "similarity", "agrees"),
    [
        (["a b"], ["a  b"], bins(at_100=1), True),
        (["a b"], ["A b"], bins(at_100=1), False),
        (["a b c d"], ["a b c x"], bins(at_75=1), False),
        (["a"], ["b"], bins(at_0=1), False),
        (["a b", "a b"], ["a b", "a c"], bins(at_50=1), False),
        (["a", "b"], ["a"], bins(at_0=1), False),
    ],
)
def test_a_pair_is_in_the_bin_of_its_least_alike_texts(stable, canary, similarity, agrees):
    found = counted((side(*stable), side(*canary)))
    assert found.similarity == similarity
    assert (found.agree, found.disagree) == (int(agrees), int(not agrees))


@pytest.mark.parametrize("place", range(SIMILARITY_STEPS + 1))
def test_a_bin_holds_its_lower_edge(place):
    words = ["same"] * place + ["a"] * (SIMILARITY_STEPS - place)
    others = ["same"] * place + ["b"] * (SIMILARITY_STEPS - place)
    assert counted((side(" ".join(words)), side(" ".join(others)))).similarity[place] == 1


def test_a_pair_without_two_answers_has_no_similarity():
    found = counted((side("a"), Side(failure=Failure.TIMEOUT)))
    assert (found.similarity, found.stable_answers.stop) == ([], 0)


def test_classes_have_no_similarity():
    choices = ANSWERS["text-classification"].read([{"label": "yes", "score": 0.9}])
    found = counted((Side(choices=choices, seconds=1.0), Side(choices=choices, seconds=2.0)))
    assert (found.similarity, sum(found.latency_ratios)) == ([], 1)


def test_each_text_counts_by_its_ending_and_its_tokens():
    found = counted((side("a", "b", tokens=4), side("", "b c d", tokens=64, finish="length")))
    assert found.stable_answers.model_dump() == {
        "stop": 2,
        "length": 0,
        "empty": 0,
        "refused": 0,
        "unknown": 0,
        "tokens": 8,
    }
    assert found.canary_answers.model_dump() == {
        "stop": 0,
        "length": 1,
        "empty": 1,
        "refused": 0,
        "unknown": 0,
        "tokens": 128,
    }


@pytest.mark.parametrize(
    ("stable", "canary", "harm"),
    [
        pytest.param((10, 1.0), (10, 1.2), 0.2, id="as long"),
        pytest.param((10, 1.0), (15, 1.5), 0.0, id="half as long again, by the token"),
        pytest.param((15, 1.5), (10, 1.2), 0.2, id="shorter, and slower by the token"),
        pytest.param((10, 1.0), (16, 1.6), None, id="too long to compare"),
        pytest.param((16, 1.6), (10, 1.0), None, id="too short to compare"),
        pytest.param((10, 1.0), (None, 1.2), 0.2, id="as many characters, where nobody says the tokens"),
    ],
)
def test_times_of_a_token_are_compared_where_lengths_are_near(stable, canary, harm):
    from tuneloop_operator.decide.model_deployment.gates.latency import bin_of

    sides = [side("a b", tokens=tokens, seconds=seconds) for tokens, seconds in (stable, canary)]
    ratios = counted((sides[0], sides[1])).latency_ratios
    assert sum(ratios) == (0 if harm is None else 1)
    if harm is not None:
        assert ratios.index(1) in {bin_of(canary_seconds=1 + harm + nudge, stable_seconds=1) for nudge in (-1e-9, 1e-9)}


def test_an_answer_without_a_character_has_a_length():
    assert sum(counted((side("", tokens=None), side("", tokens=None))).latency_ratios) == 1


@pytest.mark.parametrize(
    ("stable", "canary", "sums"),
    [
        (["a b c d"], ["a b c x"], (1, 1.0, 0.75)),
        (["a b c d"], [""], (1, 1.0, 0.0)),
        ([], ["a b c d"], (1, 0.0, 1.0)),
        ([], [], (1, 0.0, 0.0)),
    ],
)
def test_a_golden_row_sums_how_alike_both_answers_are_to_its_reference(stable, canary, sums):
    tally = LabelledTally()
    choices = [GENERATED.read(hf(*texts))[0] if texts else None for texts in (stable, canary)]
    tally.add(stable=choices[0], canary=choices[1], right=GENERATED.read_label("a b c d", []), reference="a b c d")
    found = tally.message().similarity
    assert (found.rows, found.stable, found.canary) == pytest.approx(sums)
    assert (found.stable_squared, found.canary_squared, found.product) == pytest.approx(
        (sums[1] ** 2, sums[2] ** 2, sums[1] * sums[2])
    )


def test_a_golden_row_without_a_reference_has_no_similarity():
    tally = LabelledTally()
    tally.add(stable=None, canary=None, right={0: "yes"})
    assert tally.message().similarity.rows == 0
