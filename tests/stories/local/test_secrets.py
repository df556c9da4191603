"""The values of Secrets stand nowhere but in the environment of the processes that use them: a job with a gated model and rows in a bucket, then its server."""

from __future__ import annotations

import base64
import json
import signal
import urllib.request
from pathlib import Path

import pytest
from hub_server import running_hub
from object_server import SECRET_KEY, running_object_server
from tiny_models import sentences, tiny_bert, write_csv
from workspace import Workspace, deployment_manifest, job_manifest, until

pytestmark = pytest.mark.local_story

TOKEN, KEY = "hf_CanaryOfTheHub4f1c", "canary-of-the-tracker-77ae"
FORMS = [
    form
    for value in (TOKEN, KEY, SECRET_KEY)
    for form in (value.encode(), base64.b64encode(value.encode()).rstrip(b"="))
]
ENV = [{"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "api-key"}}]
VALUES = {"HF_TOKEN": TOKEN, "WANDB_API_KEY": KEY}


def has_value(content: bytes) -> bool:
    return any(form in content for form in FORMS)


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def arguments_with_a_value() -> list[str]:
    """Return the command lines of this machine that hold a value."""
    found = [content(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return [arguments.decode(errors="replace") for arguments in found if has_value(arguments)]


def environments_with_the_key() -> int:
    return sum(KEY.encode() in content(path) for path in Path("/proc").glob("[0-9]*/environ"))


def files_with_a_value(workspace: Workspace) -> list[str]:
    """Return the files of a folder that hold a value: objects, logs, checkpoints, artifact, caches."""
    files = [path for path in workspace.path.rglob("*") if path.is_file()]
    assert len(files) > 30
    return [str(path) for path in files if has_value(path.read_bytes())]


def ends(process, *, within: float, code: int, log: Path) -> None:
    """Wait for the end of a command line; meanwhile no process has a value in its arguments."""

    def has_ended() -> bool:
        assert arguments_with_a_value() == []
        return process.poll() is not None

    until(has_ended, seconds=within, what="the end of the command")
    assert process.returncode == code, log.read_text()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workspace in which a job has trained a gated model on rows in a bucket."""
    workspace = Workspace(tmp_path_factory.mktemp("secrets"))
    rows = write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", sentences(300)).read_bytes()
    data = {"train": [{"uri": "s3://reviews/2026", "secretRef": {"name": "reviews"}}]}
    model = {"uri": "hf://org/name", "secretRef": {"name": "hub"}}
    workspace.write("job.yaml", job_manifest(model=model, data=data, env=ENV, cleanup={"checkpoints": "KeepAll"}))
    workspace.write("deployment.yaml", deployment_manifest(env=ENV))
    with running_hub() as hub, running_object_server() as storage:
        storage.begin(reviews={"2026/a.csv": rows})
        hub.begin(tiny_bert(tmp_path_factory.mktemp("served") / "model"))
        hub.token = TOKEN
        places = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(workspace.path / "home")}
        values = VALUES | places | storage.variables | {"HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        process = workspace.start("run", "-f", "job.yaml", log="run.log", **values)
        ends(process, within=240, code=0, log=workspace.path / "run.log")
    return workspace


def test_a_job_leaves_no_value_in_objects_logs_checkpoints_or_its_artifact(trained):
    assert trained.committed()
    shown = [trained.tuneloop(*words).stdout for words in (("get", "ftj", "-o", "yaml"), ("describe", "ftj", "reviews"), ("logs", "reviews"))]  # fmt: skip
    assert all(shown)
    assert not has_value("".join(shown).encode())
    assert files_with_a_value(trained) == []


def test_the_rows_of_a_bucket_are_in_the_jobs_lineage(trained):
    tree = trained.tuneloop("lineage", "ftj/reviews").stdout
    assert "s3://reviews/2026" in tree
    assert "digest: sha256:" in " ".join(tree.partition("s3://reviews/2026")[2].split())


def test_a_server_shows_no_value(trained):
    process = trained.start("serve", "-f", "deployment.yaml", "--port", "0", log="serve.log", **VALUES)
    log = trained.path / "serve.log"
    try:
        until(lambda: " answers at " in log.read_text(), seconds=90, what="the server's address", process=process)
        url = next(line for line in log.read_text().splitlines() if " answers at " in line).rsplit(" ", 1)[1]
        assert environments_with_the_key() > 1  # the command, and the server that it has started
        assert arguments_with_a_value() == []
        for path in ("/metrics", "/info", "/healthz"):
            with urllib.request.urlopen(f"{url}{path}", timeout=20) as reply:
                assert not has_value(reply.read()), path
        body = json.dumps({"inputs": "a text"}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as reply:
            assert not has_value(reply.read())
    finally:
        process.send_signal(signal.SIGINT)
        ends(process, within=60, code=0, log=log)
    assert files_with_a_value(trained) == []
