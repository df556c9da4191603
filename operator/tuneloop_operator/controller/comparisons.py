"""What the comparator of each deployment last said. It is not stored anywhere: after a restart of the operator each is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.state.gate_inputs import ComparatorReply


class Comparisons:
    """The newest reply of each comparator, by uid of the ModelDeployment."""

    def __init__(self) -> None:
        self._replies: dict[str, ComparatorReply] = {}

    def put(self, deployment_uid: str, reply: ComparatorReply) -> bool:
        """Take in a reply; return whether it says anything new."""
        is_new = self._replies.get(deployment_uid) != reply
        self._replies[deployment_uid] = reply
        return is_new

    def of(self, deployment_uid: str) -> ComparatorReply | None:
        """Return what the comparator last said; None: nothing yet."""
        return self._replies.get(deployment_uid)

    def forget(self, deployment_uid: str) -> None:
        """Forget what a comparator said that is gone, or whose deployment is."""
        self._replies.pop(deployment_uid, None)

    def forget_all(self) -> None:
        """Forget everything: it is old by the time that this process may ask again."""
        self._replies.clear()
