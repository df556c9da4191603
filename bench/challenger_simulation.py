"""How often a challenger is promoted or rejected: equal, better and worse ones, by the number of rows. Draws counts; trains nothing.

Each draw is a golden set and, where there is one, a recent window: rows that the challenger alone or the champion alone has right, multinomial. The verdict is that of the export.

    PYTHONPATH=api .venv/bin/python bench/challenger_simulation.py --write docs/results.md    # a minute of one core
"""

from __future__ import annotations

import argparse
import functools
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.statistics.challenger import (
    LEVEL,
    Rules,
    SetVerdict,
    Verdict,
    gain_of_pairs,
    improvement,
    non_inferiority,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DRAWS = 10_000
DISCORDANT = 0.1
"""Share of rows on which exactly one of the two models is right."""
RULES = Rules(margin=0.03, min_improvement=0.0)
GAINS = (-0.05, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.05)
GOLDEN_ALONE = (250, 500, 1_000, 2_000, 5_000)
RECENT = (250, 500, 1_000, 2_000)
GOLDEN_BESIDE = 2_000
CLASSES = (2, 5)
LOSSES = (0.0, 0.03, 0.06, 0.09)
"""Of one class; the others are as they were."""
BEGIN, END = "<!-- bench/challenger_simulation.py writes from here -->", "<!-- to here -->"


@functools.cache
def verdict_of(challenger_only: int, champion_only: int, rows: int, *, is_decisive: bool) -> Verdict:
    """Return the verdict of a set."""
    gain = gain_of_pairs(challenger_only, champion_only, rows)
    return (improvement if is_decisive else non_inferiority)(gain, RULES)


def drawn(rows: int, gain: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return rows that the challenger alone and the champion alone has right, [DRAWS, 2]."""
    shares = [(DISCORDANT + gain) / 2, (DISCORDANT - gain) / 2, 1 - DISCORDANT]
    return generator.multinomial(rows, shares, size=DRAWS)[:, :2]


def verdicts(sets: list[tuple[int, float]]) -> Counter[Verdict]:
    """Return how often each verdict comes. sets: rows and true gain of each set, the decisive one last."""
    generator = np.random.default_rng(zlib.crc32(repr(sets).encode()))
    counts = [drawn(rows, gain, generator) for rows, gain in sets]
    found: Counter[Verdict] = Counter()
    for draw in zip(*counts, strict=True):
        judged = [
            SetVerdict(
                name="", verdict=verdict_of(int(b), int(c), rows, is_decisive=number == len(sets) - 1), reason=""
            )
            for number, ((b, c), (rows, _)) in enumerate(zip(draw, sets, strict=True))
        ]
        found[outcome_of(judged).verdict] += 1
    return found


def row(label: str, sets: list[tuple[int, float]]) -> str:
    """Return a line of a table: shares of the verdicts, in percent."""
    found = verdicts(sets)
    shares = [100 * found[name] / DRAWS for name in (Verdict.BETTER, Verdict.NOT_BETTER, Verdict.WORSE)]
    open_share = 100 * found[Verdict.INCONCLUSIVE] / DRAWS
    return f"| {label} | {' | '.join(f'{share:.1f}' for share in (*shares, open_share))} |"


def blocked(rows: int, classes: int, loss: float) -> tuple[float, float]:
    """Return how often one of several equal classes of a golden set blocks, in percent: with the margin of the whole set, and with its own."""
    of_class = rows // classes
    generator = np.random.default_rng(zlib.crc32(repr((rows, classes, loss)).encode()))
    counts = [drawn(of_class, -loss if number == 0 else 0.0, generator) for number in range(classes)]
    is_worse = np.zeros((2, DRAWS), dtype=np.bool_)
    for draws in counts:
        for number, rules in enumerate((RULES, RULES.of_slices)):
            is_worse[number] |= [
                verdict_of_class(int(b), int(c), of_class, classes=classes, rules=rules) is Verdict.WORSE
                for b, c in draws
            ]
    return 100 * is_worse[0].mean(), 100 * is_worse[1].mean()


@functools.cache
def verdict_of_class(challenger_only: int, champion_only: int, rows: int, *, classes: int, rules: Rules) -> Verdict:
    """Return the verdict of a class."""
    return non_inferiority(gain_of_pairs(challenger_only, champion_only, rows, level=LEVEL / classes), rules)


def slices() -> Iterator[str]:
    """Yield the lines of the table of slices."""
    wide = RULES.of_slices.margin
    yield "### Classes of a golden set"
    yield f"| rows | classes, of equal size | true loss on one of them, points | blocks with margin {RULES.margin:g} | blocks with sliceMargin {wide:g} |"
    yield "|---|---|---|---|---|"
    for rows in GOLDEN_ALONE:
        for classes in CLASSES:
            for loss in LOSSES:
                narrow, own = blocked(rows, classes, loss)
                yield f"| {rows:,} | {classes} | {100 * loss:g} | {narrow:.1f} | {own:.1f} |"


def section() -> Iterator[str]:
    """Yield the lines of the section."""
    heads = "promoted (Better) | rejected (NotBetter) | rejected (Worse) | Inconclusive |"
    yield "### The golden set alone"
    yield f"| rows | true gain, points | {heads}"
    yield "|---|---|---|---|---|---|"
    for rows in GOLDEN_ALONE:
        for gain in GAINS:
            yield row(f"{rows:,} | {100 * gain:+g}", [(rows, gain)])
    yield ""
    yield f"### A golden set of {GOLDEN_BESIDE:,} rows, and a recent window"
    yield f"| recent rows | gain on golden, points | gain on recent, points | {heads}"
    yield "|---|---|---|---|---|---|---|"
    for rows in RECENT:
        for golden, recent in (
            (0.0, 0.0),
            (0.0, 0.03),
            (0.0, 0.05),
            (-0.01, 0.05),
            (-0.03, 0.05),
            (-0.05, 0.05),
            (0.0, -0.05),
        ):
            yield row(f"{rows:,} | {100 * golden:+g} | {100 * recent:+g}", [(GOLDEN_BESIDE, golden), (rows, recent)])
    yield ""
    yield from slices()


def main() -> None:
    """Print the section, or write it into a page between its marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    page = parser.parse_args().write
    text = "\n".join(section())
    if page is None:
        print(text)
        return
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
