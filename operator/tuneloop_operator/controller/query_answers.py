"""What Prometheus last answered to the queries of each deployment's gates. It is not stored anywhere: after a restart of the operator it is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuneloop_operator.state.gate_inputs import QueryAnswer


class QueryAnswers:
    """The newest answers of each gate."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, tuple[QueryAnswer, ...]]] = {}
        """By uid of the deployment and name of the gate."""

    def put(self, deployment_uid: str, gate: str, answers: tuple[QueryAnswer, ...]) -> None:
        """Take in what one gate asked for at one moment, in place of what it asked for before."""
        self._answers.setdefault(deployment_uid, {})[gate] = answers

    def of(self, deployment_uid: str) -> tuple[QueryAnswer, ...]:
        """Return the answers of a deployment's gates."""
        return tuple(answer for answers in self._answers.get(deployment_uid, {}).values() for answer in answers)

    def keep(self, deployment_uid: str, gates: Collection[str]) -> None:
        """Forget the gates that ask for nothing now."""
        kept = {gate: answers for gate, answers in self._answers.pop(deployment_uid, {}).items() if gate in gates}
        if kept:
            self._answers[deployment_uid] = kept

    def forget(self, deployment_uid: str) -> None:
        """Forget a deployment that is gone."""
        self._answers.pop(deployment_uid, None)
