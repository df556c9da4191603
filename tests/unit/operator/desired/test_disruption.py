"""A drain takes one server of a revision and one router at a time, and waits for none for ever; servers are spread over nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.desired.common.metadata import deployment_labels
from tuneloop_operator.desired.model_deployment.disruption import router_budgets, server_budgets
from tuneloop_operator.desired.model_deployment.router import router_deployment
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.operator import OperatorSettings

SETTINGS = OperatorSettings(default_claim="models")
ZONES = {"maxSkew": 2, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}


def deployment(**spec: Any) -> ModelDeployment:
    metadata = {"name": "reviews", "namespace": "team-a", "uid": "1"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    return ModelDeployment.from_wire(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}} | spec})


def servers_of(owner: ModelDeployment, *, is_spread: bool = True) -> dict[str, Any]:
    config = server_config(owner, ArtifactReference(uri="pvc://models/artifact", digest=None))
    return server_deployment(owner, config, settings=SETTINGS, is_spread=is_spread)


def constraints_of(servers: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = servers["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
    return found


def selects(budget: dict[str, Any], pods: dict[str, Any]) -> bool:
    wanted: dict[str, str] = budget["spec"]["selector"]["matchLabels"]
    return wanted.items() <= pods["spec"]["template"]["metadata"]["labels"].items()


def test_each_revision_with_several_servers_has_a_budget_of_its_own() -> None:
    budgets = server_budgets(deployment(), {"old": 3, "new": 2, "last": 1, "asleep": 0})
    assert [budget["metadata"]["name"] for budget in budgets] == ["reviews-old", "reviews-new"]
    assert [budget["metadata"]["labels"]["tuneloop.dev/revision"] for budget in budgets] == ["old", "new"]


@pytest.mark.parametrize("count", [0, 1])
def test_one_server_or_router_alone_has_none_for_it_must_leave_before_another_comes(count: int) -> None:
    assert (server_budgets(deployment(), {"old": count}), router_budgets(deployment(), count)) == ((), ())


@pytest.mark.parametrize("replicas", [2, 50])
def test_one_pod_may_always_go_and_one_that_answers_nothing_too(replicas: int) -> None:
    for budget in (*server_budgets(deployment(), {"old": replicas}), *router_budgets(deployment(), replicas)):
        assert budget["spec"].items() >= {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}.items()
        assert "minAvailable" not in budget["spec"]


def test_a_budget_is_for_the_servers_of_its_revision_or_for_the_routers() -> None:
    owner = deployment()
    servers, routers = servers_of(owner), router_deployment(owner, image="router:1", replicas=2, settings=SETTINGS)
    revision = servers["metadata"]["labels"]["tuneloop.dev/revision"]
    (own,), (another,) = (server_budgets(owner, {name: 2}) for name in (revision, "another"))
    (of_routers,) = router_budgets(owner, 2)
    assert [selects(budget, servers) for budget in (own, another, of_routers)] == [True, False, False]
    assert [selects(budget, routers) for budget in (own, another, of_routers)] == [False, False, True]


def test_servers_of_a_revision_are_spread_over_the_nodes_where_there_is_room() -> None:
    owner = deployment()
    servers = servers_of(owner)
    (constraint,) = constraints_of(servers)
    revision = servers["metadata"]["labels"]["tuneloop.dev/revision"]
    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert constraint["labelSelector"]["matchLabels"] == deployment_labels(owner, revision)


def test_a_spec_that_says_how_servers_are_spread_is_obeyed() -> None:
    servers = servers_of(deployment(scheduling={"topologySpreadConstraints": [ZONES]}))
    assert [constraint["topologyKey"] for constraint in constraints_of(servers)] == ["topology.kubernetes.io/zone"]


def test_servers_that_were_not_spread_need_not_be() -> None:
    assert constraints_of(servers_of(deployment(), is_spread=False)) == []
