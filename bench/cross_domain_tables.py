"""The tables of the matrix of domains, from its figures (accuracies by seed of the division)."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGIN = "<!-- bench/cross_domain.py writes from here -->"
END = "<!-- to here -->"
FIRST = "1"
"""The seed whose rows the matrix shows."""
LEAST_DROP = 5.0
"""Points on validation rows: what a pair must lose to carry the story."""


def page(figures: dict) -> str:
    """Return all tables, between the two marks."""
    parts = [BEGIN, _balance(figures["balance"]), "### Logistic regression on TF-IDF", _matrix(figures["matrix"])]
    if figures["minilm"]:
        parts += ["### MiniLM, fine-tuned for one epoch", _matrix(figures["minilm"])]
    parts += ["### Drops", _drops(figures["matrix"], figures["minilm"]), "### Retrained on old and new rows"]
    parts += [_retrains(figures["matrix"], figures["retrain"], model="logistic regression", rising_only=True)]
    if figures["minilm_retrain"]:
        parts += [_retrains(figures["minilm"], figures["minilm_retrain"], model="MiniLM", rising_only=False)]
    return "\n\n".join([*parts, END])


def replaced(document: str, text: str) -> str:
    """Return a document with the part between the marks replaced. Raises ValueError where a mark is missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"page: needs the lines `{BEGIN}` and `{END}`, one after the other")
    return before + text + after


def drop(matrix: dict, old: str, new: str, split: str) -> float:
    """Return by how many points the model of `old` is worse on `new` than on its own rows, mean over the divisions."""
    return statistics.mean(
        100 * (matrix[old][old][seed][split]["value"] - matrix[old][new][seed][split]["value"])
        for seed in matrix[old][new]
    )


def _balance(balance: dict) -> str:
    rows = []
    for domain, found in balance.items():
        counts = [found["rows"][name] for name in ("train", "validation", "test")] + [found["parents"]]
        rows.append([domain, *(f"{count:,}" for count in counts), f"{100 * found['positive']:.0f}"])
    return _table(["domain", "train", "validation", "test", "parents", "positive, %"], rows)


def _matrix(matrix: dict) -> str:
    targets = list(next(iter(matrix.values())))
    rows = [
        [source, *(_with_interval(cells[target][FIRST]["test"], own=target == source) for target in targets)]
        for source, cells in matrix.items()
    ]
    return _table(["learned from", *targets], rows)


def _with_interval(cell: dict, *, own: bool) -> str:
    mark = "**" if own else ""
    return f"{mark}{100 * cell['value']:.1f}{mark} ({100 * cell['low']:.1f}–{100 * cell['high']:.1f})"


def _drops(linear: dict, minilm: dict) -> str:
    rows = []
    for old in linear:
        for new in linear:
            if old == new:
                continue
            tests = [
                100 * (linear[old][old][seed]["test"]["value"] - linear[old][new][seed]["test"]["value"])
                for seed in linear[old][new]
            ]
            row = [f"{old} → {new}", f"{drop(linear, old, new, 'validation'):+.1f}"]
            row += [f"{statistics.mean(tests):+.1f} ({min(tests):+.1f} to {max(tests):+.1f})"]
            found = old in minilm
            row += [f"{drop(minilm, old, new, name):+.1f}" if found else "" for name in ("validation", "test")]
            rows.append(row)
    head = ["traffic turns", "validation", "test (three divisions)", "MiniLM: validation", "MiniLM: test"]
    return _table(head, rows)


def _retrains(matrix: dict, retrains: dict, *, model: str, rising_only: bool) -> str:
    rows = []
    for pair, by_rows in retrains.items():
        old, new = pair.split(":")
        if rising_only and drop(matrix, old, new, "validation") < LEAST_DROP:
            continue
        rows.append(
            [
                f"{old} → {new}",
                f"{_mean(matrix[old][old])} / {_mean(matrix[old][new])}",
                *(
                    f"{_mean(_of(found, old))} / {_mean(_of(found, new))}" if found else ""
                    for found in (by_rows.get(rows_of_new) for rows_of_new in ("300", "600", "1000"))
                ),
            ]
        )
    return _table([model, "no new rows", "300", "600", "1,000"], rows)


def _of(by_seed: dict, domain: str) -> dict:
    return {seed: found[domain] for seed, found in by_seed.items()}


def _mean(by_seed: dict) -> str:
    return f"{100 * statistics.mean(found['test']['value'] for found in by_seed.values()):.1f}"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
