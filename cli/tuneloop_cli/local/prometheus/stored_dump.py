"""Brings a dump in the text format OpenMetrics into the folder of a Prometheus, by promtool."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tuneloop_cli.local.errors import NoPrometheus

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 3600


def store_dump(dump: Path, folder: Path) -> None:
    """Write the samples of a dump as blocks, where a LocalPrometheus of this folder reads them. Blocks. Raises NoPrometheus."""
    promtool = shutil.which("promtool")
    if promtool is None:
        raise NoPrometheus(
            "there is no promtool on PATH, which reads --file: it comes with Prometheus, for example sudo apt-get install prometheus"
        )
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    program = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(dump), str(data)]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise NoPrometheus(f"{dump} is no dump in the text format OpenMetrics: {complaint}")
