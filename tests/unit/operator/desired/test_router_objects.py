"""The routers' objects: what a new split changes, and that a router of ours takes what it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from desired_pods import SETTINGS, a_deployment, pod_in
from pod_security import offences

from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_operator.desired.model_deployment.router import router_config_map, router_deployment, router_policy
from tuneloop_operator.desired.model_deployment.split import router_split
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults
from tuneloop_router.settings import Settings
from tuneloop_router.split import Split


def rollout(*weights: tuple[str, int], stable: str, canary: str | None = None, **split: Any) -> RolloutStatus:
    shares = [{"revision": revision, "weight": weight} for revision, weight in weights]
    wire = {"strategy": "Canary", "stable": stable, "split": {"generation": 1, "weights": shares} | split}
    return RolloutStatus.from_wire(wire | ({"canary": canary} if canary else {}))


def shares_of(found: RolloutStatus) -> list[tuple[str, int]]:
    return [(revision.name, revision.weight) for revision in router_split(a_deployment(), found).revisions]


def config_map(found: RolloutStatus, settings: OperatorSettings = SETTINGS) -> dict[str, Any]:
    deployment = a_deployment()
    return router_config_map(deployment, router_split(deployment, found, sticky_header="x-user"), settings=settings)


def routers(settings: OperatorSettings = SETTINGS, **spec: Any) -> dict[str, Any]:
    return router_deployment(a_deployment(**spec), image="registry.example/router:1", replicas=2, settings=settings)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            rollout(("7d1f", 5), ("03ab", 95), stable="03ab", canary="7d1f"),
            [("reviews-7d1f", 5), ("reviews-03ab", 95)],
            id="a canary",
        ),
        pytest.param(rollout(("03ab", 100), stable="03ab"), [("reviews-03ab", 100)], id="stable alone"),
        pytest.param(
            rollout(("7d1f", 100), stable="03ab", canary="7d1f"),
            [("reviews-7d1f", 100), ("reviews-03ab", 0)],
            id="a canary with all requests, which still falls back to stable",
        ),
        pytest.param(
            rollout(("9900", 1), ("7d1f", 5), ("03ab", 94), stable="03ab", canary="9900"),
            [("reviews-9900", 1), ("reviews-7d1f", 5), ("reviews-03ab", 94)],
            id="one that replaces the canary",
        ),
    ],
)
def test_the_newest_revision_comes_first_and_stable_last(found: RolloutStatus, expected: list[tuple[str, int]]) -> None:
    assert shares_of(found) == expected


def test_users_stay_where_they_are_when_the_canary_is_promoted() -> None:
    before = router_split(a_deployment(), rollout(("7d1f", 100), stable="03ab", canary="7d1f"), sticky_header="x-user")
    after = router_split(a_deployment(), rollout(("7d1f", 100), stable="7d1f"), sticky_header="x-user")
    assert before.sticky == after.sticky


def test_copies_go_to_the_comparator() -> None:
    shadow = router_split(a_deployment(), rollout(("03ab", 100), stable="03ab", shadow=10)).shadow
    assert shadow is not None
    assert (shadow.host, shadow.percent) == ("reviews-comparator.team-a.svc", 10)


def test_a_router_takes_the_files_of_its_config_map(tmp_path: Path) -> None:
    data = config_map(rollout(("7d1f", 5), ("03ab", 95), stable="03ab", canary="7d1f", shadow=10))["data"]
    (tmp_path / "router.json").write_text(data["router.json"])
    settings = Settings.read(tmp_path / "router.json")
    split = Split.parse(data["split.json"].encode())
    assert (split.deployment, split.stable.name) == (settings.deployment, "reviews-03ab")
    container = pod_in(routers())["containers"][0]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert settings.operator is not None
    for path in (settings.split_path, settings.operator.ca_path, settings.operator.token_path, settings.places.folder):
        assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), path
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.places.port, "metrics": settings.places.metrics_port}
    grace = pod_in(routers())["terminationGracePeriodSeconds"]
    assert grace > settings.drain_seconds


def test_a_router_keeps_below_the_limit_of_its_pod(tmp_path: Path) -> None:
    (tmp_path / "router.json").write_text(config_map(rollout(("03ab", 100), stable="03ab"))["data"]["router.json"])
    limit = pod_in(routers())["containers"][0]["resources"]["limits"]["memory"]
    assert f"{Settings.read(tmp_path / 'router.json').memory_bytes >> 20}Mi" == limit


def test_a_new_split_changes_the_config_map_and_no_pod() -> None:
    found = [config_map(rollout(("7d1f", weight), ("03ab", 100 - weight), stable="03ab")) for weight in (5, 25)]
    digests = [manifest["metadata"]["annotations"] for manifest in found]
    assert digests[0] != digests[1]
    assert json.loads(found[0]["data"]["router.json"]) == json.loads(found[1]["data"]["router.json"])


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        pytest.param(SETTINGS, {"lifecycle": {"drain": "2m"}}, id="a longer drain"),
        pytest.param(SETTINGS.with_progress_ca("another"), {}, id="another authority"),
    ],
)
def test_other_settings_of_the_routers_replace_their_pods(settings: OperatorSettings, spec: dict[str, Any]) -> None:
    before, after = routers(), routers(settings, **spec)
    templates = [manifest["spec"]["template"]["metadata"]["annotations"] for manifest in (before, after)]
    assert templates[0] != templates[1]


def test_what_the_chart_gives_no_longer_is_known_by_a_digest() -> None:
    given = SETTINGS.model_copy(update={"pod_defaults": PodDefaults.from_wire({"nodeSelector": {"pool": "ml"}})})
    found = [routers(settings)["metadata"].get("annotations") for settings in (SETTINGS, given)]
    assert found[0] is None
    assert found[1]


def test_routers_are_restricted_and_hold_no_secret_on_disk() -> None:
    template = routers()["spec"]["template"]
    assert not offences(template)
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert volumes["run"]["emptyDir"]["medium"] == "Memory"


def test_no_policy_of_the_servers_revisions_or_jobs_has_the_name_of_the_routers() -> None:
    assert router_policy(a_deployment(), settings=SETTINGS)["metadata"]["name"] == "reviews-router"
