"""Long messages, many restarts, a flood of posts: the status stays small, the API server is written to rarely, Events do not repeat."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections import Counter

import pytest
from failing_jobs import Job
from pod_scripts import Bind, End, PodLifecycle, Run
from stage_messages import saved, success
from stories_at_once import at_once
from waiting import until

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.progress import progress_path
from tuneloop_api.contract.results import TerminationMessage, TrainSummary
from tuneloop_api.contract.termination import fit_termination_message
from tuneloop_api.wire.failure_class import FailureClass

STATUS_BYTES = 16384
LONG = "Größenänderung 🤖 of a tensor that is not there\n" * 400


def size_of(job: Job) -> int:
    return len(json.dumps(job.status, ensure_ascii=False).encode())


def says_much(step: int, index: int) -> str:
    """Return as long a termination message as a pod of ours may leave."""
    summary = TrainSummary(start_step=0, steps=step, world_size=2, last=saved(step), best=saved(step))
    return fit_termination_message(
        TerminationMessage(
            stage="train",
            outcome="Failed",
            failure_class=FailureClass.COLLECTIVE,
            message=LONG[:1500],
            hint=LONG[:500],
            last_lines=LONG.splitlines()[:20],
            rank=index,
            train=summary,
        )
    ).decode()


@pytest.mark.parametrize(
    "restarts", [pytest.param(15), pytest.param(200, marks=[pytest.mark.full, pytest.mark.timeout(600)])]
)
@at_once
def test_a_job_that_is_restarted_very_often_with_long_messages_keeps_a_small_status_and_repeats_no_event(
    stage, restarts
):
    job = stage.job(f"talkative-{restarts}")
    sizes: list[int] = []

    def script(pod, attempt, at, index):
        if attempt > restarts:
            return PodLifecycle((Bind(), Run(), End(message=success(at, index=index))))
        return PodLifecycle((Bind(), Run(), End(ExitCode.COLLECTIVE, message=says_much(attempt, index))))

    job.kubelet.scripts[f"{job.name}/train"] = script
    made = job.submit(failurePolicy={"maxTotalRestarts": restarts}, scheduling={"avoidBadNodes": False})

    def is_over() -> bool:
        sizes.append(size_of(job))
        return job.status.get("phase") in {"Succeeded", "Failed"}

    until(is_over, seconds=120 + 2.5 * restarts, what="the end of a job that is restarted so often")
    status = job.status
    assert (status["phase"], status["restarts"]["total"]) == ("Succeeded", restarts)
    newest_ten = list(range(restarts - 8, restarts + 2))
    assert [record["attempt"] for record in status["history"]] == newest_ten
    assert max(sizes) <= STATUS_BYTES
    events = Counter((event["reason"], event["note"]) for event in job.client.events_of(made))
    assert max(events.values()) == 1
    assert (
        sum(count for (reason, _), count in events.items() if reason == "Restarting") <= 2
    )  # as the first or the second rank says it


@at_once
def test_logs_that_are_no_message_of_ours_do_not_swell_the_status(stage):
    job = stage.job("babbling")
    job.kubelet.scripts[f"{job.name}/train"] = lambda *_: PodLifecycle((Bind(), Run(), End(1, message=LONG)))
    job.submit(failurePolicy={"maxRestarts": 0})
    job.wait_for("Failed")
    assert size_of(job) <= STATUS_BYTES


@pytest.mark.parametrize("posts", [pytest.param(1500), pytest.param(10_000, marks=pytest.mark.full)])
@at_once
def test_a_flood_of_progress_is_written_rarely_and_the_last_post_is_what_stays(stage, posts):
    job = stage.job(f"flooding-{posts}")
    job.reach("Running")
    made = job.client.get("FineTuneJob", job.name)
    job.traffic.come_to_rest(seconds=60)
    writes, begun = len(job.traffic.writes), time.monotonic()
    events = len(job.client.events_of(made))
    answers = post_progress(stage, job, posts)
    assert answers == Counter({202: posts})
    until(lambda: job.status["progress"].get("step") == posts, seconds=40, what="the last step in the status")
    new = job.traffic.writes[writes:]
    assert {(call.verb, call.resource, call.subresource) for call in new} == {("patch", "finetunejobs", "status")}
    assert len(new) <= (time.monotonic() - begun) / 10 + 2
    assert size_of(job) <= STATUS_BYTES
    assert len(job.client.events_of(made)) == events


def post_progress(stage, job: Job, posts: int) -> Counter[int]:
    """Post as the first rank does, one message after the other, and count the answers."""
    operator = stage.environment.operator
    tls = ssl.create_default_context(cafile=str(operator.certificate / "ca.crt"))
    connection = http.client.HTTPSConnection("localhost", operator.progress_port, context=tls, timeout=30)
    headers = {"Authorization": f"Bearer {token_of(stage, job)}", "Content-Type": "application/json"}
    advice = {"name": "OverFitting", "message": LONG[:2000], "advice": LONG[:2000]}
    answers: Counter[int] = Counter()
    for step in range(1, posts + 1):
        message = {
            "version": 1,
            "stage": "train",
            "attempt": 1,
            "sequence": step,
            "sentAt": "2026-01-01T00:00:00Z",
            "step": step,
            "totalSteps": posts,
            "loss": 1.0 / step,
            "detail": LONG[:4000],
            "findings": [advice],
        }
        connection.request("POST", progress_path(job.client.namespace, job.name), json.dumps(message), headers)
        reply = connection.getresponse()
        reply.read()
        answers[reply.status] += 1
    connection.close()
    return answers


def token_of(stage, job: Job) -> str:
    """Return the token that the kubelet would mount into the first pod of the gang."""
    pod, uid = job.gang(1)[0]["metadata"], job.client.get("FineTuneJob", job.name)["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    spec = {"audiences": [f"tuneloop.dev/{uid}"], "expirationSeconds": 600, "boundObjectRef": bound}
    path = f"/api/v1/namespaces/{job.client.namespace}/serviceaccounts/default/token"
    return stage.make(path, {"spec": spec})["status"]["token"]
