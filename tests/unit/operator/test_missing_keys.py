"""The kubelet names a Secret or ConfigMap that is missing; the status adds which key of it the variables of the pod need."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from desired_pods import all_pods, job_pods
from operator_harness import OperatorHarness

from tuneloop_operator.controller.observe.missing_keys import with_keys
from tuneloop_operator.controller.trim import with_node_and_references
from tuneloop_operator.settings.operator import OperatorSettings

TRACKER = {"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "api-key"}}
USER = {"name": "WANDB_USER", "secretKeyRef": {"name": "trackers", "key": "user"}}
PROXY = {"name": "HTTPS_PROXY", "configMapKeyRef": {"name": "trackers", "key": "https"}}
OPTIONAL = {"name": "MAY_BE", "secretKeyRef": {"name": "trackers", "key": "other", "optional": True}}
VALUE = {"name": "PLAIN", "value": "trackers"}
MODEL = {"uri": "hf://org/model"}
SECRET_MISSING = 'secret "trackers" not found'
KINDS = ("prepare", "train", "export", "serve")


def said_of(pod: dict[str, Any], message: str) -> str:
    """Return what is said of a pod as the operator keeps it."""
    return with_keys(message, with_node_and_references({"spec": pod}))


@pytest.mark.parametrize(
    ("env", "message", "added"),
    [
        ([TRACKER], SECRET_MISSING, "; needed: key api-key for WANDB_API_KEY"),
        ([TRACKER, USER, PROXY, OPTIONAL, VALUE], SECRET_MISSING, "; needed: key api-key for WANDB_API_KEY, key user for WANDB_USER"),
        ([TRACKER, PROXY], 'configmap "trackers" not found', "; needed: key https for HTTPS_PROXY"),
        ([TRACKER], 'secret "another" not found', ""),
        ([OPTIONAL], SECRET_MISSING, ""),
        ([TRACKER], "couldn't find key api-key in Secret team-a/trackers", ""),
        ([], "", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("giver", ["the object", "the administrator"])
def test_the_keys_that_variables_need_follow_the_name_of_what_is_missing(env, message, added, giver):
    by_all = OperatorSettings(default_claim="models", pod_defaults={"env": env})
    pods = all_pods(env=env) if giver == "the object" else all_pods(by_all)
    assert {kind: said_of(pod, message) for kind, pod in pods.items()} == dict.fromkeys(KINDS, message + added)


@pytest.mark.parametrize(("secret", "key"), [({"name": "hub"}, "token"), ({"name": "hub", "key": "hf"}, "hf")])
def test_the_key_of_the_token_is_named_where_the_token_goes(secret, key):
    pods = job_pods(model=MODEL | {"secretRef": secret})
    missing = 'secret "hub" not found'
    assert said_of(pods["prepare"], missing) == f"{missing}; needed: key {key} for HF_TOKEN"
    assert {said_of(pods[stage], missing) for stage in ("train", "export")} == {missing}


def test_the_status_of_a_job_names_the_key_of_a_variable_that_the_chart_gives():
    harness = OperatorHarness(OperatorSettings(trainer_image="trainer:1", pod_defaults={"env": [TRACKER]}))

    async def life() -> None:
        harness.submit()
        await harness.settle()
        harness.start_pods("reviews-prepare")
        (pod,) = harness.cluster.of_kind("Pod").values()
        waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": SECRET_MISSING}}
        harness.cluster.change(pod, status={"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": waiting}]})  # fmt: skip
        await harness.settle()

    asyncio.run(life())
    (shown,) = [found["message"] for found in harness.status["conditions"] if found["type"] == "PodsReady"]
    assert shown.endswith(f"{SECRET_MISSING}; needed: key api-key for WANDB_API_KEY")
