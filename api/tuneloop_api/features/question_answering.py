"""Features of answers to questions, and when two answers are the same: the rules of SQuAD.

A model reads a context in windows. Of each window it keeps how likely no answer is there, and how likely its best answer is, in nats.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from typing import TYPE_CHECKING

from tuneloop_api.features.task_features import TaskFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.features.task_features import Values

NULL, SPAN = 1, 2
"""Places of the two log probabilities among the numbers that training keeps of a window."""
NEVER = -1e9
"""Stands for the log probability of no answer where an answer is always given."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normal_answer(text: str) -> str:
    """Return an answer in small letters, without ASCII punctuation, English articles and further white space.

    Source: the evaluation script of SQuAD (Rajpurkar et al. 2018, arXiv:1806.03822).
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, right: Sequence[str]) -> float:
    """Return 1 where an answer is one of the right ones, else 0. right: none where the context holds no answer, and the right answer is the empty one."""
    return float(any(normal_answer(answer) == normal_answer(other) for other in _right(right)))


def token_f1(answer: str, right: Sequence[str]) -> float:
    """Return the F1 of an answer's words against the right answer that it is nearest to. right: as in `exact_match`."""
    return max(_f1(normal_answer(answer).split(), normal_answer(other).split()) for other in _right(right))


def _right(answers: Sequence[str]) -> Sequence[str]:
    """Return the answers that are more than punctuation and articles; the empty one where there are none."""
    return [answer for answer in answers if normal_answer(answer)] or [""]


def _f1(found: list[str], right: list[str]) -> float:
    if not found or not right:
        return float(found == right)
    common = (Counter(found) & Counter(right)).total()
    return 2 * common / (len(found) + len(right))


def answer_values(windows: Sequence[tuple[float, float]]) -> Values:
    """Return the features of an answer. windows: the log probabilities of no answer and of the best answer, of each window; the first with the threshold taken off.

    That no answer is given is counted whatever a client asks for.
    """
    null = min(of_window[0] for of_window in windows)
    best = max(of_window[1] for of_window in windows)
    return {"confidence": math.exp(best), "no_answer": int(null > best), "windows": len(windows)}


def _values(kept: Sequence[Sequence[float]], _labels: Sequence[str]) -> Values:
    """Return the features of an answer from what training keeps of its windows, [windows, .]."""
    return answer_values([(of_window[NULL], of_window[SPAN]) for of_window in kept])


QUESTION_ANSWERING_FEATURES = TaskFeatures(
    numbers=("confidence", "no_answer", "windows"),
    choices={},
    values=_values,
    has_projections=False,  # a question has several windows
)
