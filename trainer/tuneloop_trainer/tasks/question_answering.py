"""Extractive question answering: the answer to a question is a span of a context, or there is none.

The model reads question and context as a pair. A long context is read in windows, which share tokens, so that an answer at the border of one window lies within
the next. A window is one target: the first and the last token of the answer, or its first token (CLS) twice where the window does not hold the whole answer. So a window
learns to say that the answer is elsewhere, and its probabilities can be compared with those of other windows, also where every context holds an answer.

Shapes: N = windows of a split, B = windows of a batch, T = tokens of a window, M = targets (windows).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.model_inputs import TYPE_IDS, question_text
from tuneloop_api.contract.settings import TaskOptionSettings
from tuneloop_api.features.question_answering import NEVER, NULL, QUESTION_ANSWERING_FEATURES, SPAN
from tuneloop_trainer.dataset.shards import open_split, read_rows
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.evaluation.answers import (
    EXACT,
    F1,
    FIRST,
    KEPT,
    LAST,
    WIDTH,
    answer_f1,
    answer_f1_gain,
    answer_metrics,
    decided,
    evaluate_answers,
    kept_values,
    scored_answer,
)
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.question_windows import (
    ANSWERABLE,
    BEGINS,
    CONTEXT,
    END,
    ENDS,
    MARKS,
    START,
    encode_pairs,
    windows_of,
    windows_of_text,
)
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, Row, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.evaluation.answer_baselines import Question

_DEFAULTS = TaskOptionSettings()


def _text_of(row: Row) -> str:
    return question_text(row["question"], row["context"])


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    """Return the windows; labels: int64 [B, T], the bits of each token, 0 for padding."""
    lengths = split.lengths[rows]

    def column(name: str) -> NDArray[np.int64]:
        return padded(lambda row: split.token_column(name, row), rows, lengths=lengths, fill=0)

    inputs = padded_inputs(split, rows, pad_id=pad_id)
    if TYPE_IDS in split.token_columns:
        inputs[TYPE_IDS] = column(TYPE_IDS)
    return Batch(inputs=inputs, labels=column(MARKS))


def _head_values(output: Any) -> Tensor:
    """Return the logits of the start and of the end of the answer, [B, T, 2]."""
    import torch  # noqa: PLC0415  (seconds)

    return torch.stack([output.start_logits, output.end_logits], dim=-1)


def _losses(output: Any, marks: Tensor) -> Tensor:
    """Return the mean of the cross-entropies of start and end of each window, float32 [B], over its tokens without padding."""
    import torch  # noqa: PLC0415  (seconds)

    logits = _head_values(output).float().masked_fill((marks == 0)[..., None], float("-inf"))
    scores = torch.log_softmax(logits, dim=1)
    places = torch.stack([(marks & START).argmax(dim=1), (marks & END).argmax(dim=1)], dim=-1)
    return -scores.gather(1, places[:, None, :])[:, 0].mean(dim=-1)


def _loss_sum(output: Any, labels: Tensor, _label_smoothing: float) -> Tensor:
    """Return the SUM over the windows of the mean cross-entropy of start and end, in float32. The spec allows no label smoothing here."""
    return _losses(output, labels).sum()


def _target_values(output: Any, labels: Tensor, *, max_answer_tokens: int) -> Tensor:
    """Return what is kept of each window, float32 [B, KEPT]: loss, log p(no answer), log p(best answer), its first and its last token.

    A probability is that of the start times that of the end, each over the tokens of the context and the first token.
    """
    import torch  # noqa: PLC0415  (seconds)

    in_context = (labels & CONTEXT) > 0
    allowed = in_context.clone()
    allowed[:, 0] = True
    scores = torch.log_softmax(_head_values(output).float().masked_fill(~allowed[..., None], float("-inf")), dim=1)
    start, end = scores.masked_fill(~in_context[..., None], float("-inf")).unbind(dim=-1)
    ahead = torch.nn.functional.pad(end, (0, max_answer_tokens - 1), value=float("-inf")).unfold(
        1, max_answer_tokens, 1
    )
    best, place = (start[:, :, None] + ahead).flatten(1).max(dim=1)
    first = place // max_answer_tokens
    none = scores[:, 0].sum(dim=-1)
    last = first + place % max_answer_tokens
    return torch.stack([_losses(output, labels), none, best, first.float(), last.float()], dim=1)


def _values_per_line(_labels: Sequence[str]) -> int:
    return KEPT


def _comparable(values: NDArray[np.float32], _labels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the loss and the log probabilities, [M, 3]. The places of the best answer say nothing: of two answers that are nearly as likely, rounding chooses."""
    return values[:, : SPAN + 1]


def _complete(split: TokenizedSplit, kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [M, WIDTH]: what was kept, and exact match and F1 of each window's best answer."""
    values = np.zeros((len(kept), WIDTH), dtype=np.float32)
    values[:, :KEPT] = kept
    for row, windows in _with_windows(split):
        for window in windows:
            first, last = kept[window, FIRST : LAST + 1].astype(np.int64)
            begin, end = split.token_column(BEGINS, window)[first], split.token_column(ENDS, window)[last]
            values[window, EXACT : F1 + 1] = scored_answer(row["context"][begin:end], row["answers"]["text"])
    return values


def _with_windows(split: TokenizedSplit) -> Iterator[tuple[Row, range]]:
    """Yield each row of a prepared split with its windows."""
    assert split.folder is not None, "the rows of a split without a folder are nowhere"
    firsts = [*split.first_windows.tolist(), len(split.rows)]
    for (_, row), first, after in zip(read_rows(split.folder, split.name), firsts, firsts[1:], strict=False):
        yield row, range(first, after)


def _target_labels(split: TokenizedSplit) -> NDArray[np.int64]:
    """Return 1 for each window of a row whose context holds an answer, else 0, [M]."""
    return split.row_column(ANSWERABLE)


def _prior_loss(split: TokenizedSplit) -> float:
    """Return the loss of a model that gives every token of a window the same probability."""
    return float(np.log(split.lengths).mean())


def _check_rows(columns: Mapping[str, Mapping[str, NDArray[Any]]], *, no_answer: str) -> None:
    if no_answer == "allowed" and columns["validation"][ANSWERABLE].all():
        raise DataError(
            "taskOptions.noAnswer: allowed, and no row of the validation split is without an answer: nothing chooses the threshold above which the model gives none",
            hint="add questions without an answer, or leave noAnswer out",
        )


def _fit_baselines(dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]:
    """Answer with the first sentence, with nothing where some questions have no answer, and with words of the sentence that is most like the question."""
    del seed  # nothing is drawn
    from tuneloop_trainer.evaluation.answer_baselines import (  # noqa: PLC0415  (loads scikit-learn)
        MOST_CONTEXTS,
        first_sentence,
        likest_span,
    )

    validation, test = open_split(dataset, "validation"), open_split(dataset, "test")
    contexts = (row["context"] for number, (_, row) in enumerate(read_rows(dataset, "train")) if number < MOST_CONTEXTS)
    way, description = likest_span(contexts, lambda way: float(_answered(validation, way)[:, F1].mean()))
    beat(0.6)
    silent = [Baseline(name="no-answer", predicted=_answered(test, None))] if (_target_labels(test) == 0).any() else []
    found = [
        Baseline(name="first-sentence", predicted=_answered(test, first_sentence)),
        *silent,
        Baseline(name="tfidf-sentence", predicted=_answered(test, way), description=description),
    ]
    beat(1.0)
    return found


def _answered(split: TokenizedSplit, way: Callable[[Question], str] | None) -> NDArray[np.float32]:
    """Return the values, [M, WIDTH], of a way to answer; None: it never answers."""
    from tuneloop_trainer.evaluation.answer_baselines import Question  # noqa: PLC0415  (as above)

    values = np.zeros((len(split.rows), WIDTH), dtype=np.float32)
    values[:, NULL], values[:, SPAN] = (NEVER, 0.0) if way is not None else (0.0, NEVER)
    if way is not None:
        for row, windows in _with_windows(split):
            answer = way(Question(question=row["question"], context=row["context"]))
            values[windows.start : windows.stop, EXACT : F1 + 1] = scored_answer(answer, row["answers"]["text"])
    return values


def _summary(_labels: Sequence[str]) -> str:
    return "Finds the answer to a question in a context, as a span of its characters."


def _loading(_temperature: float) -> str:
    return (
        "import torch\n"
        "from transformers import AutoModelForQuestionAnswering, AutoTokenizer\n\n"
        'model = AutoModelForQuestionAnswering.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        'question, context = "Your question", "Your context, which fits into one window"\n'
        'inputs = tokenizer(question, context, truncation="only_second", return_tensors="pt", return_offsets_mapping=True)\n'
        'offsets = inputs.pop("offset_mapping")[0]\n'
        "outside = torch.tensor([part != 1 for part in inputs.sequence_ids(0)])\n"
        "with torch.inference_mode():\n"
        "    output = model(**inputs)\n"
        'start, end = (logits[0].masked_fill(outside, float("-inf")) for logits in (output.start_logits, output.end_logits))\n'
        "first, last = divmod((start[:, None] + end).triu().flatten().argmax().item(), len(end))\n"
        "print(context[offsets[first, 0] : offsets[last, 1]])\n"
    )


def _with_options(task: Task, settings: Settings) -> Task:
    options = settings.task_options
    stride, longest = options.doc_stride, options.max_answer_tokens
    return replace(
        task,
        windows=partial(windows_of, doc_stride=stride),
        windows_of_text=partial(windows_of_text, doc_stride=stride),
        check_rows=partial(_check_rows, no_answer=options.no_answer),
        target_values=partial(_target_values, max_answer_tokens=longest),
        evaluate=partial(evaluate_answers, doc_stride=stride, max_answer_tokens=longest),
    )


QUESTION_ANSWERING = Task(
    name="question-answering",
    auto_class="AutoModelForQuestionAnswering",
    architectures="MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    problem_type=None,
    peft_type="QUESTION_ANS",
    formats=("squad",),
    text_of=_text_of,
    encode=encode_pairs,
    with_all_tokens=None,
    collate=_collate,
    target_labels=_target_labels,
    loss_sum=_loss_sum,
    target_values=partial(_target_values, max_answer_tokens=_DEFAULTS.max_answer_tokens),
    windows=partial(windows_of, doc_stride=_DEFAULTS.doc_stride),
    windows_of_text=partial(windows_of_text, doc_stride=_DEFAULTS.doc_stride),
    values_per_line=_values_per_line,
    comparable=_comparable,
    complete=_complete,
    head_values=_head_values,
    prior_loss=_prior_loss,
    primary_metric="f1",
    metrics=answer_metrics,
    evaluate=partial(evaluate_answers, doc_stride=_DEFAULTS.doc_stride, max_answer_tokens=_DEFAULTS.max_answer_tokens),
    choose=kept_values,
    calibration_error=None,
    score=answer_f1,
    gain=answer_f1_gain,
    paired=None,
    fit_baselines=_fit_baselines,
    rival="tfidf-sentence",
    rival_title="words of the sentence that is most like the question (TF-IDF)",
    decide=decided,
    with_options=_with_options,
    features=QUESTION_ANSWERING_FEATURES,
    card=CardTexts(
        title="Question answering",
        summary=_summary,
        unit="test rows",
        confusion=None,
        function="softmax",
        calibrated="test rows",
        limits=(
            "An answer is always a part of the context; what a person would put in other words is not found.",
            "Exact match and F1 leave out English articles and ASCII punctuation, as the script of SQuAD does, in every language.",
        ),
        loading=_loading,
    ),
)
