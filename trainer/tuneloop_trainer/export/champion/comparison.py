"""Runs the exported model and the champion over the same rows, one after the other, and writes `evaluation.json`.

The champion's old score plays no part: it was measured on other rows. Both models are loaded as the server does; one at a time is in memory.
"""

from __future__ import annotations

import gc
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.artifact import MODEL_FOLDER
from tuneloop_api.contract.champion import (
    EVALUATION,
    ComparedModel,
    ComparisonSummary,
    ModelComparison,
    SetSummary,
)
from tuneloop_api.statistics.challenger import LEVEL, Rules, outcome_of
from tuneloop_trainer.export.champion.artifact import Champion, model_digest, open_champion
from tuneloop_trainer.export.champion.encode import as_split, cuts_of, encode_rows, require_same_tokens, tokenizer_of
from tuneloop_trainer.export.champion.judge import Judging, Model, compared_metric, judge_set
from tuneloop_trainer.export.champion.predict import predict_sets
from tuneloop_trainer.export.champion.rows import golden_rows, recent_rows
from tuneloop_trainer.export.publish import list_files
from tuneloop_trainer.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.champion import ComparedSet
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.settings import CompareWithSettings
    from tuneloop_api.statistics.challenger import SetVerdict
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.evaluation.intervals import Bootstrap
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.export.champion.rows import RowSet
    from tuneloop_trainer.export.exporters.exporter import ExportInputs

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Splits:
    """The tokens of all sets, as each model reads them."""

    challenger: list[TokenizedSplit]
    champion: list[TokenizedSplit]


def compare_with_champion(
    folder: Path,
    config: RunConfig,
    inputs: ExportInputs,
    *,
    temperature: float,
    bootstrap: Bootstrap,
    beat: Callable[[float], None],
) -> ComparisonSummary | None:
    """Write `evaluation.json` into the artifact's folder and return what the result says; None: the job has no `evaluation.compareWith`.

    temperature: of the exported model. beat: called with the fraction done. Raises ConfigError if the champion is no model to compare with, DataError if the
    recent rows cannot be used, StageError if one of the two cannot be loaded.
    """
    labels, begun = inputs.prepared.resolved.labels, time.monotonic()
    champion = open_champion(config, labels=labels)
    asked = config.settings.evaluation.compare_with
    if champion is None or asked is None:
        return None
    dataset = Path(inputs.prepared.dataset_path)
    recent = recent_rows(config, dataset, labels=labels)
    sets = [golden_rows(dataset), *([recent] if recent is not None else [])]
    own, other = _predictions(folder, champion, sets, inputs=inputs, beat=beat)
    metric = compared_metric(inputs.task, config.settings.training.best_metric)
    judging = Judging(task=inputs.task, labels=labels, rules=_rules(asked), bootstrap=bootstrap, metric=metric)
    found = [
        judge_set(
            rows,
            challenger=Model(predictions=own[number], temperature=temperature),
            champion=Model(predictions=other[number], temperature=champion.manifest.temperature),
            judging=judging,
            is_decisive=number == len(sets) - 1,
        )
        for number, rows in enumerate(sets)
    ]
    challenger = ComparedModel(
        job=config.job.name, model_digest=model_digest(list_files(folder)), temperature=temperature
    )
    comparison = _comparison(found, judging=judging, challenger=challenger, champion=_compared(champion))
    text = json.dumps(comparison.to_wire(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / EVALUATION).write_text(text, encoding="utf-8")
    seconds = time.monotonic() - begun
    LOG.info("beside the champion, in %.1f s: %s: %s", seconds, comparison.verdict, comparison.message)
    return _summary(comparison, digest=champion.manifest.digest(), seconds=seconds)


def _comparison(
    found: list[tuple[ComparedSet, SetVerdict]], *, judging: Judging, challenger: ComparedModel, champion: ComparedModel
) -> ModelComparison:
    outcome = outcome_of([verdict for _, verdict in found])
    return ModelComparison(
        metric=judging.metric,
        margin=judging.rules.margin,
        min_improvement=judging.rules.min_improvement,
        slice_margin=judging.rules.of_slices.margin,
        level=LEVEL,
        champion=champion,
        challenger=challenger,
        sets=[compared for compared, _ in found],
        verdict=outcome.verdict.value,
        message=outcome.reason,
    )


def _compared(champion: Champion) -> ComparedModel:
    manifest = champion.manifest
    return ComparedModel(
        job=manifest.name,
        digest=manifest.digest(),
        model_digest=model_digest(manifest.files),
        temperature=manifest.temperature,
    )


def _predictions(
    folder: Path, champion: Champion, sets: list[RowSet], *, inputs: ExportInputs, beat: Callable[[float], None]
) -> tuple[list[Predictions], list[Predictions]]:
    """Return the predictions of the exported model, and then those of the champion, for each set."""
    tokenizer = load_tokenizer(folder / MODEL_FOLDER, as_text=inputs.task.reads_text_alone)
    splits = _splits(sets, tokenizer, champion, inputs=inputs)
    how: dict[str, Any] = {
        "task": inputs.task,
        "labels": inputs.prepared.resolved.labels,
        "pad_token_id": tokenizer.pad_token_id,
    }
    own = predict_sets(folder / MODEL_FOLDER, splits.challenger, **how, beat=lambda done: beat(done / 2))
    gc.collect()  # models hold circles of references, and the champion needs the room
    other = predict_sets(champion.model, splits.champion, **how, beat=lambda done: beat((1 + done) / 2))
    return own, other


def _splits(sets: list[RowSet], tokenizer: Any, champion: Champion, *, inputs: ExportInputs) -> _Splits:
    other = tokenizer_of(champion, task=inputs.task)
    label_ids = {label: index for index, label in enumerate(inputs.prepared.resolved.labels)}
    own_splits, other_splits = [], []
    for rows in sets:
        encoded = encode_rows(rows.rows, tokenizer, task=inputs.task, label_ids=label_ids)
        by_champion = encode_rows(rows.rows, other, task=inputs.task, label_ids=label_ids)
        require_same_tokens(encoded, by_champion, name=rows.name)
        cuts = cuts_of(encoded, challenger=inputs.prepared.resolved.max_tokens, champion=champion.manifest.max_tokens)
        own_splits.append(as_split(encoded, tokenizer, max_tokens=cuts[0], name=rows.name))
        other_splits.append(as_split(encoded, tokenizer, max_tokens=cuts[1], name=rows.name))
    return _Splits(challenger=own_splits, champion=other_splits)


def _rules(asked: CompareWithSettings) -> Rules:
    return Rules(margin=asked.margin, min_improvement=asked.min_improvement, slice_margin=asked.slice_margin)


def _summary(comparison: ModelComparison, *, digest: str, seconds: float) -> ComparisonSummary:
    return ComparisonSummary(
        verdict=comparison.verdict,
        message=comparison.message,
        metric=comparison.metric,
        champion_digest=digest,
        seconds=round(seconds, 1),
        sets=[_of_set(compared) for compared in comparison.sets],
    )


def _of_set(compared: ComparedSet) -> SetSummary:
    return SetSummary(
        name=compared.name,
        rows=compared.rows,
        champion=compared.champion,
        challenger=compared.challenger,
        low=compared.low,
        high=compared.high,
        discordant=compared.champion_only + compared.challenger_only,
        verdict=compared.verdict,
    )
