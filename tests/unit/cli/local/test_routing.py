"""Which pod users call: a router where the deployment has one, else a server."""

from __future__ import annotations

import pytest

from tuneloop_cli.local.routing import answers_users, has_router, leads_to_router


def deployment(rollout=None):
    return {"spec": {"model": {"uri": "pvc://demo/artifact"}} | ({} if rollout is None else {"rollout": rollout})}


def pod(**labels):
    return {"metadata": {"labels": labels}}


SERVER = pod(**{"tuneloop.dev/revision": "7d1f"})
ROUTER = pod(**{"tuneloop.dev/component": "router"})
COMPARATOR = pod(**{"tuneloop.dev/component": "comparator"})


@pytest.mark.parametrize(
    ("rollout", "routed"),
    [(None, False), ({}, True), ({"strategy": None}, True), ({"strategy": "Recreate"}, False), ({"strategy": "Canary"}, True), ({"strategy": "BlueGreen"}, True)],
)  # fmt: skip
def test_a_roll_out_has_a_router_unless_it_is_recreate(rollout, routed):
    assert has_router(deployment(rollout)) is routed


@pytest.mark.parametrize(
    ("access", "routed"),
    [({}, False), ({"rateLimit": {"requestsPerSecond": 5}}, True), ({"apiKeySecretRef": {"name": "a", "key": "b"}}, True)],
)  # fmt: skip
@pytest.mark.parametrize("rollout", [None, {"strategy": "Recreate"}])
def test_a_deployment_whose_access_is_limited_has_a_router_whatever_its_roll_out_is(access, routed, rollout):
    manifest = deployment(rollout)
    manifest["spec"]["access"] = access
    assert has_router(manifest) is routed


@pytest.mark.parametrize("without", [None, deployment(), deployment({"strategy": "Recreate"})])
def test_without_a_router_users_call_a_server(without):
    assert [answers_users(found, without) for found in (SERVER, pod(), ROUTER, COMPARATOR)] == [
        True,
        True,
        False,
        False,
    ]


def test_with_a_router_users_call_it_alone():
    canary = deployment({"strategy": "Canary"})
    assert [answers_users(found, canary) for found in (SERVER, pod(), ROUTER, COMPARATOR)] == [
        False,
        False,
        True,
        False,
    ]


def at(url, pod):
    return {"metadata": pod["metadata"] | {"annotations": {"tuneloop.dev/local-url": url}}}


@pytest.mark.parametrize(("url", "leads"), [("http://127.0.0.1:1", False), ("http://127.0.0.1:2", True), ("http://reviews.default.svc", False), (None, False)])  # fmt: skip
def test_the_address_of_a_deployment_leads_to_its_router_once_it_is_that_of_the_routers_pod(url, leads):
    pods = [at("http://127.0.0.1:1", SERVER), at("http://127.0.0.1:2", ROUTER)]
    assert leads_to_router(deployment({"strategy": "Canary"}) | {"status": {"url": url}}, pods) is leads


def test_a_router_that_is_not_started_has_no_address():
    assert not leads_to_router(
        deployment({"strategy": "Canary"}),
        [ROUTER | {"metadata": {"labels": ROUTER["metadata"]["labels"], "annotations": {}}}],
    )
