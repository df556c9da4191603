"""Text generation: conversations, prompts with completions, and plain texts, for a decoder that writes token after token.

Every token that is learned is a target. The loss may be taken on the answers alone (`taskOptions.lossOn`): a question is given, and need not be written.
The column `labels` holds at each position the token that follows there, so that a row that is cut still learns what comes next, and never that a text ends where it was cut.

Shapes: T = tokens of a row.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.text_generation import TEXT_GENERATION_FEATURES
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, open_split
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.evaluation.language_model import (
    SUMS,
    comparable_losses,
    evaluate_language,
    language_gain,
    language_metrics,
    language_score,
    paired_language,
    sums_as_kept,
)
from tuneloop_trainer.evaluation.n_gram import NGramModel, Targets
from tuneloop_trainer.tasks.blocks import blocks_of, reads_in_blocks
from tuneloop_trainer.tasks.conversation import TemplateFailsError, conversation_of, question_of
from tuneloop_trainer.tasks.language_model import (
    BYTES,
    bytes_of_tokens,
    one_line_per_row,
    sums_of_rows,
    targets_and_bytes,
    token_loss_sum,
    unigram_entropy,
)
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Row, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.tasks.conversation import Conversation


_MOST_COUNTED = 5_000_000
"""Tokens that the n-gram model learns from, at most: some 500 MiB while it counts."""
_MOST_OF_TEXT = 64
"""Tokens of a text with which it is a prompt."""


def text_of(row: Row) -> str:
    """Return what a person reads of a row: a text, a prompt and its completion, or the messages of a conversation, a line each."""
    if "messages" in row:
        return "\n".join(message["content"] for message in row["messages"])
    return str(row["text"]) if "text" in row else f"{row['prompt']}{row['completion']}"


def _encode(
    tokenizer: Any, rows: Sequence[Row], _label_ids: Mapping[str, int], *, is_all: bool = False
) -> list[EncodedRow]:
    """Return rows as tokens, each with the token that ends texts. is_all: every token is a target. Raises ConfigError or DataError."""
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "spec.model.uri: the tokenizer has no token that ends a text, and the model would never stop",
            hint="set eos_token in tokenizer_config.json to such a token of the vocabulary, for example <|endoftext|>",
        )
    if rows and "messages" in rows[0]:
        return [_encoded_conversation(tokenizer, found, is_all=is_all) for found in _conversations(tokenizer, rows)]
    if rows and "text" in rows[0]:
        return [_encoded_pair(tokenizer, "", row["text"], is_all=True) for row in rows]
    return [_encoded_pair(tokenizer, row["prompt"], row["completion"], is_all=is_all) for row in rows]


def _conversations(tokenizer: Any, rows: Sequence[Row]) -> list[Conversation]:
    """Return the conversations of rows as the model reads them. Raises ConfigError if there is no chat template, DataError, with counts, if it fails."""
    if not tokenizer.chat_template:
        raise ConfigError(
            "spec.model.uri: the tokenizer has no chat template, and the rows are conversations",
            hint="give one in model.chatTemplate, use a model that was trained for conversations, or set data.format: prompt-completion",
        )
    found, failures = [], []
    for row in rows:
        try:
            found.append(conversation_of(tokenizer, row["messages"]))
        except TemplateFailsError as error:
            failures.append(str(error))
    if failures:
        raise DataError(
            f"the chat template fails for {len(failures):,} of {len(rows):,} conversations; the first: {failures[0]}",
            hint="give conversations that the template knows, often user and assistant in turns, or give another template in model.chatTemplate",
        )
    return found


def _encoded_conversation(tokenizer: Any, conversation: Conversation, *, is_all: bool) -> EncodedRow:
    """Return a conversation as tokens; a token is a target if it begins in an answer. Where the last answer has no token that ends it, that token follows."""
    ids, offsets = _tokens(tokenizer, conversation.text)
    ends = bool(conversation.text.rstrip().endswith(tokenizer.eos_token))
    begins = offsets[:, 0]
    is_target = np.full(len(ids), is_all)
    for start, end in conversation.answers:
        is_target |= (begins >= start) & (begins < end)
    sizes = bytes_of_tokens(conversation.text, offsets[:, 1].tolist())
    if not ends:
        ids, is_target, sizes = np.append(ids, tokenizer.eos_token_id), np.append(is_target, True), np.append(sizes, 0)
    return _row(tokenizer, ids, is_target, sizes)


def _encoded_pair(tokenizer: Any, prompt: str, completion: str, *, is_all: bool) -> EncodedRow:
    """Return a prompt and its completion as tokens: the prompt as the model gets it when it is asked, and each of the two by itself, since it writes the completion."""
    asked = tokenizer(prompt, return_offsets_mapping=True, verbose=False)
    length = len(asked["input_ids"]) - _trailing(tokenizer)
    given = np.array(asked["input_ids"][:length], dtype=np.int64)
    written, offsets = _tokens(tokenizer, completion)
    sizes = [
        bytes_of_tokens(prompt, [end for _, end in asked["offset_mapping"][:length]]),
        bytes_of_tokens(completion, offsets[:, 1].tolist()),
        np.zeros(1, dtype=np.int32),
    ]
    ids = np.concatenate([given, written, [tokenizer.eos_token_id]])
    return _row(tokenizer, ids, np.arange(len(ids)) >= (0 if is_all else len(given)), np.concatenate(sizes))


def prompt_of(tokenizer: Any, row: Row) -> list[int]:
    """Return the tokens of a question, of a prompt, or of the first half of a text, at most 64: as a server reads them."""
    if "messages" in row:
        question = question_of(tokenizer, row["messages"])
        return list(tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
    ids = list(tokenizer(row["text" if "text" in row else "prompt"], verbose=False)["input_ids"])
    ids = ids[: len(ids) - _trailing(tokenizer)]
    return ids[: min(-(-len(ids) // 2), _MOST_OF_TEXT)] if "text" in row else ids


def _trailing(tokenizer: Any) -> int:
    """Return how many special tokens the tokenizer puts behind a text."""
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return next((n for n, is_special in enumerate(reversed(mask)) if not is_special), 0)


def _tokens(tokenizer: Any, text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the tokens of a text, without further special tokens, [T], and the characters that each stands for, from and to, [T, 2]."""
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    return np.array(found["input_ids"], dtype=np.int64), offsets


def _row(tokenizer: Any, ids: NDArray[np.int64], is_target: NDArray[np.bool_], sizes: NDArray[np.int32]) -> EncodedRow:
    """Return a row whose columns stand a place before: at each token, the one that follows. Nothing follows the last. A special token is no text, and has no bytes."""
    following = np.where(is_target, ids, IGNORED)
    text_sizes = np.where(np.isin(ids, tokenizer.all_special_ids), 0, sizes)
    columns = {LABELS: np.append(following[1:], IGNORED), BYTES: np.append(text_sizes[1:], 0)}
    return EncodedRow(
        input_ids=ids.astype(np.int32),
        token_columns={name: column.astype(np.int32) for name, column in columns.items()},
    )


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    labels = padded(lambda row: split.token_column(LABELS, row), rows, lengths=split.lengths[rows], fill=IGNORED)
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=labels)


def _with_options(task: Task, settings: Settings) -> Task:
    """Return the task with `taskOptions.lossOn`; texts alone are read in blocks."""
    encode = partial(_encode, is_all=settings.task_options.loss_on == "all")
    return replace(task, encode=encode, windows=_blocks if reads_in_blocks(settings) else None)


def _blocks(row: EncodedRow, most: int) -> list[EncodedRow]:
    return blocks_of(row, most, has_target=row.token_columns[LABELS] != IGNORED)


def _fit_baselines(dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]:
    """Predict the test rows by what followed one and two tokens in training, prompts and questions among them. Which token is likeliest is not asked."""
    del seed  # nothing is drawn
    train, test = (open_split(dataset, name) for name in ("train", "test"))
    learned = _learned(train, most=_MOST_COUNTED)
    asked, row_of_target = _asked(test)
    beat(0.3)
    assert train.tokenizer is not None  # of an opened split
    highest = max(int(found.tokens.max(initial=0)) for found in (learned, asked))
    losses = NGramModel(learned, vocabulary=max(train.tokenizer.size, highest + 1)).losses(asked)
    beat(1.0)
    sums = np.bincount(row_of_target, weights=losses, minlength=len(test.rows))
    kept = np.stack([sums, np.zeros_like(sums)], axis=1).astype(np.float32)
    return [Baseline(name="n-gram", predicted=kept, description="three tokens, Witten-Bell")]


def _asked(split: TokenizedSplit) -> tuple[Targets, NDArray[np.int64]]:
    """Return all targets of a split, as the model is measured on them, with the two tokens before each; and the row of each, [M]. The last token of a row that was cut has a target, too."""
    contexts, tokens, rows = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.int64)], []
    for row in range(len(split.rows)):
        before, labels = np.append(-1, split.tokens(row)).astype(np.int64), split.token_column(LABELS, row)
        places = np.flatnonzero(labels != IGNORED)
        contexts.append(np.stack([before[places], before[places + 1]], axis=1))
        tokens.append(labels[places].astype(np.int64))
        rows.append(len(places))
    return Targets(context=np.concatenate(contexts), tokens=np.concatenate(tokens)), np.repeat(
        np.arange(len(rows)), rows
    )


def _learned(split: TokenizedSplit, *, most: int) -> Targets:
    """Return every token of a split but the first of each row, with the two before it. most: of these tokens, from the first row on."""
    contexts, tokens, count = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.int64)], 0
    for row in range(len(split.rows)):
        ids = split.tokens(row).astype(np.int64)
        contexts.append(np.stack([np.append(-1, ids[:-2]), ids[:-1]], axis=1)[: len(ids) - 1])
        tokens.append(ids[1:])
        count += len(ids) - 1
        if count >= most:
            break
    return Targets(context=np.concatenate(contexts), tokens=np.concatenate(tokens))


def _summary(_labels: Sequence[str]) -> str:
    return "Writes text: it continues a prompt, or answers in a conversation if its tokenizer has a chat template."


def _loading(_temperature: float) -> str:
    return (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        'inputs = tokenizer("Your prompt", return_tensors="pt")\n'
        '# for a conversation: inputs = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)\n'
        "written = model.generate(**inputs, max_new_tokens=100, do_sample=False)\n"
        'print(tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))\n'
    )


TEXT_GENERATION = Task(
    name="text-generation",
    auto_class="AutoModelForCausalLM",
    architectures="MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    problem_type=None,
    peft_type="CAUSAL_LM",
    formats=("messages", "prompt-completion", "text"),
    text_of=text_of,
    encode=_encode,
    reads_text_alone=False,
    with_options=_with_options,
    with_all_tokens=None,
    collate=_collate,
    packing="causal",
    target_labels=targets_and_bytes,
    has_new_head=False,
    prompt_of=prompt_of,
    loss_sum=token_loss_sum,
    target_values=sums_of_rows,
    values_per_line=lambda _labels: SUMS,
    lines_per_row=one_line_per_row,
    comparable=comparable_losses,
    prior_loss=unigram_entropy,
    primary_metric="bits_per_byte",
    metrics=language_metrics,
    evaluate=evaluate_language,
    choose=sums_as_kept,
    calibration_error=None,
    score=language_score,
    gain=language_gain,
    paired=paired_language,
    fit_baselines=_fit_baselines,
    rival="n-gram",
    rival_title="an n-gram language model of the training rows",
    features=TEXT_GENERATION_FEATURES,
    card=CardTexts(
        title="Text generation",
        summary=_summary,
        unit="test tokens",
        confusion=None,
        function="softmax",
        calibrated="test rows",
        limits=(
            "The numbers say how well the model predicts the texts of the test rows, token after token; they do not say that what it writes is true or harmless.",
            "Special tokens in a text are read as such, as transformers reads them.",
        ),
        loading=_loading,
    ),
)
