"""Writing a status at the real API server: all of it or nothing, and only over the state that it was decided on."""

from __future__ import annotations

import pytest
from api_server_stories import Manifest, fine_tune_job, run_story
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.controller.controllers import TRIMS
from tuneloop_operator.controller.store import trimmed
from tuneloop_operator.errors import Conflict, Refused

STATUS = {"phase": "Running", "attempt": 1}


def test_a_status_is_replaced_and_nothing_else_changes(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> tuple[Manifest, Manifest, Manifest]:
        created = await server.create(fine_tune_job(namespace))
        first = await server.patch_status(trimmed(created, trims=TRIMS), STATUS | {"image": "gone@sha256:1"})
        known = trimmed(first, trims=TRIMS) | {"spec": {}}
        known["metadata"] = {key: value for key, value in known["metadata"].items() if key != "labels"}
        return created, first, await server.patch_status(known, STATUS)

    created, first, second = run_story(custom_resources, story)
    assert first["status"] == STATUS | {"image": "gone@sha256:1"}
    assert second["status"] == STATUS
    assert second["spec"] == created["spec"]
    assert second["metadata"]["generation"] == created["metadata"]["generation"]


def test_of_two_writers_of_a_status_the_second_is_refused(custom_resources: ControlPlane, namespace: str) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        await server.patch_status(created, STATUS)
        with pytest.raises(Conflict, match="the object has been modified"):
            await server.patch_status(created, {"phase": "Pending"})
        now = await server.get(kind="FineTuneJob", namespace=namespace, name="reviews")
        assert now is not None
        assert now["status"] == STATUS

    run_story(custom_resources, story)


def test_an_edit_of_the_spec_also_makes_an_older_status_conflict(
    custom_resources: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        custom_resources.request(
            "PATCH",
            f"/apis/tuneloop.dev/v1alpha1/namespaces/{namespace}/finetunejobs/reviews",
            {"spec": {"suspend": True}},
            content_type="application/merge-patch+json",
        )
        with pytest.raises(Conflict):
            await server.patch_status(created, STATUS)

    run_story(custom_resources, story)


@pytest.mark.parametrize("created_again", [True, False])
def test_the_status_of_a_deleted_job_conflicts(
    custom_resources: ControlPlane, namespace: str, created_again: bool
) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        await server.delete(kind="FineTuneJob", namespace=namespace, name="reviews", uid=created["metadata"]["uid"])
        if created_again:
            await server.create(fine_tune_job(namespace))
        with pytest.raises(Conflict):
            await server.patch_status(created, STATUS)

    run_story(custom_resources, story)


def test_a_status_that_does_not_fit_the_schema_is_refused_and_no_conflict(
    custom_resources: ControlPlane, namespace: str
) -> None:
    async def story(server: ApiServer) -> None:
        created = await server.create(fine_tune_job(namespace))
        with pytest.raises(Refused, match=r"status\.phase"):
            await server.patch_status(created, {"phase": "Dancing"})

    run_story(custom_resources, story)
