"""Broken inputs and poisoned labels from a real model server over a real Prometheus with our rules to what the operator makes of them, and to the alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from artifact import make_artifact
from broken_clients import GARBLED, SOUND, Clients
from metrics_page import ROOT
from prometheus_client import CollectorRegistry
from scraped_numbers import Scraped, require_prometheus, scraped
from server_process import Server, configuration, running_fork
from tiny_models import tiny_bert
from waiting import until

from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_operator.decide.model_deployment.retraining import data_quality
from tuneloop_operator.decide.model_deployment.retraining.data_quality import DataQuality
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
from tuneloop_operator.metrics.recording_rules import recording_rules
from tuneloop_operator.prometheus.query import PromQL

BEGAN = datetime.now(UTC)
ABOUT = About(namespace="team", deployment="reviews", revision="abc123", cutoff=BEGAN)
RULES = recording_rules().replace("    interval: 1m\n", "    interval: 1s\n")
SECONDS = 60.0
GROUPS = yaml.safe_load((ROOT / "charts/tuneloop/rules-files/alerts.yaml").read_text())["groups"]
ALERTS = {rule["alert"]: rule["expr"] for group in GROUPS for rule in group["rules"]}


class Watched:
    """A model server and the Prometheus that scrapes it."""

    def __init__(self, server: Server, prometheus: Scraped) -> None:
        self.clients = Clients(server.url)
        self._prometheus = prometheus
        self.needed = 0

    def found(self) -> DataQuality:
        """Return what the operator makes of the data now."""
        readings = {
            query.part: Reading(answer=self._prometheus.ask(query.query), at=BEGAN)
            for query in data_quality.queries(ABOUT, of_labels=False)
        }
        return data_quality.judged(readings, now=BEGAN)

    def fires(self, alert: str) -> bool:
        """Whether the expression of an alert has a series now."""
        answer: Any = self._prometheus.ask(PromQL(f"count({ALERTS[alert]})"))
        return getattr(answer, "value", 0) > 0

    def has_counted(self, metric: str, count: float) -> None:
        """Wait until a rule has this value, within what Prometheus extrapolates."""

        def holds() -> bool:
            return getattr(self._prometheus.ask(PromQL(f"sum({metric})")), "value", 0.0) >= count

        until(holds, seconds=SECONDS, what=f"{count} of {metric}")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    require_prometheus()
    folder: Path = tmp_path_factory.mktemp("broken")
    make_artifact(folder / "artifact", tiny_bert(folder / "bert"))
    keys = folder / "keys"
    keys.write_text("k" * 32)
    config = configuration(folder / "artifact", feedback={"keys_path": str(keys)})
    with (
        running_fork(config, tmp_path_factory.mktemp("server")) as server,
        scraped(folder / "prometheus", CollectorRegistry(), rules=RULES) as prometheus,
    ):
        target = Target(
            address=server.url.removeprefix("http://"), namespace="team", deployment="reviews", revision="abc123"
        )
        prometheus.prometheus.targets([target])
        found = Watched(server, prometheus)
        found.has_counted("up", 1)
        found.has_counted("count(tuneloop_texts_total)", 4)
        yield found
        found.clients.close()


@pytest.fixture(scope="module")
def sound(watched: Watched) -> Watched:
    """After texts of many clients and their labels."""
    tokens = watched.clients.ask(SOUND)
    for number in range(3):
        watched.clients.label(tokens[number * 40 : number * 40 + 40], is_correct=True, client=f"client-{number}")
    watched.has_counted("tuneloop:texts:increase24h", 250)
    watched.has_counted("tuneloop:feedback_labels:all", 120)
    return watched


@pytest.fixture(scope="module")
def broken(sound: Watched) -> Watched:
    """After one client sent garbled texts, and wrong labels for them."""
    tokens = sound.clients.ask(GARBLED)
    sound.clients.label(tokens[:100], is_correct=False, client="broken")
    sound.has_counted('tuneloop:texts:ratio24h{kind="garbled"}', 0.25)
    sound.has_counted("tuneloop:feedback_labels:all", 220)
    sound.has_counted("tuneloop:feedback_worst_client_labels:count", 100)
    return sound


def test_of_sound_traffic_nothing_is_found(sound: Watched) -> None:
    assert sound.found() == data_quality.FIT
    assert not sound.fires("TuneloopInputQuality")
    assert not sound.fires("TuneloopFeedbackOfOneClient")


def test_garbled_texts_and_poisoned_labels_are_named_with_their_numbers(broken: Watched) -> None:
    first, second = broken.found().problem.split("; one client ")
    assert first.startswith("texts in a wrong encoding are 3")
    assert second == "sent 100% of the labels that say wrong: 0% of its labels say right, of all others 100%"


@pytest.mark.parametrize("alert", ["TuneloopInputQuality", "TuneloopFeedbackOfOneClient"])
def test_the_alert_of_what_is_broken_fires(broken: Watched, alert: str) -> None:
    assert broken.fires(alert)


def test_no_other_alert_on_quality_fires(broken: Watched) -> None:
    others = ("TuneloopQualityDegraded", "TuneloopFeatureDrift", "TuneloopLabelsMissing")
    assert [alert for alert in others if broken.fires(alert)] == []
