"""Every version of objects, as a watch shows them: nothing between two looks is missed."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.node import NodeCluster


@dataclass(frozen=True)
class Watch:
    """What was observed so far."""

    file: Path

    @property
    def names(self) -> set[str]:
        """The names of all objects that there were."""
        return {event["object"]["metadata"]["name"] for event in self._events()}

    def statuses(self, name: str) -> list[dict[str, Any]]:
        """Return the statuses that an object had, oldest first, each once."""
        statuses: list[dict[str, Any]] = []
        for event in self._events():
            status = event["object"].get("status") or {}
            if event["object"]["metadata"]["name"] == name and event["type"] != "DELETED" and statuses[-1:] != [status]:
                statuses.append(status)
        return statuses

    def _events(self) -> Iterator[dict[str, Any]]:
        for line in self.file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # else it is being written
                yield json.loads(line)


@contextmanager
def watching(
    cluster: NodeCluster, plural: str, *, namespace: str, folder: Path, api: str = "/apis/tuneloop.dev/v1alpha1"
) -> Iterator[Watch]:
    """Watch one kind, one of ours unless `api` is another group's path, in a namespace for as long as the context lasts."""
    path = f"{api}/namespaces/{namespace}/{plural}?watch=1"
    file = folder / f"{namespace}-{plural}.jsonl"
    command = [str(cluster.bin / "kubectl"), "--kubeconfig", str(cluster.kubeconfig), "get", "--raw", path]
    with file.open("w") as out:
        process = subprocess.Popen(command, stdout=out)
    try:
        yield Watch(file)
    finally:
        process.terminate()
        process.wait(timeout=20)
