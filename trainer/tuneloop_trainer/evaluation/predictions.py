"""What a model says about each row of a split.

Shapes: N = rows of the split, C = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors.numpy import load_file, save_file

from tuneloop_trainer.evaluation.metrics import accuracy, confusion_matrix, log_losses, macro_f1, matthews

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """What the model says about each row of a split, in the split's own order."""

    logits: NDArray[np.float32]
    """[N, C]"""
    labels: NDArray[np.int64]
    """[N]"""
    rows: NDArray[np.int64]
    """[N] row ids."""

    def metrics(self) -> dict[str, float]:
        """Return loss (mean cross-entropy, without label smoothing), accuracy, macro_f1 and mcc."""
        predicted = self.logits.argmax(axis=1)
        confusion = confusion_matrix(self.labels, predicted, classes=self.logits.shape[1])
        return {
            "loss": float(log_losses(self.logits, self.labels).mean()),
            "accuracy": float(accuracy(confusion)),
            "macro_f1": float(macro_f1(confusion)),
            "mcc": float(matthews(confusion)),
        }

    def write(self, path: Path) -> None:
        """Write a safetensors file that is whole or absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        no_result = path.with_suffix(".tmp")
        save_file({"logits": self.logits, "labels": self.labels, "rows": self.rows}, no_result)
        no_result.replace(path)


def read_predictions(path: Path) -> Predictions:
    """Read what `Predictions.write` wrote."""
    return Predictions(**load_file(path))
