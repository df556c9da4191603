"""Features of an answer that a model generates, token after token: the same for every task whose model writes text.

They are those of whole answers. An answer that its client did not wait for has no length of its own, and is none.
The tokens of the prompt are a feature of every text (`features.text`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tuneloop_api.features.bins import NumberBins, number_bins
from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values

ANSWER_TOKENS, LOGPROB, REPETITION = "answer_tokens", "mean_logprob", "repetition"
FINISH, KIND = "finish_reason", "answer_kind"
FINISH_REASONS = ("length", "eos_token", "stop_sequence")
"""In the order of their bins, which rules of Prometheus know by number: the first is an answer that was cut."""
AnswerKind = Literal["empty", "refused", "repeating", "sound"]
ANSWER_KINDS: tuple[AnswerKind, ...] = ("empty", "refused", "repeating", "sound")
"""In the order of their bins, which rules of Prometheus know by number."""
GRAM = 4
"""Tokens in a row whose return is a repetition."""
REPEATS = 0.5
"""An answer of which more than this part is repetition turns in a circle."""
LEAST_ANSWERS = 50
"""With fewer reference answers the edges of bins are fixed ones."""
_BEGINNING = 100
"""Characters of an answer in which a refusal is looked for."""
_REFUSALS = (
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "sorry, but i can",
    "sorry, i can",
    "i can't",
    "i cannot",
    "i can not",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "as an ai",
)
"""With which refusals begin, in English alone: a model that refuses in other words counts as sound."""
_LONGER = (128.0, 256.0, 512.0, 1024.0, 2048.0)
"""Edges of the length beyond reference answers, which are short."""
_FIXED = {
    ANSWER_TOKENS: (1.0, 4.0, 8.0, 16.0, 32.0, 64.0, *_LONGER),
    LOGPROB: (-4.0, -3.0, -2.0, -1.5, -1.0, -0.7, -0.5, -0.3, -0.1),
    REPETITION: (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
}
GENERATED_FEATURES = TaskFeatures(
    numbers=(ANSWER_TOKENS, LOGPROB, REPETITION),
    choices={FINISH: lambda _: list(FINISH_REASONS), KIND: lambda _: list(ANSWER_KINDS)},
    values=None,
    has_projections=False,
)


def generated_values(*, tokens: Sequence[int], logprob: float, finish: str, text: str) -> Values:
    """Return the features of an answer.

    tokens: all that the model chose, the token of the end included; at least one. logprob: sum of their logarithms of probability by the model,
    in nats. finish: one of `FINISH_REASONS`. text: of the answer alone.
    """
    repeated = repetition(tokens)
    return {
        ANSWER_TOKENS: len(tokens),
        LOGPROB: logprob / len(tokens),
        REPETITION: repeated,
        FINISH: finish,
        KIND: kind_of(text, repeated),
    }


def repetition(tokens: Sequence[int]) -> float:
    """Return the share of 4-grams that repeat an earlier one, 1 - distinct / all, from 0 to below 1.

    An answer without any has 0, and not no value: a model of short answers would never have enough of them for a baseline.
    """
    grams = len(tokens) - GRAM + 1
    if grams < 1:
        return 0.0
    return 1.0 - len(set(zip(*(tokens[start:] for start in range(GRAM)), strict=False))) / grams


def kind_of(text: str, repeated: float) -> AnswerKind:
    """Return the first kind that holds. repeated: `repetition` of the answer's tokens."""
    if not text.strip():
        return "empty"
    if is_refusal(text):
        return "refused"
    return "repeating" if repeated > REPEATS else "sound"


def is_refusal(text: str) -> bool:
    """Tell whether an answer begins with words of a refusal, in English."""
    return " ".join(text[:_BEGINNING].replace("’", "'").split()).casefold().startswith(_REFUSALS)


def answer_bins(name: str, values: Sequence[float]) -> NumberBins:
    """Return the bins of a number of `GENERATED_FEATURES`. values: of reference answers, which may be few or none."""
    if len(values) < LEAST_ANSWERS:
        return NumberBins(edges=_FIXED[name])
    found = number_bins(values)
    if name != ANSWER_TOKENS:
        return found
    return NumberBins(edges=(*found.edges, *(edge for edge in _LONGER if edge > found.edges[-1])))
