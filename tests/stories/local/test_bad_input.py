"""Every mistake ends in one clear message and an exit code, without a traceback, and leaves no half-written output."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable

import pytest
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, job_manifest, until

pytestmark = pytest.mark.local_story


def data(uri: str = "rows.csv", **blocks: object) -> dict:
    return {"train": [{"uri": f"pvc://{CLAIM}/{uri}"}]} | blocks


def write_rows(
    name: str, rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")
) -> Callable[[Workspace], None]:
    return lambda workspace: workspace.write_rows(name, rows, header=header)


def without_weights(workspace: Workspace) -> None:
    (workspace.claim / "model" / "model.safetensors").unlink()


def pickled_weights(workspace: Workspace) -> None:
    weights = workspace.claim / "model" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))


MANY = sentences(300)
DUPLICATED = [*MANY, *[(text, label) for text, label in MANY[:10]]]

CASES = [
    pytest.param(
        {"task": "text-clasification"}, None, ["spec.task", "did you mean text-classification?"], 2, id="misspelt value"
    ),
    pytest.param(
        {"trainig": {}}, None, ["spec.trainig", "unknown field; did you mean training?"], 2, id="unknown field"
    ),
    pytest.param(
        {"training": {"learningRate": "fast"}},
        None,
        ["spec.training.learningRate", "must be a number", "2e-4"],
        2,
        id="wrong type",
    ),
    pytest.param(
        {"method": {"type": "full", "rank": 4}},
        None,
        ["spec.method.rank", "applies only to type: lora"],
        2,
        id="does not apply",
    ),
    pytest.param(
        {"training": {"globalBatchSize": 16, "microBatchSize": 5}},
        None,
        ["spec.training.microBatchSize", "multiple", "5"],
        2,
        id="batch",
    ),
    pytest.param(
        {"model": {"uri": f"pvc://{CLAIM}/model", "labels": ["a", "b", "a"]}},
        None,
        ["spec.model.labels", "found"],
        2,
        id="labels that are alike",
    ),
    pytest.param({"data": data("gone.csv")}, None, ["gone.csv"], None, id="missing file"),
    pytest.param(
        {"data": data()},
        write_rows("rows.csv", MANY, ("txt", "label")),
        ["rows.csv", "text", "txt"],
        None,
        id="missing column",
    ),
    pytest.param(
        {"data": data()}, lambda w: (w.claim / "rows.csv").write_text(""), ["rows.csv", "empty"], None, id="empty file"
    ),
    pytest.param(
        {"data": data()},
        write_rows("rows.csv", [(t, "good") for t, _ in MANY]),
        ["label", "good"],
        None,
        id="one label",
    ),
    pytest.param(
        {"data": data()},
        write_rows("rows.csv", [*MANY, ("", "class-0"), ("  ", "class-1")]),
        ["rows.csv", "maxBadFraction"],
        None,
        id="bad rows",
    ),
    pytest.param(
        {"data": data()},
        write_rows("rows.csv", [*MANY, ("one of a kind", "rare")]),
        ["rare", "split"],
        None,
        id="class missing from a split",
    ),
    pytest.param(
        {
            "data": {
                "train": [{"uri": f"pvc://{CLAIM}/rows.csv"}],
                "test": [{"uri": f"pvc://{CLAIM}/rows.csv"}],
                "deduplicate": {"acrossSplits": False},
            }
        },
        None,
        ["overlap"],
        None,
        id="splits that overlap",
    ),
    pytest.param({}, without_weights, ["model", "safetensors"], None, id="model without weights"),
    pytest.param({}, pickled_weights, ["pytorch_model.bin", "safetensors"], None, id="pickled weights"),
    pytest.param({"model": {"uri": "pvc://nowhere/model"}}, None, ["nowhere"], 2, id="claim without a folder"),
]
STANDS_FOR_OTHERS = {"missing column", "bad rows", "pickled weights"}
"""Cases with `code` None are found by a process that reads the data and the model. Component tests have each of their messages."""
ONE_NODE = {"nodes": 1, "gpusPerNode": 0}


def is_slow(case: str, command: str, *, code: int | None) -> bool:
    """Whether the case costs the start of a whole stage for what another case shows as well."""
    return code is None and (case not in STANDS_FOR_OTHERS or (command, case) == ("run", "missing column"))


COMMANDS = [
    pytest.param(
        command,
        *case.values,
        id=f"{case.id}-{command}",
        marks=[pytest.mark.full] if is_slow(case.id, command, code=case.values[-1]) else [],
    )
    for case in CASES
    for command in ("validate", "run")
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture
def workspace(tmp_path, model) -> Workspace:
    workspace = Workspace(tmp_path)
    shutil.copytree(model, workspace.claim / "model")
    workspace.write_rows("rows.csv", MANY)
    return workspace


@pytest.mark.parametrize(("command", "spec", "spoil", "says", "code"), COMMANDS)
def test_a_mistake_ends_in_one_message(
    workspace: Workspace, command: str, spec: dict, spoil, says: list[str], code: int | None
) -> None:
    if spoil:
        spoil(workspace)
    workspace.write("job.yaml", job_manifest(**spec))
    ended = workspace.tuneloop(command, "-f", "job.yaml")
    shown = ended.stdout + ended.stderr
    assert ended.returncode != 0, shown
    assert code is None or ended.returncode == code, shown
    assert "Traceback" not in shown, shown
    assert [words for words in says if words not in shown] == [], shown
    assert not list(workspace.claim.glob("jobs/*/artifact"))
    assert not list(workspace.claim.glob("datasets/*/dataset.json"))


def refused(workspace: Workspace, holder: int):
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    return ended if str(holder) in ended.stderr else None


def test_a_second_run_in_the_same_folder_names_the_first(workspace: Workspace) -> None:
    workspace.write("job.yaml", job_manifest(training={"epochs": 50, "globalBatchSize": 16, "microBatchSize": 4}))
    first = workspace.start("run", "-f", "job.yaml", log="first.log")
    try:
        until((workspace.path / ".tuneloop" / "lock").exists, seconds=60, what="the lock", process=first)
        second = until(lambda: refused(workspace, first.pid), seconds=60, what="the holder's name")
        assert second.returncode == 3
        assert "Traceback" not in second.stderr
    finally:
        first.kill()
        first.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, model) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("served"))
    shutil.copytree(model, workspace.claim / "model")
    workspace.write_rows("rows.csv", MANY)
    training = {"maxSteps": 2, "globalBatchSize": 16, "microBatchSize": 4}
    workspace.write("job.yaml", job_manifest(training=training, resources=ONE_NODE))
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    workspace.write("deployment.yaml", deployment_manifest())
    return workspace


def test_a_port_in_use_is_named(served: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = served.tuneloop("serve", "-f", "deployment.yaml", "--port", str(port), timeout=60)
    assert ended.returncode == 3
    assert str(port) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_tampered_artifact_is_not_served(served: Workspace) -> None:
    weights = served.job_folder() / "artifact" / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        ended = served.tuneloop("serve", "-f", "deployment.yaml", "--port", "0", timeout=90)
    finally:
        weights.write_bytes(whole)
    assert ended.returncode == 1
    assert "model.safetensors" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_manifest_of_an_artifact_lists_every_file(served: Workspace) -> None:
    artifact = served.job_folder() / "artifact"
    manifest = json.loads((artifact / "manifest.json").read_text())
    on_disk = {str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file()} - {"manifest.json"}
    assert {file["path"] for file in manifest["files"]} == on_disk


@pytest.mark.parametrize(("hub_does", "seconds"), [("refuse", 28), ("keep silent", 60)])
def test_a_hub_that_is_not_reached_is_named_within_seconds(workspace: Workspace, hub_does: str, seconds: float) -> None:
    """The stages of a job try five times, which takes 30 seconds where the hub refuses, and minutes where it is silent."""
    workspace.write("job.yaml", job_manifest(model={"uri": "hf://org/name"}))
    with socket.create_server(("127.0.0.1", 0)) as hub:
        address = f"http://127.0.0.1:{hub.getsockname()[1]}"
        if hub_does == "refuse":
            hub.close()
        environment = {"HF_ENDPOINT": address, "NO_PROXY": "127.0.0.1"}
        ended = workspace.tuneloop("validate", "-f", "job.yaml", timeout=seconds, **environment)
    assert ended.returncode == 2, ended.stderr
    problem, hint = ended.stdout.strip().splitlines()
    assert "model.uri: hf://org/name at revision 'main' cannot be fetched: " in problem
    assert hint.startswith("hint: without access to 127.0.0.1, put the model's folder on a claim")
