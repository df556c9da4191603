"""The operator as a process on a real API server: what it does for a job, and that it does no more."""

from __future__ import annotations

from operator_counts import calls, reconciles, written
from waiting import until


def test_a_job_gets_its_first_stage_which_it_owns(operator, place):
    job = place.submit("owner")
    (owner,) = place.stored("Job", "owner-prepare")["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (job["metadata"]["uid"], True)


def test_the_status_says_what_is_on(operator, place):
    place.submit("phase")
    place.wait_for_phase("phase", "Preparing", seconds=10)


def test_nothing_is_added_to_a_users_object_but_its_status(operator, place):
    job = place.submit("clean")
    place.events_of(job)
    before, after = job["metadata"], place.stored("FineTuneJob", "clean")["metadata"]
    ignored = {"resourceVersion", "managedFields"}
    assert {k: v for k, v in after.items() if k not in ignored} == {k: v for k, v in before.items() if k not in ignored}


def test_what_happens_is_recorded_in_an_event(operator, place):
    (event,) = place.events_of(place.submit("recorded"))
    assert (event["reason"], event["note"], event["reportingInstance"]) == (
        "Started",
        "prepare: Job recorded-prepare",
        operator.pod,
    )


def test_a_change_that_changes_nothing_costs_no_call(replica, own_place):
    operator = replica().wait_ready().wait_leading()
    until(lambda: "endpointslices" in written(operator), seconds=10, what="the address")
    own_place.events_of(own_place.submit())
    before, asked = reconciles(operator), calls(operator)
    own_place.patch("FineTuneJob", "reviews", {"metadata": {"labels": {"team": "a"}}})
    until(lambda: reconciles(operator) > before, seconds=10, what="another look at the job")
    assert calls(operator) == asked
