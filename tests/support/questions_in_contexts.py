"""Questions whose answers stand in contexts, which a tiny model can learn: a question names a kind of words, and the context holds one such word, or two in a row, or none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = ["a", "the", "this", "is", "it", "so", "film", "movie", "story", "script", "cast", "tale"]
KINDS = {"is it warm": ["good", "great", "fine", "best"], "is it cold": ["bad", "poor", "weak", "worst"]}
_OTHER_KIND = 0.2
"""Share of the contexts with a word of the kind that is not asked for: to tell the two apart takes a tiny model longer than a test has."""


def asked_questions(
    count: int, *, words: tuple[int, int] = (8, 40), unanswerable: float = 0.2, seed: int = 5
) -> list[dict[str, Any]]:
    """Return rows of the format squad, no two alike. words: of a context, from and to. unanswerable: share of the questions without an answer."""
    generator = np.random.default_rng(seed)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    while len(rows) < count:
        question = str(generator.choice(list(KINDS)))
        texts = generator.choice(PLAIN, generator.integers(*words)).tolist()
        other = next(kind for kind in KINDS if kind != question)
        if generator.random() < _OTHER_KIND:
            texts.insert(int(generator.integers(len(texts) + 1)), str(generator.choice(KINDS[other])))
        answers: dict[str, list[Any]] = {"text": [], "answer_start": []}
        if generator.random() >= unanswerable:
            answer = " ".join(generator.choice(KINDS[question], generator.integers(1, 3)).tolist())
            place = int(generator.integers(len(texts) + 1))
            texts.insert(place, answer)
            answers = {"text": [answer], "answer_start": [len(" ".join([*texts[:place], ""]))]}
        context = " ".join(texts)
        rows[question, context] = {"context": context, "question": question, "answers": answers}
    return list(rows.values())


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the rows, one a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_squad(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the rows as SQuAD 2.0 does: one document."""
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": str(number),
                    "question": row["question"],
                    "is_impossible": not row["answers"]["text"],
                    "answers": [
                        {"text": text, "answer_start": start}
                        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                    ],
                }
            ],
        }
        for number, row in enumerate(rows)
    ]
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "Films", "paragraphs": paragraphs}]}))
    return path
