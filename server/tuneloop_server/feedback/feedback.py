"""Gives out tokens for predictions, and counts the labels that come back."""

from __future__ import annotations

import secrets
import time
from itertools import count
from typing import TYPE_CHECKING

from tuneloop_server.feedback.cohorts import Cohorts, require_recent
from tuneloop_server.feedback.errors import RefusedFeedback
from tuneloop_server.feedback.metrics import FeedbackMetrics
from tuneloop_server.feedback.once import Once
from tuneloop_server.feedback.rows import row_of
from tuneloop_server.feedback.token import NONCE_BYTES, Predicted, bin_of, label_digest
from tuneloop_server.fields import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_server.feedback.keys import Keys
    from tuneloop_server.feedback.request import FeedbackItem
    from tuneloop_server.feedback.row_writer import RowWriter
    from tuneloop_server.feedback.token import Signer
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.tasks.task import Prediction

_MOST_SHOWN = 10
_NO_LABEL = label_digest("")
"""Of a generated answer."""


class Feedback:
    """Of one process. It holds counts and the marks of tokens that were counted, and no text but that of rows that are about to be written."""

    def __init__(
        self,
        keys: Keys,
        *,
        revision: str,
        labels: Sequence[str],
        monitoring: Monitoring,
        rows: RowWriter | None = None,
        text_rate: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """labels: of the model, in the order of their ids. rows: writes rows of feedback; None: only counts are kept. text_rate: part of the predictions
        whose text may be kept. clock: seconds since 1970.
        """
        self._keys = keys
        self._revision = revision
        self._labels = labels
        self._classes = {name: (number, label_digest(name)) for number, name in enumerate(labels)}
        self._names = {digest: name for name, (_, digest) in self._classes.items()}
        self._rows = rows
        self._text_rate = text_rate
        self._clock = clock
        self.cohorts = Cohorts()
        self._once = Once()
        self._metrics = FeedbackMetrics(
            monitoring.registry, constant=monitoring.constant, cohorts=self.cohorts, clock=clock
        )
        self._nonces = count()
        self._own = secrets.token_bytes(NONCE_BYTES // 2)

    def token(self, prediction: Prediction, text: str) -> str:
        """Return the token of the prediction for a text, and count that it went out."""
        class_id, digest = self._classes[prediction.label]
        return self._token(text, class_id, digest, confidence_bin=bin_of(prediction.calibrated_confidence))

    def answer_token(self, text: str) -> str:
        """Return the token of the generated answer to a text, and count that it went out. It says nothing of the answer, which may not be there yet."""
        return self._token(text, 0, _NO_LABEL, confidence_bin=0)

    def _token(self, text: str, class_id: int, digest: bytes, *, confidence_bin: int) -> str:
        now = self._clock()
        self.cohorts.predicted(self._revision, now=now)
        nonce = self._own + (next(self._nonces) % 2**32).to_bytes(NONCE_BYTES // 2)
        signer = self._keys.signer()
        return signer.token(
            Predicted(
                revision=self._revision,
                at=int(now),
                nonce=nonce,
                class_id=class_id,
                label=digest,
                confidence_bin=confidence_bin,
                input_digest=None if self._rows is None else signer.input_digest(text, nonce=nonce),
            )
        )

    def take(self, items: Sequence[FeedbackItem], *, client: str = "") -> tuple[int, int]:
        """Count feedback; return how many labels were counted, and how many had been counted before. Raises RefusedFeedback, and counts nothing then.

        client: who sends it; empty if nobody knows.
        """
        try:
            read = [self._read(item) for item in items]
        except RefusedFeedback as refused:
            self._metrics.refused(refused.reason)
            raise
        now = self._clock()
        counted = 0
        for item, (predicted, score) in zip(items, read, strict=True):
            self._keep(item, predicted, score=score, now=now)  # also what is sent again: the last label counts
            if not self._once.is_new(predicted.nonce):
                self._metrics.repeated()
                continue
            counted += 1
            self._metrics.labelled(lag=max(0.0, now - predicted.at))
            self.cohorts.labelled(predicted.revision, at=predicted.at, score=score, now=now, client=client)
        return counted, len(read) - counted

    def close(self) -> None:
        """Write the rows that wait."""
        if self._rows is not None:
            self._rows.close()

    def _keep(self, item: FeedbackItem, predicted: Predicted, *, score: float, now: float) -> None:
        if self._rows is None:
            return
        row = row_of(
            item,
            predicted,
            score=score,
            predicted_label=self._names.get(predicted.label),
            labels=self._labels,
            text_rate=self._text_rate,
            now=now,
        )
        self._rows.put(row)

    def _read(self, item: FeedbackItem) -> tuple[Predicted, float]:
        """Return the prediction and how good it was, from 0 to 1. Raises RefusedFeedback."""
        try:
            signer = self._keys.signer()
            predicted = signer.read(item.token)
            require_recent(predicted.at, now=self._clock())
            _require_own_text(item, predicted, signer)
            return predicted, self._score(item, predicted)
        except RefusedFeedback as refused:
            raise RefusedFeedback(f"{item.field}{refused}", reason=refused.reason) from None

    def _score(self, item: FeedbackItem, predicted: Predicted) -> float:
        """Return how good a prediction was. Who corrects an answer and gives it no score says that it was wrong."""
        if item.score is not None:
            return item.score
        if item.correct is None and item.correction is not None:
            return 0.0
        return float(self._is_correct(item, predicted))

    def _is_correct(self, item: FeedbackItem, predicted: Predicted) -> bool:
        if item.correct is not None:
            return item.correct
        if isinstance(item.label, int):
            if 0 <= item.label < len(self._labels):
                return item.label == predicted.class_id
        elif item.label in self._classes:
            return label_digest(item.label) == predicted.label
        allowed = ", ".join(self._labels[:_MOST_SHOWN]) + (", …" if len(self._labels) > _MOST_SHOWN else "")
        message = f"label: {shown(item.label)} was given, allowed are the model's {len(self._labels)} labels ({allowed}) or their ids from 0"
        raise RefusedFeedback(message, reason="label")


def _require_own_text(item: FeedbackItem, predicted: Predicted, signer: Signer) -> None:
    """Raise RefusedFeedback if feedback has another text than the prediction. A token without a digest fits any: no text of it is kept."""
    if item.input is None or predicted.input_digest is None or signer.is_input(item.input, predicted):
        return
    message = "input: is not the text that this token was given for; send the text exactly as it was predicted, or leave input out"
    raise RefusedFeedback(message, reason="input")
