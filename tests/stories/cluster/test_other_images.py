"""`runtime.type: Custom` with `spec.access` on a real node: hf-serve in an image of its own, checked before it starts, behind a router that asks for a key.

One deployment is damaged, mended, asked, given another key, and deleted under way (`cluster_foreign`).
"""

from __future__ import annotations

import json

from cluster_foreign import BURST, Foreign, foreign
from stories_at_once import of_story

# ---- the image --------------------------------------------------------------------------------------------------------------------------


@of_story(foreign)
def test_a_damaged_artifact_is_refused_before_the_image_starts_and_a_person_sees_why(found: Foreign) -> None:
    failure = found.refused["failure"]
    assert (failure["class"], failure["exitCode"]) == ("DigestMismatch", 74)
    assert "model/model.safetensors: found SHA-256" in failure["message"]
    assert failure["message"] in found.described
    conditions = {condition["type"]: condition["reason"] for condition in found.refused["conditions"]}
    assert conditions["ModelAvailable"] == "DigestMismatch"


@of_story(foreign)
def test_an_artifact_that_was_mended_is_served_without_an_edit(found: Foreign) -> None:
    (check,) = found.server["status"]["initContainerStatuses"]
    assert check["restartCount"] >= 1
    assert check["state"]["terminated"]["exitCode"] == 0
    (server,) = found.server["status"]["containerStatuses"]
    assert (server["ready"], server["restartCount"]) == (True, 0)


@of_story(foreign)
def test_the_image_sees_the_artifact_alone_and_is_nobody(found: Foreign) -> None:
    assert found.inside == {
        "uid": 1000,
        "user": "tuneloop",
        "folders": ["artifact"],
        "artifact": ["manifest.json", "model"],
        "refusals": {
            "/tuneloop/artifact/x": "Read-only file system",
            "/x": "Read-only file system",
            "/tmp/x": "none",
            "/home/tuneloop/x": "none",
        },
        "token": False,
    }


@of_story(foreign)
def test_what_is_under_way_is_answered_when_the_deployment_is_deleted(found: Foreign) -> None:
    """The server goes on for `preStop`; and then for what has begun, as hf-serve does by itself."""
    assert found.while_it_ends == 200
    assert found.under_way == {"router": 200, "server": 200}
    assert found.children == []


# ---- its clients ------------------------------------------------------------------------------------------------------------------------


@of_story(foreign)
def test_nobody_is_let_in_before_the_secret_is_there_and_it_is_named(found: Foreign) -> None:
    (ready,) = [condition for condition in found.refused["conditions"] if condition["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "RoutersNotReady")
    assert "Secret clients with key api-keys is needed" in ready["message"]


@of_story(foreign)
def test_a_key_opens_and_the_answer_names_the_revision(found: Foreign) -> None:
    assert {key: answer.status for key, answer in found.first.items()} == {"": 401, "first-key": 200, "second-key": 401}
    answer = found.first["first-key"]
    assert answer.revision == found.server["metadata"]["labels"]["tuneloop.dev/revision"]
    assert {scored["label"] for scored in json.loads(answer.text)} <= {"negative", "positive"}


@of_story(foreign)
def test_another_key_in_the_secret_takes_the_place_of_the_first_and_nothing_restarts(found: Foreign) -> None:
    statuses = {key: answer.status for key, answer in found.second.items()}
    assert statuses == {"": 401, "first-key": 401, "second-key": 200}
    assert found.pods_afterwards == found.pods


@of_story(foreign)
def test_requests_beyond_the_rate_are_refused(found: Foreign) -> None:
    *let_in, refused = found.statuses
    assert refused == 429
    assert len(let_in) <= BURST + 1, "one came while they were asked"


@of_story(foreign)
def test_only_the_router_reaches_the_server_where_the_network_enforces_policies(found: Foreign) -> None:
    assert found.reached_freely
    assert found.reached == {
        "stranger to server": False,
        "operator to server": False,
        "router to server": True,
        "stranger to router": True,
        "stranger to metrics of router": True,
    }
