"""Prepares a data set that is not there yet: read, change and divide rows, tokenize, cut, write, publish. `STEPS` is the order of the steps."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tuneloop_api.contract.results import DataCounts
from tuneloop_trainer.data.bad_rows import BadRows, refuse_too_many
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.folder import draft_folder, publish
from tuneloop_trainer.data.notes import notes_of
from tuneloop_trainer.data.report_data import data_report, rows_report, summary
from tuneloop_trainer.data.row_table import OUT
from tuneloop_trainer.data.steps import exact_duplicates, keep_splits_apart, label_ids, split
from tuneloop_trainer.data.steps.step import StepContext
from tuneloop_trainer.data.tokenize import RowEncoder, default_max_tokens, tokenize, wrap
from tuneloop_trainer.data.write_splits import WrittenSplits, write_splits
from tuneloop_trainer.dataset.shards import (
    LABELS,
    MANIFEST,
    REPORT,
    TOKENIZER,
    DatasetManifest,
    TokenizerFacts,
    read_manifest,
)
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.evaluation.target_scale import scale_of
from tuneloop_trainer.models.files import CHAT_TEMPLATE, tokenizer_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.data.encoded import EncodedSplit
    from tuneloop_trainer.data.formats.row_format import RowFormat, Unusable
    from tuneloop_trainer.data.prepare_progress import PrepareProgress
    from tuneloop_trainer.data.row_table import RowTable
    from tuneloop_trainer.data.steps.step import DataStep
    from tuneloop_trainer.data.tokenize import TextTokenizer
    from tuneloop_trainer.models.source import PretrainedModel
    from tuneloop_trainer.tasks.task import EncodedRow, Task

LOG = logging.getLogger(__name__)
STEPS: tuple[DataStep, ...] = (
    exact_duplicates.STEP,  # before the split, so that no row of a split repeats another
    split.STEP,
    keep_splits_apart.STEP,  # after the split: a group, or a given split, may bring a text to a second split
    label_ids.STEP,  # after all that leaves rows out: a class may be gone with them
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a data set is made of."""

    settings: Settings
    sources: Sequence[LocatedSource]
    model: PretrainedModel
    task: Task
    row_format: RowFormat


@dataclass(frozen=True, kw_only=True)
class ReadRows:
    """The rows after all steps, and what became of the others."""

    collected: Collected
    table: RowTable
    facts: dict[str, dict[str, Any]]
    """What each step did, by its name."""


def read_rows(inputs: Inputs, *, folder: Path, part: Callable[..., Any], steps: Sequence[DataStep] = STEPS) -> ReadRows:
    """Read all sources and run the steps; contents of rows lie in `folder`. `part`: `PrepareProgress.part`."""
    with part("reading rows", until=0.35) as progress:
        collected = collect(
            inputs.sources,
            row_format=inputs.row_format,
            settings=inputs.settings,
            contents=folder / ".rows.arrow",
            progress=progress,
        )
    with part("dividing rows", until=0.4) as progress:
        table, facts = run_steps(collected.table, steps, settings=inputs.settings, folder=folder, progress=progress)
    return ReadRows(collected=collected, table=table, facts=facts)


def run_steps(
    table: RowTable,
    steps: Sequence[DataStep],
    *,
    settings: Settings,
    folder: Path,
    progress: Callable[[float], None],
) -> tuple[RowTable, dict[str, dict[str, Any]]]:
    """Run the steps in order; returns the last table and each step's facts. Contents that a step replaced are deleted."""
    facts = {}
    for done, step in enumerate(steps):
        context = StepContext(
            settings=settings,
            folder=folder,
            progress=lambda fraction, done=done: progress((done + fraction) / len(steps)),  # type: ignore[misc]
        )
        result = step.run(table, context)
        if result.table.contents != table.contents:
            table.contents.unlink()
        table, facts[step.name] = result.table, result.facts
    return table, facts


def notes_of_rows(rows: ReadRows) -> list[str]:
    """Return what a person should know of rows that were read and divided, and not tokenized yet."""
    report = rows_report(collected=rows.collected, table=rows.table, facts=rows.facts, steps=STEPS)
    return notes_of(report)


def build_dataset(inputs: Inputs, *, folder: Path, uid: str, progress: PrepareProgress) -> DatasetManifest:
    """Prepare the data set and publish it as `folder`; until then nothing of that name is there. `uid`: the job's, for drafts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with draft_folder(folder.parent, digest=folder.name, uid=uid) as draft:
        rows = read_rows(inputs, folder=draft, part=progress.part)
        encoder = encoder_of(inputs, labels=rows.table.labels or [])
        encoded, max_tokens, written = _write(
            inputs, rows.table, encoder, folder=draft, part=progress.part, bad=rows.collected.bad
        )
        if inputs.task.check_rows is not None:
            inputs.task.check_rows({name: split.row_columns for name, split in encoded.items()})
        report = data_report(
            collected=rows.collected,
            facts=rows.facts,
            steps=STEPS,
            written=written,
            lengths={name: split.lengths for name, split in encoded.items()},
            numbers=_numbers(encoded),
            max_tokens=max_tokens,
            seconds=progress.seconds,
        )
        (draft / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with progress.part("publishing", until=0.96):
            manifest = DatasetManifest(
                version=_version(encoded),
                digest=folder.name,
                labels=list(encoder.label_ids),
                max_tokens=max_tokens,
                tokenizer=_tokenizer_facts(inputs.model, encoder.tokenizer),
                splits=written.files,
                counts=_counts(report),
                notes=report["notes"],
            )
            publish(draft, manifest, folder=folder)
    LOG.info("%s", summary(report))
    return read_manifest(folder)


def write_sample(inputs: Inputs, table: RowTable, *, folder: Path, part: Callable[..., Any]) -> DatasetManifest:
    """Write the rows of a table as a private data set. Its manifest has no counts. The settings must give `data.maxTokens`."""
    encoder = encoder_of(inputs, labels=table.labels or [])
    bad = BadRows(most_samples=0)
    encoded, max_tokens, written = _write(inputs, table, encoder, folder=folder, part=part, bad=bad)
    manifest = DatasetManifest(
        version=_version(encoded),
        digest=folder.name,
        labels=list(encoder.label_ids),
        max_tokens=max_tokens,
        tokenizer=_tokenizer_facts(inputs.model, encoder.tokenizer),
        splits=written.files,
        counts=DataCounts(rows=0, splits={}, bad=0, duplicates=0, truncated=0),
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.to_wire()), encoding="utf-8")
    return manifest


def encoder_of(inputs: Inputs, *, labels: Sequence[str]) -> RowEncoder:
    """Return what turns rows into tokens. labels: in the order of their ids."""
    return RowEncoder(
        tokenizer=wrap(inputs.model.tokenizer, vocabulary=inputs.model.vocabulary),
        encode_rows=inputs.task.encode,
        label_ids={label: index for index, label in enumerate(labels)},
        limit=inputs.model.max_tokens,
        longest_target=generation.max_tokens if (generation := inputs.task.generation) else None,
        in_windows=inputs.task.windows is not None,
    )


def _write(
    inputs: Inputs, table: RowTable, encoder: RowEncoder, *, folder: Path, part: Callable[..., Any], bad: BadRows
) -> tuple[Mapping[str, EncodedSplit], int, WrittenSplits]:
    """Write rows, shards and tokenizer; returns the encoded rows' lengths, the cut, and what was written. `part`: `PrepareProgress.part`.

    bad: gets the rows that only the tokenizer shows to be unusable. Raises DataError if there are more than is tolerated.
    """
    splits, rows = table.splits.copy(), bad.counts.total() + len(table.row_ids)

    def leave_out(index: int, problem: Unusable) -> None:
        bad.add(problem, place=table.place(index))
        splits[index] = OUT

    with part("tokenizing", until=0.85) as done:
        encoded = tokenize(table, encoder, folder=folder, leave_out=leave_out, progress=done)
    refuse_too_many(bad, rows=rows, settings=inputs.settings.data.validate_rows)
    _require_rows(encoded, longest_target=encoder.longest_target)
    table = replace(table, splits=splits)
    if numbers := _numbers(encoded):
        scale_of(numbers["train"])
    max_tokens = inputs.settings.data.max_tokens or default_max_tokens(encoded["train"].lengths, limit=encoder.limit)
    with part("writing", until=0.95) as done:
        written = write_splits(
            table,
            encoded,
            cut=_cut(inputs, encoder, max_tokens=max_tokens),
            max_tokens=max_tokens,
            limit=encoder.limit,
            with_targets=inputs.task.with_targets or (lambda row, _: row),
            as_trained=_as_trained(inputs, labels=list(encoder.label_ids)),
            folder=folder,
            progress=done,
        )
        table.contents.unlink()
        _copy_tokenizer(inputs.model.path, folder / TOKENIZER)
    return encoded, max_tokens, written


def _require_rows(encoded: Mapping[str, EncodedSplit], *, longest_target: int | None) -> None:
    """Raise DataError if the targets of all rows of a split were too long: no other reason leaves rows out here."""
    empty = next((name for name, split in encoded.items() if not len(split.lengths)), None)
    if empty is not None and longest_target is not None:
        raise DataError(
            f"taskOptions.maxTargetTokens: every target of the {empty} split has more than {longest_target} tokens",
            hint="set taskOptions.maxTargetTokens to at least what the longest target has, or shorten the targets",
        )


def _cut(inputs: Inputs, encoder: RowEncoder, *, max_tokens: int) -> Callable[[EncodedRow], list[EncodedRow]]:
    """Return what makes a whole row fit into the model: its windows, where the task has them, else the row without its end."""
    windows = inputs.task.windows
    if windows is None:
        return lambda row: [encoder.tokenizer.cut(row, max_tokens)]
    return lambda row: windows(row, max_tokens)


def _numbers(encoded: Mapping[str, EncodedSplit]) -> dict[str, NDArray[np.float64]]:
    """Return the numbers that are to be predicted, by split; empty where the task has classes."""
    columns = {name: split.row_columns.get(LABELS) for name, split in encoded.items()}
    return {name: values for name, values in columns.items() if values is not None and values.dtype == np.float64}


def _version(encoded: Mapping[str, EncodedSplit]) -> Literal[1, 2]:
    return 2 if _numbers(encoded) else 1


def _as_trained(inputs: Inputs, *, labels: Sequence[str]) -> Callable[[EncodedRow], EncodedRow]:
    """Return what changes the rows of the training split alone: `taskOptions.labelAllTokens`, for a task that has it."""
    with_all_tokens = inputs.task.with_all_tokens
    if with_all_tokens is None or not inputs.settings.task_options.label_all_tokens:
        return lambda row: row
    return lambda row: with_all_tokens(row, labels)


def _copy_tokenizer(model: Path, folder: Path) -> None:
    folder.mkdir()
    for path in [*tokenizer_files(model), model / CHAT_TEMPLATE]:
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def _tokenizer_facts(model: PretrainedModel, tokenizer: TextTokenizer) -> TokenizerFacts:
    own = tokenizer.tokenizer
    padding = own.pad_token_id if own.pad_token_id is not None else own.eos_token_id
    return TokenizerFacts(
        files_digest=model.tokenizer_digest,
        pad_token_id=0 if padding is None else padding,
        special_tokens=tokenizer.leading + tokenizer.trailing,
        model_max_tokens=model.max_tokens,
        size=min(1 + max(own.get_vocab().values()), tokenizer.vocabulary),
        mask_token_id=own.mask_token_id,
        special_token_ids=sorted(own.all_special_ids),
    )


def _counts(report: dict[str, Any]) -> DataCounts:
    duplicates = report["duplicates"]
    return DataCounts(
        rows=sum(report["rows"].values()),
        splits=report["rows"],
        bad=report["bad"]["count"],
        duplicates=duplicates["withinSplit"] + duplicates["acrossSplits"],
        truncated=sum(report["tokens"]["truncated"].values()),
    )
