"""Runs a stage of a job on this machine, with the trainer's code of any release and the run.json that an operator wrote for it.

The part of the kubelet that matters for a stage: its ConfigMap, its claims as folders, its exit code, its termination message.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from free_ports import free_ports
from release_code import python_path
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

Manifest = dict[str, Any]
_CLAIMS = "/tuneloop/claims"
_SECONDS = 180.0


@dataclass(frozen=True)
class Ended:
    """How a stage ended."""

    exit_code: int
    message: str


@dataclass(frozen=True)
class Machine:
    """Where stages run."""

    folder: Path
    code: Path
    """Of the release whose trainer is in the image."""
    run_configs: dict[str, Manifest] = field(default_factory=dict)
    """By the name of a Job: its run.json."""

    @property
    def claims(self) -> Path:
        """The folder that holds the claims."""
        return self.folder / "claims"

    def run(self, config_map: Manifest, *, kill_when: Callable[[Manifest], bool] | None = None) -> Ended:
        """Run the stage of a ConfigMap to its end, or kill all of its processes as soon as `kill_when` holds for its run.json."""
        config, path = self._run_json(config_map)
        command = "supervise" if config["stage"] == "train" else config["stage"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNELOOP_")}
        with path.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tuneloop_trainer", command, str(path)],
                env=environment | {"PYTHONPATH": python_path(self.code), "OMP_NUM_THREADS": "1"},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if kill_when is not None:
                until(
                    lambda: kill_when(config) or process.poll() is not None, seconds=_SECONDS, what="a moment to kill"
                )
                assert process.poll() is None, f"it ended too soon:\n{path.with_suffix('.log').read_text()}"
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        message = Path(config["paths"]["terminationMessage"])
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return Ended(code, message.read_text() if message.exists() else path.with_suffix(".log").read_text()[-2000:])

    def _run_json(self, config_map: Manifest) -> tuple[Manifest, Path]:
        """Write a run.json of this machine's paths. All else stays as the operator wrote it."""
        name = config_map["metadata"]["name"]
        self.run_configs[name] = json.loads(config_map["data"]["run.json"])
        config = json.loads(config_map["data"]["run.json"].replace(_CLAIMS, str(self.claims)))
        del config["progress"]
        config["paths"]["terminationMessage"] = str(self.folder / f"{name}.message")
        if "rendezvous" in config:
            config["rendezvous"] = {"address": "127.0.0.1", "port": free_ports(1)[0]}
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config))
        return config, path


def read_with(code: Path, program: str, data: object) -> Any:
    """Return what a Python program makes of JSON data, with the code of a release; it finds them as `data` and leaves `result`."""
    script = f"import json, sys\ndata = json.load(sys.stdin)\n{program}\nprint(json.dumps(result))"
    environment = os.environ | {"PYTHONPATH": python_path(code)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(data),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
