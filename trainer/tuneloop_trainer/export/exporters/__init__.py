"""The formats in which a model is published, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.export.exporters.adapter import ADAPTER
from tuneloop_trainer.export.exporters.merged import MERGED

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.export.exporters.exporter import Exporter, ExportInputs

EXPORTERS: list[Exporter] = [ADAPTER, MERGED]
"""In the order in which they write: merging takes the adapter out of the model."""


def write_all(folder: Path, inputs: ExportInputs, model: Any) -> list[Exporter]:
    """Write every format that the job asks for, each into its own folder below `folder`; return their exporters.

    model: as `load_trained` returns it. It is changed: adapters are merged into it.
    """
    wanted = [exporter for exporter in EXPORTERS if exporter.wanted(inputs)]
    for exporter in wanted:
        model = exporter.write(inputs, model, folder / exporter.folder)
    return wanted
