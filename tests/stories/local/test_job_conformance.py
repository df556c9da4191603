"""Local mode's Job controller passes the table of cases, with real processes as pods."""

from __future__ import annotations

import asyncio

import pytest
from job_conformance import CASES
from job_under_test import INDEX, NAME, job_manifest, until

from tuneloop_cli.local.node import LocalNode

pytestmark = pytest.mark.local_story

# runs until the file `end` says how to end; after SIGTERM until the file `go` is there
POD = """
import os, pathlib, signal, sys, time
own = pathlib.Path(os.environ["SIGNALS"]) / os.environ["POD_NAME"]
own.mkdir()
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
(own / "runs").touch()
while not (asked and (own / "go").exists()):
    if (own / "end").exists():
        sys.exit(int((own / "end").read_text()))
    time.sleep(0.01)
sys.exit(143)
"""


class LocalJob:
    """A Job of local mode, whose pods are real processes that read their orders from files in a folder."""

    def __init__(self, node: LocalNode, folder) -> None:
        self.node, self.folder = node, folder

    async def create(self, spec) -> None:
        environment = [
            {"name": "SIGNALS", "value": str(self.folder)},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]
        container = {"name": "main", "image": "none", "command": ["python", "-S", "-c", POD], "env": environment}
        await self.node.cluster.create(job_manifest(spec, namespace="default", container=container))

    async def job(self):
        return await self.node.cluster.get(kind="Job", namespace="default", name=NAME)

    async def pods(self):
        pods = await self.node.cluster.list(kind="Pod", namespace="default", labels={"job-name": NAME})
        return sorted(pods, key=lambda pod: int(pod["metadata"]["annotations"].get(INDEX, 0)))

    async def run(self, pod) -> None:
        await until(lambda: self._runs(pod), f"the start of {pod['metadata']['name']}")

    async def end(self, pod, code: int) -> None:
        file = self._own(pod) / "new"
        file.write_text(str(code))
        file.rename(self._own(pod) / "end")

    async def let_go(self, pod) -> None:
        (self._own(pod) / "go").touch()

    async def suspend(self, *, suspend: bool) -> None:
        job = await self.job()
        await self.node.cluster.apply(job | {"spec": job["spec"] | {"suspend": suspend}})

    async def delete_job(self) -> None:
        await self._delete(await self.job())

    async def delete_pod(self, pod) -> None:
        await self._delete(pod)

    async def _delete(self, manifest) -> None:
        metadata = manifest["metadata"]
        await self.node.cluster.delete(
            kind=manifest["kind"], namespace="default", name=metadata["name"], uid=metadata["uid"]
        )

    async def _runs(self, pod):
        return (self._own(pod) / "runs").exists(), pod["status"]

    def _own(self, pod):
        return self.folder / pod["metadata"]["name"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_local_mode(case, tmp_path) -> None:
    async def play() -> None:
        (tmp_path / "signals").mkdir()
        async with LocalNode(tmp_path / "folder") as node:
            node.start()
            try:
                await case(LocalJob(node, tmp_path / "signals"))
            finally:
                await node.close(grace=False)

    asyncio.run(play())
