"""What the fault proxy's rules say, and how calls are read."""

from __future__ import annotations

import pytest
from fault_proxy import (
    Call,
    CutWatch,
    Delay,
    DropAfter,
    DropBefore,
    Invoke,
    Kill,
    Match,
    Rule,
    RuleError,
    SkipEvent,
    StallWatch,
    Status,
    Target,
    WatchError,
    tally,
    writes,
)
from fault_proxy.calls import target_of

JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
STATUS = "/apis/tuneloop.dev/v1alpha1/namespaces/team-a/finetunejobs/reviews/status"


@pytest.mark.parametrize(
    ("method", "path", "query", "content_type", "document", "expected"),
    [
        ("GET", f"{JOBS}/a", {}, "", None, ("get", "jobs", "", "team-a", "a")),
        ("GET", JOBS, {"labelSelector": "a"}, "", None, ("list", "jobs", "", "team-a", "")),
        ("GET", JOBS, {"watch": "true"}, "", None, ("watch", "jobs", "", "team-a", "")),
        ("GET", JOBS, {"watch": "1"}, "", None, ("watch", "jobs", "", "team-a", "")),
        ("GET", JOBS, {"watch": "false"}, "", None, ("list", "jobs", "", "team-a", "")),
        ("GET", "/apis/batch/v1/jobs", {}, "", None, ("list", "jobs", "", "", "")),
        ("POST", JOBS, {}, "", {"metadata": {"name": "a"}}, ("create", "jobs", "", "team-a", "a")),
        ("POST", JOBS, {}, "", {"metadata": {"generateName": "a-"}}, ("create", "jobs", "", "team-a", "a-")),
        ("POST", JOBS, {}, "", None, ("create", "jobs", "", "team-a", "")),
        (
            "POST",
            "/api/v1/namespaces/b/pods/p/binding",
            {},
            "",
            {"metadata": {"name": "x"}},
            ("create", "pods", "binding", "b", "p"),
        ),
        ("PUT", STATUS, {}, "", None, ("update", "finetunejobs", "status", "team-a", "reviews")),
        (
            "PATCH",
            STATUS,
            {},
            "application/merge-patch+json",
            None,
            ("patch", "finetunejobs", "status", "team-a", "reviews"),
        ),
        (
            "PATCH",
            STATUS,
            {},
            "application/apply-patch+yaml",
            None,
            ("apply", "finetunejobs", "status", "team-a", "reviews"),
        ),
        ("DELETE", f"{JOBS}/a", {}, "", None, ("delete", "jobs", "", "team-a", "a")),
        ("DELETE", JOBS, {}, "", None, ("deletecollection", "jobs", "", "team-a", "")),
        ("GET", "/api/v1/namespaces/team-a", {}, "", None, ("get", "namespaces", "", "", "team-a")),
        ("PUT", "/api/v1/namespaces/team-a/status", {}, "", None, ("update", "namespaces", "status", "", "team-a")),
        ("GET", "/api/v1/nodes/n", {}, "", None, ("get", "nodes", "", "", "n")),
        ("GET", "/readyz", {}, "", None, ("get", "", "", "", "")),
        ("GET", "/apis/batch/v1", {}, "", None, ("get", "", "", "", "")),
    ],
)
def test_a_request_names_its_target(method, path, query, content_type, document, expected):
    found = target_of(method, path, query, content_type=content_type, document=document)
    assert (found.verb, found.resource, found.subresource, found.namespace, found.name) == expected


CREATE = Target(verb="create", path=JOBS, resource="jobs", namespace="team-a", name="reviews-a1")


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (Match(), True),
        (Match(verb="create"), True),
        (Match(verb="create|delete"), True),
        (Match(verb="write"), True),
        (Match(verb="get"), False),
        (Match(resource="jobs"), True),
        (Match(resource="job"), False),
        (Match(resource="(?!leases|events).*"), True),
        (Match(subresource=""), True),
        (Match(subresource="status"), False),
        (Match(namespace="team-b"), False),
        (Match(name=r".*-a\d+"), True),
        (Match(name="reviews"), False),
        (Match(path="/apis/batch/.*"), True),
        (Match(event="ADDED"), False),
        (Match(verb="create", name="other"), False),
    ],
)
def test_a_match_holds_for_whole_values(match, fits):
    assert match.fits(CREATE) is fits


@pytest.mark.parametrize("verb", ["get", "list", "watch"])
def test_reading_is_no_write(verb):
    assert not Match(verb="write").fits(Target(verb=verb, path=JOBS))


@pytest.mark.parametrize(
    ("match", "due"),
    [
        (Match(), [1, 2, 3, 4, 5, 6]),
        (Match(nth=3), [3]),
        (Match(every=2), [2, 4, 6]),
        (Match(first=2), [1, 2]),
        (Match(every=2, first=4), [2, 4]),
    ],
)
def test_a_match_says_how_often(match, due):
    assert [count for count in range(1, 7) if match.is_due(count)] == due


RULES = [
    Rule(Match(verb="create", nth=2), Delay(1.5)),
    Rule(Match(), Status(429, retry_after=3, reason="Slow")),
    Rule(Match(resource="pods"), Status(200, body={"items": []})),
    Rule(Match(), DropBefore()),
    Rule(Match(every=2), DropAfter()),
    Rule(Match(event="DELETED"), CutWatch(half=True)),
    Rule(Match(), StallWatch()),
    Rule(Match(name="a"), SkipEvent()),
    Rule(Match(), WatchError(410)),
    Rule(Match(verb="write", nth=7), Kill(pid=12, signal=19)),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.act.kind)
def test_a_rule_is_the_same_after_json(rule):
    assert Rule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"act": {"kind": "explode"}}, "act.kind: 'explode' is none of cut_watch, delay"),
        ({"act": {}}, "act.kind: None"),
        ({"act": {"kind": "call"}}, "act.kind: 'call'"),
        ({"act": {"kind": "delay"}}, "seconds"),
        ({"act": {"kind": "delay", "seconds": 1, "minutes": 2}}, "minutes"),
        ({"match": {"verbs": "get"}, "act": {"kind": "drop_before"}}, "verbs"),
        ({"match": {"name": "("}, "act": {"kind": "drop_before"}}, "name: '('"),
        ({"match": {"nth": 0}, "act": {"kind": "drop_before"}}, "nth: 0 is below 1"),
        ({"when": {}, "act": {"kind": "drop_before"}}, "when"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_wrong(document, message):
    with pytest.raises(RuleError) as refused:
        Rule.from_json(document)
    assert message in str(refused.value)


def test_a_function_cannot_be_written_as_json():
    with pytest.raises(RuleError):
        Rule(Match(), Invoke(print)).to_json()


@pytest.mark.parametrize(
    ("code", "reason"), [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (504, "Timeout")]
)
def test_an_error_has_the_usual_reason(code, reason):
    assert Status(code).document()["reason"] == reason


def call(verb, resource="jobs", *, code=201, sent=True, name="a", subresource=""):
    return Call(
        n=1, at=0, verb=verb, resource=resource, subresource=subresource, namespace="team-a", name=name, code=code, seconds=0, request_bytes=0,
        version_in="", version_out="", path="", sent=sent,
    )  # fmt: skip


def test_writes_leave_out_reads_and_what_is_no_object_of_ours():
    trace = [call("get"), call("create"), call("update", "leases"), call("create", "events"), call("patch", code=0)]
    assert [call.verb for call in writes(trace)] == ["create", "patch"]


@pytest.mark.parametrize(
    ("traced", "counted"),
    [
        (call("create"), {("create", "jobs", "team-a", "a"): 1}),
        (call("apply", code=201), {("create", "jobs", "team-a", "a"): 1}),
        (call("delete", code=200), {("delete", "jobs", "team-a", "a"): 1}),
        (call("apply", code=200), {}),
        (call("create", code=409), {}),
        (call("create", code=0, sent=False), {}),
        (call("create", code=201, sent=False), {}),
        (call("delete", code=404), {}),
        (call("create", "pods", subresource="binding"), {}),
        (call("create", "tokenreviews", name=""), {}),
    ],
)
def test_only_what_was_done_to_an_object_is_counted(traced, counted):
    assert tally([traced]) == counted
