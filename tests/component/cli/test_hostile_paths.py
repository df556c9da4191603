"""Names and paths in a manifest lead out of the folder of local mode nowhere: each command says in one message which field is wrong."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuneloop_cli import main as program

JOB: dict[str, Any] = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "reviews"},
    "spec": {
        "model": {"uri": "pvc://work/model"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://work/rows.csv"}]},
        "storage": {"claim": "work"},
    },
}
DEPLOYMENT = JOB | {"kind": "ModelDeployment", "spec": {"model": {"uri": "pvc://work/artifact"}}}
LONG = "x" * 300
SECRET = {"name": "a", "mountPath": "/a", "secret": {"secretName": "a"}}


def with_value(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the manifest with another value at a dotted path."""
    changed = copy.deepcopy(manifest)
    *above, last = path.split(".")
    block = changed
    for name in above:
        block = block.setdefault(name, {})
    block[last] = value
    return changed


def called(monkeypatch, capsys, tmp_path: Path, command: str, manifest: dict[str, Any]) -> tuple[int, str]:
    """Run a command in a folder below `tmp_path`; return its exit code and what it printed. An error that it does not know is raised."""
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(manifest))
    folder = tmp_path / "in" / "this" / "folder"
    (folder / "claims" / "work").mkdir(parents=True)
    before = outside(tmp_path, folder)
    monkeypatch.setattr(sys, "argv", ["tuneloop", command, "-f", str(file), "--dir", str(folder)])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert outside(tmp_path, folder) == before
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out + printed.err


def outside(root: Path, folder: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if not path.is_relative_to(folder))


@pytest.mark.parametrize(
    ("manifest", "path", "value"),
    [
        *((kind, f"metadata.{name}", "../..") for kind in (JOB, DEPLOYMENT) for name in ("name", "namespace")),
        (JOB, "metadata.namespace", "team-a/../.."),
        (JOB, "spec.model.uri", "pvc://../model"),
        (JOB, "spec.model.uri", "pvc://work/../../model"),
        (JOB, "spec.model.uri", "file:///home/../etc"),
        (JOB, "spec.model.revision", "../main"),
        (JOB, "spec.data.train", [{"uri": "pvc://work/%2e%2e/rows.csv"}]),
        (JOB, "spec.data.train", [{"uri": "pvc://work/data", "split": "../other"}]),
        (JOB, "spec.storage.claim", "../claims"),
        (JOB, "spec.storage.subPath", "a/../../b"),
        (JOB, "spec.checkpoint.resumeFrom", "pvc://work/.."),
        (JOB, "spec.model.secretRef", {"name": "../token", "key": "token"}),
        (JOB, "spec.model.secretRef", {"name": "token", "key": "../token"}),
        (JOB, "spec.env", [{"name": "A", "configMapKeyRef": {"name": "a", "key": "../a"}}]),
        (JOB, "spec.volumes", [SECRET | {"mountPath": "/a/../../etc"}]),
        (JOB, "spec.volumes", [SECRET | {"subPath": "../../etc"}]),
        (JOB, "spec.volumes", [SECRET | {"secret": {"secretName": "a", "items": [{"key": "a", "path": "../../etc"}]}}]),
        (DEPLOYMENT, "spec.model", {"fineTuneJobRef": {"name": "../reviews"}}),
        (DEPLOYMENT, "spec.model.uri", "pvc://work/../artifact"),
    ],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused_by_its_field(monkeypatch, capsys, tmp_path, manifest, path, value) -> None:
    code, printed = called(monkeypatch, capsys, tmp_path, "validate", with_value(manifest, path, value))
    assert code == 2
    assert path in printed


@pytest.mark.parametrize(
    ("manifest", "path", "value", "says"),
    [
        (JOB, "spec.model.uri", f"pvc://{LONG}/model", "there is no folder"),
        (JOB, "spec.data.train", [{"uri": f"pvc://{LONG}/rows.csv"}], "there is no folder"),
        (DEPLOYMENT, "spec.model.uri", f"pvc://{LONG}/artifact", "there is no folder"),
        (DEPLOYMENT, "spec.model.uri", f"pvc://work/{LONG}", "is no artifact"),
    ],
    ids=["model", "data", "deployment", "folder of a deployment"],
)
def test_a_name_too_long_for_a_file_is_one_that_is_not_there(monkeypatch, capsys, tmp_path, manifest, path, value, says) -> None:  # fmt: skip
    code, printed = called(monkeypatch, capsys, tmp_path, "validate", with_value(manifest, path, value))
    assert code == 2
    assert says in printed


@pytest.mark.parametrize("path", ["metadata.name", "metadata.namespace", "spec.storage.claim"])
def test_a_job_of_such_a_name_is_not_begun(monkeypatch, capsys, tmp_path, path) -> None:
    code, printed = called(monkeypatch, capsys, tmp_path, "run", with_value(JOB, path, "../../.."))
    assert code == 2
    assert path in printed
