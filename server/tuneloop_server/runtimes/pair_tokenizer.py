"""Questions and their contexts to windows of token ids, as the trainer makes them: one pair, divided by `model_inputs.context_windows`.

A text holds a question in its first line, and the context behind it.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from tuneloop_api.contract.artifact import AnswerSpans
from tuneloop_api.contract.model_inputs import context_room, context_windows, split_question
from tuneloop_server.fields import invalid
from tuneloop_server.model import Encoded
from tuneloop_server.runtimes.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Encoding

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_server.tasks.task import Task

DEFAULT_SPANS = AnswerSpans(doc_stride=128, max_answer_tokens=30)
"""Of an artifact that does not say how it reads contexts."""
_CONTEXT = 1
"""`sequence_ids` of the tokens of a context."""


class PairTokenizer(TextTokenizer):
    """A fast tokenizer that reads contexts in windows. Safe to use from several threads at the same time.

    In its windows `offsets` are characters of the context, and all other tokens than those of the context count as special ones.
    """

    reads_pairs = True

    def __init__(self, tokenizer: Any, *, max_tokens: int, max_windows: int, doc_stride: int) -> None:
        """doc_stride: tokens that neighbouring windows share where a request does not say so."""
        super().__init__(tokenizer, max_tokens=max_tokens, needs_offsets=True, max_windows=max_windows)
        self._doc_stride = doc_stride

    def encode(self, texts: Sequence[str], *, stride: int | None) -> list[list[Encoded]]:
        """Return the windows of each text; a text of one line is one window, cut. stride: None for that of the model.

        Raises RequestError if a question is too long, a context has no token, or the texts make too many windows.
        """
        shared = self._doc_stride if stride is None else stride
        found: list[list[Encoded]] = []
        for number, text in enumerate(texts, start=1):
            question, context = split_question(text)
            left = self._max_windows - sum(map(len, found))
            found.append(
                self._of_pair(question, context, shared, number=number, most=left) if context else self._alone(text)
            )
        return found

    def _alone(self, text: str) -> list[Encoded]:
        return super().encode([text], stride=None)[0]

    def _of_pair(self, question: str, context: str, stride: int, *, number: int, most: int) -> list[Encoded]:
        is_long = len(question) + len(context) > self._most_characters
        with self._whole_lock if is_long else nullcontext():
            encoding = self._whole.encode(question, context)
        places = [place for place, part in enumerate(encoding.sequence_ids) if part == _CONTEXT]
        if not places:
            raise invalid(
                f"inputs: the tokenizer makes no token of the context of question {number}, at least one is needed"
            )
        fixed = len(encoding.ids) - len(places)
        room = context_room(self._max_tokens, fixed=fixed)
        if not room:
            raise invalid(
                f"inputs: question {number} and special tokens have {fixed} tokens, allowed are {self._max_tokens * 3 // 4}: "
                f"a window of the model has {self._max_tokens}, and its context needs a quarter of them"
            )
        windows = context_windows(len(places), room=room, stride=stride)
        if len(windows) > most:
            raise invalid(
                f"inputs: the contexts make more than {self._max_windows} windows, at most so many are allowed in one request (batching.maxQueue)"
            )
        first, after = places[0], places[-1] + 1
        return [
            self._window(
                encoding, [*range(first), *range(first + start, first + end), *range(after, len(encoding.ids))]
            )
            for start, end in windows
        ]

    def _window(self, encoding: Encoding, kept: list[int]) -> Encoded:
        ids, type_ids, offsets, parts = encoding.ids, encoding.type_ids, encoding.offsets, encoding.sequence_ids
        inside = [parts[place] == _CONTEXT for place in kept]
        return Encoded(
            ids=[ids[place] for place in kept],
            type_ids=[type_ids[place] for place in kept] if self._needs_type_ids else [],
            offsets=[offsets[place] if is_inside else (0, 0) for place, is_inside in zip(kept, inside, strict=True)],
            special_tokens=[int(not is_inside) for is_inside in inside],
        )

    @cached_property
    def _whole(self) -> Tokenizer:
        """A copy that cuts nothing."""
        copied = Tokenizer.from_str(self._tokenizer.to_str())
        copied.encode_special_tokens = True
        copied.no_truncation()
        return copied


def tokenizer_of(tokenizer: Any, manifest: Manifest, task: Task[Any], *, max_windows: int) -> TextTokenizer:
    """Return what makes windows of texts for a task. tokenizer: a fast one of transformers."""
    if task.reads_pairs:
        spans = manifest.answer_spans or DEFAULT_SPANS
        return PairTokenizer(
            tokenizer, max_tokens=manifest.max_tokens, max_windows=max_windows, doc_stride=spans.doc_stride
        )
    return TextTokenizer(
        tokenizer,
        max_tokens=manifest.max_tokens,
        needs_offsets=task.needs_offsets,
        reads_masks=task.answers_at_masks,
        max_windows=max_windows,
    )
