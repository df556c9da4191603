"""Questions as clients send them, answers as spans of the context, and what the comparator reads of them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tuneloop_api.contract.artifact import AnswerSpans
from tuneloop_server.answers.answer_format import UnreadableAnswer, UnreadableLabel, agree, flips
from tuneloop_server.answers.question_answering import QUESTION_ANSWERING_ANSWERS as ANSWERS
from tuneloop_server.errors import RequestError
from tuneloop_server.model import Encoded, Window
from tuneloop_server.protocols.hf import read
from tuneloop_server.tasks.question_answering import QUESTION_ANSWERING as TASK
from tuneloop_server.tasks.task import ModelFacts

CONTEXT = "🙂 far Zürich or Denver"
WORDS = [(0, 1), (2, 5), (6, 12), (13, 15), (16, 22)]
TEXT = f"Where?\n{CONTEXT}"


def body(inputs, **parameters) -> bytes:
    return json.dumps({"inputs": inputs, "parameters": parameters}).encode()


PAIR = {"question": "Where is it?", "context": "In Denver."}


@pytest.mark.parametrize(
    ("inputs", "texts"),
    [
        (PAIR, ["Where is it?\nIn Denver."]),
        ([PAIR, PAIR], ["Where is it?\nIn Denver."] * 2),
        ({"question": "Where\nis it?", "context": "In\nDenver."}, ["Where is it?\nIn\nDenver."]),
        ("Where is it?\nIn Denver.", ["Where is it?\nIn Denver."]),
    ],
)
def test_a_question_and_its_context_are_one_text(inputs, texts):
    assert read(body(inputs), read_input=TASK.read_input).texts == texts


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"question": "Where?"}, r'inputs\.context: null was given, expected a string, for example {"question"'),
        ({"question": 3, "context": "a"}, r"inputs\.question: 3 was given"),
        (PAIR | {"id": 3}, r"inputs\.id: is not known; allowed are question, context"),
        ([PAIR, {"question": "a", "context": " "}], r"inputs\[1\]: the context is blank"),
        ({"question": "\n", "context": "a"}, r"inputs: the question is blank"),
        ("Where is it?", "inputs: the context is blank"),
        ([], "inputs: is an empty list"),
        (7, "inputs: 7 was given, expected an object with a question and a context"),
        ({"question": "\ud800", "context": "a"}, "half of a surrogate pair"),
    ],
)
def test_what_is_no_question_with_a_context_is_refused(inputs, message):
    with pytest.raises(RequestError, match=message):
        read(body(inputs), read_input=TASK.read_input)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": 0}, r"parameters\.top_k: 0 was given, expected a whole number from 1"),
        ({"top_k": 101}, r"allowed are whole numbers from 1 to 100"),
        ({"doc_stride": -1}, r"parameters\.doc_stride"),
        ({"max_answer_len": 0}, r"parameters\.max_answer_len"),
        ({"handle_impossible_answer": 1}, r"parameters\.handle_impossible_answer: 1 was given, expected true or false"),
        ({"align_to_words": True}, r"parameters\.align_to_words: is not known"),
    ],
)
def test_parameters_out_of_bounds_are_refused(parameters, message):
    with pytest.raises(RequestError, match=message):
        TASK.read_parameters(parameters)


def window(start: dict[int, float], end: dict[int, float], *, words=range(5)) -> Window:
    """Return a window of a first token and these words of the context. start, end: logits by token, 0 the first."""
    offsets = [(0, 0), *(WORDS[word] for word in words)]
    logits = np.full((len(offsets), 2), -20.0, dtype=np.float32)
    for column, values in enumerate((start, end)):
        for place, value in values.items():
            logits[place, column] = value
    encoded = Encoded(ids=[2] * len(offsets), offsets=offsets, special_tokens=[1, *[0] * (len(offsets) - 1)])
    return Window(encoded, logits)


def facts(threshold: float | None = None, *, longest: int = 3) -> ModelFacts:
    spans = AnswerSpans(doc_stride=1, max_answer_tokens=longest, null_threshold=threshold)
    return ModelFacts(labels=("LABEL_0", "LABEL_1"), temperature=1.0, vocabulary=None, answer_spans=spans)


def answer(*windows: Window, threshold: float | None = None, longest: int = 3, **parameters):
    return TASK.answer(TEXT, windows, TASK.read_parameters(parameters), facts(threshold, longest=longest))


SURE = window({3: 5.0}, {3: 5.0})


def test_an_answer_is_a_span_of_characters_of_the_context():
    assert answer(SURE).value == {"answer": "Zürich", "score": pytest.approx(1.0), "start": 6, "end": 12}


def test_an_answer_ends_behind_its_start_and_is_not_too_long():
    backwards = window({5: 5.0, 3: 1.0}, {3: 5.0})
    assert answer(backwards).value["answer"] == "Zürich"
    far = window({1: 5.0}, {5: 5.0, 2: 1.0})
    assert answer(far).value["answer"] == "🙂 far"
    assert answer(far, longest=5).value["answer"] == CONTEXT
    assert answer(far, max_answer_len=5).value["answer"] == CONTEXT


def test_several_answers_come_from_all_windows_the_best_first_and_each_span_once():
    first = window({0: 3.0, 2: 3.0}, {0: 3.0, 2: 3.0}, words=[0, 1, 2])
    second = window({1: 4.0, 3: 2.0}, {1: 4.0, 3: 2.0}, words=[1, 2, 4])
    found = answer(first, second, top_k=3).value
    assert [item["answer"] for item in found[:1]] == ["far"]
    assert found[0]["score"] == pytest.approx((math.exp(4) / (math.exp(4) + math.exp(2))) ** 2, abs=1e-3)
    assert len({(item["start"], item["end"]) for item in found}) == 3
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)


UNSURE = window({0: 3.0, 3: 2.0}, {0: 3.0, 3: 2.0})
"""No answer is likelier by 2 nats."""
NONE = {"answer": "", "score": pytest.approx((math.e / (math.e + 1)) ** 2, abs=1e-3), "start": 0, "end": 0}


@pytest.mark.parametrize(
    ("threshold", "parameters", "silent"),
    [
        (None, {}, False),
        (1.9, {}, True),
        (2.1, {}, False),
        (2.1, {"handle_impossible_answer": True}, True),
        (1.9, {"handle_impossible_answer": False}, False),
        (None, {"handle_impossible_answer": True}, True),
    ],
)
def test_no_answer_is_given_above_the_threshold_unless_the_request_decides(threshold, parameters, silent):
    found = answer(UNSURE, threshold=threshold, **parameters)
    assert found.value == NONE if silent else found.value["answer"] == "Zürich"
    assert found.predictions[0].label == ("no-answer" if silent else "answer")
    assert found.predictions[0].confidence == found.value["score"]


def test_a_context_has_no_answer_only_if_all_its_windows_say_so():
    likelier = window({0: 1.5, 3: 2.0}, {0: 1.5, 3: 2.0})
    assert answer(UNSURE, likelier, handle_impossible_answer=True).value["answer"] == "Zürich"


@pytest.mark.parametrize(("threshold", "no_answer"), [(1.9, 1), (2.1, 0), (None, 0)])
def test_the_features_are_those_of_the_models_own_threshold_whatever_is_asked_for(threshold, no_answer):
    found = answer(UNSURE, threshold=threshold, handle_impossible_answer=False, top_k=2).features()
    assert found == {
        "confidence": pytest.approx((1 / (math.e + 1)) ** 2, abs=1e-3),
        "no_answer": no_answer,
        "windows": 1,
    }


def test_a_text_without_a_context_is_refused():
    with pytest.raises(RequestError, match="a text has no context"):
        TASK.answer("Where?", [SURE], TASK.read_parameters({}), facts())


def said(text: str, score: float = 0.5) -> dict[str, object]:
    return {"answer": text, "score": score, "start": 0, "end": len(text)}


@pytest.mark.parametrize(
    ("stable", "canary", "agrees"),
    [
        (said("Denver"), said("the Denver.", 0.9), True),
        (said("Denver"), said("Zürich"), False),
        (said(""), said(""), True),
        (said(""), said("Denver"), False),
        ([said("Denver"), said("")], [said("denver"), said("")], True),
        ([said("Denver"), said("")], [said("Denver")], False),
        ([[said("Denver"), said("")], [said("a")]], [[said("Denver"), said("a b")], [said("the")]], True),
        ([[said("Denver")], [said("")]], [[said("Denver")], [said("Zürich")]], False),
    ],
)
def test_two_answers_agree_if_they_match_exactly_by_the_rules_of_squad(stable, canary, agrees):
    assert agree(ANSWERS.read(stable), ANSWERS.read(canary)) is agrees


def test_what_is_counted_of_a_change_holds_no_words_of_an_answer():
    pairs = list(flips(ANSWERS.read(said("Denver")), ANSWERS.read(said(""))))
    assert pairs == [("answer", "none"), ("none", "no-answer")]
    assert ANSWERS.class_names(["LABEL_0", "LABEL_1"]) == ["answer", "no-answer"]


def test_a_label_of_a_golden_row_is_the_right_answer():
    (choice,) = ANSWERS.read(said("The Denver"))
    assert choice.classes == ANSWERS.read_label("Denver!", [])
    assert choice.confidence == 0.5
    with pytest.raises(UnreadableLabel, match="example"):
        ANSWERS.read_label(["Denver"], [])


@pytest.mark.parametrize("answer", [3, [3], [], [[]], [{"answer": 3, "score": 1.0}], [{"answer": "a"}], {"score": 1.0}])
def test_what_is_no_answer_is_unreadable(answer):
    with pytest.raises(UnreadableAnswer):
        ANSWERS.read(answer)


def test_the_tensor_holds_the_response_as_json():
    (tensor,) = TASK.tensors.outputs
    value = answer(SURE).value
    assert json.loads(tensor.row(value, [])[0]) == value


def test_no_feedback_is_taken_of_answers():
    assert not TASK.has_one_label
