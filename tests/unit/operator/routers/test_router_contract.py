"""What the operator writes for a router is what the router reads: the two programs share no code."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st
from splits import FULL

from tuneloop_api.contract.router import (
    CLIENT_HEADER,
    LONGEST_HOLD_SECONDS,
    MOST_COUNTED_REVISIONS,
    RETRY_HEADER,
    OperatorAddress,
    RouterSettings,
    RouterSplit,
    split_path,
)
from tuneloop_operator.routers.question import question_of
from tuneloop_router.envoy_config.routes import RETRY_HEADER as ROUTERS_RETRY_HEADER
from tuneloop_router.operator_link import HOLD_SECONDS, Refusal, query_of
from tuneloop_router.settings import Settings
from tuneloop_router.split import CLIENT_HEADER as ROUTERS_CLIENT_HEADER
from tuneloop_router.split import MOST_REVISIONS, Split

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True)


def read(split: RouterSplit) -> Split:
    return Split.parse(json.dumps(split.to_wire()).encode())


def test_every_field_of_a_split_arrives() -> None:
    split = RouterSplit.from_wire(FULL)
    assert read(split).to_json() == FULL
    assert split.to_wire() == FULL


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.integers(0, 100), st.integers(1, 2**53 - 1))
def test_every_split_of_the_operator_is_taken(names: list[str], share: int, generation: int) -> None:
    weights = [share, 100 - share, 0, 0][: len(names)] if len(names) > 1 else [100]
    revisions = [
        {"name": name, "host": f"{name}.team-a.svc", "port": 80, "weight": weight}
        for name, weight in zip(names, weights, strict=True)
    ]
    split = RouterSplit.from_wire({"generation": generation, "deployment": "reviews", "revisions": revisions})
    found = read(split)
    assert [(revision.name, revision.weight) for revision in found.revisions] == list(zip(names, weights, strict=True))
    assert found.generation == generation


def test_the_settings_of_the_operator_are_those_of_the_router(tmp_path: Path) -> None:
    settings = RouterSettings(
        deployment="reviews",
        folder="/run/tuneloop",
        operator=OperatorAddress(
            url=f"https://operator.tuneloop.svc:8443{split_path('team-a', 'reviews')}",
            ca_path="/etc/tuneloop/ca.crt",
            token_path="/var/run/secrets/tuneloop/token",
        ),
        api_keys_path="/etc/tuneloop/api-keys/key",
        drain_seconds=60,
        quiet_seconds=3,
    )
    (tmp_path / "router.json").write_text(json.dumps(settings.to_wire()))
    found = Settings.read(tmp_path / "router.json")
    assert found.operator is not None
    assert settings.operator is not None
    assert vars(found.operator) == settings.operator.model_dump()
    assert (found.deployment, found.places.folder, found.places.port) == ("reviews", "/run/tuneloop", settings.port)
    assert (found.split_path, found.api_keys_path) == (settings.split_path, settings.api_keys_path)
    assert (found.drain_seconds, found.quiet_seconds) == (60, 3)


def test_the_defaults_of_both_are_the_same(tmp_path: Path) -> None:
    written = RouterSettings(deployment="reviews", folder="/run/tuneloop").to_wire()
    least = {name: value for name, value in written.items() if name not in {"drainSeconds", "quietSeconds"}}
    (tmp_path / "router.json").write_text(json.dumps(written))
    (tmp_path / "least.json").write_text(json.dumps(least))
    assert Settings.read(tmp_path / "least.json") == Settings.read(tmp_path / "router.json")


def test_a_router_waits_no_longer_than_the_operator_holds() -> None:
    assert HOLD_SECONDS <= LONGEST_HOLD_SECONDS


@given(st.dictionaries(NAMES, st.integers(0, 2**53), max_size=MOST_REVISIONS), st.integers(0, 2**53 - 1))
def test_what_a_router_reports_arrives(answered: dict[str, int], in_force: int) -> None:
    query = query_of(in_force=in_force, refusal=Refusal(3, "no"), answered=answered)
    found = question_of(dict(parse_qsl(query, strict_parsing=True)))
    assert dict(found.requests) == answered
    assert (found.in_force, found.refused, found.reason) == (in_force, 3, "no")


def test_an_older_router_reports_no_requests_and_a_newer_one_may_say_more() -> None:
    assert question_of({"inForce": "1", "hold": "20"}).requests == ()
    assert question_of({"inForce": "1", "hold": "20", "mood": "good"}).in_force == 1


def test_all_revisions_of_a_split_may_be_counted() -> None:
    assert MOST_REVISIONS <= MOST_COUNTED_REVISIONS


def test_the_header_by_which_another_server_is_asked_is_that_of_servers():
    assert ROUTERS_RETRY_HEADER == RETRY_HEADER
    assert ROUTERS_CLIENT_HEADER == CLIENT_HEADER
