"""The comparator's objects: what another pair changes, who selects its pod, and that the program takes what it is given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from desired_pods import SETTINGS, a_deployment, pod_in
from pod_security import offences

from tuneloop_api.contract.comparator_config import COMPARATOR_CONFIG_PATH, ComparatorConfig
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_operator.desired.model_deployment.comparator import (
    comparator_config,
    comparator_config_map,
    comparator_deployment,
    comparator_policy,
    comparator_service,
)
from tuneloop_operator.desired.model_deployment.network_policy import server_policy
from tuneloop_operator.desired.model_deployment.router import router_policy
from tuneloop_operator.desired.model_deployment.service import (
    endpoints_service,
    revision_service,
    stable_service,
)
from tuneloop_operator.desired.model_deployment.split import router_split
from tuneloop_operator.names import REVISION_LABEL, comparator_labels, router_labels
from tuneloop_operator.settings.pod_defaults import PodDefaults
from tuneloop_server.comparator.config_check import check_config
from tuneloop_server.config_file import read_config

GOLDEN_SET = "pvc://golden/reviews/golden.jsonl"


def config_of(
    *, canary: str = "7d1f0000", stable: str = "03ab0000", golden_set: str | None = GOLDEN_SET
) -> ComparatorConfig:
    return comparator_config(a_deployment(), stable=stable, canary=canary, golden_set=golden_set)


def manifest_of(config: ComparatorConfig, golden_set: str | None = GOLDEN_SET) -> dict[str, Any]:
    return comparator_deployment(a_deployment(), config, golden_set=golden_set, settings=SETTINGS)


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_the_program_takes_the_file_of_its_config_map(tmp_path: Path) -> None:
    manifest = comparator_config_map(a_deployment(), config_of())
    file = tmp_path / Path(COMPARATOR_CONFIG_PATH).name
    file.write_text(manifest["data"][file.name], encoding="utf-8")
    config = read_config(file, ComparatorConfig)
    check_config(config)
    assert config == config_of()
    container = pod_in(manifest_of(config))["containers"][0]
    assert container["command"] == [
        "python",
        "-m",
        "tuneloop_server.comparator",
        "--config",
        "/etc/tuneloop/comparator.json",
    ]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": config.port,
        "metrics": config.control_port,
    }


def test_it_asks_the_services_of_the_two_revisions() -> None:
    config = config_of()
    for address in (config.stable, config.canary):
        service = revision_service(a_deployment(), revision=address.name)
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        assert (address.host, address.port) == (f"{name}.{namespace}.svc", service["spec"]["ports"][0]["port"])
    assert (config.stable.name, config.canary.name) == ("03ab0000", "7d1f0000")


def test_copies_reach_the_comparator_by_the_name_that_routers_are_told() -> None:
    split = RolloutStatus.from_wire(
        {
            "strategy": "Canary",
            "stable": "03ab",
            "split": {"generation": 1, "weights": [{"revision": "03ab", "weight": 100}], "shadow": 10},
        }
    )
    shadow = router_split(a_deployment(), split).shadow
    service = comparator_service(a_deployment())
    assert shadow is not None
    assert shadow.host == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    ports = {port["port"]: port["targetPort"] for port in service["spec"]["ports"]}
    assert ports[shadow.port] == "http"
    labels = manifest_of(config_of())["spec"]["template"]["metadata"]["labels"]
    assert selects(service["spec"]["selector"], labels)


def test_no_service_of_revisions_or_routers_selects_its_pod_and_no_selector_counts_it() -> None:
    labels = manifest_of(config_of())["spec"]["template"]["metadata"]["labels"]
    deployment = a_deployment()
    services = [
        revision_service(deployment, revision="7d1f0000"),
        stable_service(deployment, revision="03ab0000"),
        endpoints_service(deployment, revision="7d1f0000"),
    ]
    selectors = [*(service["spec"]["selector"] for service in services), router_labels(deployment)]
    assert not [selector for selector in selectors if selects(selector, labels)]
    assert REVISION_LABEL not in labels  # status.selector asks for it
    assert not selects(router_policy(deployment, settings=SETTINGS)["spec"]["podSelector"]["matchLabels"], labels)
    (expression,) = server_policy(deployment, settings=SETTINGS)["spec"]["podSelector"]["matchExpressions"]
    assert expression == {"key": REVISION_LABEL, "operator": "Exists"}, (
        "the ports of servers are not opened on other pods"
    )


def test_labels_of_the_spec_do_not_replace_ours() -> None:
    deployment = a_deployment(labels={"team": "search"})
    manifest = comparator_deployment(deployment, config_of(), settings=SETTINGS)
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    assert labels == {"team": "search"} | comparator_labels(deployment)
    assert manifest["spec"]["selector"]["matchLabels"] == comparator_labels(deployment)


@pytest.mark.parametrize(
    "another",
    [
        pytest.param(config_of(canary="99000000"), id="another canary"),
        pytest.param(config_of(stable="99000000"), id="another stable"),
        pytest.param(config_of(golden_set="pvc://golden/reviews/other.jsonl"), id="another golden set"),
        pytest.param(config_of(golden_set=None), id="no golden set"),
    ],
)
def test_another_pair_is_another_config_map_and_another_pod(another: ComparatorConfig) -> None:
    maps = [comparator_config_map(a_deployment(), config) for config in (config_of(), another)]
    assert maps[0]["metadata"]["name"] != maps[1]["metadata"]["name"]
    volumes = [pod_in(manifest_of(config))["volumes"][0] for config in (config_of(), another)]
    assert [volume["configMap"]["name"] for volume in volumes] == [found["metadata"]["name"] for found in maps]


def test_the_same_pair_is_the_same_pod() -> None:
    assert manifest_of(config_of()) == manifest_of(config_of())
    assert comparator_config_map(a_deployment(), config_of())["immutable"] is True


def test_there_are_never_two_processes() -> None:
    spec = manifest_of(config_of())["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_golden_set_cannot_be_written_and_is_replayed_once() -> None:
    config = config_of()
    pod = pod_in(manifest_of(config))
    mount = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"].endswith("/golden"))
    volume = next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])
    assert mount["readOnly"] is True
    assert volume["persistentVolumeClaim"] == {"claimName": "golden", "readOnly": True}
    assert config.golden is not None
    assert config.golden.path == f"{mount['mountPath']}/reviews/golden.jsonl"
    assert config.golden.times == 1


def test_without_a_golden_set_no_claim_is_mounted() -> None:
    pod = pod_in(manifest_of(config_of(golden_set=None), golden_set=None))
    assert [volume["name"] for volume in pod["volumes"]] == ["config"]


def test_it_is_restricted_and_runs_the_operators_image_where_the_administrator_says() -> None:
    defaults = PodDefaults.from_wire({"nodeSelector": {"pool": "cpu"}})
    deployment = a_deployment(
        image="registry.example/their/runtime:2", scheduling={"nodeSelector": {"nvidia.com/gpu.product": "H200"}}
    )
    settings = SETTINGS.model_copy(update={"server_image": "registry.example/server:1", "pod_defaults": defaults})
    template = comparator_deployment(deployment, config_of(), settings=settings)["spec"]["template"]
    assert not offences(template)
    assert template["spec"]["automountServiceAccountToken"] is False
    assert template["spec"]["nodeSelector"] == {"pool": "cpu"}
    assert template["spec"]["containers"][0]["image"] == "registry.example/server:1"


def test_the_kubelet_waits_for_the_pairs_under_way() -> None:
    config = config_of()
    assert pod_in(manifest_of(config))["terminationGracePeriodSeconds"] > config.drain_seconds


def test_copies_are_let_in_from_routers_of_the_same_deployment() -> None:
    (copies, counts) = comparator_policy(a_deployment(), settings=SETTINGS)["spec"]["ingress"]
    assert copies == {
        "from": [{"podSelector": {"matchLabels": router_labels(a_deployment())}}],
        "ports": [{"port": 8080, "protocol": "TCP"}],
    }
    assert counts == {"ports": [{"port": 8081, "protocol": "TCP"}]}


def test_no_revision_has_the_name_of_the_comparator_or_of_its_configuration() -> None:
    names = [
        comparator_config_map(a_deployment(), config_of())["metadata"]["name"],
        manifest_of(config_of())["metadata"]["name"],
    ]
    assert not [name for name in names if re.fullmatch(r"reviews-[0-9a-f]+", name)]
