"""Which objects routing needs, and what routers are told: in a cluster, and where servers are processes of one machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.decide.model_deployment.rollout.memory import written
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rollout, Router, Split, Strategy
from tuneloop_operator.decide.model_deployment.rollout_facts import facts_of
from tuneloop_operator.decide.model_deployment.routed import split_of
from tuneloop_operator.decide.model_deployment.router_facts import reporting_routers, router_count, routing_digest
from tuneloop_operator.decide.model_deployment.routing import front_service, router_objects
from tuneloop_operator.desired.model_deployment.service import routed_service
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ComparatorPod, ObservedDeployment, RouterPod, ServerPod
from tuneloop_operator.state.router_report import RouterReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLUSTER, LOCAL = OperatorSettings(), OperatorSettings(local=True)
CANARY = Rollout(
    strategy=Strategy.CANARY,
    stable="01d0",
    canary="2e30",
    has_served=True,
    phase=Phase.PROGRESSING,
    split=Split(generation=4, weights=(("2e30", 25), ("01d0", 75))),
    started=NOW,
)

REST = Rollout(
    strategy=Strategy.CANARY, stable="01d0", has_served=True, split=Split(generation=4, weights=(("01d0", 100),))
)


def observed(rollout: Rollout = CANARY, *, spec: dict[str, Any] | None = None, **fields: Any) -> ObservedDeployment:
    manifest: dict[str, Any] = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "api", "namespace": "team-a", "uid": "u"},
        "spec": {"model": {"uri": "pvc://models/artifact"}, "rollout": {}} | (spec or {}),
        "status": {"rollout": written(rollout).to_wire()},
    }
    given: dict[str, Any] = {"present": {}} | fields
    return ObservedDeployment(deployment=ModelDeployment.from_wire(manifest), manifest=manifest, **given)


def servers(**ports: int) -> tuple[ServerPod, ...]:
    """Return a ready server of each revision, at this port of the machine."""
    names = {"old": "01d0", "new": "2e30"}
    return tuple(
        ServerPod(name=f"api-{names[name]}-x", revision=names[name], ready=True, port=port)
        for name, port in ports.items()
    )


def addresses(found: ObservedDeployment, settings: OperatorSettings) -> list[tuple[str, int]]:
    split = split_of(found, settings=settings)
    assert split is not None
    return [(revision.host, revision.port) for revision in split.revisions]


def test_in_a_cluster_routers_find_the_pods_of_a_revision_by_its_name() -> None:
    names = ["api-2e30-pods.team-a.svc", "api-01d0-pods.team-a.svc"]
    assert addresses(observed(), CLUSTER) == [(name, 8080) for name in names]


def test_on_one_machine_routers_find_a_server_at_its_port_and_nobody_where_there_is_none() -> None:
    assert addresses(observed(pods=servers(old=5001)), LOCAL) == [("127.0.0.1", 9), ("127.0.0.1", 5001)]


EARLY, LATE = NOW, NOW + timedelta(minutes=1)


def two_servers(*, first: tuple[datetime, bool], second: tuple[datetime, bool]) -> tuple[ServerPod, ...]:
    """Return two servers of the stable revision at ports 5001 and 5002, in the order of their names; when each was made, and whether it is ready."""
    made = zip((5001, 5002), (first, second), strict=True)
    return tuple(
        ServerPod(name=f"api-01d0-{port}", revision="01d0", port=port, created=created, ready=ready)
        for port, (created, ready) in made
    )


@pytest.mark.parametrize(("pods", "port"), [
    pytest.param(two_servers(first=(LATE, False), second=(EARLY, True)), 5002, id="not to one that is not ready"),
    pytest.param(two_servers(first=(LATE, True), second=(EARLY, True)), 5002, id="the older one keeps them"),
    pytest.param(two_servers(first=(LATE, True), second=(EARLY, False)), 5001, id="the other one takes them over"),
    pytest.param(two_servers(first=(LATE, False), second=(EARLY, False)), 5002, id="the first one that may be ready"),
])  # fmt: skip
def test_on_one_machine_requests_go_to_the_oldest_ready_server_of_a_revision(
    pods: tuple[ServerPod, ...], port: int
) -> None:
    assert addresses(observed(REST, pods=pods), LOCAL) == [("127.0.0.1", port)]


def test_on_one_machine_a_second_server_begins_no_step_anew_and_the_loss_of_the_first_does() -> None:
    alone, both, left = (
        routing_digest(observed(CANARY, pods=pods), CANARY, is_local=True)
        for pods in (
            two_servers(first=(LATE, False), second=(EARLY, True))[1:],
            two_servers(first=(LATE, True), second=(EARLY, True)),
            two_servers(first=(LATE, True), second=(EARLY, False)),
        )
    )
    assert alone == both != left


COPIED = replace(CANARY, split=replace(CANARY.split, shadow=10))


@pytest.mark.parametrize(("settings", "ports", "address"), [
    pytest.param(CLUSTER, [None], ("api-comparator.team-a.svc", 8080), id="in a cluster by its Service"),
    pytest.param(LOCAL, [5009], ("127.0.0.1", 5009), id="on one machine at its port"),
    pytest.param(LOCAL, [None], ("127.0.0.1", 9), id="before it has one to nobody"),
    pytest.param(LOCAL, [], ("127.0.0.1", 9), id="without one to nobody"),
])  # fmt: skip
def test_copies_go_to_the_comparator(settings: OperatorSettings, ports: list[int | None], address: Any) -> None:
    pods = tuple(ComparatorPod(name="api-comparator-x", port=port) for port in ports)
    split = split_of(observed(COPIED, comparator_pods=pods), settings=settings)
    assert split is not None
    assert split.shadow is not None
    assert (split.shadow.host, split.shadow.port, split.shadow.percent) == (*address, 10)


def test_on_one_machine_a_comparator_that_gets_a_port_is_another_digest() -> None:
    def digest(*ports: int | None, is_local: bool) -> str:
        pods = tuple(ComparatorPod(name="api-comparator-x", port=port) for port in ports)
        return routing_digest(observed(COPIED, comparator_pods=pods), COPIED, is_local=is_local)

    local = [digest(*ports, is_local=True) for ports in ([], [None], [5009], [5010])]
    assert local[0] == local[1]
    assert len(set(local)) == 3
    assert digest(5009, is_local=False) == digest(is_local=False)


def test_a_server_at_another_port_is_another_generation_and_at_the_same_one_is_none() -> None:
    first = observed(REST, pods=servers(old=5001))
    memory = replace(REST, split=replace(REST.split, settings=routing_digest(first, REST, is_local=True)))

    def generation(**ports: int) -> int:
        facts = facts_of(observed(memory, pods=servers(**ports)), memory, offered="01d0", is_local=True)
        return decide(memory, facts, now=NOW).rollout.split.generation

    assert (generation(old=5001), generation(old=5003)) == (4, 5)


def test_the_port_of_a_revision_that_gets_nothing_changes_nothing() -> None:
    others = [
        routing_digest(observed(REST, pods=found), REST, is_local=True)
        for found in (servers(old=1, new=2), servers(old=1))
    ]
    assert others[0] == others[1]


@pytest.mark.parametrize(("settings", "kinds"), [
    pytest.param(CLUSTER, ["NetworkPolicy", "Service", "Service", "ConfigMap", "Deployment"], id="in a cluster"),
    pytest.param(LOCAL, ["ConfigMap", "Deployment"], id="on one machine, which has no network of its own"),
])  # fmt: skip
def test_the_objects_that_routers_need(settings: OperatorSettings, kinds: list[str]) -> None:
    made = router_objects(observed(), CANARY, settings=settings)
    assert [manifest["kind"] for manifest in made] == kinds


def test_nothing_is_made_for_recreate() -> None:
    memory = replace(CANARY, strategy=Strategy.RECREATE)
    assert router_objects(observed(memory, spec={"rollout": {"strategy": "Recreate"}}), memory, settings=CLUSTER) == ()


@pytest.mark.parametrize(("replicas", "settings", "count"), [
    (1, CLUSTER, 1), (2, CLUSTER, 2), (9, CLUSTER, 2), (0, CLUSTER, 1), (9, LOCAL, 1),
])  # fmt: skip
def test_a_second_router_stands_beside_a_second_server(replicas: int, settings: OperatorSettings, count: int) -> None:
    assert router_count(observed(spec={"replicas": replicas}), is_local=settings.local) == count


@pytest.mark.parametrize(("report", "router"), [
    pytest.param(None, Router(name="a", generation=None), id="none"),
    pytest.param(RouterReport(router="a", in_force=0), Router(name="a", generation=None), id="it follows nothing yet"),
    pytest.param(RouterReport(router="a", in_force=3), Router(name="a", generation=3), id="it follows one"),
    pytest.param(
        RouterReport(router="a", in_force=3, refused=0, reason="no JSON"),
        Router(name="a", generation=3, refused=4, reason="no JSON"),
        id="it cannot read the one that is wanted",
    ),
])  # fmt: skip
def test_what_a_router_reports(report: RouterReport | None, router: Router) -> None:
    gone = RouterReport(router="b", in_force=9)
    reports = (gone, report) if report else (gone,)
    found = observed(router_pods=(RouterPod(name="a"),), routers=reports)
    assert reporting_routers(found, CANARY, is_local=False) == (router,)


def test_the_only_router_of_a_machine_reports_by_another_name_than_its_pods() -> None:
    report = RouterReport(router="local router of team-a/api", in_force=4)
    found = observed(router_pods=(RouterPod(name="a"),), routers=(report,))
    assert reporting_routers(found, CANARY, is_local=True) == (Router(name="a", generation=4),)


def leads_to(rollout: Rollout, **fields: Any) -> str:
    """Return where the Service is to lead."""
    made = front_service(observed(rollout, **fields), rollout, settings=CLUSTER)
    selector: dict[str, str] = made["spec"]["selector"]
    return selector.get("tuneloop.dev/revision", "routers")


@pytest.mark.parametrize(("ready", "in_force", "target"), [
    pytest.param(True, 4, "routers", id="a ready router follows what is wanted"),
    pytest.param(False, 4, "01d0", id="it is not ready"),
    pytest.param(True, 3, "01d0", id="it follows an older split"),
])  # fmt: skip
def test_the_service_leads_to_routers_once_a_ready_one_follows_what_is_wanted(
    ready: bool, in_force: int, target: str
) -> None:
    pods = (RouterPod(name="a", ready=ready), RouterPod(name="b", ready=True))
    assert leads_to(CANARY, router_pods=pods, routers=(RouterReport(router="a", in_force=in_force),)) == target


@pytest.mark.parametrize(("strategy", "target"), [
    pytest.param(Strategy.CANARY, "routers", id="also while none of them is there"),
    pytest.param(Strategy.RECREATE, "01d0", id="until no roll-out needs them"),
])  # fmt: skip
def test_the_service_stays_with_its_routers(strategy: Strategy, target: str) -> None:
    memory = replace(REST, strategy=strategy)
    present = {("Service", "api"): routed_service(observed().deployment, stable="01d0")}
    assert leads_to(memory, present=present) == target
