"""Writes the golden files of a release: `python dev/write_wire_golden.py RELEASE [COMMIT]`.

The files are written by the code of that commit itself, which is taken from the history into a temporary folder, with the samples of
`tests/support/message_samples.py`: of every message a minimal sample, and a sample in which every field is set. Tests read every file with
today's code. So a file of a release is never changed again. Run it once for each release, from its commit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "wire"
DIGESTS = "digests.json"
"""By file: the digest that the code of the release gave an artifact with that manifest."""
MESSAGES = {
    "run-config": ("RunConfig", "tuneloop_api.contract.run_config", "tuneloop_api.run_config"),
    "prepare-result": ("PrepareResult", "tuneloop_api.contract.results", "tuneloop_api.results"),
    "train-result": ("TrainResult", "tuneloop_api.contract.results", "tuneloop_api.results"),
    "export-result": ("ExportResult", "tuneloop_api.contract.results", "tuneloop_api.results"),
    "termination-message": ("TerminationMessage", "tuneloop_api.contract.results", "tuneloop_api.results"),
    "progress-message": ("ProgressMessage", "tuneloop_api.contract.progress", "tuneloop_api.progress"),
    "artifact-manifest": ("Manifest", "tuneloop_api.contract.artifact", "tuneloop_api.artifact"),
    "monitoring-profile": ("MonitoringProfile", "tuneloop_api.contract.monitoring_profile"),
    "server-config": ("ServerConfig", "tuneloop_api.contract.server_config", "tuneloop_api.server_config"),
    "job-plan": ("JobPlan", "tuneloop_api.contract.job_plan", "tuneloop_api.job_plan"),
    "fine-tune-job-status": ("FineTuneJobStatus", "tuneloop_api.v1alpha1"),
    "model-deployment-status": ("ModelDeploymentStatus", "tuneloop_api.v1alpha1"),
    "dataset-manifest": ("DatasetManifest", "tuneloop_trainer.dataset.shards", "tuneloop_trainer.data.shards"),
    "checkpoint-manifest": ("Manifest", "tuneloop_trainer.checkpoint.manifest"),
    "trained-method": ("TrainedModel TrainedMethod", "tuneloop_trainer.models.trained", "tuneloop_trainer.methods"),
    "router-split": ("RouterSplit", "tuneloop_api.contract.router"),
    "router-settings": ("RouterSettings", "tuneloop_api.contract.router"),
    "comparator-config": ("ComparatorConfig", "tuneloop_api.contract.comparator_config"),
    "comparison-counts": ("ComparisonCounts", "tuneloop_api.contract.comparison"),
    "server-end": ("ServerEnd", "tuneloop_api.contract.server_end"),
}
"""By the name of its files: the class of a message (today's name, then that of an older release), and the modules that it may be in, today's first."""

NOT_IN_0_1_0 = {
    "router-split",
    "router-settings",
    "comparator-config",
    "comparison-counts",
    "server-end",
    "monitoring-profile",
}
"""Messages of roll-outs and of monitoring, which the first release did not have."""


def model_of(message: str) -> Any:
    """Return the class of a message in the code that is on the path."""
    names, *modules = MESSAGES[message]
    for module, name in product(modules, names.split()):
        try:
            return getattr(import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise SystemExit(f"{message}: no {names} in {', '.join(modules)}")


def write(folder: Path) -> None:
    """Write every message with the code that is on the path."""
    sys.path.append(str(ROOT / "tests" / "support"))
    from message_samples import sample  # noqa: PLC0415  (found through the line above)

    digests = {}
    for message in MESSAGES:
        model = model_of(message)
        for form in ("minimal", "full"):
            written = model.from_wire(sample(model, full=form == "full"))
            path = folder / f"{message}.{form}.json"
            if message == "checkpoint-manifest":
                path.write_bytes(written.encode())
                continue
            if message == "artifact-manifest":
                digests[path.name] = written.digest()
            path.write_text(json.dumps(written.to_wire(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Take the release out of the history, and let its code write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", help="such as 0.1.0; names the folder")
    parser.add_argument("commit", nargs="?", default="HEAD")
    arguments = parser.parse_args()
    folder = GOLDEN / arguments.release
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as code:
        archive = subprocess.run(["git", "archive", arguments.commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", code], input=archive, check=True)
        path = os.pathsep.join(str(Path(code, shelf)) for shelf in ("api", "operator", "trainer", "server"))
        program = f"import runpy; runpy.run_path({__file__!r})['write'](__import__('pathlib').Path({str(folder)!r}))"
        subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, cwd=code, check=True)
    print(f"wrote {len(list(folder.iterdir()))} files to {folder.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
