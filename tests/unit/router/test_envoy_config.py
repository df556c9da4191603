"""What Envoy's configuration must say for a split, fact by fact."""

from __future__ import annotations

import pytest
from splits import FULL, document, parsed

from tuneloop_router.envoy_config import Places, bootstrap, clusters, routes
from tuneloop_router.split import Limits, RateLimit

STICKY = {"sticky": {"header": "x-user", "salt": "a"}}


def by_name(configuration: dict) -> dict:
    return {resource["name"]: resource for resource in configuration["resources"]}


def cluster_names(split) -> set[str]:
    return set(by_name(clusters(split, version="1")))


def host(split) -> dict:
    return routes(split)["resources"][0]["virtual_hosts"][0]


def actions(split) -> list[dict]:
    return [route["route"] for route in host(split)["routes"]]


def test_each_revision_but_stable_falls_back_to_stable():
    names = by_name(clusters(parsed(document(5, 20, 75)), version="1"))
    assert names["reviews/newest/or-stable"]["cluster_type"]["typed_config"]["clusters"] == [
        "reviews/newest",
        "reviews/stable",
    ]
    assert names["reviews/middle/or-stable"]["cluster_type"]["typed_config"]["clusters"] == [
        "reviews/middle",
        "reviews/stable",
    ]
    assert set(names) == {"reviews/newest", "reviews/newest/or-stable", "reviews/middle", "reviews/middle/or-stable", "reviews/stable"}  # fmt: skip


def test_a_revision_called_shadow_is_not_the_comparator():
    split = document(5, 95, shadow=FULL["shadow"])
    split["revisions"][0]["name"] = "shadow"
    assert len(cluster_names(parsed(split))) == 4


def test_each_revision_is_asked_where_its_servers_say_that_they_are_ready():
    split = document(5, 95)
    split["revisions"][0]["healthPath"] = "/v2/health/ready"
    names = by_name(clusters(parsed(split), version="1"))
    paths = [names[f"reviews/{name}"]["health_checks"][0]["http_health_check"]["path"] for name in ("newest", "stable")]
    assert paths == ["/v2/health/ready", "/readyz"]


def test_weights_stand_newest_first_and_stable_last():
    *_, action = actions(parsed(document(5, 20, 75)))
    assert action["weighted_clusters"]["clusters"] == [
        {"name": "reviews/newest/or-stable", "weight": 5},
        {"name": "reviews/middle/or-stable", "weight": 20},
        {"name": "reviews/stable", "weight": 75},
    ]


def test_a_sticky_split_hashes_requests_with_the_header_and_draws_the_others():
    _, with_header, without = actions(parsed(document(5, 95, **STICKY)))
    assert with_header["hash_policy"][0]["header"]["header_name"] == "x-user"
    assert with_header["weighted_clusters"]["use_hash_policy"] is True
    assert "hash_policy" not in without
    assert "use_hash_policy" not in without["weighted_clusters"]


def test_a_salt_is_put_before_the_value():
    rewrite = actions(parsed(document(5, 95, **STICKY)))[1]["hash_policy"][0]["header"]["regex_rewrite"]
    assert rewrite["substitution"] == "a:\\1"


def test_one_revision_gets_all_requests_without_a_choice_and_has_no_other_to_try():
    *_, action = actions(parsed(document(100, **STICKY)))
    assert action["cluster"] == "reviews/stable"
    assert "retry_priority" not in action["retry_policy"]


def test_a_retry_goes_to_another_revision_where_there_is_one():
    assert all("retry_priority" in action["retry_policy"] for action in actions(parsed(document(5, 95, **STICKY))))


def test_answers_of_a_model_are_never_repeated():
    assert "5xx" not in actions(parsed(FULL))[0]["retry_policy"]["retry_on"]


def repeated(split) -> dict[str, set[str]]:
    """Return what is repeated, by the path or prefix of the route."""
    found = {}
    for route in host(split)["routes"]:
        (where,) = {"path", "prefix"} & route["match"].keys()
        found[route["match"][where]] = set(route["route"]["retry_policy"]["retry_on"].split(","))
    return found


NOT_BEGUN = {"connect-failure", "refused-stream", "retriable-headers"}


def test_feedback_is_repeated_only_where_no_server_can_have_counted_it():
    assert repeated(parsed(document(100))) == {"/v1/feedback": NOT_BEGUN, "/": NOT_BEGUN | {"reset"}}


def test_with_one_server_that_is_not_ours_nothing_is_repeated_that_may_have_begun():
    split = document(5, 95)
    split["revisions"][0]["onlyOnce"] = True
    assert repeated(parsed(split)) == {"/": NOT_BEGUN}


def start_of(memory: int) -> dict:
    places = Places("/run", "::", 8080, 8081)
    return bootstrap("reviews", places, upload_seconds=30, most_connections=10, memory_bytes=memory)


@pytest.mark.parametrize("memory", [192 << 20, 512 << 20, 4 << 30])
def test_the_heap_leaves_room_below_the_memory_of_the_router(memory):
    (heap, _) = start_of(memory)["overload_manager"]["resource_monitors"]
    found = heap["typed_config"]["max_heap_size_bytes"]
    assert memory / 2 < found < memory - (64 << 20)


def test_clients_of_the_model_keep_no_probe_out():
    front, metrics = start_of(512 << 20)["static_resources"]["listeners"]
    assert metrics["bypass_overload_manager"]
    assert metrics["ignore_global_conn_limit"]
    assert "bypass_overload_manager" not in front


def test_every_cluster_that_retries_has_a_retry_budget():
    for name, cluster in by_name(clusters(parsed(FULL), version="1")).items():
        (threshold,) = cluster["circuit_breakers"]["thresholds"]
        assert ("retry_budget" in threshold) == ("comparator" not in name), name


def test_keys_and_cookies_are_not_copied():
    (mirror,) = actions(parsed(FULL))[-1]["request_mirror_policies"]
    assert mirror["request_headers_mutations"] == [
        {"remove": "authorization"},
        {"remove": "x-api-key"},
        {"remove": "cookie"},
    ]


def test_a_shadow_of_no_request_copies_nothing_and_keeps_its_cluster():
    split = parsed(FULL | {"shadow": FULL["shadow"] | {"percent": 0}})
    assert all("request_mirror_policies" not in action for action in actions(split))
    assert "reviews//comparator" in cluster_names(split)


def test_keys_are_asked_for_unless_the_split_says_no():
    assert "keys" not in host(parsed(document(100, limits={"apiKey": True})))["typed_per_filter_config"]
    assert host(parsed(document(100)))["typed_per_filter_config"]["keys"]["disabled"] is True


def test_no_rate_is_looked_for_where_the_split_has_none():
    assert host(parsed(document(100)))["typed_per_filter_config"]["limit"]["disabled"] is True


@pytest.mark.parametrize("rate", [0.01, 0.5, 1, 3, 19.9, 20, 21, 30, 1000, 1e6])
def test_a_rate_limit_fills_the_bucket_at_its_rate_and_not_too_often(rate):
    split = parsed(document(100, limits={"rateLimit": {"requestsPerSecond": rate}}))
    bucket = host(split)["typed_per_filter_config"]["limit"]["token_bucket"]
    seconds = float(bucket["fill_interval"].removesuffix("s"))
    assert bucket["tokens_per_fill"] / seconds == pytest.approx(rate, rel=1e-6)
    assert seconds >= 0.05  # Envoy refuses shorter ones


def test_the_version_shows_the_generation_even_when_nothing_else_changes():
    first, second = (routes(parsed(document(100, generation=number))) for number in (1, 2))
    assert (first["version_info"], second["version_info"]) == ("1", "2")
    assert first["resources"] != second["resources"]


def test_clusters_of_earlier_splits_stand_beside_the_new():
    first, second, new = (
        parsed(document(*weights, generation=number)) for number, weights in enumerate(((100,), (5, 95), (1, 2, 97)), 1)
    )
    found = set(by_name(clusters(new, version="3", also=[first, second])))
    assert found == cluster_names(first) | cluster_names(second) | cluster_names(new)


def test_the_new_address_of_a_revision_wins():
    old, new = document(100), document(100, generation=2)
    new["revisions"][0]["port"] = 9
    (cluster,) = clusters(parsed(new), version="2", also=[parsed(old)])["resources"]
    assert "'port_value': 9}" in str(cluster)


def test_the_admin_interface_is_no_port():
    places = Places("/run", "::", 8080, 8081)
    start = bootstrap("reviews", places, upload_seconds=30, most_connections=10, memory_bytes=512 << 20)
    assert start["admin"]["address"] == {"pipe": {"path": "/run/admin.sock", "mode": 0o600}}


def test_defaults_are_written_once():
    assert Limits() == Limits(4 << 20, 300, None, None, api_key=False)
    assert RateLimit(1, 1).burst == 1
