"""Submitting the same manifest again, or another one, with the real operator and the real prepare stage of the trainer."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from tiny_models import sentences, tiny_bert
from workspace import Workspace, job_manifest

from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.node import is_finished
from tuneloop_cli.local.session import LocalSession
from tuneloop_cli.local.submission import Submission

pytestmark = pytest.mark.local_story

SECONDS = 120


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = Workspace(tmp_path)
    tiny_bert(made.claim / "model")
    return made


def manifest(**spec) -> dict:
    made = job_manifest(**{"resources": {"nodes": 1, "gpusPerNode": 0}} | spec)
    made["metadata"]["namespace"] = "default"
    return made


def play(workspace: Workspace, story, **options):
    async def whole():
        async with LocalSession(workspace.path / ".tuneloop", **options) as session:
            try:
                return await story(session)
            finally:
                await session.abort()

    return asyncio.run(whole())


def folders(workspace: Workspace) -> list[Path]:
    return list((workspace.claim / "jobs").glob("*"))


def has_prepared(job) -> bool:
    return job.get("status", {}).get("phase") in {"Queued", "Running"}


def test_a_job_that_failed_begins_again_in_the_same_folder_when_it_is_submitted_again(workspace: Workspace) -> None:
    async def fails(session: LocalSession):
        await session.submit(manifest())
        return await session.wait_for("FineTuneJob", "reviews", until=is_finished, seconds=SECONDS)

    async def goes_on(session: LocalSession):
        (submitted,) = await session.submit(manifest())
        assert submitted.action is Submission.REPLACE
        assert "status" not in submitted.manifest
        return await session.wait_for("FineTuneJob", "reviews", until=has_prepared, seconds=SECONDS)

    failed = play(workspace, fails)
    assert failed["status"]["failure"]["class"] == "Data"
    workspace.write_rows("rows.csv", sentences(200))
    again = play(workspace, goes_on)
    assert again["metadata"]["uid"] == failed["metadata"]["uid"]
    assert len(folders(workspace)) == 1


@pytest.mark.full  # `tests/unit/cli/local/test_submission.py` has every way to submit again
def test_another_spec_under_the_same_name_replaces_the_job_and_keeps_its_folder(workspace: Workspace) -> None:
    workspace.write_rows("rows.csv", sentences(200))

    async def prepares(session: LocalSession):
        await session.submit(manifest())
        return await session.wait_for("FineTuneJob", "reviews", until=has_prepared, seconds=SECONDS)

    async def replaces(session: LocalSession):
        other = manifest(training={"maxSteps": 3, "globalBatchSize": 16, "microBatchSize": 4})
        (submitted,) = await session.submit(other)
        assert submitted.action is Submission.REPLACE
        await session.wait_for("FineTuneJob", "reviews", until=has_prepared, seconds=SECONDS)
        return submitted.manifest

    first = play(workspace, prepares)
    second = play(workspace, replaces)
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert len(folders(workspace)) == 2
    files = ObjectFiles(workspace.path / ".tuneloop")
    owners = {stored["metadata"]["ownerReferences"][0]["uid"] for stored in files.read_all("Job")}
    assert owners == {second["metadata"]["uid"]}


def test_a_job_that_is_suspended_while_it_prepares_goes_on_when_it_is_submitted_again(workspace: Workspace) -> None:
    workspace.write_rows("rows.csv", sentences(200))

    async def stops(session: LocalSession):
        await session.submit(manifest())
        await session.wait_for("FineTuneJob", "reviews", until=lambda job: "startTime" in job.get("status", {}))
        await session.suspend_all()
        assert not [pod for pod in session.node.cluster.all("Pod") if pod["status"]["phase"] == "Running"]

    async def goes_on(session: LocalSession):
        (submitted,) = await session.submit(manifest())
        assert submitted.action is Submission.CONTINUE
        return await session.wait_for("FineTuneJob", "reviews", until=has_prepared, seconds=SECONDS)

    play(workspace, stops)
    (stored,) = ObjectFiles(workspace.path / ".tuneloop").read_all("FineTuneJob")
    assert (stored["spec"]["suspend"], stored["status"]["phase"]) == (True, "Suspended")
    assert "suspend" not in play(workspace, goes_on)["spec"]


def test_gpus_that_are_absent_are_reported_and_kept_with_the_object(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    async def story(session: LocalSession):
        (submitted,) = await session.submit(manifest(resources={"nodes": 2, "gpusPerNode": 4}))
        return submitted

    submitted = play(workspace, story, ranks=2)
    assert "spec.resources.processesPerNode: 4 -> 1" in submitted.overlay
    (stored,) = ObjectFiles(workspace.path / ".tuneloop").read_all("FineTuneJob")
    assert stored["spec"]["resources"] == {"nodes": 2, "gpusPerNode": 0, "processesPerNode": 1}
    assert "processesPerNode" in stored["metadata"]["annotations"]["tuneloop.dev/overlay"]


def test_a_claim_that_is_not_there_is_named_and_nothing_is_stored(workspace: Workspace) -> None:
    async def story(session: LocalSession):
        with pytest.raises(ClaimMissing, match="claims/elsewhere"):
            await session.submit(manifest(), manifest(model={"uri": "pvc://elsewhere/model"}))

    play(workspace, story)
    assert ObjectFiles(workspace.path / ".tuneloop").read_all("FineTuneJob") == []


def test_a_job_whose_object_is_gone_goes_on_from_the_checkpoints_of_its_second_attempt(workspace: Workspace) -> None:
    workspace.write_rows("rows.csv", sentences(200))
    endless = manifest(
        training={"maxSteps": 10**6, "globalBatchSize": 16, "microBatchSize": 4, "evaluateEvery": {"steps": 10**6}}
    )

    async def saves(session: LocalSession, *, above: int):
        await session.submit(endless)
        return await session.wait_for(
            "FineTuneJob", "reviews", until=lambda job: newest_step(job) > above, seconds=SECONDS
        )

    async def is_deleted(session: LocalSession):
        gone = session.node.cluster.peek(kind="FineTuneJob", namespace="default", name="reviews")
        await session.node.cluster.delete(
            kind="FineTuneJob", namespace="default", name="reviews", uid=gone["metadata"]["uid"]
        )

    first = play(workspace, partial(saves, above=0))
    second = play(workspace, partial(saves, above=newest_step(first)))
    play(workspace, is_deleted)
    third = play(workspace, partial(saves, above=0))
    assert second["status"]["attempt"] == 2
    assert newest_step(third) >= newest_step(second)  # that of the second session, or the first new checkpoint
    assert "restarts" not in third["status"]
    assert len(folders(workspace)) == 1


def newest_step(job) -> int:
    return job.get("status", {}).get("checkpoint", {}).get("latest", {}).get("step", 0)
