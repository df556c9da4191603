"""What Prometheus last answered about each deployment: to the queries of its gates, and about its baseline window. It is not stored anywhere: after a restart of the operator it is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuneloop_operator.state.gate_inputs import BaselineAnswer, QueryAnswer


class QueryAnswers:
    """The newest answers of each gate, and about each baseline window."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, tuple[QueryAnswer, ...]]] = {}
        """By uid of the deployment and name of the gate."""
        self._baselines: dict[str, BaselineAnswer] = {}

    def put(self, deployment_uid: str, gate: str, answers: tuple[QueryAnswer, ...]) -> None:
        """Take in what one gate asked for at one moment, in place of what it asked for before."""
        self._answers.setdefault(deployment_uid, {})[gate] = answers

    def of(self, deployment_uid: str) -> tuple[QueryAnswer, ...]:
        """Return the answers of a deployment's gates."""
        return tuple(answer for answers in self._answers.get(deployment_uid, {}).values() for answer in answers)

    def of_gate(self, deployment_uid: str, gate: str) -> tuple[QueryAnswer, ...]:
        """Return the answers of one gate; empty if there are none."""
        return self._answers.get(deployment_uid, {}).get(gate, ())

    def keep(self, deployment_uid: str, gates: Collection[str]) -> None:
        """Forget the gates that ask for nothing now."""
        kept = {gate: answers for gate, answers in self._answers.pop(deployment_uid, {}).items() if gate in gates}
        if kept:
            self._answers[deployment_uid] = kept

    def forget(self, deployment_uid: str) -> None:
        """Forget a deployment that is gone."""
        self._answers.pop(deployment_uid, None)
        self._baselines.pop(deployment_uid, None)

    def put_baseline(self, deployment_uid: str, answer: BaselineAnswer) -> None:
        """Take in what was answered about a baseline window."""
        self._baselines[deployment_uid] = answer

    def baseline_of(self, deployment_uid: str) -> BaselineAnswer | None:
        """Return what was last answered about the baseline window of a deployment."""
        return self._baselines.get(deployment_uid)

    def forget_baseline(self, deployment_uid: str) -> None:
        """Forget the answer of a deployment about which nothing is asked now."""
        self._baselines.pop(deployment_uid, None)
