"""With what a router starts: its settings, and the newer of two splits."""

from __future__ import annotations

import json

import pytest
from splits import document

from tuneloop_router import settings as settings_module
from tuneloop_router import split as split_module
from tuneloop_router.errors import CannotRun
from tuneloop_router.follow import generation_of
from tuneloop_router.settings import Settings
from tuneloop_router.split import Split
from tuneloop_router.start_split import start_split

LEAST = {
    "deployment": "reviews",
    "folder": "/run/tuneloop/",
    "splitPath": "/s",
    "host": "::",
    "port": 1,
    "metricsPort": 2,
}
OPERATOR = {"url": "https://operator.tuneloop.svc:8443/v1/routers/a/b", "caPath": "/ca", "tokenPath": "/token"}


def settings(tmp_path, **changes) -> Settings:
    path = tmp_path / "router.json"
    path.write_text(json.dumps(LEAST | changes))
    return Settings.read(path)


def example(module) -> str:
    """Return the document in the text of a module."""
    lines = module.__doc__.splitlines()
    return "\n".join(line for line in lines if line.startswith("    "))


def test_the_examples_that_help_shows_are_right(tmp_path):
    path = tmp_path / "router.json"
    path.write_text(example(settings_module))
    assert Settings.read(path).deployment == Split.parse(example(split_module).encode()).deployment


def test_what_may_be_absent_has_a_default(tmp_path):
    found = settings(tmp_path)
    assert (found.operator, found.api_keys_path, found.envoy_path) == (None, None, None)
    assert (found.drain_seconds, found.quiet_seconds, found.upload_seconds, found.threads) == (45, 5, 30, 1)
    assert found.places.state == "/run/tuneloop/state.json"


def test_fields_of_a_newer_operator_are_ignored(tmp_path):
    assert settings(tmp_path, colour="green", operator=OPERATOR | {"colour": "green"}) == settings(
        tmp_path, operator=OPERATOR
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": "localhost"}, "host"),
        ({"folder": "/" + "a" * 90}, "folder"),
        ({"splitPath": "split.json"}, "splitPath"),
        ({"apiKeysPath": "/a\0b"}, "apiKeysPath"),
        ({"drainSeconds": 0}, "drainSeconds"),
        ({"maxConnections": True}, "maxConnections"),
        ({"operator": OPERATOR | {"url": "https://user@a"}}, "operator.url"),
        ({"operator": OPERATOR | {"url": "https://a?b"}}, "operator.url"),
        ({"operator": OPERATOR | {"url": "https://a:99999"}}, "operator.url"),
        ({"operator": OPERATOR | {"url": "https://a /"}}, "operator.url"),
        ({"operator": OPERATOR | {"caPath": None}}, "operator.caPath"),
        ({"operator": OPERATOR | {"url": "http://operator.tuneloop.svc:8443/a"}}, "operator.url"),
        ({"operator": OPERATOR | {"url": "http://localhost:8443/a"}}, "operator.url"),
        ({"operator": OPERATOR | {"url": "http://10.0.0.7:8443/a"}}, "operator.url"),
        ({"operator": OPERATOR | {"url": "http://127.0.0.1.example:8443/a"}}, "operator.url"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path, changes, field):
    with pytest.raises(CannotRun, match=rf"router\.json: {field} is .*; allowed: "):
        settings(tmp_path, **changes)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8443/v1/a", "http://[::1]:8443/v1/a"])
def test_an_operator_on_loopback_needs_no_tls_and_no_authority(tmp_path, url):
    found = settings(tmp_path, operator={"url": url, "caPath": "/etc/tuneloop/ca.crt", "tokenPath": "/token"}).operator
    assert (found.url, found.ca_path) == (url, None)
    assert settings(tmp_path, operator={"url": url, "tokenPath": "/token"}).operator == found


def started(tmp_path, *, mounted: object, kept: object) -> int:
    (tmp_path / "run").mkdir()
    for path, content in ((tmp_path / "split.json", mounted), (tmp_path / "run" / "state.json", kept)):
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    found = settings(tmp_path, folder=str(tmp_path / "run"), splitPath=str(tmp_path / "split.json"))
    return start_split(found).generation


def of(generation: int, deployment: str = "reviews") -> dict:
    return document(100, generation=generation) | {"deployment": deployment}


@pytest.mark.parametrize(
    ("mounted", "kept", "generation"),
    [
        pytest.param(of(3), None, 3, id="nothing was kept"),
        pytest.param(of(3), of(7), 7, id="what was kept is newer"),
        pytest.param(of(9), of(7), 9, id="what is mounted is newer"),
        pytest.param(None, of(7), 7, id="nothing is mounted"),
        pytest.param(of(3), "{", 3, id="what was kept is damaged"),
        pytest.param(of(3), "", 3, id="what was kept is empty"),
        pytest.param(of(3), of(7, "mails"), 3, id="another deployment's was kept"),
    ],
)
def test_a_router_starts_with_the_newer_split(tmp_path, mounted, kept, generation):
    assert started(tmp_path, mounted=mounted, kept=kept) == generation


@pytest.mark.parametrize(("mounted", "kept"), [(None, None), ("{", None), (of(3, "mails"), of(7, "mails"))])
def test_without_a_split_it_cannot_start(tmp_path, mounted, kept):
    with pytest.raises(CannotRun, match="no split to start with"):
        started(tmp_path, mounted=mounted, kept=kept)


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        (b'{"generation": 7}', 7), (b'{"generation": "7"}', 0), (b'{"generation": true}', 0), (b'{"generation": -1}', 0), (b"{}", 0), (b"[]", 0),
        (b"7", 0), (b"\xff", 0), (b"[" * 60_000, 0),
    ],
)  # fmt: skip
def test_the_generation_of_a_refused_document_is_reported_if_it_has_one(text, generation):
    assert generation_of(text) == generation
