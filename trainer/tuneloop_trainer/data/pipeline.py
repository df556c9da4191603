"""Prepares a data set that is not there yet: read, clean, divide, tokenize, cut, write, publish."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.results import DataCounts
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.folder import draft_folder, publish
from tuneloop_trainer.data.report_data import data_report, summary
from tuneloop_trainer.data.steps.assign import Assigned, assign
from tuneloop_trainer.data.tokenize import (
    KeptRows,
    TokenizedTexts,
    default_max_tokens,
    tokenize,
    wrap,
    write_splits,
)
from tuneloop_trainer.dataset.shards import (
    REPORT,
    TOKENIZER,
    DatasetManifest,
    SplitFiles,
    TokenizerFacts,
    read_manifest,
)
from tuneloop_trainer.models.files import tokenizer_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.run_config import Settings
    from tuneloop_trainer.data.prepare_progress import Steps
    from tuneloop_trainer.data.tokenize import TextTokenizer
    from tuneloop_trainer.models.source import PretrainedModel

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a data set is made of."""

    settings: Settings
    sources: Sequence[LocatedSource]
    model: PretrainedModel


def build_dataset(inputs: Inputs, *, folder: Path, uid: str, steps: Steps) -> DatasetManifest:
    """Prepare the data set and publish it as `folder`; until then nothing of that name is there. `uid`: the job's, for drafts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = wrap(inputs.model.tokenizer, vocabulary=inputs.model.vocabulary)
    with draft_folder(folder.parent, digest=folder.name, uid=uid) as draft:
        spool = draft / ".texts.arrow"
        collected, assigned = _read(inputs, spool=spool, steps=steps)
        tokenized, max_tokens, splits = _write(
            inputs, spool=spool, collected=collected, assigned=assigned, tokenizer=tokenizer, steps=steps
        )
        report = data_report(
            collected=collected,
            assigned=assigned,
            lengths=tokenized.lengths,
            max_tokens=max_tokens,
            seconds=steps.seconds,
        )
        (draft / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with steps.step("publishing", until=1.0):
            manifest = DatasetManifest(
                digest=folder.name,
                labels=assigned.classes,
                max_tokens=max_tokens,
                tokenizer=_tokenizer_facts(inputs.model, tokenizer),
                splits=splits,
                counts=_counts(report),
            )
            publish(draft, manifest, folder=folder)
    LOG.info("%s", summary(report))
    return read_manifest(folder)


def _read(inputs: Inputs, *, spool: Path, steps: Steps) -> tuple[Collected, Assigned]:
    data, labels = inputs.settings.data, inputs.settings.model.labels
    with steps.step("reading rows", until=0.35) as progress:
        collected = collect(inputs.sources, data=data, labels=labels, spool=spool, progress=progress)
    with steps.step("dividing rows", until=0.4):
        assigned = assign(collected.table, data=data, labels=labels)
    return collected, assigned


def _write(
    inputs: Inputs,
    *,
    spool: Path,
    collected: Collected,
    assigned: Assigned,
    tokenizer: TextTokenizer,
    steps: Steps,
) -> tuple[TokenizedTexts, int, dict[str, SplitFiles]]:
    """Write texts, shards and tokenizer; returns the tokens before the cut, the cut, and the files."""
    rows = KeptRows(table=collected.table, assigned=assigned, tokenizer=tokenizer, limit=inputs.model.max_tokens)
    with steps.step("tokenizing", until=0.85) as progress:
        tokenized = tokenize(rows, spool=spool, folder=spool.parent, progress=progress)
        spool.unlink()
    max_tokens = inputs.settings.data.max_tokens or default_max_tokens(tokenized.lengths["train"], limit=rows.limit)
    with steps.step("writing", until=0.95) as progress:
        splits = write_splits(rows, tokenized, max_tokens=max_tokens, folder=spool.parent, progress=progress)
        _copy_tokenizer(inputs.model.path, spool.parent / TOKENIZER)
    return tokenized, max_tokens, splits


def _copy_tokenizer(model: Path, folder: Path) -> None:
    folder.mkdir()
    for path in tokenizer_files(model):
        shutil.copyfile(path, folder / path.name)


def _tokenizer_facts(model: PretrainedModel, tokenizer: TextTokenizer) -> TokenizerFacts:
    own = tokenizer.tokenizer
    padding = own.pad_token_id if own.pad_token_id is not None else own.eos_token_id
    return TokenizerFacts(
        files_digest=model.tokenizer_digest,
        pad_token_id=0 if padding is None else padding,
        special_tokens=tokenizer.leading + tokenizer.trailing,
        model_max_tokens=model.max_tokens,
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
