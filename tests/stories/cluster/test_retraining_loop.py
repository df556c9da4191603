"""A model that is right less often is trained again on a real node, and its successor takes over: chart, Prometheus, claims, kubelet and routers are real.

Nobody decides anything but the operator: the requests turn to words that the model does not know, and their labels come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cluster_prometheus
import cluster_tier
import pytest
from cluster_loop import NAMESPACE, TRIGGER, accuracy, looped
from cluster_monitoring import MONITOR, URL, monitoring, scraping_by_monitors
from cluster_release import installed
from helm_chart import Right, reviewed_rights

if TYPE_CHECKING:
    from cluster.node import NodeCluster
    from cluster_loop import Looped
    from cluster_release import Release
    from helm_chart import Helm

pytestmark = pytest.mark.full

HOME = "loop-system"
ROUTER = {"image": {"repository": "docker.io/tuneloop/development", "tag": "dev"}}


@pytest.fixture(scope="module")
def found(
    request: pytest.FixtureRequest,
    node_cluster: NodeCluster,
    release: Release,
    helm: Helm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Looped:
    """A release of its own, which has a Prometheus to ask."""
    if problem := cluster_prometheus.missing(
        say=cluster_tier.sayer(request.config), may_install=cluster_tier.required()
    ):
        cluster_tier.cannot_run(problem)
    own = monitoring(node_cluster, home=HOME)
    values = {"crds": {"install": False}, "prometheus": {"url": URL}, "monitor": MONITOR, "router": ROUTER}
    with (
        installed(
            node_cluster, helm, namespace=HOME, watched=[NAMESPACE], claim=release.claim, **values
        ) as installed_release,
        scraping_by_monitors(own, tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        return looped(installed_release, prometheus)


def test_the_first_model_is_right_and_nothing_starts(found: Looped) -> None:
    assert accuracy(found.before) > 0.95
    assert {answer.revision for answer in found.before} == {found.champion}
    assert found.runs_before == []


def test_the_features_of_its_requests_become_the_baseline(found: Looped) -> None:
    assert (found.baseline["status"], found.baseline["reason"]) == ("True", "BaselineCaptured")


def test_policies_let_prometheus_scrape_every_program(found: Looped) -> None:
    assert found.targets == {"operator": {"up"}, "router": {"up"}, "server": {"up"}}


def test_words_that_it_does_not_know_make_it_guess(found: Looped) -> None:
    assert {answer.revision for answer in found.turned} == {found.champion}
    assert accuracy(found.turned) < 0.7


def test_the_trigger_asks_prometheus_and_starts_one_run(found: Looped) -> None:
    assert (found.trigger["name"], found.trigger["state"]) == (TRIGGER, "Firing")
    assert found.trigger["value"] > 0.3
    assert found.run["trigger"] == TRIGGER
    assert found.run["champion"] == found.champion


def test_the_run_learns_from_the_labels_of_clients(found: Looped) -> None:
    by_uri = {source["uri"]: source for source in found.report["sources"]}
    assert by_uri["feedback://reviews"]["usable"] > 50
    assert found.job["metadata"]["annotations"]["tuneloop.dev/champion-revision"] == found.champion


def test_its_model_is_better_beside_the_champion(found: Looped) -> None:
    comparison = found.job["status"]["evaluation"]["comparison"]
    assert comparison["verdict"] == "Better", comparison


def test_both_answer_during_the_roll_out_and_only_the_new_one_after_it(found: Looped) -> None:
    assert found.run["outcome"] == "Promoted", found.run
    assert found.stable != found.champion
    assert found.both == {found.champion, found.stable}
    assert accuracy(found.after) > 0.95


def test_a_person_sees_how_far_it_is(found: Looped) -> None:
    assert {"Training", "Canary"} <= set(found.states), found.states
    assert set(found.columns) & {"Confirmed", "Training", "Evaluating"}, found.columns


def test_no_request_fails_and_no_label_is_refused(found: Looped) -> None:
    assert found.failures == []
    assert {answer.feedback for answer in [*found.before, *found.turned, *found.after]} == {200}


def test_the_rights_of_the_chart_are_enough(found: Looped) -> None:
    assert found.asked.refused == ()
    assert Right("watched", "tuneloop.dev", "finetunejobs", "create") in found.asked.rights
    assert not found.asked.rights - set(reviewed_rights())
