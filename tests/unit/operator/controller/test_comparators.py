"""Which comparators are asked, and where: only those that the operator made, only at their own Service, and locally only on loopback."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import SETTINGS, a_deployment
from routed_manifests import pod_of_deployment, routed_deployment

from tuneloop_operator.controller.comparators import Comparator, comparators_of
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.store import Store
from tuneloop_operator.desired.model_deployment.comparator import (
    comparator_config,
    comparator_deployment,
    comparator_service,
)
from tuneloop_operator.state.gate_inputs import ComparatorReply

Manifest = dict[str, Any]
REPLY = ComparatorReply(problem="no answer")
OWNER = a_deployment()
NAME, NAMESPACE, UID = (OWNER.metadata[field] for field in ("name", "namespace", "uid"))


def owner(**rollout: Any) -> Manifest:
    made = routed_deployment(1)
    made["metadata"] |= {"name": NAME, "namespace": NAMESPACE, "uid": UID}
    made["status"]["rollout"] |= rollout
    return made


def stored(manifest: Manifest, **metadata: Any) -> Manifest:
    return manifest | {
        "metadata": manifest["metadata"] | {"uid": f"u-{manifest['kind']}", "resourceVersion": "1"} | metadata
    }


def deployment(**metadata: Any) -> Manifest:
    config = comparator_config(OWNER, stable="03ab0000", canary="7d1f0000")
    return stored(comparator_deployment(OWNER, config, settings=SETTINGS), **metadata)


def service(metadata: Manifest | None = None, **spec: Any) -> Manifest:
    made = stored(comparator_service(OWNER), **(metadata or {}))
    return made | {"spec": made["spec"] | spec}


def store_of(*manifests: Manifest) -> Store:
    store = new_store()
    for manifest in manifests:
        store.put(manifest)
    return store


def found(*manifests: Manifest, local: bool = False) -> list[Comparator]:
    return list(comparators_of(store_of(*manifests), local=local))


def test_a_comparator_is_asked_at_its_service() -> None:
    (comparator,) = found(owner(), deployment(), service())
    assert comparator.key == (NAMESPACE, NAME)
    assert comparator.address == f"http://{NAME}-comparator.{NAMESPACE}.svc:8081"
    assert (comparator.deployment_uid, comparator.problem) == (UID, "")


@pytest.mark.parametrize("replays", [True, None])
def test_the_roll_out_says_whether_it_wants_golden_requests(replays: bool | None) -> None:
    (comparator,) = found(owner(replays=replays), deployment(), service())
    assert comparator.asks_for_replays is bool(replays)


FOREIGN = {"ownerReferences": [{"kind": "ModelDeployment", "name": NAME, "uid": "u-other", "controller": True}]}


@pytest.mark.parametrize(
    "manifests",
    [
        pytest.param((deployment(), service()), id="no ModelDeployment"),
        pytest.param((owner(), service()), id="no Deployment"),
        pytest.param((owner(), deployment(ownerReferences=[]), service()), id="a Deployment of nobody"),
        pytest.param((owner(), deployment(**FOREIGN), service()), id="a Deployment of another object"),
        pytest.param((owner(), deployment(name="anything"), service()), id="a Deployment of another name"),
    ],
)
def test_what_only_looks_like_a_comparator_is_none(manifests: tuple[Manifest, ...]) -> None:
    assert found(*manifests) == []


STARTING = f"the comparator of {NAME} is still starting"


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(service(type="ExternalName", externalName="metadata.example"), id="one that is a name elsewhere"),
        pytest.param(service(selector=None), id="one without a selector, whose addresses somebody writes"),
        pytest.param(service(selector={"app": "database"}), id="one that leads to other pods"),
        pytest.param(service(FOREIGN), id="one of another object"),
        pytest.param(service({"ownerReferences": []}), id="one of nobody"),
    ],
)
def test_where_the_service_is_not_the_operators_nothing_is_asked(service: Manifest) -> None:
    (comparator,) = found(owner(), deployment(), service)
    assert comparator.address == ""
    assert comparator.problem == f"Service {NAME}-comparator is not as the operator makes it, and is not asked"


def test_a_comparator_without_a_service_is_still_starting() -> None:
    (comparator,) = found(owner(), deployment())
    assert (comparator.address, comparator.problem) == ("", STARTING)


def comparator_pod(url: str) -> Manifest:
    made = pod_of_deployment(f"{NAME}-comparator-x", deployment=NAME, component="comparator")
    annotations = {"tuneloop.dev/local-metrics-url": url}
    return made | {"metadata": made["metadata"] | {"namespace": NAMESPACE, "annotations": annotations}}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:4711", "http://127.0.0.1:4711"),
        ("http://127.0.0.1:4711/x", ""),
        ("http://192.0.2.1:4711", ""),
        ("http://127.0.0.1.example:4711", ""),
        ("", ""),
    ],
)
def test_locally_it_is_asked_on_loopback(url: str, address: str) -> None:
    (comparator,) = found(owner(), deployment(), service(), comparator_pod(url), local=True)
    assert (comparator.address, comparator.problem) == (address, "" if address else STARTING)


def test_on_a_cluster_nothing_that_is_written_at_a_pod_is_an_address() -> None:
    (comparator,) = found(owner(), deployment(), service(), comparator_pod("http://127.0.0.1:4711"))
    assert comparator.address == f"http://{NAME}-comparator.{NAMESPACE}.svc:8081"


@pytest.mark.parametrize("gone", [owner(), deployment()], ids=["the deployment", "the comparator"])
def test_what_a_comparator_said_is_forgotten_with(gone: Manifest) -> None:
    store = store_of(owner(), deployment(), service())
    assert store.put_comparison(UID, REPLY)
    assert not store.put_comparison(UID, REPLY)
    assert store.comparison(UID) == REPLY
    store.remove(gone)
    assert store.comparison(UID) is None


def test_a_server_that_is_gone_makes_nobody_forget() -> None:
    server = stored(deployment(), name=f"{NAME}-7d1f0000", uid="u-server")
    server["metadata"]["labels"] = {"tuneloop.dev/deployment": NAME, "tuneloop.dev/revision": "7d1f0000"}
    store = store_of(owner(), deployment(), server)
    store.put_comparison(UID, REPLY)
    store.remove(server)
    assert store.comparison(UID) == REPLY
