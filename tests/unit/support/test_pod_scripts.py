"""The ready-made lifecycles: the operator reads each one's end as what its name says."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest
from pod_scripts import (
    NAMED,
    Bind,
    End,
    Run,
    Wait,
    before_the_end,
    by_attempt,
    by_index,
    fail,
    hang,
    never_scheduled,
    no_image,
    succeed,
)
from pod_status import patch_after

from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.controller.observe.fine_tune_job import pod_view
from tuneloop_operator.decide.fine_tune_job.classify import blame, termination_message_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDED_BY_OTHERS = {
    FailureClass.IMAGE_PULL,
    FailureClass.START_DEADLINE,
    FailureClass.DEADLINE_EXCEEDED,
    FailureClass.BUDGET_EXCEEDED,
}
ENDED_BY_THEIR_PODS = [kind for kind in FailureClass if kind not in ENDED_BY_OTHERS]


def pod(stage="train", image="registry.example/trainer:1"):
    return {
        "metadata": {
            "name": "reviews-a1-0-abcde",
            "namespace": "team-a",
            "uid": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "labels": {"tuneloop.dev/job": "reviews", "tuneloop.dev/stage": stage, "tuneloop.dev/attempt": "1"},
        },
        "spec": {"containers": [{"name": "trainer", "image": image}]},
        "status": {"phase": "Pending"},
    }


def played(script, *, stage="train", index=0, image="registry.example/trainer:1"):
    """Return what the operator sees of a pod after its lifecycle."""
    manifest = pod(stage, image)
    for step in script(manifest, 1, stage, index).steps:
        if isinstance(step, Bind):
            continue
        patch = patch_after(manifest, step, now=NOW)
        assert patch["metadata"]["uid"] == manifest["metadata"]["uid"]
        status = copy.deepcopy(patch["status"])
        conditions = {
            condition["type"]: condition
            for condition in (*manifest["status"].get("conditions", ()), *status["conditions"])
        }
        manifest["status"] |= status | {"conditions": list(conditions.values())}
    return pod_view(manifest)


@pytest.mark.parametrize("stage", ["prepare", "train", "export"])
def test_a_success_hands_on_what_its_stage_made(stage):
    message = termination_message_of(played(succeed, stage=stage))
    assert (message.stage, message.outcome) == (stage, "Succeeded")
    assert message.result is not None
    assert getattr(message, stage) is not None


def test_of_a_gang_the_first_pod_alone_says_what_was_made():
    assert termination_message_of(played(succeed, index=1)).result is None


@pytest.mark.parametrize("kind", ENDED_BY_THEIR_PODS)
def test_a_failure_is_classified_as_what_it_plays(kind):
    assert blame([played(fail(kind))]).failure.failure_class == kind.value


def test_another_exit_code_can_be_given():
    assert blame([played(fail(FailureClass.UNKNOWN, 139))]).failure.exit_code == 139


def test_a_failure_can_name_its_newest_checkpoint():
    assert termination_message_of(played(fail(FailureClass.COLLECTIVE, saved_step=40))).train.last.step == 40


@pytest.mark.parametrize("script", [no_image, fail(FailureClass.IMAGE_PULL)])
def test_a_pod_without_its_image_waits(script):
    pod = played(script)
    assert (pod.phase, pod.waiting, pod.ended) == ("Pending", "ImagePullBackOff", None)


def test_a_pod_without_a_node_says_why():
    pod = played(never_scheduled)
    assert (pod.phase, "nodes are available" in pod.unschedulable) == ("Pending", True)


def test_a_pod_that_hangs_is_ready_and_does_not_end():
    pod = played(hang)
    assert (pod.phase, pod.ready, pod.ended) == ("Running", True, None)


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("trainer", "trainer"),
        ("trainer:1", "trainer"),
        ("localhost:5000/trainer", "localhost:5000/trainer"),
        ("localhost:5000/a/trainer:1", "localhost:5000/a/trainer"),
    ],
)
def test_an_image_turns_out_to_be_a_digest_of_its_repository(image, repository):
    assert played(hang, image=image).image.rpartition("@sha256:")[0] == repository


def test_an_image_that_is_a_digest_stays_itself():
    image = "trainer@sha256:" + "d" * 64
    assert played(hang, image=image).image == image


@pytest.mark.parametrize(("attempt", "code"), [(1, 77), (2, 74), (3, 0), (4, 0)])
def test_each_attempt_can_have_its_own_script(attempt, code):
    script = by_attempt(fail(FailureClass.COLLECTIVE), fail(FailureClass.STORAGE), succeed)
    assert script(pod(), attempt, "train", 0).steps[-1].exit_code == code


@pytest.mark.parametrize(("index", "last"), [(0, Run), (1, End), (2, Run)])
def test_each_rank_can_have_its_own_script(index, last):
    script = by_index({1: fail(FailureClass.DATA)}, otherwise=hang)
    assert isinstance(script(pod(), 1, "train", index).steps[-1], last)


def test_steps_can_be_put_before_the_end():
    steps = before_the_end(succeed, Wait(2))(pod(), 1, "train", 0).steps
    assert [type(step) for step in steps] == [Bind, Run, Wait, End]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_script_gives_a_lifecycle(name):
    assert NAMED[name](pod(), 1, "train", 0).steps
