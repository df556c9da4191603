"""Makes `onnx/` of the finished `model/`, and compares it as every format is compared.

What cannot be written as ONNX is found in the rehearsal, before any GPU is held. After the training a refusal costs the ONNX files, and not the model.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import OnnxFiles
from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import ConfigError, StageError, StorageError
from tuneloop_trainer.export.checked_files import check_files
from tuneloop_trainer.export.exporters.merged import MERGED
from tuneloop_trainer.export.exporters.onnx_model import ONNX, not_as_onnx
from tuneloop_trainer.export.onnx_int8 import write_int8
from tuneloop_trainer.export.rounding import share_allowed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuneloop_trainer.export.exporters.exporter import ExportInputs
    from tuneloop_trainer.export.parity import Sample

LOG = logging.getLogger(__name__)


def write_checked_onnx(folder: Path, inputs: ExportInputs, *, expected: Sample, trained: NDArray[np.float32]) -> None:
    """Write `onnx/model.onnx` of the model in `model/`, and compare it. folder: the artifact's.

    Raises ConfigError if the model cannot be written as ONNX: its code cannot be traced, or a trace of it gives other logits.
    """
    ONNX.write(inputs, MERGED.load(inputs, folder / MERGED.folder), folder / ONNX.folder)
    try:
        check_files(folder, [ONNX], inputs, expected=expected, trained=trained)
    except (ConfigError, StorageError):
        raise
    except StageError as error:
        raise not_as_onnx(f"a trace of its code gives other logits: {error.message}") from error


def onnx_files(
    folder: Path, inputs: ExportInputs, *, expected: Sample, trained: NDArray[np.float32]
) -> OnnxFiles | None:
    """Write all ONNX files that the job asks for, and say what was found of them; None: it asks for none.

    Raises StorageError if there is no room.
    """
    if not ONNX.wanted(inputs):
        return None
    found = OnnxFiles(rows=len(expected.chosen), tolerance=share_allowed("fp32"))
    try:
        write_checked_onnx(folder, inputs, expected=expected, trained=trained)
    except StorageError:
        raise
    except StageError as error:
        shutil.rmtree(folder / ONNX.folder, ignore_errors=True)
        LOG.warning("onnx is not published: %s", error.message)
        return changed(found, refusal=error.message)
    if not inputs.settings.output.asks_for_int8:
        return found
    int8 = write_int8(
        folder / ONNX.folder,
        dataset=Path(inputs.prepared.dataset_path),
        task=inputs.task,
        pad_token_id=inputs.pad_token_id,
    )
    return changed(found, int8=int8)


def onnx_formats(found: OnnxFiles | None) -> list[str]:
    """Return the words of `output.formats` that were published."""
    if found is None or found.refusal is not None:
        return []
    return ["onnx", *(["onnx-int8"] if found.int8 is not None and found.int8.refusal is None else [])]
