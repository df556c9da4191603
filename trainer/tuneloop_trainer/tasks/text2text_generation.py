"""Text-to-text generation: the model reads a text and writes another, such as its translation or its summary.

The tokens of the target are a sequence of the row, of a length of its own, and each of them is a target of the loss. The model shifts them by itself to what
its decoder reads (`models.targets`): `labels` is an argument of its forward call. Nothing cuts a target, since a model that learns cut targets stops in the middle of a text.

At the end of training the model writes a text for every test row, and these are measured.

Shapes: N = rows of a split, B = rows of a batch, L = tokens of the longest target of a batch, S = sums (`evaluation.written_texts`).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.text2text_generation import TEXT2TEXT_FEATURES
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, read_rows
from tuneloop_trainer.evaluation.language_model import SUMS, comparable_losses
from tuneloop_trainer.evaluation.text2text import (
    evaluate_written,
    kept_of_written,
    text2text_metrics,
    written_gain,
    written_score,
)
from tuneloop_trainer.evaluation.written_texts import sums_of_rows as sums_of_written
from tuneloop_trainer.tasks.language_model import entropy_of_tokens, one_line_per_row, sums_of_rows, token_loss_sum
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Generation, Row, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.dataset.shards import TokenizedSplit

TARGET_BYTES = "target_bytes"
"""Row column: bytes (UTF-8) of the target."""
_LEAD_SENTENCES = 3
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def _text_of(row: Row, *, prefix: str) -> str:
    return f"{prefix}{row['source']}"


def _encode(
    tokenizer: Any, rows: Sequence[Row], _label_ids: Mapping[str, int], *, text_of: Callable[[Row], str]
) -> list[EncodedRow]:
    """Return each row `{"source": str, "target": str}` as the tokens of its source, with those of its target as sequence `labels`."""
    quiet = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
    sources = tokenizer(list(map(text_of, rows)), **quiet)["input_ids"]
    targets = tokenizer(text_target=[row["target"] for row in rows], **quiet)["input_ids"]
    return [
        EncodedRow(
            input_ids=np.array(source, dtype=np.int32),
            sequences={LABELS: np.array(with_end(target, tokenizer.eos_token_id), dtype=np.int32)},
            row_columns={TARGET_BYTES: len(row["target"].encode())},
        )
        for row, source, target in zip(rows, sources, targets, strict=True)
    ]


def _prompt_of(tokenizer: Any, row: Row, *, text_of: Callable[[Row], str]) -> list[int]:
    return list(tokenizer(text_of(row), verbose=False)["input_ids"])


def with_end(target: list[int], end: int | None) -> list[int]:
    """Return the tokens of a target with the token that ends a text: without it the model would learn no end. Some tokenizers put it before a code of the language."""
    return target if end is None or end in target else [*target, end]


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    targets = split.sequences[LABELS]
    labels = padded(targets.of_row, rows, lengths=split.targets[rows], fill=IGNORED)
    return Batch(inputs={**padded_inputs(split, rows, pad_id=pad_id), "labels": labels}, labels=labels)


def _target_labels(split: TokenizedSplit) -> NDArray[np.int64]:
    """Return the targets of each row, and the bytes that they stand for, int64 [N, 2]."""
    return np.stack([split.targets, split.row_column(TARGET_BYTES)], axis=1)


def _prior_loss(split: TokenizedSplit) -> float:
    """Return the mean loss of a target, in nats, for a model that knows how often each token occurs in targets and nothing else."""
    return entropy_of_tokens(shard.values for shard in split.sequences[LABELS].shards)


def _written_sums(rows: Sequence[Row], written: Sequence[str]) -> NDArray[np.float64]:
    return sums_of_written(written, [row["target"] for row in rows])


def first_sentences(text: str) -> str:
    """Return the first three sentences of a text."""
    return " ".join([part for part in _SENTENCE_END.split(text) if part.strip()][:_LEAD_SENTENCES])


def _fit_baselines(dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]:
    """Write the source again, and its first three sentences: what is hard to beat where summaries of news are to be written."""
    del seed  # nothing is drawn
    rows = [row for _, row in read_rows(dataset, "test")]
    copied = _written_sums(rows, [row["source"] for row in rows])
    beat(0.5)
    lead = _written_sums(rows, [first_sentences(row["source"]) for row in rows])
    beat(1.0)
    return [Baseline(name="copy-source", predicted=copied), Baseline(name="lead-3", predicted=lead)]


def _with_options(task: Task, settings: Settings) -> Task:
    options = settings.task_options
    text_of = partial(_text_of, prefix=options.source_prefix)
    generation = Generation(
        max_tokens=options.max_target_tokens, num_beams=options.num_beams, sums_of_written=_written_sums
    )
    card = replace(task.card, loading=partial(_loading, prefix=options.source_prefix))
    return replace(
        task,
        text_of=text_of,
        encode=partial(_encode, text_of=text_of),
        prompt_of=partial(_prompt_of, text_of=text_of),
        generation=generation,
        card=card,
    )


def _summary(_labels: Sequence[str]) -> str:
    return "Reads a text and writes another, as the targets of the training data are."


def _loading(_temperature: float, *, prefix: str = "") -> str:
    text = json.dumps(f"{prefix}Your text", ensure_ascii=False)
    return (
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n\n"
        'model = AutoModelForSeq2SeqLM.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        f'inputs = tokenizer([{text}], truncation=True, padding=True, return_tensors="pt")\n'
        "print(tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True))\n"
    )


TEXT2TEXT_GENERATION = Task(
    name="text2text-generation",
    auto_class="AutoModelForSeq2SeqLM",
    architectures="MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    problem_type=None,
    peft_type="SEQ_2_SEQ_LM",
    formats=("source-target",),
    text_of=partial(_text_of, prefix=""),
    encode=partial(_encode, text_of=partial(_text_of, prefix="")),
    prompt_of=partial(_prompt_of, text_of=partial(_text_of, prefix="")),
    with_options=_with_options,
    with_all_tokens=None,
    collate=_collate,
    target_labels=_target_labels,
    loss_sum=token_loss_sum,
    target_values=sums_of_rows,
    values_per_line=lambda _: SUMS,
    lines_per_row=one_line_per_row,
    comparable=comparable_losses,
    has_new_head=False,
    prior_loss=_prior_loss,
    primary_metric="chrf",
    metrics=text2text_metrics,
    evaluate=evaluate_written,
    choose=kept_of_written,
    calibration_error=None,
    score=written_score,
    gain=written_gain,
    paired=None,
    fit_baselines=_fit_baselines,
    rival="lead-3",
    rival_title="the first three sentences of the source",
    features=TEXT2TEXT_FEATURES,
    card=CardTexts(
        title="Text-to-text generation",
        summary=_summary,
        unit="test rows",
        confusion=None,
        function="softmax",
        calibrated="test rows",
        limits=(
            "A text that the model writes may be fluent and wrong: BLEU, chrF and ROUGE count words and characters that agree, and not facts.",
            "The numbers were measured with the search of `generation_config.json`; other settings give other texts.",
        ),
        loading=_loading,
    ),
)
