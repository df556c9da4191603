"""The port at which routers ask the operator for their split, with tokens of a real API server."""

from __future__ import annotations

import pytest
from served_models import deploy, take_down
from waiting import until

from tuneloop_api.wire.names import token_audience

OURS = {"app.kubernetes.io/managed-by": "tuneloop", "tuneloop.dev/deployment": "routed"}


@pytest.fixture
def deployment(place):
    """A ModelDeployment without routers."""
    deploy(place, "routed")
    yield place.stored("ModelDeployment", "routed")
    take_down(place)


def token_of_pod(place, deployment, name: str, **labels: str) -> str:
    """Create a pod, and return its token for the deployment, as the kubelet asks for it."""
    named = OURS | {f"tuneloop.dev/{label}": value for label, value in labels.items()}
    spec = {"nodeName": "a-node", "containers": [{"name": "a", "image": "a"}]}
    pod = place.create("Pod", {"metadata": {"name": name, "labels": named}, "spec": spec})
    bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"]}
    audience = token_audience(deployment["metadata"]["uid"])
    asked = {"spec": {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound}}
    path = f"/api/v1/namespaces/{place.namespace}/serviceaccounts/default/token"
    return str(place.request("POST", path, asked).body["status"]["token"])


def test_a_router_is_known_by_the_token_of_its_pod_and_nobody_else_is(operator, place, deployment):
    router = token_of_pod(place, deployment, "routed-router-x", component="router")
    other = token_of_pod(place, deployment, "routed-other-x")

    def answer(token: str) -> int:
        return operator.poll_split(place.namespace, "routed", token=token)

    # 404: the deployment has no split, but who asks is known
    until(lambda: answer(router) == 404, seconds=20, what="the pod is known to the operator")
    assert (answer(other), answer("made-up")) == (403, 401)
