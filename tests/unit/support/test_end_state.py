"""The oracle: what is masked, what is compared, and how a difference reads."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
from end_state import count_differences, masked, reference

UID = "0f8fad5b-d9cb-469f-a165-{:012d}"


def cluster_objects(*, number=1, pod="x7k2p", namespace="test-1", retries=0):
    """Return a job with its Job and pod, as one of several runs leaves them."""
    job, child, own = (UID.format(number * 10 + digit) for digit in range(3))
    time = f"2026-01-01T00:00:{number:02d}Z"
    labels = {"tuneloop.dev/job": "reviews", "batch.kubernetes.io/controller-uid": child}

    def metadata(name, uid, owner=None, **more):
        owners = [{"kind": owner[0], "uid": owner[1], "controller": True}] if owner else []
        base = {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": str(number * 1000),
            "labels": labels,
        }
        return base | {"creationTimestamp": time, "managedFields": [{"time": time}], "ownerReferences": owners} | more

    conditions = [{"type": "Complete", "status": "True"}, {"type": "Accepted", "status": "True"}]
    return [
        {
            "kind": "FineTuneJob",
            "metadata": metadata("reviews", job),
            "status": {"conditions": conditions[:: 1 if number % 2 else -1], "retries": retries, "folder": f"jobs/reviews-{job[:8]}/x"},
        },
        {"kind": "Job", "metadata": metadata("reviews-a1", child, ("FineTuneJob", job)), "spec": {"completions": 2}},
        {
            "kind": "Pod",
            "metadata": metadata(f"reviews-a1-0-{pod}", own, ("Job", child), generateName="reviews-a1-0-"),
            "status": {"podIP": f"10.0.0.{number}", "startTime": time, "host": f"reviews-a1-0.{namespace}.svc",
                       "ca.crt": f"-----BEGIN CERTIFICATE-----\nMII{pod}+/=\n-----END CERTIFICATE-----\n"},
        },
    ]  # fmt: skip


def changed(objects, kind, path, value):
    objects = copy.deepcopy(objects)
    node = next(manifest for manifest in objects if manifest["kind"] == kind)
    *way, last = path.split(".")
    for key in way:
        node = node[key]
    node[last] = value
    return objects


def differences(found, *clean):
    return reference([masked(run) for run in clean or [cluster_objects()]]).differences(masked(found))


def test_two_runs_that_end_alike_are_equal():
    assert differences(cluster_objects(number=2, pod="9zzzz", namespace="other")) == []


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        pytest.param(
            cluster_objects(retries=1), ["FineTuneJob/reviews status.retries: 0 in the reference, 1 here"], id="another value"
        ),
        pytest.param(cluster_objects()[:2], ["Pod/reviews-a1-0-*****: is missing"], id="an object is missing"),
        pytest.param(
            [*cluster_objects(), {"kind": "Service", "metadata": {"name": "s", "namespace": "test-1", "uid": UID.format(99)}}],
            ["Service/s: should not be"],
            id="an object too much",
        ),
        pytest.param(
            changed(cluster_objects(), "Job", "spec.parallelism", 2),
            ["Job/reviews-a1 spec.parallelism: nothing in the reference, 2 here"],
            id="a field too much",
        ),
        pytest.param(
            changed(cluster_objects(), "Job", "spec", {}),
            [
                "Job/reviews-a1 spec.completions: 2 in the reference, nothing here",
                "Job/reviews-a1 spec: nothing in the reference, {} here",
            ],
            id="a field is missing",
        ),
        pytest.param(
            [*cluster_objects(), changed(cluster_objects(pod="22222"), "Pod", "metadata.uid", UID.format(77))[2]],
            ["Pod/reviews-a1-0-*****#2: should not be"],
            id="a second pod of one rank",
        ),
        pytest.param(
            changed(cluster_objects(), "Pod", "metadata.ownerReferences", [{"kind": "Job", "uid": UID.format(5), "controller": True}]),
            ["Pod/reviews-a1-0-x7k2p: its owner is gone"],
            id="an orphan",
        ),
    ],
)  # fmt: skip
def test_a_difference_is_reported_in_one_line(found, lines):
    assert differences(found) == lines


def test_what_differs_between_clean_runs_is_not_compared():
    assert differences(cluster_objects(retries=7), cluster_objects(retries=0), cluster_objects(retries=1)) == []


def test_what_clean_runs_share_is_compared():
    found = changed(cluster_objects(retries=7), "Job", "spec.completions", 3)
    assert differences(found, cluster_objects(retries=0), cluster_objects(retries=1)) == [
        "Job/reviews-a1 spec.completions: 2 in the reference, 3 here"
    ]


def test_what_kubernetes_makes_itself_is_left_out():
    root = {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "test-1", "uid": UID.format(50)}}
    assert differences([*cluster_objects(), root]) == []


def test_a_condition_is_named_by_its_type():
    conditions = [{"type": "Accepted", "status": "False"}, {"type": "Complete", "status": "True"}]
    assert differences(changed(cluster_objects(), "FineTuneJob", "status.conditions", conditions)) == [
        'FineTuneJob/reviews status.conditions.Accepted.status: "True" in the reference, "False" here'
    ]


def test_json_in_a_text_is_compared_by_its_fields():
    clean, found = (changed(cluster_objects(), "Job", "spec", {"text": f'{{"a": {a}, "b": 2}}'}) for a in (1, 3))
    assert differences(found, clean) == ["Job/reviews-a1 spec.text.(JSON).a: 1 in the reference, 3 here"]


def test_a_long_value_is_cut():
    (line,) = differences(changed(cluster_objects(), "Job", "spec.completions", "x" * 10_000))
    assert len(line) < 400


def test_counts_that_differ_are_reported():
    expected = Counter({("create", "jobs", "test-1", "a"): 1, ("create", "jobs", "test-1", "b"): 1})
    found = Counter({("create", "jobs", "test-1", "a"): 2, ("create", "jobs", "test-1", "b"): 1})
    assert count_differences(expected, found) == ["create jobs test-1 a: 1 times in the reference, 2 times here"]
