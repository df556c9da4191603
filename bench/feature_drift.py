"""What the features show when texts of another kind come: PSI of each feature from film reviews to three other domains, projections included.

    PYTHONPATH=api:trainer python bench/feature_drift.py MODEL [--claim DIR] [--vectors FILE] [--write docs/results.md]

MODEL: the folder `artifact/model` of MiniLM fine-tuned on film reviews, as `bench/cross_domain.py --minilm DIR` leaves it below DIR. The reference is a random
half of the film reviews' test rows, which chooses directions and bins as `export` does; the other half shows what chance does. From the other domains come test rows
and 1,000 training rows, which the model has never seen. "Alike" are those that remain if each reference row takes the row of the domain that is nearest to its own
characters, tokens and confidence, as long as one is near. `--vectors` keeps what the model computed.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dev"))

from demo_loop.domains import FILES, TEST, TRAIN, divided, read_domain

from tuneloop_api.features.bins import number_bins
from tuneloop_api.features.projections import PROJECTIONS
from tuneloop_api.features.text_vectors import noting
from tuneloop_trainer.export.projections import directions_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    Table = dict[str, np.ndarray]
    """Feature → its value for each row; the logits and vectors of the rows besides."""

OWN = "movies"
MORE_ROWS, MOST_ROWS, BATCH = 1000, 2500, 32
ALIKE = 1.0
"""Squared distance of rows that are alike: 1 is a quarter of the logarithm of a length, or 1 of the logit."""
BEGIN, END = "<!-- bench/feature_drift.py writes from here -->", "<!-- to here -->"


def main() -> int:
    """Return 0."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", type=Path)
    options.add_argument("--claim", type=Path, default=Path(__file__).parents[1] / ".tuneloop" / "claims" / "demo")
    options.add_argument("--vectors", type=Path)
    options.add_argument("--write", type=Path)
    given = options.parse_args()
    if given.vectors and given.vectors.exists():
        stored = np.load(given.vectors)
        parts = {
            domain: {name.split(".")[1]: stored[name] for name in stored.files if name.startswith(f"{domain}.")}
            for domain in FILES
        }
    else:
        parts = {domain: computed(given.model, texts_of(given.claim, domain)) for domain in FILES}
        if given.vectors:
            np.savez(
                given.vectors, **{f"{d}.{name}": array for d, found in parts.items() for name, array in found.items()}
            )
    text = table(parts)
    print(text)
    if given.write:
        page = given.write.read_text()
        before, after = page.split(BEGIN, 1)[0], page.split(BEGIN, 1)[1].split(END, 1)[1]
        given.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    return 0


def texts_of(claim: Path, domain: str) -> list[str]:
    """Return texts of a domain that the model of film reviews has not learned from."""
    splits = divided(read_domain(claim, domain), seed=1)
    rows = splits[TEST] + (splits[TRAIN][:MORE_ROWS] if domain != OWN else [])
    return [row.text for row in rows[:MOST_ROWS]]


def computed(folder: Path, texts: Sequence[str]) -> Table:
    """Return lengths, logits and vectors of texts."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, tuple] = {}
    with noting(model) as last, torch.inference_mode():
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = tokenizer([texts[place] for place in places], padding=True, truncation=True, return_tensors="pt")
            logits, mask = model(**batch).logits, batch["attention_mask"]
            rows = zip(logits.numpy(), last.vectors(mask).numpy(), mask.sum(dim=1).tolist(), strict=True)
            found |= {place: (*row, len(texts[place])) for place, row in zip(places, rows, strict=True)}
    columns = zip(*(found[place] for place in range(len(texts))), strict=True)
    return dict(zip(("logits", "mean", "tokens", "chars"), map(np.array, columns), strict=True))


def table(parts: dict[str, Table]) -> str:
    """Return a table of PSI: a row for each feature, a column for each set of texts."""
    random = np.random.default_rng(0)
    order = random.permutation(len(parts[OWN]["chars"]))
    half = len(order) // 2
    rows = {name: values[order[:half]] for name, values in parts[OWN].items()}
    directions = directions_from(rows["mean"].astype(np.float64), rows["logits"].astype(np.float64))
    reference = features_of(rows, directions)
    columns = {f"{OWN}, other half": features_of({n: v[order[half:]] for n, v in parts[OWN].items()}, directions)}
    others = {domain: features_of(parts[domain], directions) for domain in FILES if domain != OWN}
    columns |= others
    for domain, found in others.items():
        places = alike(reference, found, random)
        columns[f"{domain}, alike"] = {name: values[places] for name, values in found.items()}
    sizes = {name: len(found["confidence"]) for name, found in columns.items()}
    lines = [
        f"| feature | {' | '.join(columns)} |",
        f"|{' --- |' * (len(columns) + 1)}",
        f"| texts (reference: {half:,}) | {' | '.join(f'{size:,}' for size in sizes.values())} |",
        f"| critical value, 10 bins | {' | '.join(f'{21.67 * (1 / half + 1 / size):.3f}' for size in sizes.values())} |",
    ]
    for name in reference:
        found = [psi(reference[name], values[name]) for values in columns.values()]
        cells = (f"**{value:.2f}**" if value > 0.2 else f"{value:.2f}" for value in found)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def features_of(rows: Table, directions: np.ndarray) -> Table:
    """Return the features of rows. Entropy and margin of two labels say what the confidence says."""
    powers = np.exp(rows["logits"].astype(np.float64) - rows["logits"].max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    values = {
        "text_characters": rows["chars"],
        "text_tokens": rows["tokens"],
        "predicted_label": probabilities.argmax(axis=1),
        "confidence": probabilities.max(axis=1),
    }
    return values | dict(zip(PROJECTIONS, (rows["mean"].astype(np.float64) @ directions.T).T, strict=False))


def alike(reference: Table, found: Table, random: np.random.Generator) -> list[int]:
    """Return places of rows like those of the reference, each once."""
    names = ("text_characters", "text_tokens", "confidence")
    axes, others = ([_scaled(table, name) for name in names] for table in (reference, found))
    same = reference["predicted_label"], found["predicted_label"]
    left, chosen = np.ones(len(others[0]), dtype=bool), []
    for row in random.permutation(len(axes[0])):
        distance = sum((other - axis[row]) ** 2 for axis, other in zip(axes, others, strict=True))
        distance = np.where(left & (same[1] == same[0][row]), distance, math.inf)
        place = int(distance.argmin())
        if distance[place] < ALIKE:
            chosen.append(place)
            left[place] = False
    return chosen


def _scaled(table: Table, name: str) -> np.ndarray:
    values = table[name].astype(np.float64)
    return np.log(values / (1.0 - values)) if name == "confidence" else 4.0 * np.log(values)


def psi(reference: np.ndarray, found: np.ndarray) -> float:
    """Return the population stability index in the bins of the reference, with half a text more in every bin."""
    bins = number_bins(list(map(float, reference)))
    p, q = (
        np.bincount([bins.index(value) for value in values], minlength=bins.size) + 0.5 for values in (reference, found)
    )
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


if __name__ == "__main__":
    sys.exit(main())
