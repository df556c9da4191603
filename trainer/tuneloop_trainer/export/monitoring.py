"""`monitoring.json`: the bins in which servers count what the model reads and says, filled from the test predictions of training.

Only for projections and for generated answers the published model reads rows again (`projections`, `generated_answers`). The features are computed by the functions that the server calls (`tuneloop_api.features`).

Shapes: n = reference rows.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.monitoring_profile import MONITORING, FeatureProfile, MonitoringProfile
from tuneloop_api.features.bins import NumberBins, choice_bins, number_bins
from tuneloop_api.features.generated_answers import answer_bins
from tuneloop_api.features.projections import PROJECTIONS
from tuneloop_api.features.text import TEXT_FEATURES, counter_of, text_values, unknown_ids
from tuneloop_api.wire.model import changed
from tuneloop_trainer.dataset.shards import open_split, read_rows
from tuneloop_trainer.export.generated_answers import generated_answers
from tuneloop_trainer.export.projections import projections_of
from tuneloop_trainer.models.tokenizer import read_as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tuneloop_api.features.bins import Bins
    from tuneloop_api.features.task_features import Values
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.export.exporters.exporter import ExportInputs
    from tuneloop_trainer.export.projections import Projections
    from tuneloop_trainer.tasks.task import Row, Task

SPLIT = "test"
MOST_ROWS = 10_000
"""Reference rows. With so many the share of a bin of 10 % is known within 0.6 points (95 %), and the stage takes seconds for it."""


def write_monitoring(folder: Path, inputs: ExportInputs, test: Predictions, *, temperature: float) -> None:
    """Write `monitoring.json` into an artifact. test: what training predicted for the prepared test split, row after row."""
    profile = monitoring_profile(
        inputs,
        test,
        temperature=temperature,
        projections=projections_of(folder, inputs, test, split=SPLIT),
        generated=generated_answers(folder, inputs, split=SPLIT),
    )
    text = json.dumps(profile.to_wire(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MONITORING).write_text(text, encoding="utf-8")


def monitoring_profile(
    inputs: ExportInputs,
    test: Predictions,
    *,
    temperature: float,
    projections: Projections | None,
    generated: Sequence[Values] = (),
) -> MonitoringProfile:
    """Return the bins of all features of the task, and how many test rows are in each. generated: features of answers, where the model generates them."""
    labels = inputs.prepared.resolved.labels
    rows = len(test.rows)
    chosen = np.unique(np.linspace(0, rows - 1, min(MOST_ROWS, rows)).astype(np.int64))
    features = inputs.task.features
    is_generated = features.values is None
    of_texts = list(_text_values(inputs, chosen))
    of_answers = generated if is_generated else list(_answer_values(inputs, test, chosen))
    found = [_number(name, of_texts) for name in TEXT_FEATURES]
    found += [_number(name, of_answers, bins=answer_bins if is_generated else _bins) for name in features.numbers]
    found += [_profile(name, choice_bins(choices(labels)), of_answers) for name, choices in features.choices.items()]
    return MonitoringProfile(
        task=inputs.settings.task_id,
        labels=labels,
        temperature=temperature,
        split=SPLIT,
        rows=len(chosen),
        features=[feature for feature in found if feature is not None] + _projected(projections),
    )


def _projected(projections: Projections | None) -> list[FeatureProfile]:
    if projections is None:
        return []
    found = []
    for name, direction, values in zip(PROJECTIONS, projections.directions, projections.values.T, strict=False):
        of_rows = [{name: value} for value in values.tolist()]
        bins = number_bins(values.tolist())
        found.append(changed(_profile(name, bins, of_rows), direction=direction.tolist()))
    return found


def _answer_values(inputs: ExportInputs, test: Predictions, chosen: NDArray[np.int64]) -> Iterator[Values]:
    values = inputs.task.features.values
    assert values is not None
    for row in chosen:
        logits = test.values[test.offsets[row] : test.offsets[row + 1]]
        yield values(logits.tolist(), inputs.prepared.resolved.labels)


def _text_values(inputs: ExportInputs, chosen: NDArray[np.int64]) -> Iterator[Values]:
    """Yield the features of the texts of these rows. What was cut is not kept: a row as long as a cut one is tokenized once more, whole."""
    dataset = Path(inputs.prepared.dataset_path)
    most, is_cut = inputs.prepared.resolved.max_tokens, inputs.task.windows is None
    tokenizer = inputs.tokenizer()
    if inputs.task.reads_text_alone:
        tokenizer = read_as_text(tokenizer)
    count_unknown = counter_of(unknown_ids(tokenizer))
    split, wanted = open_split(dataset, SPLIT), set(chosen.tolist())
    firsts = np.append(split.first_windows, len(split.rows))
    for index, (_, row) in enumerate(read_rows(dataset, SPLIT)):
        if index not in wanted:
            continue
        text, tokens = inputs.task.text_of(row), split.tokens(int(firsts[index])).tolist()
        yield text_values(
            characters=len(text),
            tokens=len(tokens),
            unknown=count_unknown(tokens),
            truncated=firsts[index + 1] - firsts[index] > 1
            or (is_cut and len(tokens) >= most and _tokens_of_whole(inputs.task, row, tokenizer) > most),
        )


def _tokens_of_whole(task: Task, row: Row, tokenizer: Any) -> int:
    """Return how many tokens a row has without a cut."""
    if task.reads_text_alone:
        return len(tokenizer(task.text_of(row), verbose=False)["input_ids"])
    (encoded,) = task.encode(tokenizer, [row], {})
    return len(encoded.input_ids)


def _bins(_name: str, values: Sequence[float]) -> NumberBins | None:
    """Return the bins of a number; None if it applies to no row, as unknown tokens do not where the tokenizer has none."""
    return number_bins(values) if values else None


def _number(
    name: str, of_rows: Sequence[Values], *, bins: Callable[[str, Sequence[float]], NumberBins | None] = _bins
) -> FeatureProfile | None:
    """Return a number with its bins; None if there are none. bins: makes them of the name and the values of the rows."""
    found = bins(name, [float(value) for row in of_rows if (value := row.get(name)) is not None])
    return None if found is None else _profile(name, found, of_rows)


def _profile(name: str, bins: Bins, of_rows: Sequence[Values]) -> FeatureProfile:
    """Return a feature with the number of rows in each of its bins."""
    counted = Counter(bins.index(value) for row in of_rows if (value := row.get(name)) is not None)
    counts = [counted[place] for place in range(bins.size)]
    if isinstance(bins, NumberBins):
        return FeatureProfile(name=name, edges=list(bins.edges), counts=counts)
    return FeatureProfile(
        name=name, categories=[str(choice) for choice in bins.positions], has_other=bins.has_other, counts=counts
    )
