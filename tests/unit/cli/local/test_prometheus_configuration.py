"""What the Prometheus of local mode is told."""

from __future__ import annotations

import json

import yaml

from tuneloop_cli.local.prometheus.configuration import Target, command, configuration_text, targets_text
from tuneloop_cli.local.prometheus.program import cache_folder

SERVER = Target(address="127.0.0.1:8000", namespace="default", deployment="reviews", revision="reviews-1a2b")
ROUTER = Target(address="127.0.0.1:8001", namespace="default", deployment="reviews", component="router")


def test_it_listens_on_loopback_alone():
    assert "--web.listen-address=127.0.0.1:9191" in command("prometheus", port=9191)


def test_no_path_is_a_pattern():
    text = " ".join(command("prometheus", port=1)) + configuration_text(scrape_seconds=1)
    assert "=/" not in text
    assert "*" not in text


def test_a_scrape_ends_before_the_next_one():
    written = yaml.safe_load(configuration_text(scrape_seconds=5))
    assert written["global"] == {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s"}


def test_each_target_has_its_own_labels():
    first, second = json.loads(targets_text([SERVER, ROUTER]))
    labels = {"namespace": "default", "deployment": "reviews"}
    assert first == {
        "targets": ["127.0.0.1:8000"],
        "labels": labels | {"revision": "reviews-1a2b", "component": "server"},
    }
    assert second == {"targets": ["127.0.0.1:8001"], "labels": labels | {"revision": "", "component": "router"}}


def test_no_target_is_an_empty_list():
    assert targets_text([]) == "[]"


def test_programs_are_kept_where_the_user_keeps_caches(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(cache_folder({"XDG_CACHE_HOME": "/caches"})) == "/caches/tuneloop/prometheus"
    assert str(cache_folder({})) == "/home/me/.cache/tuneloop/prometheus"
    assert str(cache_folder({"XDG_CACHE_HOME": "relative"})) == "/home/me/.cache/tuneloop/prometheus"
