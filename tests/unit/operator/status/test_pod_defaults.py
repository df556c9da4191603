"""What the pods got from the chart, as `status.resolved` shows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults
from tuneloop_operator.settings.trusted_ca import TrustedCa
from tuneloop_operator.status.pod_defaults import with_pod_defaults

if TYPE_CHECKING:
    from operator_harness import OperatorHarness

DEFAULTS: dict[str, Any] = {
    "nodeSelector": {"pool": "ml"},
    "tolerations": [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "value": "ml"},
        {"operator": "Exists"},
    ],
    "imagePullSecrets": [{"name": "registry"}],
    "labels": {"team": "search"},
    "env": [{"name": "HTTPS_PROXY", "value": "canary"}, {"name": "KEY", "secretKeyRef": {"name": "a", "key": "b"}}],
}
SHOWN = {
    "nodeSelector": ["pool=ml"],
    "tolerations": ["nvidia.com/gpu:NoSchedule", "team=ml", "*"],
    "imagePullSecrets": ["registry"],
    "env": ["HTTPS_PROXY", "KEY"],
    "trustedCA": "company-ca",
}
WITHOUT_CA = {name: value for name, value in SHOWN.items() if name != "trustedCA"}


def settings(defaults: dict[str, Any], trusted: TrustedCa | None = None) -> OperatorSettings:
    return OperatorSettings(pod_defaults=PodDefaults.from_wire(defaults), trusted_ca=trusted)


@pytest.mark.parametrize("trusted", [TrustedCa(config_map="company-ca"), TrustedCa(secret="company-ca")])
def test_names_are_shown_beside_what_else_was_chosen(trusted: TrustedCa) -> None:
    found = with_pod_defaults({"storageClaim": "models", "podDefaults": {"old": 1}}, settings(DEFAULTS, trusted))
    assert found == {"storageClaim": "models", "podDefaults": SHOWN}


def test_nothing_is_shown_where_the_chart_gives_nothing() -> None:
    assert with_pod_defaults(None, OperatorSettings()) is None
    assert with_pod_defaults({"a": 1, "podDefaults": {"old": 1}}, settings({"labels": {"a": "b"}})) == {"a": 1}


def test_a_long_list_is_cut() -> None:
    many = settings({"env": [{"name": f"A{number}", "value": ""} for number in range(23)]})
    (shown,) = [found["podDefaults"]["env"] for found in (with_pod_defaults(None, many),) if found]
    assert (len(shown), shown[19:]) == (21, ["A19", "and 3 more"])


def test_each_run_shows_what_its_pods_got(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare()
        assert "podDefaults" not in harness.status["resolved"]
        harness.settings = settings(DEFAULTS)
        harness.restart_operator()
        harness.succeed("reviews-a1")
        await harness.settle()
        assert harness.status["resolved"]["podDefaults"] == WITHOUT_CA

    asyncio.run(life())


def test_a_deployment_shows_what_its_servers_get_as_long_as_the_chart_gives_it(harness: OperatorHarness) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}

    async def resolved_under(found: OperatorSettings) -> Any:
        harness.settings = found
        harness.restart_operator()
        await harness.settle()
        status = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
        (servers,) = harness.cluster.of_kind("Deployment").values()
        return status.get("resolved"), servers["spec"]["template"]["spec"].get("nodeSelector")

    async def life() -> None:
        harness.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}}})
        assert await resolved_under(settings(DEFAULTS)) == ({"podDefaults": WITHOUT_CA}, {"pool": "ml"})
        assert await resolved_under(OperatorSettings()) == (None, None)

    asyncio.run(life())
