"""A split is read with checks: a value that is not allowed is refused with its field, what is allowed and an example."""

from __future__ import annotations

import copy
import json

import pytest
from splits import FULL, document, parsed

from tuneloop_router.errors import BadMessage
from tuneloop_router.fields import LARGEST_DOCUMENT
from tuneloop_router.split import Limits, RateLimit, Revision, Shadow, Split, Sticky, check_successor


def changed(path: str, value: object) -> dict:
    """Return the full document with another value in one place."""
    result = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    place = result
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    place[int(last) if last.isdigit() else last] = value
    return result


def test_every_field_is_read():
    assert parsed(FULL) == Split(
        generation=12,
        deployment="reviews",
        revisions=(
            Revision("newest", "newest.team.svc", 8080, 5),
            Revision("stable", "stable.team.svc", 8080, 95),
        ),
        sticky=Sticky("x-user", "rollout-3"),
        shadow=Shadow("comparator.team.svc", 8081, 10),
        limits=Limits(1 << 20, 60, 30, RateLimit(20, 40), api_key=True),
    )


def test_what_may_be_absent_has_a_default():
    split = parsed(document(100))
    assert (split.sticky, split.shadow, split.limits) == (None, None, Limits())


def test_a_field_that_is_null_is_absent():
    assert parsed(document(100, sticky=None, shadow=None, limits=None)) == parsed(document(100))


def test_the_burst_is_what_one_second_brings_unless_it_is_set():
    split = parsed(document(100, limits={"rateLimit": {"requestsPerSecond": 2.5}}))
    assert split.limits.rate_limit == RateLimit(2.5, 3)


def test_fields_of_a_newer_operator_are_ignored():
    newer = copy.deepcopy(FULL) | {"colour": "green"}
    for place in (newer["revisions"][0], newer["sticky"], newer["shadow"], newer["limits"]):
        place["listener"] = {"address": "0.0.0.0:1"}
    assert parsed(newer) == parsed(FULL)


def test_a_revision_says_where_its_servers_are_ready():
    theirs, ours = parsed(changed("revisions.0.healthPath", "/health")).revisions
    assert (theirs.health_path, ours.health_path) == ("/health", "/readyz")


def test_a_revision_says_whether_its_requests_are_made_once():
    split = parsed(changed("revisions.0.onlyOnce", True))
    assert [revision.only_once for revision in split.revisions] == [True, False]
    assert split.only_once
    assert not parsed(FULL).only_once


OTHERS = changed("revisions.0.healthPath", "/health")
ONCE = changed("revisions.0.onlyOnce", True)


@pytest.mark.parametrize(
    "split", [FULL, document(100), document(1, 0, 99), OTHERS, ONCE], ids=["full", "least", "three", "others", "once"]
)
def test_what_is_kept_reads_back_as_the_same(split):
    assert Split.parse(json.dumps(parsed(split).to_json()).encode()) == parsed(split)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("generation", 0), ("generation", 2**53), ("generation", True), ("generation", "12"), ("generation", 1.0),
        ("deployment", "Reviews"), ("deployment", "9lives"), ("deployment", ""), ("deployment", "a" * 64), ("deployment", "a/b"),
        ("deployment", "a\n"), ("deployment", "a-"), ("deployment", None), ("deployment", "ａ"),
        ("revisions", []), ("revisions", {}), ("revisions", [FULL["revisions"][0]] * 5),
        ("revisions.0", "newest"), ("revisions.0.name", "../etc"), ("revisions.0.name", "stable"), ("revisions.0.name", "a.b"),
        ("revisions.0.host", "a b"), ("revisions.0.host", "a..b"), ("revisions.0.host", "-a"), ("revisions.0.host", "a/b"), ("revisions.0.host", "unix:/x"),
        ("revisions.0.host", "a:80"), ("revisions.0.host", "1.2.3"), ("revisions.0.host", "127.1"), ("revisions.0.host", "0.0.0.0"), ("revisions.0.host", "256.1.1.1"),
        ("revisions.0.host", "a" * 64), ("revisions.0.host", ".".join(["a" * 60] * 5)), ("revisions.0.host", "::1"), ("revisions.0.host", "A.svc"), ("revisions.0.host", 7),
        ("revisions.0.healthPath", "health"), ("revisions.0.healthPath", "/"), ("revisions.0.healthPath", "/a?b"), ("revisions.0.healthPath", "/a b"), ("revisions.0.healthPath", "/a\r\nb"), ("revisions.0.healthPath", 7),
        ("revisions.0.onlyOnce", "yes"), ("revisions.0.onlyOnce", 1),
        ("revisions.0.port", 0), ("revisions.0.port", 65536), ("revisions.0.port", "8080"), ("revisions.0.port", None),
        ("revisions.0.weight", -1), ("revisions.0.weight", 101), ("revisions.0.weight", 6), ("revisions.0.weight", 5.0), ("revisions.0.weight", True),
        ("sticky", "x-user"), ("sticky.header", "X-User"), ("sticky.header", "authorization"), ("sticky.header", "x-api-key"), ("sticky.header", "host"),
        ("sticky.header", "x-envoy-retry-on"), ("sticky.header", "x-tuneloop-revision"), ("sticky.header", ":path"), ("sticky.header", "a b"), ("sticky.header", ""),
        ("sticky.header", "content-length"), ("sticky.salt", "\\1"), ("sticky.salt", "a" * 65), ("sticky.salt", 3),
        ("shadow.percent", 101), ("shadow.percent", -1), ("shadow.host", ""), ("shadow.port", 0),
        ("limits.bodyBytes", 0), ("limits.bodyBytes", 2**28 + 1), ("limits.idleSeconds", 0), ("limits.perTryIdleSeconds", 0), ("limits.apiKey", "yes"),
        ("limits.rateLimit", 20), ("limits.rateLimit.requestsPerSecond", 0), ("limits.rateLimit.requestsPerSecond", float("nan")),
        ("limits.rateLimit.requestsPerSecond", float("inf")), ("limits.rateLimit.burst", 0),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_refused(path, value):
    with pytest.raises(BadMessage, match=r" is .*; allowed: .*; example: "):
        parsed(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("generation", 2**53 - 1), ("deployment", "a"), ("deployment", "a" * 63), ("revisions.0.name", "shadow"), ("revisions.0.host", "127.0.0.1"),
        ("revisions.0.host", "newest.team.svc.cluster.local."), ("revisions.0.host", "10-0-0-1.team.pod"), ("revisions.0.port", 65535), ("revisions.0.healthPath", "/v2/health/ready"),
        ("sticky.header", "cookie"), ("sticky.salt", ""), ("shadow.percent", 0), ("shadow.percent", 100), ("limits.rateLimit.requestsPerSecond", 0.01),
    ],
)  # fmt: skip
def test_a_value_at_its_limit_is_taken(path, value):
    parsed(changed(path, value))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            json.dumps(changed("revisions.1.port", 0)).encode(),
            "revisions[1].port is 0; allowed: a whole number from 1 to 65535; example: 8080",
        ),
        (
            json.dumps(changed("revisions.1.weight", 90)).encode(),
            "the sum of the weights is 95; allowed: 100; example: 100",
        ),
        (
            json.dumps({"generation": 1}).encode(),
            'deployment is missing; allowed: 1 to 63 lower-case letters, digits and dashes, a letter first (RFC 1035); example: "reviews-7d1f"',
        ),
        (b"[1, 2]", "the document is a list of 2; allowed: a JSON object; example: {}"),
        (b"{", 'the document is "{"; allowed: a JSON object; example: {}'),
        (b"\xff\x1b[0m", 'the document is "\\ufffd\\u001b[0m"; allowed: a JSON object; example: {}'),
        (b"[" * 60_000, f'the document is "{"[" * 40}"; allowed: a JSON object; example: {{}}'),
        (
            b" " * (LARGEST_DOCUMENT + 1),
            "the document is 65537; allowed: at most 65536 bytes; example: 1024",
        ),
    ],
)
def test_an_error_names_the_field_its_value_what_is_allowed_and_an_example(text, sentence):
    with pytest.raises(BadMessage) as error:
        Split.parse(text)
    assert str(error.value) == sentence


@pytest.mark.parametrize("generation", [11, 12])
def test_a_generation_that_does_not_grow_is_refused(generation):
    with pytest.raises(BadMessage, match=f"generation is {generation}; allowed: a generation after 12"):
        check_successor(parsed(FULL | {"generation": generation}), of=parsed(FULL))


def test_the_split_of_another_deployment_is_refused():
    with pytest.raises(BadMessage, match='deployment is "mails"; allowed: the router\'s own deployment'):
        check_successor(parsed(FULL | {"deployment": "mails", "generation": 13}), of=parsed(FULL))


def test_a_later_generation_follows():
    check_successor(parsed(FULL | {"generation": 14}), of=parsed(FULL))
