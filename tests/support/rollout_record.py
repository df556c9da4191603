"""What the roll-outs of a local session did, from each change of an object: `recording`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.comparison import ComparisonCounts

if TYPE_CHECKING:
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
    """The copies that the comparator had counted when a canary got its first share; before that, those that it has counted."""
    most_ready: int = 0
    """The most servers that were ready at a time; without those that were asked to end."""

    def begin(self) -> None:
        """Forget what happened."""
        self.__init__()  # type: ignore[misc]

    def note(self, session: LocalSession, manifest: dict[str, Any]) -> None:
        """Take in a change of an object."""
        if manifest["kind"] == "Pod":
            self.most_ready = max(self.most_ready, sum(map(_is_ready_server, session.node.cluster.all("Pod"))))
        if manifest["kind"] == "ModelDeployment":
            status = manifest.get("status") or {}
            canary = (status.get("rollout") or {}).get("canary")
            if canary and not any(canary in shares for shares in self.shares):
                self.compared = max(self.compared, _compared(session, manifest, canary))
            self._note_status(status)

    def _note_status(self, status: dict[str, Any]) -> None:
        weights = ((status.get("rollout") or {}).get("split") or {}).get("weights", ())
        _add(self.shares, {share["revision"]: share["weight"] for share in weights})
        _add(self.servers, {found["revision"]: found.get("replicas") or 0 for found in status.get("revisions") or ()})


def recording(session: LocalSession) -> RolloutRecord:
    """Return a record that goes on until the session ends."""
    record = RolloutRecord()
    session.node.cluster.subscribe(lambda _, manifest: record.note(session, manifest))
    return record


def _compared(session: LocalSession, deployment: dict[str, Any], canary: str) -> int:
    """Return the copies that the comparator has last said that it compared, of this canary."""
    reply = session._operator.store.comparison(deployment["metadata"]["uid"])
    counts = ComparisonCounts.from_wire(reply.document) if reply is not None and reply.document else None
    return counts.live.rows if counts is not None and counts.canary == canary else 0


def _add(found: list[Numbers], numbers: Numbers) -> None:
    numbers = {revision: number for revision, number in numbers.items() if number}
    if numbers and found[-1:] != [numbers]:
        found.append(numbers)


def _is_ready_server(pod: dict[str, Any]) -> bool:
    labels, conditions = pod["metadata"].get("labels") or {}, pod["status"].get("conditions") or ()
    is_ready = any((found["type"], found["status"]) == ("Ready", "True") for found in conditions)
    return "tuneloop.dev/revision" in labels and is_ready and "deletionTimestamp" not in pod["metadata"]
