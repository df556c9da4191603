"""Text-to-text generation: the text that the model writes for a text, such as its translation or its summary.

`parameters` are those of Hugging Face's API, which has those of generation in `generate_parameters`; both places are read. A text is answered with
`[{"generated_text": …, "translation_text": …, "summary_text": …}]`, three names of one text: a request does not say which of its clients' tasks it is of.
Sources: https://huggingface.co/docs/inference-providers/tasks/translation, …/summarization
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.features.text2text_generation import TEXT2TEXT_FEATURES
from tuneloop_server.answers.text2text_generation import NESTED, TEXT2TEXT_ANSWERS
from tuneloop_server.fields import check_known, choice, invalid, wrong
from tuneloop_server.generation.settings import (
    Asked,
    read_max_tokens,
    read_num_beams,
    read_sampling,
    read_stop,
    refuse_unless,
)
from tuneloop_server.tasks.task import Answer, Generating, OutputTensor, Task, Tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_server.generation.answer import Generated

_NAME = "text2text-generation"
_PREFIX = "parameters."
_OF_GENERATION = (
    "max_new_tokens",
    "num_beams",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "seed",
    "stop",
)
_NEUTRAL: Mapping[str, tuple[object, ...]] = {"clean_up_tokenization_spaces": (False,)}
"""Parameters that this server does not have → values that ask for nothing."""
_LANGUAGES = ("src_lang", "tgt_lang")
_TRUNCATION = ("longest_first", "only_first")
_DEFAULT_TOKENS = 100
"""Of an answer where neither the client nor the model says."""
_NAMES = ("generated_text", "translation_text", "summary_text")


@dataclass(frozen=True, kw_only=True)
class Text2TextParameters:
    """What a client wants."""

    asked: Asked


def read_parameters(given: Mapping[str, object]) -> Text2TextParameters:
    """Return the parameters. Raises RequestError naming the field that is wrong."""
    check_known(given, (*_OF_GENERATION, NESTED, "truncation", *_NEUTRAL, *_LANGUAGES), prefix=_PREFIX)
    refuse_unless(given, _NEUTRAL, prefix=_PREFIX)
    for name in _LANGUAGES:
        if name in given:
            message = (
                f"{_PREFIX}{name}: this model translates between the languages that it was trained for; leave it out"
            )
            raise invalid(message, field=f"{_PREFIX}{name}")
    if "truncation" in given:
        choice(f"{_PREFIX}truncation", given["truncation"], _TRUNCATION)
    wanted, prefix = _of_generation(given)
    most = f"{prefix}max_new_tokens"
    return Text2TextParameters(
        asked=Asked(
            sampling=read_sampling(wanted, prefix=prefix),
            stop=read_stop(f"{prefix}stop", wanted.get("stop")),
            max_tokens=read_max_tokens(most, wanted.get("max_new_tokens")),
            default_tokens=_DEFAULT_TOKENS,
            fields=("inputs", most),
            num_beams=read_num_beams(f"{prefix}num_beams", wanted.get("num_beams")),
            beams_field=f"{prefix}num_beams",
            stop_field=f"{prefix}stop",
        )
    )


def _of_generation(given: Mapping[str, object]) -> tuple[Mapping[str, object], str]:
    """Return the parameters of generation, and the path of the object that holds them."""
    nested = given.get(NESTED)
    if nested is None:
        return {name: given[name] for name in _OF_GENERATION if name in given}, _PREFIX
    prefix = f"{_PREFIX}{NESTED}."
    if not isinstance(nested, dict):
        raise wrong(f"{_PREFIX}{NESTED}", nested, 'expected an object, for example {"num_beams": 4}')
    check_known(nested, _OF_GENERATION, prefix=prefix)
    for name in _OF_GENERATION:
        if name in given:
            raise invalid(
                f"{_PREFIX}{name}: stands beside {NESTED}; say all of it in one place", field=f"{_PREFIX}{name}"
            )
    return nested, prefix


def answer(_text: str, generated: Generated, _parameters: Text2TextParameters) -> Answer:
    """Return the text that the model wrote."""
    return Answer(value=[dict.fromkeys(_NAMES, generated.text)], predictions=[], features=dict)


TEXT2TEXT_GENERATION = Task(
    name=_NAME,
    auto_class="AutoModelForSeq2SeqLM",
    needs_offsets=False,
    read_parameters=read_parameters,
    generating=Generating(
        asked=lambda parameters: parameters.asked, answer=answer, whole_text=lambda _prompt, generated, _: generated
    ),
    features=TEXT2TEXT_FEATURES,
    answer_format=TEXT2TEXT_ANSWERS,
    tensors=Tensors(
        outputs=(OutputTensor(name="text", datatype="BYTES", row=lambda value, _: [value[0]["generated_text"]]),),
    ),
)
