"""The seam `AnswerFormat`: how the answers of a task are read back and compared. Pure.

What a model chose for a text is a class for each place: for a text as a whole there is one place, for entities one a span. Two answers agree if they
choose the same classes for the same places of all texts: all or nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from tuneloop_server.answers.generated import GeneratedText

Classes: TypeAlias = "Mapping[Hashable, str]"
"""Place → class. A place that is not there has no class."""
NO_CLASS = "none"
"""Stands for the class of a place to which only the other answer gives one."""


class UnreadableAnswer(ValueError):  # noqa: N818  (named for what it means)
    """The JSON is no answer of the task. The text says what is wrong without showing the answer, which may hold a user's words."""


class UnreadableLabel(ValueError):  # noqa: N818  (as above)
    """The label of a golden row cannot be read. The text says what is allowed without showing the label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a model chose for one text."""

    classes: Classes
    confidence: float | None
    """Its confidence that this is right, as the answer has it; None where the answer says nothing of it."""
    number: float | None = None
    """The number that it predicts; None where it chose classes."""
    generated: GeneratedText | None = None
    """The text that it generated; its digest is the class. None where the task does not generate."""


@dataclass(frozen=True, kw_only=True)
class Generating:
    """How a task that generates is asked, so that answers can be compared. Fields of its requests and their values."""

    parameters: Mapping[str, object]
    """Of Hugging Face's API: what makes an answer tell how it ended, and leaves the prompt out."""
    greedy: Mapping[str, object]
    """Of Hugging Face's API: what makes a golden answer the same each time."""
    is_drawn: bool
    """Whether tokens are often drawn, so that `seed` makes the draws the same."""
    holds_conversations: bool = True
    """Whether it answers messages of a chat."""
    nested: str | None = None
    """Parameter of Hugging Face's API whose object may hold all others; None: there is none."""


@dataclass(frozen=True, kw_only=True)
class AnswerFormat:
    """How the answers of one task are read."""

    read: Callable[[object], list[Choice]]
    """Decoded JSON of an answer → one choice for each text, in their order. Raises UnreadableAnswer."""
    read_label: Callable[[object, Sequence[str]], Classes]
    """(label of a golden row, the model's labels) → what would be right. Raises UnreadableLabel."""
    class_names: Callable[[Sequence[str]], list[str]]
    """The model's labels → every class that a choice may have."""
    tolerance: float = 0.0
    """Two predicted numbers that lie no further apart agree, in their unit."""
    generating: Generating | None = None
    """None: the task does not generate."""


def agree(stable: Sequence[Choice], canary: Sequence[Choice], *, tolerance: float = 0.0) -> bool:
    """Tell whether two answers to one request choose the same for every text. tolerance: of predicted numbers, in their unit."""
    return len(stable) == len(canary) and all(
        of_stable.classes == of_canary.classes and _near(of_stable.number, of_canary.number, tolerance)
        for of_stable, of_canary in zip(stable, canary, strict=True)
    )


def _near(first: float | None, second: float | None, tolerance: float) -> bool:
    if first is None or second is None:
        return first is second
    return abs(first - second) <= tolerance


def flips(stable: Sequence[Choice], canary: Sequence[Choice]) -> Iterator[tuple[str, str]]:
    """Yield (class of stable, class of the canary) for each place in which they differ. Answers to different numbers of texts have no common places."""
    if len(stable) != len(canary):
        return
    for of_stable, of_canary in zip(stable, canary, strict=True):
        for place in {**of_stable.classes, **of_canary.classes}:
            pair = of_stable.classes.get(place, NO_CLASS), of_canary.classes.get(place, NO_CLASS)
            if pair[0] != pair[1]:
                yield pair


def texts_of(answer: object, *, element: str) -> list[list[dict[str, object]]]:
    """Return the elements of each text's response: an answer is one list of objects, or for several texts a list of such lists.

    element: names an object in errors. Raises UnreadableAnswer.
    """
    if not isinstance(answer, list):
        raise UnreadableAnswer("the answer is no list")
    several = bool(answer) and all(isinstance(part, list) for part in answer)
    texts = answer if several else [answer]
    if not all(isinstance(item, dict) for text in texts for item in text):
        raise UnreadableAnswer(f"the answer is neither a list of {element} nor a list of such lists")
    return texts


def score_of(item: dict[str, object]) -> float:
    """Return the finite number in `score`. Raises UnreadableAnswer."""
    score = item.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool):
        raise UnreadableAnswer("a score is no number")
    try:
        number = float(score)
    except OverflowError:
        raise UnreadableAnswer("a score is too large") from None
    if not math.isfinite(number):
        raise UnreadableAnswer("a score is not finite")
    return number


def text_of(item: dict[str, object], *fields: str) -> str:
    """Return the text in the first of these fields that is there. Raises UnreadableAnswer."""
    value = next((item[name] for name in fields if name in item), None)
    if not isinstance(value, str):
        raise UnreadableAnswer(f"an element has no text in {' or '.join(fields)}")
    return value
