"""Feedback on a node: tokens that come with predictions, labels that are sent back, and the counts in the metrics of the pods."""

from __future__ import annotations

import http.client
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families
from request_load import TEXT

if TYPE_CHECKING:
    from cluster_release import Object, Tenant

_SECONDS = 30.0
"""For one answer: the machine may be busy."""


@dataclass(frozen=True, kw_only=True)
class FeedbackOfTwo:
    """What two servers of one revision did with feedback."""

    by_the_other: list[Object]
    """What each answered to a token of the other one."""
    repeated: Object
    """What the second answered when the token came again."""
    by_service: Object
    """What the Service answered to a token of its own."""
    counts: dict[str, int]
    """By pod: the labels that its metrics show for predictions of the revision."""


def secret() -> Object:
    """Return the Secret that a user makes for the deployment `reviews`."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "reviews-feedback"},
        "stringData": {"keys": secrets.token_hex(32)},
    }


def feedback_of_two(tenant: Tenant, address: str, revision: str) -> FeedbackOfTwo:
    """Send labels to the two servers of a revision, and by the Service at this address."""
    pods = tenant.pods(f"tuneloop.dev/revision={revision}")
    first, second = (f"{pod['status']['podIP']}:8080" for pod in pods)
    of_first, of_second = token(first), token(second)
    return FeedbackOfTwo(
        by_the_other=[label(second, of_first), label(first, of_second)],
        repeated=label(second, of_first),
        by_service=label(address, token(address)),
        counts={pod["metadata"]["name"]: counted(pod, revision) for pod in pods},
    )


def token(address: str, text: str = TEXT) -> str:
    """Return the token of a prediction."""
    return _exchange(address, "/", {"inputs": text})[0]


def label(address: str, token: str, **right: str) -> Object:
    """Say that a prediction was right, or what is, with `label` and `input`; return the answer."""
    answer: Object = json.loads(_exchange(address, "/v1/feedback", {"token": token, **(right or {"correct": True})})[1])
    return answer


def counted(pod: Object, revision: str) -> int:
    """Return how many labels for predictions of a revision the metrics of a pod show."""
    connection = http.client.HTTPConnection(pod["status"]["podIP"], 8081, timeout=_SECONDS)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [sample for sample in samples if sample.name == "tuneloop_feedback_total"]
    return sum(int(sample.value) for sample in found if sample.labels["predicted_by"] == revision)


def _exchange(address: str, path: str, body: Any) -> tuple[str, str]:
    """Return the token, if the answer has one, and the text of the answer."""
    connection = http.client.HTTPConnection(address, timeout=_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, f"{answer.status} {text}"
        return answer.getheader("x-tuneloop-feedback") or "", text
    finally:
        connection.close()
