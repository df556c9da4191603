"""Answers of the published model to held-out prompts, as a server generates them: what `monitoring.json` says of the features of answers.

They are greedy, and short: the time of an export is bounded. So they are a reference to look at, and give the bins their edges; drift is measured from live answers.

Shapes: B = prompts of a batch, T = tokens of the longest, S = tokens of the longest answer, V = tokens of the vocabulary.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_api.features.generated_answers import LEAST_ANSWERS, generated_values
from tuneloop_trainer.dataset.shards import read_rows
from tuneloop_trainer.export.exporters.merged import MERGED
from tuneloop_trainer.export.projections import MOST_OPERATIONS, parameters_by_token
from tuneloop_trainer.failures import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneloop_api.features.task_features import Values
    from tuneloop_trainer.export.exporters.exporter import ExportInputs

LOG = logging.getLogger(__name__)
MOST_ANSWERS = 200
"""The share of a bin of 10 % is known within 4.2 points (95 %)."""
MOST_TOKENS = 128
"""Of an answer, and at most half of the model's window. A longer one counts as cut."""
BATCH = 16


def generated_answers(folder: Path, inputs: ExportInputs, *, split: str) -> list[Values]:
    """Return the features of answers to prompts of a split, spread evenly, by the model of the artifact in `folder`.

    None at all for a task whose model writes no text, for an adapter alone, and for a model that could not answer 50 in the time for it. Never fails the export: the model is sound without them.
    """
    written = folder / MERGED.folder
    if inputs.task.prompt_of is None or not written.is_dir():
        return []
    try:
        return _answers(written, inputs, split=split)
    except MemoryError:
        raise
    except Exception as error:
        LOG.warning("no reference of generated answers: %s", first_line(error), exc_info=True)
        return []


def _answers(written: Path, inputs: ExportInputs, *, split: str) -> list[Values]:
    tokenizer, model = inputs.tokenizer(), MERGED.load(inputs, written)
    window = getattr(model.config, "max_position_embeddings", None)
    most = MOST_TOKENS if window is None else min(MOST_TOKENS, window // 2)
    prompts = _prompts(inputs, tokenizer, split=split, most=None if window is None else window - most)
    parameters = parameters_by_token(inputs, written)
    chosen = [prompts[place] for place in affordable([len(prompt) + most for prompt in prompts], parameters=parameters)]
    LOG.info("generating answers to %d of %d held-out prompts", len(chosen), len(prompts))
    chosen.sort(key=len)
    batches = (chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH))
    return [values for batch in batches for values in _answered(model, tokenizer, batch, most=most)]


def affordable(tokens: Sequence[int], *, parameters: int) -> list[int]:
    """Return the places of the prompts to answer, spread evenly; none if fewer than 50 could be, of as many.

    tokens: of each prompt and its answer. parameters: that each token is multiplied with.
    """
    if not tokens:
        return []
    rows = min(MOST_ANSWERS, len(tokens), int(MOST_OPERATIONS / (2 * parameters * np.mean(tokens))))
    if rows < min(LEAST_ANSWERS, len(tokens)):
        LOG.info("no reference of generated answers: the model can write %d in the time for it", rows)
        return []
    return np.unique(np.linspace(0, len(tokens) - 1, rows).astype(np.int64)).tolist()


def _prompts(inputs: ExportInputs, tokenizer: Any, *, split: str, most: int | None) -> list[list[int]]:
    """Return the tokens of all prompts of a split that have one, and at most so many."""
    prompt_of = inputs.task.prompt_of
    assert prompt_of is not None
    found = (prompt_of(tokenizer, row) for _, row in read_rows(Path(inputs.prepared.dataset_path), split))
    return [ids for ids in found if ids and (most is None or len(ids) <= most)]


@torch.inference_mode()
def _answered(model: Any, tokenizer: Any, prompts: Sequence[list[int]], *, most: int) -> Iterator[Values]:
    """Yield the features of the answers to a batch."""
    longest, pad = max(map(len, prompts)), tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    found = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, num_beams=1, pad_token_id=pad
    )
    is_pair = model.config.is_encoder_decoder
    answers = found[:, 1:] if is_pair else found[:, longest:]
    ends = _ends(model, tokenizer)
    for row, prompt in enumerate(prompts):
        tokens = _until_end(answers[row].tolist(), ends)
        yield generated_values(
            tokens=tokens,
            logprob=_logprob(model, prompt, tokens, first=int(found[row, 0]) if is_pair else None),
            finish="eos_token" if tokens[-1] in ends else "length",
            text=tokenizer.decode([token for token in tokens if token not in ends], skip_special_tokens=True),
        )


def _logprob(model: Any, prompt: list[int], tokens: list[int], *, first: int | None) -> float:
    """Return the sum of the log-probabilities of an answer, in nats. first: the token with which a decoder begins that does not read the prompt itself."""
    if first is None:
        logits = model(input_ids=torch.tensor([prompt + tokens[:-1]])).logits[0, len(prompt) - 1 :]
    else:
        logits = model(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[first, *tokens[:-1]]])
        ).logits[0]
    of_tokens = logits.float().log_softmax(dim=-1).gather(1, torch.tensor(tokens).unsqueeze(1))
    return float(of_tokens.double().sum())


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer, as a server reads them."""
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    return frozenset([] if ends is None else ends if isinstance(ends, list) else [ends])


def _until_end(tokens: list[int], ends: frozenset[int]) -> list[int]:
    """Return the tokens of an answer up to its end; behind it there is padding."""
    last = next((place for place, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    return tokens[: last + 1]
