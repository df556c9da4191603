"""The task: Hugging Face's parameters, its answer, and how two answers are compared."""

from __future__ import annotations

import pytest

from tuneloop_server.answers.answer_format import UnreadableAnswer, UnreadableLabel, agree
from tuneloop_server.answers.text_generation import TEXT_GENERATION_ANSWERS as ANSWERS
from tuneloop_server.errors import RequestError
from tuneloop_server.generation.answer import Generated, Piece
from tuneloop_server.generation.settings import AskedSampling
from tuneloop_server.tasks.text_generation import TEXT_GENERATION, answer, read_parameters

GENERATED = Generated(
    text=" time",
    pieces=[
        Piece(token=5, logprob=-0.5, text=" time", finish=None),
        Piece(token=0, logprob=-0.1, text="", finish="eos_token"),
    ],
    finish="eos_token",
    prompt_tokens=2,
)


def test_parameters_of_hugging_faces_client_are_read():
    given = {
        "max_new_tokens": 5,
        "do_sample": True,
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.9,
        "seed": 7,
        "repetition_penalty": 1.2,
    }
    parameters = read_parameters(given | {"stop": ["x"], "return_full_text": True, "details": True, "watermark": False})
    assert parameters.asked.sampling == AskedSampling(
        do_sample=True, temperature=0.5, top_k=3, top_p=0.9, seed=7, repetition_penalty=1.2
    )
    assert (parameters.asked.max_tokens, parameters.asked.stop) == (5, ("x",))
    assert (parameters.return_full_text, parameters.details) == (True, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_new_tokens": 0}, "parameters.max_new_tokens: 0 was given, expected a whole number from 1"),
        ({"temperature": -1}, "parameters.temperature: -1 was given, allowed are numbers from 0 to 2"),
        ({"do_sample": 1}, "parameters.do_sample: 1 was given, allowed are true and false"),
        ({"details": "yes"}, "parameters.details: yes was given, allowed are true and false"),
        ({"best_of": 2}, "parameters.best_of: 2 was given, this server does not have it; allowed is 1, or nothing"),
        ({"grammar": {"type": "json"}}, "parameters.grammar: "),
        ({"truncate": 5}, "parameters.truncate: 5 was given, this server does not have it"),
        ({"num_beams": 2}, "parameters.num_beams: is not known"),
    ],
)
def test_a_wrong_parameter_is_named(given, message):
    with pytest.raises(RequestError) as refused:
        read_parameters(given)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({}, {"generated_text": " time"}),
        ({"return_full_text": True}, {"generated_text": "Once upon a time"}),
        (
            {"details": True, "seed": 4},
            {
                "generated_text": " time",
                "details": {
                    "finish_reason": "eos_token", "generated_tokens": 2, "seed": 4, "prefill": [],
                    "tokens": [
                        {"id": 5, "text": " time", "logprob": -0.5, "special": False},
                        {"id": 0, "text": "", "logprob": -0.1, "special": True},
                    ],
                },
            },
        ),
    ],
    ids=["the new text alone", "with the prompt", "with details"],
)  # fmt: skip
def test_the_answer_has_hugging_faces_shape(given, value):
    found = answer("Once upon a", GENERATED, read_parameters(given))
    assert (found.value, found.predictions, found.features()) == ([value], [], {})


def test_its_tensor_is_the_text():
    (output,) = TEXT_GENERATION.tensors.outputs
    assert (output.name, output.row([{"generated_text": "a"}], [])) == ("text", ["a"])


def read(*texts: str):
    return ANSWERS.read([[{"generated_text": text}] for text in texts])


@pytest.mark.parametrize(
    ("stable", "canary", "same"),
    [
        (["Paris."], ["Paris."], True),
        ([" Paris.\n"], ["Paris."], True),
        (["Paris."], ["paris."], False),
        (["a", "b"], ["a", "c"], False),
        (["a"], ["a", "b"], False),
    ],
)
def test_two_answers_agree_if_they_are_the_same_text_but_for_white_space(stable, canary, same):
    assert agree(read(*stable), read(*canary)) is same


def test_a_golden_row_has_the_whole_answer_and_no_text_is_shown():
    (choice,) = ANSWERS.read([{"generated_text": "Paris"}])
    assert choice.classes == ANSWERS.read_label(" Paris ", [])
    assert "Paris" not in str(choice)


@pytest.mark.parametrize(
    "found", [{"generated_text": "a"}, [{"text": "a"}], [{"generated_text": 1}], [{"generated_text": "a"}] * 2]
)
def test_what_is_no_answer_is_refused(found):
    with pytest.raises(UnreadableAnswer):
        ANSWERS.read(found)


def test_a_label_that_is_no_text_is_refused():
    with pytest.raises(UnreadableLabel):
        ANSWERS.read_label(["Paris"], [])
