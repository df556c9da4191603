"""Which pod is blamed, and for what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE, ExitCode
from tuneloop_api.contract.results import TerminationMessage
from tuneloop_api.contract.termination import fit_termination_message
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.classify import Blame, blame
from tuneloop_operator.decide.fine_tune_job.hints import HINTS
from tuneloop_operator.decide.fine_tune_job.restart import ACTION_OF_CLASS
from tuneloop_operator.state.observed import ContainerEnd, PodView

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(
    index: int = 0, *, code: int | None = None, at: float = 0, text: str = "", why: str = "", **facts: Any
) -> PodView:
    """Return a pod that ended `at` seconds after NOW."""
    end = None
    if code is not None:
        end = ContainerEnd(exit_code=code, reason=why, message=text, finished=NOW + timedelta(seconds=at))
    given = {"phase": "Running" if code is None else "Failed"} | facts
    return PodView(
        name=f"r-a1-{index}",
        uid=str(index),
        stage="train",
        attempt=1,
        owner="j",
        index=index,
        created=NOW,
        ended=end,
        **given,
    )


def termination_message(failure_class: FailureClass, **fields: Any) -> str:
    message = TerminationMessage(stage="train", outcome="Failed", failure_class=failure_class, **fields)
    return fit_termination_message(message).decode()


def blamed(*pods: PodView) -> Blame:
    found = blame(pods)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        *(pytest.param(pod(code=code), kind, id=f"exit code {code}") for code, kind in CLASS_OF_EXIT_CODE.items()),
        pytest.param(pod(code=1), FailureClass.UNKNOWN, id="exit code 1"),
        pytest.param(pod(code=139), FailureClass.UNKNOWN, id="a segmentation fault"),
        pytest.param(pod(code=137, why="OOMKilled"), FailureClass.OUT_OF_MEMORY_HOST, id="killed for its memory"),
        pytest.param(pod(code=137), FailureClass.UNKNOWN, id="killed by somebody"),
        pytest.param(pod(code=128, why="StartError"), FailureClass.CONFIG, id="a command that is not there"),
        pytest.param(
            pod(code=1, text=termination_message(FailureClass.DATA)),
            FailureClass.DATA,
            id="its message beats the exit code",
        ),
        pytest.param(pod(code=78, text='{"not": "ours"}'), FailureClass.CONFIG, id="JSON that is not ours"),
        pytest.param(pod(phase="Failed", reason="Evicted"), FailureClass.EVICTED, id="evicted by the kubelet"),
        pytest.param(pod(phase="Failed", reason="NodeLost"), FailureClass.NODE_LOST, id="its node is lost"),
        pytest.param(pod(phase="Failed", reason="Terminated"), FailureClass.NODE_LOST, id="its node was shut down"),
        pytest.param(pod(phase="Failed", reason="OutOfcpu"), FailureClass.EVICTED, id="turned away by the kubelet"),
        pytest.param(pod(phase="Failed"), FailureClass.UNKNOWN, id="failed, without a message"),
        *(
            pytest.param(pod(code=143, disruption=disruption), kind, id=disruption)
            for disruption, kind in (
                ("PreemptionByScheduler", FailureClass.PREEMPTED),
                ("DeletionByTaintManager", FailureClass.NODE_LOST),
                ("DeletionByPodGC", FailureClass.NODE_LOST),
                ("EvictionByEvictionAPI", FailureClass.EVICTED),
                ("TerminationByKubelet", FailureClass.EVICTED),
                ("SomethingNew", FailureClass.EVICTED),
            )
        ),
    ],
)
def test_each_end_has_its_class(ended: PodView, expected: FailureClass) -> None:
    assert blamed(ended).failure.failure_class == expected


LOST_PEER = pod(0, code=ExitCode.COLLECTIVE, at=-5)
DELETED = {"deletion_asked": NOW - timedelta(seconds=1), "gone_by": NOW + timedelta(seconds=299)}


@pytest.mark.parametrize(
    ("pods", "rank"),
    [
        pytest.param((LOST_PEER, pod(1, code=71)), 1, id="a telling class beats an earlier lost peer"),
        pytest.param((pod(0, code=75, at=-5), pod(1, code=72)), 1, id="and an earlier hang"),
        pytest.param((pod(0, code=143, at=-5), LOST_PEER), 0, id="a lost peer beats a SIGTERM"),
        pytest.param((pod(0, code=71, at=3), pod(1, code=71, at=2)), 1, id="of two alike the earlier"),
        pytest.param((pod(0, code=71), pod(1, code=71)), 0, id="of two at once the lower rank"),
        pytest.param((pod(0, code=77), pod(1, code=137)), 1, id="one that was killed explains those that lost it"),
        pytest.param((pod(0, code=1, **DELETED), LOST_PEER), 0, id="one that was deleted first does not count"),
        pytest.param(
            (LOST_PEER, pod(1, code=71, at=-1, **DELETED)), 1, id="one that ended just before its deletion counts"
        ),
        pytest.param(
            (LOST_PEER, pod(1, disruption="DeletionByTaintManager", **DELETED)), 1, id="a disruption is the cause"
        ),
    ],
)
def test_the_pod_that_explains_most_is_blamed(pods: tuple[PodView, ...], rank: int) -> None:
    by_name = {pod.name: pod for pod in pods}
    found = by_name[blamed(*pods).failure.pod or ""]
    assert (found.index, found.ended) == (rank, by_name[f"r-a1-{rank}"].ended)


def test_if_all_were_deleted_first_nobody_is_at_fault() -> None:
    assert (
        blamed(pod(0, code=143, **DELETED), pod(1, code=137, **DELETED)).failure.failure_class == FailureClass.EVICTED
    )


@pytest.mark.parametrize(
    ("code", "why", "expected"),
    [
        (143, "", FailureClass.EVICTED),
        (137, "", FailureClass.UNKNOWN),
        (137, "OOMKilled", FailureClass.OUT_OF_MEMORY_HOST),
        (139, "", FailureClass.UNKNOWN),
    ],
)
def test_of_a_pod_that_ended_in_the_second_of_its_deletion_sigterm_was_the_deletion(
    code: int, why: str, expected: FailureClass
) -> None:
    """A gang whose preempted pod is gone already has only such pods left: their SIGTERM is nobody's failure."""
    assert blamed(pod(code=code, why=why, deletion_asked=NOW)).failure.failure_class == expected


@pytest.mark.parametrize("ahead", [-3600, -2, 0, 3600])
def test_a_pod_that_was_deleted_and_ended_by_sigterm_is_no_failure_whatever_the_clock_of_its_node_says(
    ahead: float,
) -> None:
    deleted = pod(1, code=143, at=ahead, deletion_asked=NOW)
    assert blamed(deleted).failure.failure_class == FailureClass.EVICTED
    assert blamed(pod(0, code=71, at=5), deleted).failure.failure_class == CLASS_OF_EXIT_CODE[71]


def test_pods_that_run_are_not_blamed() -> None:
    assert blame([pod(0), pod(1)]) is None


def test_an_echo_differs_from_a_cause() -> None:
    assert blamed(LOST_PEER).echo_rank > 0
    assert blamed(pod(code=71)).echo_rank == 0


def test_the_user_reads_the_message_of_the_stage() -> None:
    text = termination_message(FailureClass.DATA, message="row 7: no label", hint="mend row 7", rank=3)
    failure = blamed(pod(code=65, text=text, node="node-2")).failure
    assert (failure.message, failure.hint, failure.rank) == ("row 7: no label", "mend row 7", 3)
    assert (failure.pod, failure.node, failure.exit_code) == ("r-a1-0", "node-2", 65)
    assert failure.last_lines is None


def test_the_last_lines_of_the_process_are_kept() -> None:
    text = termination_message(
        FailureClass.USER_CODE, message="odd shape", last_lines=["Traceback", "ValueError: odd shape"]
    )
    assert blamed(pod(code=70, text=text)).failure.last_lines == ["Traceback", "ValueError: odd shape"]


def test_without_a_message_the_log_is_quoted_within_its_bounds() -> None:
    log = "\n".join([*(f"line {number}" for number in range(100)), "x" * 1000])
    failure = blamed(pod(code=1, text=log)).failure
    assert failure.last_lines is not None
    assert len(failure.last_lines) == 20
    assert max(map(len, failure.last_lines)) == 256


def test_a_log_of_blank_lines_is_no_log() -> None:
    assert blamed(pod(code=1, text="\n \n")).failure.message == "pod r-a1-0 ended with exit code 1"


@pytest.mark.parametrize("kind", FailureClass)
def test_every_class_has_an_action_and_a_hint(kind: FailureClass) -> None:
    assert kind in ACTION_OF_CLASS
    assert HINTS[kind]
