"""From the ends of a pod's ranks to its exit code and message, without processes."""

from __future__ import annotations

from itertools import permutations

import pytest

from tuneloop_api.contract.results import TerminationMessage
from tuneloop_trainer.supervisor.hang import HangWatch
from tuneloop_trainer.supervisor.heartbeat import Beat
from tuneloop_trainer.supervisor.verdict import PodState, RankEnd, root_cause, verdict


def end(rank: int, code: int, **given) -> RankEnd:
    return RankEnd(
        **{"rank": rank, "exit_code": code, "by_supervisor": False, "message": None, "last_lines": ()} | given
    )


def pod(**given) -> PodState:
    return PodState(**{"step": 7, "out_of_memory_kills": 0, "asked_to_stop": False, "hang": None} | given)


@pytest.mark.parametrize("cause_code", [1, 65, 76, 137])
def test_the_root_cause_does_not_depend_on_the_order_of_the_ends(cause_code):
    ends = [end(0, 77), end(1, cause_code), end(2, 143), end(3, 137, by_supervisor=True), end(4, 0)]
    assert {root_cause(order).exit_code for order in permutations(ends)} == {cause_code}


def test_of_equal_ends_the_first_in_time_is_the_cause():
    assert root_cause([end(2, 65), end(0, 65)]).rank == 2


@pytest.mark.parametrize(
    ("ends", "state", "code", "failure"),
    [
        pytest.param([end(0, 137)], {"out_of_memory_kills": 1}, 137, "OutOfMemoryHost", id="the kernel's own count"),
        pytest.param([end(0, 137)], {}, 137, "Unknown", id="killed, but not for memory"),
        pytest.param([end(0, 143)], {"asked_to_stop": True}, 143, "Preempted", id="stopped before it had begun"),
        pytest.param([end(0, 143)], {}, 143, "Unknown", id="terminated by somebody else"),
        pytest.param([end(0, 77), end(1, 79)], {}, 79, "Preempted", id="a peer that left after saving"),
        pytest.param(
            [end(0, 0), end(1, 137, by_supervisor=True)], {"asked_to_stop": True}, 143, "Preempted", id="too slow"
        ),
        pytest.param([end(0, 137, by_supervisor=True)], {"hang": "no step"}, 75, "Hang", id="a hang"),
        pytest.param([end(0, 0), end(1, 0)], {"asked_to_stop": True}, 0, None, id="finished in spite of SIGTERM"),
    ],
)
def test_the_class_of_a_failure(ends, state, code, failure):
    found = verdict(ends, pod(**state))
    assert (found.exit_code, found.message.failure_class) == (code, failure)


def test_a_success_passes_on_the_message_of_the_first_rank():
    own = TerminationMessage(stage="train", outcome="Succeeded", step=12)
    assert verdict([end(1, 0), end(0, 0, message=own)], pod()).message is own


def test_a_failure_names_the_rank_and_its_last_step():
    own = TerminationMessage(stage="train", outcome="Failed", failure_class="Data", message="no rows")
    message = verdict([end(3, 65, message=own)], pod()).message
    assert (message.rank, message.step, message.message) == (3, 7, "no rows")


@pytest.mark.parametrize(
    ("own", "state"),
    [
        pytest.param(None, {}, id="of a silent end"),
        pytest.param(TerminationMessage(stage="train", outcome="Failed", message="no rows"), {}, id="behind its own message"),
        pytest.param(None, {"hang": "no step"}, id="of a hang"),
    ],
)  # fmt: skip
def test_the_last_lines_of_a_failing_rank_are_handed_on(own, state):
    message = verdict([end(3, 65, message=own, last_lines=("one", "", "two"))], pod(**state)).message
    assert message.last_lines == ["one", "two"]


@pytest.mark.parametrize(("code", "state"), [(0, {}), (143, {"asked_to_stop": True})])
def test_what_did_not_fail_hands_on_no_lines(code, state):
    assert verdict([end(0, code, last_lines=("one",))], pod(**state)).message.last_lines is None


def test_silence_is_measured_by_the_watchs_own_clock():
    watch = HangWatch(now=0.0, floor_seconds=60.0)
    watch.update([Beat(changed=1, step=3, slow_step_seconds=2.0), None], now=100.0)
    watch.update([Beat(changed=1, step=3, slow_step_seconds=2.0), None], now=150.0)
    assert not watch.hangs(now=160.0)
    assert watch.hangs(now=160.1)
    watch.update([Beat(changed=2, step=3, slow_step_seconds=20.0), None], now=161.0)
    assert watch.limit_seconds == 200.0
    assert not watch.hangs(now=361.0)
