"""Who may ask for the split of a deployment: its routers, by the token of their pod."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from memory_cluster import MemoryCluster

from tuneloop_operator.cluster.token_reviews import TokenIdentity
from tuneloop_operator.names import COMPONENT_LABEL, REVISION_LABEL, ROUTER
from tuneloop_operator.progress.reviewed_tokens import TokenReviews
from tuneloop_operator.routers.router_pods import RouterPods
from tuneloop_operator.routers.server import RouterIdentity

ACCOUNT = "system:serviceaccount:team-a:default"
DEPLOYMENT = {"metadata": {"namespace": "team-a", "name": "reviews", "uid": "mdep"}}
ROUTER_POD = {"kind": "Pod", "metadata": {"uid": "router", "labels": {COMPONENT_LABEL: ROUTER}}}
SERVER_POD = {"kind": "Pod", "metadata": {"uid": "server", "labels": {REVISION_LABEL: "1a2b"}}}


def who(*, username: str = ACCOUNT, pod_uid: str = "router", name: str = "reviews", token: str = "token") -> Any:
    cluster = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    cluster.tokens["token"] = TokenIdentity(username=username, pod_name="reviews-router-x", pod_uid=pod_uid)
    routers = RouterPods(
        reviews=TokenReviews(cluster),
        deployment_of=lambda _, name: DEPLOYMENT if name == "reviews" else None,
        children_of=lambda _namespace, _name: [{"kind": "Service", "metadata": {}}, SERVER_POD, ROUTER_POD],
    )
    return asyncio.run(routers.authenticate(token, namespace="team-a", name=name))


def test_a_router_of_the_deployment_may_ask() -> None:
    assert who() == RouterIdentity(name="reviews-router-x", may_ask=True)


@pytest.mark.parametrize(
    ("username", "pod_uid"),
    [
        pytest.param(ACCOUNT, "server", id="a server of the deployment"),
        pytest.param(ACCOUNT, "unknown", id="a pod of nobody"),
        pytest.param(ACCOUNT, None, id="no pod"),
        pytest.param("system:serviceaccount:team-b:default", "router", id="an account of another namespace"),
        pytest.param("system:serviceaccount:team-a-b:default", "router", id="a namespace with a longer name"),
        pytest.param("ada", "router", id="a person"),
    ],
)
def test_nobody_else_may(username: str, pod_uid: str) -> None:
    assert who(username=username, pod_uid=pod_uid).may_ask is False


def test_a_token_that_is_not_valid_belongs_to_nobody() -> None:
    assert who(token="another") is None


def test_a_deployment_that_is_not_there_has_no_routers() -> None:
    assert who(name="mails") is None
