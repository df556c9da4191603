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
from tuneloop_server.feedback.token import NONCE_BYTES, Predicted, bin_of, label_digest
from tuneloop_server.fields import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_server.feedback.keys import Keys
    from tuneloop_server.feedback.request import FeedbackItem
    from tuneloop_server.monitoring import Monitoring
    from tuneloop_server.tasks.task import Prediction

_MOST_SHOWN = 10


class Feedback:
    """Of one process. It holds counts and the marks of tokens that were counted, and no text."""

    def __init__(
        self,
        keys: Keys,
        *,
        revision: str,
        labels: Sequence[str],
        monitoring: Monitoring,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """labels: of the model, in the order of their ids; clock: seconds since 1970."""
        self._keys = keys
        self._revision = revision
        self._labels = labels
        self._classes = {name: (number, label_digest(name)) for number, name in enumerate(labels)}
        self._clock = clock
        self.cohorts = Cohorts()
        self._once = Once()
        self._metrics = FeedbackMetrics(
            monitoring.registry, constant=monitoring.constant, cohorts=self.cohorts, clock=clock
        )
        self._nonces = count()
        self._own = secrets.token_bytes(NONCE_BYTES // 2)

    def token(self, prediction: Prediction) -> str:
        """Return the token of a prediction, and count that it went out."""
        now = self._clock()
        class_id, digest = self._classes[prediction.label]
        self.cohorts.predicted(self._revision, now=now)
        return self._keys.signer().token(
            Predicted(
                revision=self._revision,
                at=int(now),
                nonce=self._own + (next(self._nonces) % 2**32).to_bytes(NONCE_BYTES // 2),
                class_id=class_id,
                label=digest,
                confidence_bin=bin_of(prediction.calibrated_confidence),
            )
        )

    def take(self, items: Sequence[FeedbackItem]) -> tuple[int, int]:
        """Count feedback; return how many labels were counted, and how many had been counted before. Raises RefusedFeedback, and counts nothing then."""
        try:
            read = [self._read(item) for item in items]
        except RefusedFeedback as refused:
            self._metrics.refused(refused.reason)
            raise
        now = self._clock()
        counted = 0
        for predicted, is_correct in read:
            if not self._once.is_new(predicted.nonce):
                self._metrics.repeated()
                continue
            counted += 1
            self._metrics.labelled(lag=max(0.0, now - predicted.at))
            self.cohorts.labelled(predicted.revision, at=predicted.at, is_correct=is_correct, now=now)
        return counted, len(read) - counted

    def _read(self, item: FeedbackItem) -> tuple[Predicted, bool]:
        """Return the prediction and whether it was right. Raises RefusedFeedback."""
        try:
            predicted = self._keys.signer().read(item.token)
            require_recent(predicted.at, now=self._clock())
            return predicted, self._is_correct(item, predicted)
        except RefusedFeedback as refused:
            raise RefusedFeedback(f"{item.field}{refused}", reason=refused.reason) from None

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
