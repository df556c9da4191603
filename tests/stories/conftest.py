"""The real Helm for tests of the chart: the fixture `helm`, built on first use, before the first test (minutes, once per machine)."""

from __future__ import annotations

import cluster_tier
import pytest
from cluster import binaries
from helm_chart import Helm


def pytest_collection_finish(session: pytest.Session) -> None:
    cluster_tier.build_programs(session, fixture="helm", programs=["helm"])


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster; `dataclasses.replace(helm, kubeconfig=…)` works on a cluster."""
    cluster_tier.check_build(request.config)
    return Helm(program=binaries.ensure("helm") / "helm", home=tmp_path_factory.mktemp("helm"))
