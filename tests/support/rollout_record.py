"""What the roll-outs of a local session did, from each change of an object: `recording`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_cli.local.cluster.cluster import LocalCluster
    from tuneloop_cli.local.session import LocalSession

Numbers = dict[str, int]
"""By revision."""


@dataclass
class RolloutRecord:
    """What happened since the record began."""

    shares: list[Numbers] = field(default_factory=list)
    """The shares of the requests that were wanted, one after another."""
    servers: list[Numbers] = field(default_factory=list)
    """The servers that were asked for, one after another; without revisions that were to have none."""
    compared: int = 0
    """The most requests that counted in a step in which the canary had no share."""
    most_ready: int = 0
    """The most servers that were ready at a time; without those that were asked to end."""

    def begin(self) -> None:
        """Forget what happened."""
        self.__init__()  # type: ignore[misc]

    def note(self, cluster: LocalCluster, manifest: dict[str, Any]) -> None:
        """Take in a change of an object."""
        if manifest["kind"] == "Pod":
            self.most_ready = max(self.most_ready, sum(map(_is_ready_server, cluster.all("Pod"))))
        if manifest["kind"] == "ModelDeployment":
            self._note_status(manifest.get("status") or {})

    def _note_status(self, status: dict[str, Any]) -> None:
        rollout = status.get("rollout") or {}
        shares = {share["revision"]: share["weight"] for share in (rollout.get("split") or {}).get("weights", ())}
        _add(self.shares, shares)
        _add(self.servers, {found["revision"]: found.get("replicas") or 0 for found in status.get("revisions") or ()})
        if rollout.get("canary") and rollout["canary"] not in shares:
            self.compared = max(self.compared, rollout.get("requests") or 0)


def recording(session: LocalSession) -> RolloutRecord:
    """Return a record that goes on until the session ends."""
    record, cluster = RolloutRecord(), session.node.cluster
    cluster.subscribe(lambda _, manifest: record.note(cluster, manifest))
    return record


def _add(found: list[Numbers], numbers: Numbers) -> None:
    numbers = {revision: number for revision, number in numbers.items() if number}
    if numbers and found[-1:] != [numbers]:
        found.append(numbers)


def _is_ready_server(pod: dict[str, Any]) -> bool:
    labels, conditions = pod["metadata"].get("labels") or {}, pod["status"].get("conditions") or ()
    is_ready = any((found["type"], found["status"]) == ("Ready", "True") for found in conditions)
    return "tuneloop.dev/revision" in labels and is_ready and "deletionTimestamp" not in pod["metadata"]
