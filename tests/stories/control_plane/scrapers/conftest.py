"""A control plane of this folder's own with the Prometheus Operator, which reads what our chart makes, and a Prometheus that does what the operator writes.

The programs are built on first use, before the first test (minutes, once per machine).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cluster_prometheus
import cluster_tier
import pytest
import scrapers
import yaml
from chart_values import PROMETHEUS
from cluster import binaries
from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError
from cluster_prometheus import Prometheus
from helm_chart import Helm, of_kind
from pod_discovery import PodDiscovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SELECTOR = {"release": "kube-prometheus-stack"}
"""By which this cluster's Prometheus selects monitors and rules."""
VALUES: dict[str, Any] = {"watchNamespaces": ["team-a", "team-b"], "monitor": {"interval": "1s", "labels": SELECTOR}}
BY_PODS = VALUES | {"monitor": VALUES["monitor"] | {"kind": "PodMonitor"}}
"""The operator's pods are found without its Service. Both monitors of the operator can be there: they are of two kinds."""
HOME = "tuneloop-system"


def pytest_collection_finish(session: pytest.Session) -> None:
    programs = (*binaries.CONTROL_PLANE, "prometheus-operator")
    cluster_tier.build_programs(session, fixture="monitored", programs=programs)
    cluster_tier.build_programs(session, fixture="adapter_is_built", programs=["prometheus-adapter"])


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """What the chart made, and what the operator made of it."""

    chart: list[dict[str, Any]]
    """The objects of the release, with both monitors of the operator."""
    written: dict[str, Any]
    """The configuration that the operator wrote."""
    configuration: Path
    """The same with the pods that `discovery` finds, for a Prometheus on this machine."""
    rules: list[Path]
    """Where this configuration looks for them."""
    discovery: PodDiscovery


@pytest.fixture(scope="package")
def plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    cluster_tier.check_build(request.config)
    problem = cluster_prometheus.missing(say=cluster_tier.sayer(request.config), may_install=cluster_tier.required())
    if problem:
        cluster_tier.cannot_run(problem)
    own = ControlPlane(tmp_path_factory.mktemp("scrapers"))
    try:
        own.up()
    except (ClusterError, OSError) as error:
        cluster_tier.cannot_run(str(error))
    for name in (HOME, "team-a", "team-b"):
        cluster_tier.make_namespace(own, name)
    yield own
    own.down()


@pytest.fixture(scope="session")
def adapter_is_built(request: pytest.FixtureRequest) -> None:
    """For tests with prometheus-adapter."""
    cluster_tier.check_build(request.config)


@pytest.fixture(scope="package")
def monitored(plane: ControlPlane, helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Monitored:
    """The monitors and the rules of the chart beside a Prometheus that selects them, and the operator at work on them."""
    release = helm.rendered(VALUES, namespace=HOME, served=[PROMETHEUS])
    by_pods = of_kind(helm.rendered(BY_PODS, namespace=HOME, served=[PROMETHEUS]), "PodMonitor")
    chart = [*release, *(found for found in by_pods if found["metadata"]["name"] == "tuneloop")]
    scrapers.start_operator(plane, home=HOME)
    for monitor in (found for kind in scrapers.KINDS for found in of_kind(chart, kind)):
        scrapers.create(plane, monitor)
    scrapers.make_prometheus(plane, home=HOME, selector=SELECTOR)
    folder = tmp_path_factory.mktemp("prometheus")
    text = scrapers.written_configuration(plane, home=HOME, jobs=4)
    # in a pod, the operator's reloader puts the shard into its place
    local = text.replace(scrapers.RULES_FOLDER, str(folder / "rules")).replace("$(SHARD)", "0")
    discovery = PodDiscovery(plane, local, folder)
    discovery.look()
    (folder / "prometheus.yaml").write_text(discovery.configuration())
    rules = scrapers.write_rules(plane, folder / "rules", home=HOME)
    return Monitored(
        chart=chart,
        written=yaml.safe_load(text),
        configuration=folder / "prometheus.yaml",
        rules=rules,
        discovery=discovery,
    )


@pytest.fixture(scope="package")
def prometheus(monitored: Monitored) -> Iterator[Prometheus]:
    """A real Prometheus that does what the operator wrote."""
    with cluster_prometheus.running(monitored.configuration, monitored.configuration.parent) as running:
        yield running
