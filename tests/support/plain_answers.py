"""What plain transformers answers to a question about a context: its tokenizer makes the windows, its model the logits, and every span is tried.

It is the way of `pipeline("question-answering", align_to_words=False)` of transformers 4, written out: transformers 5 has no such pipeline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlainAnswer:
    answer: str
    score: float
    start: int
    end: int


class PlainAnswers:
    def __init__(self, folder: Any, *, max_tokens: int, stride: int, longest: int) -> None:
        from transformers import AutoModelForQuestionAnswering, AutoTokenizer

        self.model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.max_tokens, self.stride, self.longest = max_tokens, stride, longest

    def spans(self, question: str, context: str) -> tuple[list[PlainAnswer], float]:
        """Return every span of every window, the likeliest first, and the probability of no answer."""
        import torch

        found: dict[tuple[int, int], PlainAnswer] = {}
        null = 1.0
        windows = self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=self.max_tokens,
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        names = self.tokenizer.model_input_names
        for number in range(len(windows["input_ids"])):
            inputs = {name: torch.tensor([windows[name][number]]) for name in names}
            with torch.no_grad():
                output = self.model(**inputs)
            inside = [part == 1 for part in windows.sequence_ids(number)]
            allowed = torch.tensor([place == 0 or of_context for place, of_context in enumerate(inside)])
            start, end = (
                logits[0].masked_fill(~allowed, -math.inf).softmax(0).tolist()
                for logits in (output.start_logits, output.end_logits)
            )
            null = min(null, start[0] * end[0])
            offsets = windows["offset_mapping"][number]
            for first in range(len(inside)):
                for last in range(first, min(first + self.longest, len(inside))):
                    if inside[first] and inside[last]:
                        place, score = (offsets[first][0], offsets[last][1]), start[first] * end[last]
                        if place not in found or found[place].score < score:
                            found[place] = PlainAnswer(context[slice(*place)], score, *place)
        return sorted(found.values(), key=lambda answer: -answer.score), null
