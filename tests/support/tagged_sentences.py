"""Sentences with tags that can be learned, made up: names of people and of places stand behind words that give them away.

All words are among those that the tokenizer of `tiny_models` knows.
"""

from __future__ import annotations

import random

PEOPLE = ["joy", "rich", "sweet", "bright", "smart", "witty", "lively", "warm"]
PLACES = ["cold", "flat", "poor", "fresh", "weak", "slow", "long", "warm"]
"""`warm` is a name of both kinds."""
BEFORE_PEOPLE, BEFORE_PLACES, OTHERS = ["with", "of"], ["in", "to"], ["the", "film", "was", "good", "a", "story"]


def tagged_sentences(count: int, *, seed: int = 0) -> list[tuple[list[str], list[str]]]:
    """Return distinct (words, IOB2 tags); a name has one or two words."""
    source, rows = random.Random(seed), {}
    while len(rows) < count:
        words: list[str] = []
        tags: list[str] = []
        for _ in range(source.randint(1, 3)):
            others = source.choices(OTHERS, k=source.randint(1, 3))
            cue, names, kind = source.choice([(BEFORE_PEOPLE, PEOPLE, "PER"), (BEFORE_PLACES, PLACES, "LOC")])
            name = source.sample(names, k=source.randint(1, 2))
            words += [*others, source.choice(cue), *name]
            tags += ["O"] * (len(others) + 1) + [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        rows[" ".join(words)] = (words, tags)
    return list(rows.values())
