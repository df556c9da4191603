"""The message in Events about pods that could not be created."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tuneloop_operator.cluster.events import event_manifest, events_of, failed_creates_of, mount_failure, newest_message

QUOTA = 'pods "reviews-a1-0-x7k2p" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0'


def event(note: str, **times: Any) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": "2026-01-01T12:00:00Z"}, "note": note} | times


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(f"Error creating: {QUOTA}", id="by the Job controller"),
        pytest.param(f"(combined from similar events): Error creating: {QUOTA}", id="one of many"),
        pytest.param(QUOTA, id="as it is"),
    ],
)
def test_the_message_is_that_of_the_api_server(note: str) -> None:
    assert newest_message([event(note)]) == QUOTA


@pytest.mark.parametrize(
    "newest",
    [
        pytest.param({"deprecatedLastTimestamp": "2026-01-01T12:05:00Z"}, id="of the older kind"),
        pytest.param({"eventTime": "2026-01-01T12:05:00.000000Z"}, id="of the newer kind"),
        pytest.param(
            {
                "series": {"lastObservedTime": "2026-01-01T12:05:00.000000Z"},
                "eventTime": "2026-01-01T11:00:00.000000Z",
            },
            id="observed again",
        ),
        pytest.param({"metadata": {"creationTimestamp": "2026-01-01T12:05:00Z"}}, id="without times of its own"),
    ],
)
def test_the_newest_one_counts(newest: dict[str, Any]) -> None:
    old = event("old", deprecatedLastTimestamp="2026-01-01T12:01:00Z")
    assert newest_message([old, event("new", **newest), old]) == "new"


def test_without_events_there_is_no_message() -> None:
    assert newest_message([]) == ""


def test_the_note_of_an_event_cannot_steer_a_terminal() -> None:
    metadata = {"name": "reviews", "namespace": "default", "uid": "u", "resourceVersion": "1"}
    regarding = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}
    made = event_manifest(
        regarding,
        kind="Warning",
        reason="Failed",
        message="label \x1b[2J\r\u202e" + "x" * 2000,
        instance="operator",
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert made["note"].startswith(r"label \x1b[2J\x0d\u202exxx")
    assert len(made["note"].encode()) <= 1024


def name_of(
    *, uid: str = "u", reason: str = "Promoted", message: str = "7d1f gets all requests", second: int = 0
) -> str:
    metadata = {"name": "r" * 300, "namespace": "default", "uid": uid, "resourceVersion": "1"}
    regarding = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    now = datetime(2026, 1, 1, second=second, tzinfo=UTC)
    made = event_manifest(
        regarding, kind="Normal", reason=reason, message=message, instance="operator", now=now, is_named=True
    )
    name: str = made["metadata"]["name"]
    return name


def test_an_event_that_is_reported_twice_has_one_name() -> None:
    others = {name_of(uid="v"), name_of(reason="Held"), name_of(message="03ab"), name_of(second=1)}
    assert name_of() == name_of()
    assert len(others - {name_of()}) == 4
    assert len(name_of()) <= 253


def test_events_are_searched_by_object_and_reason() -> None:
    assert failed_creates_of("u") == "regarding.uid=u,reason=FailedCreate"
    assert events_of("u") == "regarding.uid=u"


def of_pod(reason: str, second: int) -> dict[str, Any]:
    return event(reason, deprecatedLastTimestamp=f"2026-01-01T12:00:{second:02}Z") | {"reason": reason}


@pytest.mark.parametrize(
    ("events", "failure"),
    [
        ([], ""),
        ([of_pod("Scheduled", 1)], ""),
        ([of_pod("Scheduled", 1), of_pod("FailedMount", 2)], "FailedMount"),
        ([of_pod("FailedMount", 2), of_pod("Scheduled", 1), of_pod("FailedAttachVolume", 3)], "FailedAttachVolume"),
        ([of_pod("FailedMount", 2), of_pod("Pulling", 3)], ""),
        ([of_pod("FailedMount", 2), of_pod("Pulling", 2)], ""),
        ([of_pod("Pulling", 2), of_pod("FailedMount", 2)], ""),
    ],
)
def test_a_mount_that_failed_counts_until_the_pod_gets_further(events: list[dict[str, Any]], failure: str) -> None:
    assert mount_failure(events) == failure
