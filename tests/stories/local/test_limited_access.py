"""A deployment whose clients need a key, on one machine: the operator's own routers, with a file in the place of the Secret."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from artifact import make_artifact
from routed_sessions import is_routed, require_envoy, status_once, whole
from tiny_models import tiny_bert
from waiting import until
from workspace import CLAIM, Workspace, deployment_manifest

from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.local_story, pytest.mark.full]

VARIABLE = "TUNELOOP_API_KEYS_FILE"
SECONDS = 60


def manifest() -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/artifact"},
        access={
            "apiKeySecretRef": {"name": "clients", "key": "api-keys"},
            "rateLimit": {"requestsPerSecond": 0.1, "burst": 300},
        },
    )
    made["metadata"] |= {"namespace": "default"}
    return made


def ask(url: str, key: str = "", *, path: str = "/predict") -> int:
    """Ask for a prediction; return the status."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        connection.request("POST", path, json.dumps({"inputs": "a good film"}), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def mentions(folder: Path, *keys: str) -> list[Path]:
    """Return the files below a folder that hold a key."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(key.encode() in path.read_bytes() for key in keys)]


def test_a_key_opens_and_a_changed_file_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_envoy()
    workspace, keys = Workspace(tmp_path / "work"), tmp_path / "keys.txt"
    make_artifact(workspace.claim / "artifact", tiny_bert(tmp_path / "model"))

    async def story(session: LocalSession) -> None:
        monkeypatch.delenv(VARIABLE)
        with pytest.raises(NotAccepted, match=rf"spec\.access\.apiKeySecretRef: found no variable {VARIABLE}"):
            await session.submit(manifest())
        monkeypatch.setenv(VARIABLE, str(keys))
        await session.submit(manifest())
        status = await status_once(session, is_routed(session))
        assert status["rollout"]["strategy"] == "Recreate"
        url = status["url"]
        assert [ask(url, key) for key in ("first-key", "", "another")] == [200, 401, 401]
        keys.write_text("second-key\n")
        await asyncio.to_thread(until, lambda: ask(url, "second-key") == 200, seconds=SECONDS, what="the new key opens")
        assert ask(url, "first-key") == 401
        assert mentions(workspace.path, "first-key", "second-key") == []

    keys.write_text("first-key\n")
    monkeypatch.setenv(VARIABLE, str(keys))
    asyncio.run(whole(workspace, story))
