"""What `spec.access` makes of routers and of the network around servers. The key of a client stands in no object: the kubelet alone reads the Secret."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import a_deployment
from golden_specs import VLLM
from observed_jobs import SETTINGS

from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.decide.model_deployment.rollout_spec import rollout_spec
from tuneloop_operator.desired.model_deployment.access import router_limits
from tuneloop_operator.desired.model_deployment.network_policy import server_policy
from tuneloop_operator.desired.model_deployment.router import router_deployment, router_settings
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment

KEY = {"apiKeySecretRef": {"name": "clients", "key": "api-keys"}}
RATE = {"rateLimit": {"requestsPerSecond": 25, "burst": 5}}
ARTIFACT = ArtifactReference(uri="pvc://models/a", digest=None)


def routers(**access: Any) -> dict[str, Any]:
    made = router_deployment(a_deployment(access=access), image="router:1", replicas=1, settings=SETTINGS)
    template: dict[str, Any] = made["spec"]["template"]
    return template


def test_routers_get_the_keys_as_a_file_which_the_kubelet_must_find() -> None:
    deployment, pod = a_deployment(access=KEY), routers(**KEY)["spec"]
    (volume,) = [found for found in pod["volumes"] if "secret" in found]
    assert volume["secret"] == {"secretName": "clients", "items": [{"key": "api-keys", "path": "keys"}]}
    (mount,) = [found for found in pod["containers"][0]["volumeMounts"] if found["name"] == volume["name"]]
    assert router_settings(deployment, SETTINGS).api_keys_path == f"{mount['mountPath']}/keys"
    assert mount["readOnly"]


def test_without_a_key_a_router_mounts_no_secret() -> None:
    assert not [found for found in routers(**RATE)["spec"]["volumes"] if "secret" in found]


@pytest.mark.parametrize(("before", "after", "rolls"), [
    pytest.param({}, RATE, False, id="a rate comes with the split"),
    pytest.param(RATE, {"rateLimit": {"requestsPerSecond": 1}}, False, id="another rate, too"),
    pytest.param(RATE, KEY, True, id="a key is a mount"),
    pytest.param(KEY, {"apiKeySecretRef": {"name": "others", "key": "api-keys"}}, True, id="another Secret is another mount"),
    pytest.param(KEY, KEY | RATE | {"networkPolicy": False}, False, id="what stands beside the key is none"),
])  # fmt: skip
def test_routers_are_replaced_only_where_a_mount_changes(before: Any, after: Any, rolls: bool) -> None:
    assert (routers(**before) != routers(**after)) is rolls


def test_access_is_no_property_of_a_revision() -> None:
    plain, limited = a_deployment(), a_deployment(access=KEY | RATE)
    configs = [server_config(deployment, ARTIFACT) for deployment in (plain, limited)]
    assert configs[0] == configs[1]
    made = [
        server_deployment(deployment, config, settings=SETTINGS)
        for deployment, config in zip((plain, limited), configs, strict=True)
    ]
    assert made[0] == made[1]


def test_other_access_offers_no_rejected_revision_again() -> None:
    digests = {rollout_spec(a_deployment(access=access)).digest for access in ({}, KEY, KEY | RATE)}
    assert digests == {rollout_spec(a_deployment()).digest}


@pytest.mark.parametrize(("given", "count", "each"), [
    pytest.param({"requestsPerSecond": 25}, 1, (25, 25), id="one router has all"),
    pytest.param({"requestsPerSecond": 25}, 2, (12.5, 13), id="two have a half each"),
    pytest.param({"requestsPerSecond": 0.1}, 2, (0.05, 1), id="a bucket holds one request at least"),
    pytest.param({"requestsPerSecond": 25, "burst": 5}, 2, (12.5, 3), id="the burst is shared"),
])  # fmt: skip
def test_each_router_lets_its_part_of_the_rate_through(given: Any, count: int, each: tuple[float, int]) -> None:
    limits = router_limits(a_deployment(access={"rateLimit": given}), routers=count)
    assert limits is not None
    assert limits.rate_limit is not None
    assert (limits.rate_limit.requests_per_second, limits.rate_limit.burst) == each
    assert not limits.api_key


@pytest.mark.parametrize(("access", "reasons"), [(KEY, ["TwoKeys"]), (RATE, []), ({}, [])])
def test_a_key_of_vllm_beside_that_of_routers_is_refused(access: Any, reasons: list[str]) -> None:
    deployment = a_deployment(access=access, **VLLM)
    assert [refusal.reason for refusal in deployment_refusals(deployment.spec, SETTINGS)] == reasons


def test_servers_behind_routers_take_requests_from_routers_and_comparator_of_their_deployment_alone() -> None:
    policy = server_policy(a_deployment(access=KEY), settings=SETTINGS, is_behind_routers=True)
    requests, metrics = policy["spec"]["ingress"]
    selected = [peer["podSelector"]["matchLabels"] for peer in requests["from"]]
    assert [labels["tuneloop.dev/component"] for labels in selected] == ["router", "comparator"]
    assert {labels["tuneloop.dev/deployment"] for labels in selected} == {a_deployment().metadata["name"]}
    assert [set(peer) for peer in requests["from"]] == [{"podSelector"}] * 2, "peers are of the same namespace"
    assert [port["port"] for port in requests["ports"]] == [8080]
    assert metrics == {"ports": [{"port": 8081, "protocol": "TCP"}]}, "Prometheus reads metrics from anywhere"
