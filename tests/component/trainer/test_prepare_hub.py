"""Models are fetched from a hub at the commit that a revision means; a real client, a hub of our own on loopback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE

import pytest
from hub_server import COMMIT, Hub, running_hub
from tiny_models import tiny_bert

from tuneloop_trainer.models import hub as hub_module

PROGRAM = """
import json, os, sys
from pathlib import Path
from run_configs import run_config
from tuneloop_trainer.models import hub
from tuneloop_trainer.errors import StageError
from tuneloop_trainer.models.source import open_model
from tuneloop_trainer.tasks import task_of
hub.WAITS_SECONDS = (0.01,) * len(hub.WAITS_SECONDS)
for line in sys.stdin:
    folder, sources, os.environ["HF_TOKEN"] = json.loads(line)
    found = []
    for source in sources:
        config = run_config(Path(folder), model_source=source)
        try:
            model = open_model(config.settings.model, task=task_of(config.settings), paths=config.paths)
            found.append({"revision": model.revision, "files": sorted(path.name for path in model.path.iterdir()), "path": str(model.path)})
        except StageError as error:
            found.append({"error": type(error).__name__, "message": error.message, "hint": error.hint or ""})
    print(json.dumps(found), flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with running_hub() as server:
        yield server


@pytest.fixture(scope="module")
def opener(server, tmp_path_factory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that opens models for all tests here, and its log: the hub's address is read when its client is imported."""
    folder = tmp_path_factory.mktemp("opener")
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    path = folder / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=environment, stdin=PIPE, stdout=PIPE, stderr=log, text=True
        )
    yield process, path
    process.stdin.close()
    assert process.wait(timeout=30) == 0, path.read_text()


@dataclass(frozen=True)
class Opener:
    """Opens models of the hub below a folder, in the process that is there for it."""

    process: subprocess.Popen[str]
    log: Path
    folder: Path

    def __call__(self, *sources: tuple[str, str], token: str = "") -> list[dict[str, str]]:
        """Open models, by address and revision, with a token in the environment, which nothing may print."""
        wire = [{"uri": uri, "revision": revision} for uri, revision in sources]
        self.process.stdin.write(json.dumps([str(self.folder), wire, token]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        assert not token or token not in line + self.log.read_text()
        return json.loads(line)


@pytest.fixture
def hub(server, tmp_path) -> Hub:
    """The hub with files of this test's own."""
    server.begin(tiny_bert(tmp_path / "served"))
    (server.folder / "pytorch_model.bin").write_bytes(b"pickle")
    return server


@pytest.fixture
def opened(opener, hub, tmp_path) -> Opener:
    return Opener(*opener, folder=tmp_path)


def test_a_revision_is_fetched_once_at_its_commit_without_pickles(opened, hub):
    first, second = opened(("hf://org/name", "v1"), ("hf://org/name", "main"))
    assert first["revision"] == second["revision"] == COMMIT
    assert set(first["files"]) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert any((opened.folder / "models").rglob("model.safetensors"))
    loaded = [command for command in hub.asked if command.startswith("GET") and "resolve" in command]
    assert len(loaded) == 4
    assert not any("pytorch_model.bin" in command for command in hub.asked)


def test_all_files_are_of_the_commit_that_was_found_first_though_the_branch_moves_on(opened, hub):
    (found,) = opened(("hf://org/name", "moving"))
    assert found["revision"] == COMMIT
    fetched = [command for command in hub.asked if "/resolve/" in command]
    assert fetched
    assert all(f"/resolve/{COMMIT}/" in command for command in fetched)


def test_a_model_with_pickles_alone_is_refused_before_anything_is_loaded(opened, hub):
    (hub.folder / "model.safetensors").unlink()
    (refused,) = opened(("hf://org/name", "main"))
    assert "only pickled weights (pytorch_model.bin)" in refused["message"]
    assert not any("resolve" in command for command in hub.asked)


def test_what_the_hub_refuses_is_named_with_repository_and_revision(opened, hub):
    unknown, gated, missing = opened(("hf://org/name", "v9"), ("hf://org/gated", "main"), ("hf://org/none", "main"))
    assert {refused["error"] for refused in (unknown, gated, missing)} == {"ModelAccessError"}
    assert unknown["message"].endswith("hf://org/name at revision 'v9': there is no such branch, tag or commit")
    assert gated["message"].endswith("hf://org/gated at revision 'main' is gated")
    assert "accept its licence" in gated["hint"]
    assert missing["message"].endswith("hf://org/none at revision 'main' does not exist, or is private")


def test_a_gated_model_is_fetched_with_the_token_of_the_environment_which_nothing_prints(opened, hub):
    hub.token = "canary-9d1f03"
    sources = [("hf://org/name", "main"), ("hf://org/none", "main")]
    found, missing = opened(*sources, token=hub.token)
    assert found.get("revision") == COMMIT, found
    assert "model.secretRef" in missing["hint"]
    other = replace(opened, folder=opened.folder / "other")
    other.folder.mkdir()
    (refused,) = other(sources[0], token="canary-of-nobody")
    assert refused["message"].endswith("hf://org/name at revision 'main' is gated")


def served_weights(hub: Hub, found: dict[str, str]) -> bool:
    name = "model.safetensors"
    return (Path(found["path"]) / name).read_bytes() == (hub.folder / name).read_bytes()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"busy": 4}, id="busy four times"),
        pytest.param({"cut_off": 3}, id="breaks off three times"),
        pytest.param({"slow_seconds": 2.0}, id="slow"),
    ],
)
def test_a_hub_in_trouble_is_tried_until_all_is_there(opened, hub, fault):
    vars(hub).update(fault)
    (found,) = opened(("hf://org/name", "main"))
    assert found.get("revision") == COMMIT, found
    assert served_weights(hub, found)


def test_a_hub_that_stays_busy_is_named_after_five_tries(opened, hub):
    hub.busy = 1000
    (refused,) = opened(("hf://org/name", "main"))
    asked = [command for command in hub.asked if "/api/models/org/name" in command]
    assert (refused["error"], len(asked)) == ("ModelAccessError", 5)
    assert refused["message"].startswith("model.uri: hf://org/name at revision 'main': the hub refused: ")
    assert "503" in refused["message"]


@pytest.mark.parametrize(
    ("status", "words", "message", "hint", "tries"),
    [
        pytest.param(401, "Invalid credentials in Authorization header", "the hub does not know the token", "put a token that is valid into the Secret", 1, id="a token that is not valid"),
        pytest.param(403, "Your token is not allowed to read this repository", "the hub refused: ", "put a token with the right to read", 1, id="a token without the right"),
        pytest.param(429, "Too many requests", "the hub refused: ", "a token raises the limit", 5, id="too many requests"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(opened, hub, status, words, message, hint, tries):
    hub.refused = status, words
    (refused,) = opened(("hf://org/name", "main"), token="canary-7be2f1")
    assert refused["error"] == "ModelAccessError"
    assert refused["message"].startswith(f"model.uri: hf://org/name at revision 'main': {message}")
    assert hint in refused["hint"]
    assert len(hub.asked) == tries


def test_a_full_claim_is_no_fault_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_module, "HfApi", Full)  # no volume of this machine is full
    with pytest.raises(OSError, match="No space left"):
        hub_module.fetch_model("hf://org/name", revision="main", cache=tmp_path)


class Full:
    """A client whose files find no room."""

    def model_info(self, *_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")
