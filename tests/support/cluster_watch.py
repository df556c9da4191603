"""Every version of our objects, as a watch shows them: nothing between two looks is missed."""

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

    def statuses(self, name: str) -> list[dict[str, Any]]:
        """Return the statuses that an object had, oldest first, each once."""
        statuses: list[dict[str, Any]] = []
        for line in self.file.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # it is being written
            event = json.loads(line)
            status = event["object"].get("status") or {}
            if event["object"]["metadata"]["name"] == name and event["type"] != "DELETED" and statuses[-1:] != [status]:
                statuses.append(status)
        return statuses


@contextmanager
def watching(cluster: NodeCluster, plural: str, *, namespace: str, folder: Path) -> Iterator[Watch]:
    """Watch one of our kinds in a namespace for as long as the context lasts."""
    path = f"/apis/tuneloop.dev/v1alpha1/namespaces/{namespace}/{plural}?watch=1"
    file = folder / f"{namespace}-{plural}.jsonl"
    command = [str(cluster.bin / "kubectl"), "--kubeconfig", str(cluster.kubeconfig), "get", "--raw", path]
    with file.open("w") as out:
        process = subprocess.Popen(command, stdout=out)
    try:
        yield Watch(file)
    finally:
        process.terminate()
        process.wait(timeout=20)
