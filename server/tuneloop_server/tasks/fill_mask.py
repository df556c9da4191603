"""Fill-mask: the likeliest tokens in place of each mask token of a text.

`parameters`: `{"top_k": int, "targets": str | [str, …]}`. A text with one mask token is answered with `[{"score", "token", "token_str", "sequence"}, …]`,
the best token first; a text with several with a list of such lists. With `targets` only these tokens are scored: by their probabilities among all tokens.
Source: https://huggingface.co/docs/inference-providers/tasks/fill-mask, and what `pipeline("fill-mask")` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.features.fill_mask import FILL_MASK_FEATURES
from tuneloop_server.answers.fill_mask import FILL_MASK_ANSWERS
from tuneloop_server.fields import check_known, whole_number, wrong
from tuneloop_server.tasks.largest import largest
from tuneloop_server.tasks.task import Answer, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tuneloop_server.model import Encoded, Vocabulary, Window
    from tuneloop_server.tasks.task import ModelFacts

_USUAL = 5
"""Tokens for each mask where a client asks for no other number, as the pipeline has it."""
_MOST_TOKENS = 100
"""Each token of an answer is written into the whole text."""
_MOST_MASKS = 64
_MOST_IN_REQUEST = 256
"""Mask tokens of all texts of a request. Until the last one is answered, each takes 4 bytes for every token of the vocabulary: 1 MB with XLM-R."""


@dataclass(frozen=True, kw_only=True)
class FillMaskParameters:
    """How many tokens a client wants, and of which ones."""

    top_k: int = _USUAL
    targets: tuple[str, ...] | None = None
    """None: all tokens."""


def read_parameters(given: Mapping[str, object]) -> FillMaskParameters:
    """Return the parameters. Raises RequestError naming the field that is wrong."""
    check_known(given, ("top_k", "targets"), prefix="parameters.")
    expected = f"expected a whole number from 1 to {_MOST_TOKENS}, or null for {_USUAL}; for example 3"
    top_k = whole_number("parameters.top_k", given.get("top_k", _USUAL), least=1, expected=expected)
    if top_k > _MOST_TOKENS:
        raise wrong("parameters.top_k", top_k, expected)
    return FillMaskParameters(top_k=top_k, targets=_targets(given["targets"]) if "targets" in given else None)


def refusal(texts: Sequence[Encoded], vocabulary: Vocabulary) -> str:
    """Return why the texts of a request cannot be answered: one has no mask token, or too many, or all of them together have."""
    masks = [sum(token == vocabulary.mask_id for token in encoded.ids) for encoded in texts]
    for number, (encoded, found) in enumerate(zip(texts, masks, strict=True), start=1):
        if found > _MOST_MASKS:
            return f"text {number} has {found} mask tokens, at most {_MOST_MASKS} are allowed"
        if not found:
            where = f" among the {len(encoded)} tokens that the model reads" if encoded.truncated else ""
            return f'text {number} has no mask token{where}, at least one is needed; for example "A fine {vocabulary.mask_token}."'
    if sum(masks) > _MOST_IN_REQUEST:
        return (
            f"the texts have {sum(masks)} mask tokens together, at most {_MOST_IN_REQUEST} are allowed in one request"
        )
    return ""


def answer(_: str, windows: Sequence[Window], parameters: FillMaskParameters, facts: ModelFacts) -> Answer:
    """Return the best tokens for each mask token. They are no prediction of a label: nothing is counted of labels and of confidence."""
    (window,) = windows
    encoded = window.encoded
    vocabulary = facts.vocabulary
    targets = None if parameters.targets is None else _ids(parameters.targets, vocabulary)
    places = [place for place, token in enumerate(encoded.ids) if token == vocabulary.mask_id]
    filled = [
        [
            _element(score, token, place=place, encoded=encoded, vocabulary=vocabulary, only_mask=len(places) == 1)
            for score, token in best_tokens(of_mask, targets, top_k=parameters.top_k)
        ]
        for place, of_mask in zip(places, window.logits, strict=True)
    ]
    return Answer(value=filled[0] if len(filled) == 1 else filled, predictions=[], features=dict)


def best_tokens(logits: NDArray[np.float32], targets: Sequence[int] | None, *, top_k: int) -> list[tuple[float, int]]:
    """Return (probability, id) of the likeliest tokens at one mask token, the best first. logits: [V]. targets: ids that are scored; None: all."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    scores = powers / powers.sum()
    ids = np.arange(len(scores)) if targets is None else np.array(targets)
    best = ids[largest(logits[ids], top_k)]
    return [(float(scores[token]), int(token)) for token in best]


def _element(
    score: float, token: int, *, place: int, encoded: Encoded, vocabulary: Vocabulary, only_mask: bool
) -> dict[str, object]:
    """Return an element of the response. The sequence of a text with several mask tokens has its special tokens, so that the others can be seen; padding is none of it."""
    ids = [found for found in (*encoded.ids[:place], token, *encoded.ids[place + 1 :]) if found != vocabulary.pad_id]
    return {
        "score": score,
        "token": token,
        "token_str": vocabulary.text_of([token], with_special_tokens=True),
        "sequence": vocabulary.text_of(ids, with_special_tokens=not only_mask),
    }


def _targets(given: object) -> tuple[str, ...]:
    targets = [given] if isinstance(given, str) else given
    if (
        isinstance(targets, list)
        and 0 < len(targets) <= _MOST_TOKENS
        and all(isinstance(target, str) for target in targets)
    ):
        return tuple(targets)
    expected = f'expected a string or a list of 1 to {_MOST_TOKENS} strings; for example ["good", "bad"]'
    raise wrong("parameters.targets", given, expected)


def _ids(targets: Sequence[str], vocabulary: Vocabulary) -> list[int]:
    """Return the ids of the targets, each once. A target of several tokens stands for its first one. Raises RequestError if no target has a token."""
    found = dict.fromkeys(vocabulary.first_id(target) for target in targets)
    ids = [token for token in found if token is not None]
    if not ids:
        raise wrong(
            "parameters.targets", list(targets), 'expected a text that the model has a token for; for example ["good"]'
        )
    return ids


FILL_MASK = Task(
    name="fill-mask",
    auto_class="AutoModelForMaskedLM",
    needs_offsets=False,
    answers_at_masks=True,
    refusal=refusal,
    read_parameters=read_parameters,
    answer=answer,
    features=FILL_MASK_FEATURES,
    answer_format=FILL_MASK_ANSWERS,
)
