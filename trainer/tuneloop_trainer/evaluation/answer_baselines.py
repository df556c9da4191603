"""What simpler means answer: the first sentence of the context, and words of the sentence that is most like the question.

Words are runs of letters and digits; their weights (idf) are those of the sentences of the training contexts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*|[.!?。！？]+")
_WORD = re.compile(r"\w+")
MOST_CONTEXTS = 20_000
"""Training contexts that the weights are taken from: more hardly change them."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and its context."""

    question: str
    context: str


def sentences_of(context: str) -> list[str]:
    """Return the sentences of a context, at least one: a sentence ends at a full stop, a question or exclamation mark, or a line break."""
    found = [sentence.strip() for sentence in _SENTENCE.findall(context)]
    return [sentence for sentence in found if sentence] or [context.strip()]


def first_sentence(asked: Question) -> str:
    """Return the first sentence of the context."""
    return sentences_of(asked.context)[0]


class LikestSentence:
    """Finds the sentence of a context that has the words of the question, rare words above all."""

    def __init__(self, contexts: Iterable[str]) -> None:
        """contexts: of the training split. Raises ValueError if they have no word."""
        self._tfidf = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)  # noqa: S106  (a pattern, no password)
        self._tfidf.fit(sentence for context in contexts for sentence in sentences_of(context))

    def sentence(self, asked: Question) -> str:
        """Return the sentence; of equals the first."""
        sentences = sentences_of(asked.context)
        likeness = self._tfidf.transform(sentences) @ self._tfidf.transform([asked.question]).T
        return sentences[int(np.argmax(likeness.toarray()[:, 0]))]

    def new_words(self, asked: Question) -> str:
        """Return the longest run of words of the sentence that the question does not have: what it asks for; the whole sentence if there is none."""
        sentence = self.sentence(asked)
        known = {word.lower() for word in _WORD.findall(asked.question)}
        runs: list[list[re.Match[str]]] = [[]]
        for word in _WORD.finditer(sentence):
            if word.group().lower() in known:
                runs.append([])
            else:
                runs[-1].append(word)
        longest = max(runs, key=len)
        return sentence[longest[0].start() : longest[-1].end()] if longest else sentence


def likest_span(
    train_contexts: Iterable[str], score: Callable[[Callable[[Question], str]], float]
) -> tuple[Callable[[Question], str], str]:
    """Return the better of the two answers of the likest sentence, and its name. score: of a way to answer, on the validation split."""
    likest = LikestSentence(train_contexts)
    ways: Sequence[tuple[Callable[[Question], str], str]] = (
        (likest.new_words, "its longest run of words that the question has not"),
        (likest.sentence, "the whole sentence"),
    )
    return max(ways, key=lambda way: score(way[0]))
