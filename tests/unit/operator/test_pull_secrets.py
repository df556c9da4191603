"""An image that cannot be pulled: the registry's words do not say which pull secrets the pod has, and the status does."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.controller.observe.fine_tune_job import pod_view
from tuneloop_operator.controller.observe.model_deployment import server_pod
from tuneloop_operator.controller.trim import with_node_and_references

DENIED = "failed to authorize: 401 Unauthorized"
NAMED = "; pull secrets of the pod, which must be in its namespace: registry, mirror"
NONE = "; the pod has no pull secret (imagePullSecrets)"
SECRETS = [{"name": "registry"}, {"name": "mirror"}]


def a_pod(container: str, *, reason: str, message: str, secrets: list[dict[str, str]]) -> dict[str, Any]:
    """Return a pod as the store keeps it."""
    labels = {"tuneloop.dev/stage": "train", "tuneloop.dev/attempt": "1", "tuneloop.dev/revision": "r"}
    waiting = {"name": container, "state": {"waiting": {"reason": reason, "message": message}}}
    return with_node_and_references(
        {
            "kind": "Pod",
            "metadata": {"name": "p", "uid": "u", "labels": labels},
            "spec": {"nodeName": "n", "containers": [{}], "imagePullSecrets": secrets},
            "status": {"phase": "Pending", "containerStatuses": [waiting]},
        }
    )


@pytest.mark.parametrize(
    ("reason", "message", "secrets", "added"),
    [
        pytest.param("ErrImagePull", DENIED, SECRETS, NAMED, id="refused"),
        pytest.param("ImagePullBackOff", "Back-off pulling image", SECRETS, NAMED, id="later"),
        pytest.param("ErrImagePull", DENIED, [], NONE, id="no secret is given"),
        pytest.param("ErrImagePull", "pull access denied", [{}], NONE, id="a secret without a name"),
        pytest.param("ErrImagePull", "no such tag", [], "", id="a typo"),
        pytest.param("CreateContainerConfigError", 'secret "a" not found', SECRETS, "", id="another fault"),
    ],
)
def test_the_message_names_the_pull_secrets(reason: str, message: str, secrets: Any, added: str) -> None:
    given = {"reason": reason, "message": message, "secrets": secrets}
    assert pod_view(a_pod("trainer", **given)).waiting_message == message + added
    assert server_pod(a_pod("server", **given)).waiting_message == message + added


def test_of_a_pod_that_runs_the_node_alone_is_kept() -> None:
    pod = {"spec": {"nodeName": "n", "imagePullSecrets": SECRETS}, "status": {"phase": "Running"}}
    assert with_node_and_references(pod)["spec"] == {"nodeName": "n"}
