"""Text generation: the text with which a model goes on.

`parameters` are those of Hugging Face's API. A text is answered with `[{"generated_text": …}]`, and with `"details": true` how the answer came about.
Source: https://huggingface.co/docs/inference-providers/tasks/text-generation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.features.text_generation import TEXT_GENERATION_FEATURES
from tuneloop_server.answers.text_generation import TEXT_GENERATION_ANSWERS
from tuneloop_server.fields import check_known, wrong
from tuneloop_server.generation.settings import Asked, read_max_tokens, read_sampling, read_stop, refuse_unless
from tuneloop_server.tasks.task import Answer, Generating, OutputTensor, Task, Tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_server.generation.answer import Generated, Piece

_PREFIX = "parameters."
_SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "seed")
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "adapter_id": (),
    "best_of": (1,),
    "decoder_input_details": (False,),
    "frequency_penalty": (0, 0.0),
    "grammar": (),
    "top_n_tokens": (0,),
    "truncate": (),
    "typical_p": (1, 1.0),
    "watermark": (False,),
}
"""Parameters of other servers → values that ask for nothing."""
_DEFAULT_TOKENS = 100
"""Of an answer where neither the client nor the model says: what Text Generation Inference documents."""


@dataclass(frozen=True, kw_only=True)
class TextGenerationParameters:
    """What a client wants."""

    asked: Asked
    return_full_text: bool = False
    """Whether the answer begins with the prompt."""
    details: bool = False


def read_parameters(given: Mapping[str, object]) -> TextGenerationParameters:
    """Return the parameters. Raises RequestError naming the field that is wrong."""
    own = (*_SAMPLING, "max_new_tokens", "stop", "return_full_text", "details")
    check_known(given, (*own, *_NEUTRAL), prefix=_PREFIX)
    refuse_unless(given, _NEUTRAL, prefix=_PREFIX)
    return TextGenerationParameters(
        asked=Asked(
            sampling=read_sampling(given, prefix=_PREFIX),
            stop=read_stop("parameters.stop", given.get("stop")),
            max_tokens=read_max_tokens("parameters.max_new_tokens", given.get("max_new_tokens")),
            default_tokens=_DEFAULT_TOKENS,
            fields=("inputs", "parameters.max_new_tokens"),
        ),
        return_full_text=_switch(given, "return_full_text"),
        details=_switch(given, "details"),
    )


def answer(text: str, generated: Generated, parameters: TextGenerationParameters) -> Answer:
    """Return the text with which the model goes on."""
    value: dict[str, object] = {"generated_text": full_text(text, generated.text, parameters)}
    if parameters.details:
        value["details"] = {
            "finish_reason": generated.finish,
            "generated_tokens": len(generated.pieces),
            "seed": parameters.asked.sampling.seed,
            "prefill": [],
            "tokens": [token(piece) for piece in generated.pieces],
        }
    return Answer(value=[value], predictions=[], features=dict)


def full_text(prompt: str, generated: str, parameters: TextGenerationParameters) -> str:
    """Return the text that a client wants of an answer."""
    return prompt + generated if parameters.return_full_text else generated


def token(piece: Piece) -> dict[str, object]:
    """Return a token as Hugging Face's API has it. Its text is what it adds to the answer."""
    is_end = piece.finish == "eos_token"
    return {"id": piece.token, "text": piece.text, "logprob": piece.logprob, "special": is_end}


def _switch(given: Mapping[str, object], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise wrong(f"{_PREFIX}{name}", value, "allowed are true and false")
    return value


TEXT_GENERATION = Task(
    name="text-generation",
    auto_class="AutoModelForCausalLM",
    needs_offsets=False,
    read_parameters=read_parameters,
    generating=Generating(asked=lambda parameters: parameters.asked, answer=answer, whole_text=full_text),
    features=TEXT_GENERATION_FEATURES,
    answer_format=TEXT_GENERATION_ANSWERS,
    tensors=Tensors(
        outputs=(OutputTensor(name="text", datatype="BYTES", row=lambda value, _: [value[0]["generated_text"]]),),
        refused_parameters={"details": "the tensor text has no place for them"},
    ),
)
