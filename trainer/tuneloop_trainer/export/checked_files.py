"""Writes the model in every format that the job asks for, loads each format from its files, and compares it with the trained weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_trainer.export.exporters import write_all
from tuneloop_trainer.export.parity import check_labels, check_parity, trained_logits
from tuneloop_trainer.models.load_trained import load_trained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuneloop_trainer.export.exporters.exporter import Exporter, ExportInputs
    from tuneloop_trainer.export.parity import Sample

LOG = logging.getLogger(__name__)


def write_files(folder: Path, inputs: ExportInputs, expected: Sample) -> tuple[list[Exporter], NDArray[np.float32]]:
    """Write every format; return the exporters, and the logits of the trained weights on the rows to compare."""
    model = load_trained(Path(inputs.prepared.model_path), Path(inputs.trained.weights_path), task=inputs.task)
    logits = trained_logits(model, expected, pad_token_id=inputs.pad_token_id)
    return write_all(folder, inputs, model), logits


def check_files(
    folder: Path, exporters: list[Exporter], inputs: ExportInputs, *, expected: Sample, trained: NDArray[np.float32]
) -> None:
    """Load every format from its files and compare it with the trained weights and with what training measured."""
    for exporter in exporters:
        written = folder / exporter.folder
        model = exporter.load(inputs, written)
        difference = check_parity(model, written, expected, trained=trained, precision=inputs.trained.precision)
        check_labels(written, inputs.prepared.resolved.labels)
        rows = len(expected.chosen)
        LOG.info(
            "%s gives the logits of the trained weights on %d test rows within %.2g", exporter.folder, rows, difference
        )
