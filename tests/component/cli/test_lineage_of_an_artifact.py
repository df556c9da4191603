"""`tuneloop lineage` on a folder with a real artifact: objects, its manifest, and the report of its data."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from artifact import make_artifact
from tiny_models import tiny_bert

from tuneloop_cli import main as program
from tuneloop_cli.local.cluster.object_files import ObjectFiles

JOB_FOLDER = "jobs/films-11111111"
URI = f"pvc://work/{JOB_FOLDER}/artifact"
REPORT = "/tuneloop/claims/work/report.json"


def objects(digest: str) -> list[dict[str, Any]]:
    """Return a job that has published the artifact, and a deployment that serves it."""
    source = {"uri": "pvc://work/films.csv"}
    job = {
        "spec": {"model": {"uri": "hf://org/base"}, "data": {"train": [source]}},
        "status": {"artifact": {"uri": URI, "digest": digest}, "data": {"rows": 9, "digest": "d1", "report": REPORT}},
    }
    stable = {"revision": "7d1f0b2c", "uri": URI, "digest": digest}
    deployment = {"spec": {"model": {"fineTuneJobRef": {"name": "films"}}}, "status": {"stable": stable}}
    named = {
        ("FineTuneJob", "films"): job,
        ("ModelDeployment", "reviews"): deployment,
    }
    return [
        {"kind": kind, "metadata": {"name": name, "namespace": "default", "uid": "11111111-2222"}} | body
        for (kind, name), body in named.items()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuneloop")
    claim = folder / "claims" / "work"
    manifest = make_artifact(claim / JOB_FOLDER / "artifact", tiny_bert(folder / "bert"), name="films")
    (claim / "report.json").write_text(
        json.dumps({"sources": [{"for": "train", "uri": "pvc://work/films.csv", "usable": 9}]})
    )
    for found in objects(manifest.digest()):
        ObjectFiles(folder).write(found)
    return folder


def shown(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["tuneloop", "lineage", *words])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_a_revision_leads_to_the_rows_of_its_job(folder, monkeypatch, capsys):
    tree = json.loads(shown(monkeypatch, capsys, "mdep/reviews@7d1f0b2c", "--json", "--dir", str(folder)))
    (revision,) = tree["from"]
    (artifact,) = revision["from"]
    (job,) = artifact["from"]
    assert artifact.get("notes") is None, "the manifest is read, and has the digest that is served"
    assert [(node["kind"], node["name"]) for node in job["from"]] == [
        ("BaseModel", "hf://org/base"),
        ("Data", "prepared by films"),
    ]
    assert job["from"][1]["from"][0]["facts"] == {"usedFor": "train", "rows": 9}


def test_without_its_job_the_artifact_itself_says_what_it_is(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder / "claims", tmp_path / "claims")
    text = shown(monkeypatch, capsys, URI, "--dir", str(tmp_path))
    assert text.splitlines()[0] == f"Artifact {URI}"
    assert "Base model hf://tests/model" in text
    assert "not here any more: the manifest of its artifact says this much" in text
    assert "cannot be read" not in text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"name": 1}'], ids=["none", "no JSON", "a list", "another one"])
def test_a_manifest_that_is_none_is_said_to_be_out_of_reach(content, folder, tmp_path, monkeypatch, capsys):
    path = tmp_path / "claims" / "work" / JOB_FOLDER / "artifact" / "manifest.json"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_text(content)
    assert "(its manifest.json cannot be read from here)" in shown(monkeypatch, capsys, URI, "--dir", str(tmp_path))
