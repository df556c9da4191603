"""The task: Hugging Face's parameters for translations and summaries, its answer, and how two answers are compared."""

from __future__ import annotations

import pytest

from tuneloop_server.answers.answer_format import agree
from tuneloop_server.errors import RequestError
from tuneloop_server.generation.answer import Generated, Piece
from tuneloop_server.generation.beam_search import Beams
from tuneloop_server.generation.settings import AskedSampling, GenerationDefaults
from tuneloop_server.tasks import TASKS
from tuneloop_server.tasks.text2text_generation import TEXT2TEXT_GENERATION, answer, read_parameters

END = Piece(token=1, logprob=-0.1, text="", finish="eos_token")
OF_GENERATION = {"max_new_tokens": 5, "num_beams": 4, "repetition_penalty": 1.2, "seed": 7}


@pytest.mark.parametrize(
    ("given", "most"),
    [
        pytest.param(OF_GENERATION, "parameters.max_new_tokens", id="beside the others"),
        pytest.param({"generate_parameters": OF_GENERATION}, "parameters.generate_parameters.max_new_tokens", id="in an object"),
    ],
)  # fmt: skip
def test_parameters_of_generation_are_read_in_both_places(given, most):
    asked = read_parameters(given | {"truncation": "only_first", "clean_up_tokenization_spaces": False}).asked
    assert (asked.max_tokens, asked.num_beams, asked.fields) == (5, 4, ("inputs", most))
    assert asked.sampling == AskedSampling(repetition_penalty=1.2, seed=7)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_new_tokens": 0}, "parameters.max_new_tokens: 0 was given, expected a whole number from 1"),
        ({"num_beams": 0}, "parameters.num_beams: 0 was given, allowed are whole numbers from 1 to 16"),
        ({"num_beams": 17}, "parameters.num_beams: 17 was given, allowed are whole numbers from 1 to 16"),
        ({"generate_parameters": {"num_beams": True}}, "parameters.generate_parameters.num_beams: true was given"),
        ({"generate_parameters": 4}, "parameters.generate_parameters: 4 was given, expected an object, for example"),
        ({"generate_parameters": {"length_penalty": 2.0}}, "parameters.generate_parameters.length_penalty: is not known; allowed are max_new_tokens, num_beams"),
        ({"generate_parameters": {}, "seed": 1}, "parameters.seed: stands beside generate_parameters; say all of it in one place"),
        ({"src_lang": "en"}, "parameters.src_lang: this model translates between the languages that it was trained for"),
        ({"truncation": "only_second"}, "parameters.truncation: only_second was given, allowed are longest_first, only_first"),
        ({"clean_up_tokenization_spaces": True}, "parameters.clean_up_tokenization_spaces: true was given, this server does not have it; allowed is false"),
        ({"details": True}, "parameters.details: is not known"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(given, message):
    with pytest.raises(RequestError) as refused:
        read_parameters(given)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ({"stop": ["a"], "num_beams": 4}, "parameters."),
        ({"generate_parameters": {"stop": ["a"], "num_beams": 4}}, "parameters.generate_parameters."),
    ],
)
def test_stop_strings_beside_beams_are_named_where_they_stand(given, prefix):
    asked, defaults = read_parameters(given).asked, GenerationDefaults(beams=Beams(count=1))
    with pytest.raises(RequestError) as refused:
        asked.generation(prompt=None, window=100, limit=None, defaults=defaults)
    assert (refused.value.field, str(refused.value)) == (
        f"{prefix}stop",
        f"{prefix}stop: is only allowed with one beam, and this answer has 4; send {prefix}num_beams: 1",
    )


def test_an_answer_has_the_text_under_the_name_of_each_of_hugging_faces_tasks():
    generated = Generated(text="ein Text", pieces=[END], finish="eos_token", prompt_tokens=2)
    assert answer("a text", generated, read_parameters({})).value == [
        {"generated_text": "ein Text", "translation_text": "ein Text", "summary_text": "ein Text"}
    ]


def test_two_answers_agree_if_they_are_the_same_text():
    read = TEXT2TEXT_GENERATION.answer_format.read
    first, spaced, other = (read([{"generated_text": text}]) for text in ("a b", "a  b ", "a c"))
    assert agree(first, spaced)
    assert not agree(first, other)


def test_the_server_knows_the_task():
    assert TASKS["text2text-generation"] is TEXT2TEXT_GENERATION
