"""How far a classifier of one kind of text falls on another, and what new labels bring back: the ground of the story of drift.

    python bench/cross_domain.py [--write docs/results.md] [--minilm DIR]

Four domains (`dev/real_data.py`): film reviews, Amazon reviews, tweets, editorials. Labels are the sign of the mean rating; ratings nearer to 0
than 0.5 are left out. Every model learns from at most 3,000 training rows of a domain and is measured on the test rows of all. Pairs are chosen
on validation rows. `--minilm` also fine-tunes MiniLM with `tuneloop run`, whose files go to DIR; a run that ended there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dev"))

import cross_domain_models as models
from cross_domain_tables import page, replaced
from demo_loop.accuracy import accuracy_of
from demo_loop.domains import FILES, TEST, TRAIN, TRAINED_ROWS, VALIDATION, Row, divided, read_domain

if TYPE_CHECKING:
    from collections.abc import Callable

    Splits = dict[str, dict[str, list[Row]]]

ROOT = Path(__file__).resolve().parent.parent
CLAIM = ROOT / ".tuneloop" / "claims" / "demo"
SEEDS = (1, 2, 3)
"""Of the division into splits. Logistic regression has no other chance; MiniLM is trained with the first division and seed 42."""
NEW_ROWS = (300, 600, 1000)


def main() -> int:
    """Return 0."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--claim", type=Path, default=CLAIM, help="folder that dev/real_data.py filled")
    options.add_argument(
        "--json",
        type=Path,
        help="file for all figures; those of logistic regression that it has are not computed again",
    )
    options.add_argument("--write", type=Path, help="page whose part between the marks is replaced")
    options.add_argument(
        "--minilm", type=Path, help="folder of the fine-tuned models; default: logistic regression alone"
    )
    options.add_argument("--domains", nargs="*", default=list(FILES), help="rows of the matrix of MiniLM")
    options.add_argument("--retrain", nargs="*", default=[], metavar="OLD:NEW:ROWS", help="retrains of MiniLM")
    given = options.parse_args()
    domains = {domain: read_domain(given.claim, domain) for domain in FILES}
    figures = _linear(domains, given.json)
    splits = {domain: divided(rows, seed=SEEDS[0]) for domain, rows in domains.items()}
    figures["balance"] = {domain: _balance(found) for domain, found in splits.items()}
    if given.minilm:
        _fine_tuned(figures, splits, given)
    if given.json:
        given.json.write_text(json.dumps(figures))
    text = page(figures)
    print(text)
    if given.write:
        given.write.write_text(replaced(given.write.read_text(), text))
    return 0


def _linear(domains: dict[str, list[Row]], stored: Path | None) -> dict:
    figures: dict = {name: {} for name in ("balance", "matrix", "retrain", "minilm", "minilm_retrain", "seconds")}
    if stored is not None and stored.exists():
        return figures | {
            name: found for name, found in json.loads(stored.read_text()).items() if name in {"matrix", "retrain"}
        }
    for seed in SEEDS:
        splits = {domain: divided(rows, seed=seed) for domain, rows in domains.items()}
        _matrix(figures["matrix"], splits, seed=seed, fit=models.fit_linear)
        _retrains(figures["retrain"], splits, seed=seed)
    return figures


def _matrix(figures: dict, splits: Splits, *, seed: int, fit: Callable) -> None:
    for source in splits:
        predict = fit(splits[source][TRAIN][:TRAINED_ROWS], splits[source][VALIDATION])
        for target in splits:
            cell = figures.setdefault(source, {}).setdefault(target, {})
            cell[str(seed)] = _measured(predict, splits[target])


def _retrains(figures: dict, splits: Splits, *, seed: int) -> None:
    """Measure retrains from the start on old rows and some rows of another domain, for every pair."""
    for old in splits:
        for new in splits:
            if new == old:
                continue
            for rows in NEW_ROWS:
                train = splits[old][TRAIN][:TRAINED_ROWS] + splits[new][TRAIN][:rows]
                predict = models.fit_linear(train, splits[old][VALIDATION])
                cell = figures.setdefault(f"{old}:{new}", {}).setdefault(str(rows), {})
                cell[str(seed)] = {name: _measured(predict, splits[name]) for name in (old, new)}


def _fine_tuned(figures: dict, splits: Splits, given: argparse.Namespace) -> None:
    for source in given.domains:
        began = time.monotonic()
        train = splits[source][TRAIN][:TRAINED_ROWS]
        predict = models.fine_tune(source, train, splits[source], folder=given.minilm, claim=given.claim)
        figures["seconds"][source] = {"rows": len(train), "seconds": time.monotonic() - began}
        figures["minilm"][source] = {target: {"1": _measured(predict, splits[target])} for target in splits}
        print(f"MiniLM, {source}: {time.monotonic() - began:.0f} s", flush=True)
    for old, new, rows in (pair.split(":") for pair in given.retrain):
        train = splits[old][TRAIN][:TRAINED_ROWS] + splits[new][TRAIN][: int(rows)]
        name = f"{old}-{new}-{rows}"
        began = time.monotonic()
        predict = models.fine_tune(name, train, splits[old], folder=given.minilm, claim=given.claim)
        figures["seconds"][name] = {"rows": len(train), "seconds": time.monotonic() - began}
        cell = figures["minilm_retrain"].setdefault(f"{old}:{new}", {}).setdefault(rows, {})
        cell["1"] = {domain: _measured(predict, splits[domain]) for domain in (old, new)}


def _measured(predict: Callable[[list[str]], list[str]], splits: dict[str, list[Row]]) -> dict:
    """Return the accuracy of a model on the validation and the test rows of a domain."""
    found = {}
    for name in (VALIDATION, TEST):
        rows = splits[name]
        answers = predict([row.text for row in rows])
        right = [answer == row.label for answer, row in zip(answers, rows, strict=True)]
        found[name] = accuracy_of(right, [row.parent for row in rows]).to_json()
    return found


def _balance(splits: dict[str, list[Row]]) -> dict:
    everything = [row for rows in splits.values() for row in rows]
    return {
        "rows": {name: len(rows) for name, rows in splits.items()},
        "parents": len({row.parent for row in everything}),
        "positive": statistics.mean(row.label == "positive" for row in everything),
    }


if __name__ == "__main__":
    sys.exit(main())
