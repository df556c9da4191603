"""Canaries on a real node: routers divide the requests, a comparator asks both revisions, gates decide, and no request is lost.

One deployment has three revisions offered to it, one after another (`cluster_canary`). The artifacts are made without training.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from cluster_canary import NAMESPACE, RolledOut, rolled_out
from cluster_canary_deployment import WEIGHT, is_ready, routers
from stories_at_once import of_story

if TYPE_CHECKING:
    from cluster_release import Release


# ---- a good revision --------------------------------------------------------------------------------------------------------------------


@of_story(rolled_out)
def test_a_canary_gets_half_of_the_requests_and_a_person_sees_it(found: RolledOut) -> None:
    """100 throws of a fair coin give 29 to 71 heads but in one of 50,000 cases."""
    good = found.good
    assert good.before == {good.stable}
    assert good.columns[:6] == ["Progressing", good.stable, good.canary, "50%", "2/2", "Paused"]
    assert good.followed_by == 2, "the step has begun"
    assert set(good.shares) == {good.stable, good.canary}
    assert all(29 <= count <= 71 for count in good.shares.values()), good.shares


@of_story(rolled_out)
def test_no_request_is_lost_in_any_roll_out(found: RolledOut) -> None:
    assert not found.failures
    assert found.kept > 0


@of_story(rolled_out)
def test_each_gate_lets_the_canary_go_on_and_shows_its_numbers(found: RolledOut) -> None:
    gates = found.good.gates
    assert {name: gate["verdict"] for name, gate in gates.items()} == dict.fromkeys(
        ("errors", "agreement", "golden"), "Pass"
    )
    for gate in gates.values():
        assert "canary" in gate["reason"], gate
        assert "margin" in gate["reason"], gate
        assert gate["reason"] in found.good.described, gate


@of_story(rolled_out)
def test_the_comparator_runs_the_server_s_image_with_a_policy_and_without_a_token(found: RolledOut) -> None:
    pod = found.good.comparator
    (container,) = pod["spec"]["containers"]
    assert is_ready(pod)
    assert container["image"] == "docker.io/tuneloop/development:dev"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume]
    labels = pod["metadata"]["labels"]
    (policy,) = [policy for policy in found.good.policies if policy["metadata"]["name"] == "reviews-comparator"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


@of_story(rolled_out)
def test_only_routers_send_copies_to_the_comparator_where_the_network_enforces_policies(found: RolledOut) -> None:
    assert found.good.reached == {"router": True, "server": False, "server, its counts": True}


@of_story(rolled_out)
def test_a_user_stays_with_one_revision_and_users_are_divided(found: RolledOut) -> None:
    """16 throws of a fair coin are all alike in one of 32,768 cases."""
    users = found.good.users
    assert {user: len(revisions) for user, revisions in users.items()} == dict.fromkeys(users, 1)
    assert set().union(*users.values()) == {found.good.stable, found.good.canary}


@of_story(rolled_out)
def test_a_router_that_goes_is_replaced(found: RolledOut) -> None:
    assert len(found.good.routers) == 2
    assert found.good.gone_router not in found.good.routers


@of_story(rolled_out)
def test_of_two_servers_that_are_drained_at_once_the_second_one_waits_for_a_successor_of_the_first(
    found: RolledOut,
) -> None:
    assert found.good.evictions == [201, 429]


@of_story(rolled_out)
def test_comparator_and_operator_are_killed_and_the_canary_keeps_its_step_and_its_share(found: RolledOut) -> None:
    good = found.good
    assert good.new_comparator != good.comparator["metadata"]["name"]
    assert good.new_operator >= 1
    rollout = good.after_the_kills
    assert (rollout["phase"], rollout["canary"], rollout["step"]) == ("Paused", good.canary, 1)
    assert {share["revision"]: share["weight"] for share in rollout["split"]["weights"]} == {
        good.stable: 50,
        good.canary: 50,
    }
    assert {gate["verdict"] for gate in rollout["gates"]} == {"Pass"}


@of_story(rolled_out)
def test_each_of_two_servers_takes_feedback_for_the_predictions_of_the_other(found: RolledOut) -> None:
    feedback = found.good.feedback
    assert feedback.by_the_other == [{"counted": 1, "repeated": 0}] * 2
    assert feedback.repeated == {"counted": 0, "repeated": 1}
    assert feedback.by_service == {"counted": 1, "repeated": 0}
    assert sum(feedback.counts.values()) == 3
    assert all(count >= 1 for count in feedback.counts.values()), feedback.counts


@of_story(rolled_out)
def test_feedback_for_a_revision_whose_servers_are_gone_is_counted_by_those_of_the_next(found: RolledOut) -> None:
    """What the old servers had counted went with them: Prometheus keeps it."""
    assert found.good.late == {"counted": 1, "repeated": 0}
    assert found.good.late_counts == 1


# ---- bad revisions ----------------------------------------------------------------------------------------------------------------------


@of_story(rolled_out)
def test_a_revision_with_swapped_classes_is_rolled_back_by_a_gate_and_clients_notice_less_than_its_share(
    found: RolledOut,
) -> None:
    swapped = found.swapped
    assert swapped.record["reason"] == "GateFailed"
    assert swapped.record["message"].startswith("gate agreement Fail"), swapped.record
    wrong = sum(label != found.label for label in swapped.labels)
    assert 0 < wrong < len(swapped.labels) * WEIGHT / 100, (wrong, len(swapped.labels))


@of_story(rolled_out)
def test_a_revision_without_room_in_its_memory_gets_no_request_and_is_rejected_with_the_reason(
    found: RolledOut,
) -> None:
    too_large = found.too_large
    assert (too_large.end["reason"], too_large.end["exitCode"]) == ("OOMKilled", 137)
    assert too_large.record["reason"] == "Broken"
    assert "used more memory than its limit" in too_large.record["message"]
    assert too_large.revisions == {found.good.canary}
    assert set(too_large.labels) == {found.label}


# ---- after them -------------------------------------------------------------------------------------------------------------------------


def test_nobody_reaches_the_admin_pages_of_a_router(running_stories, release: Release) -> None:
    """Whoever may reach both ports of a router finds its metrics there, and nothing by which it is read out or changed."""
    running_stories[rolled_out.__name__].result()
    tenant = release.in_namespace(NAMESPACE)
    pod = routers(tenant)[0]
    at = f"http://{pod['status']['podIP']}:8081"
    assert page(f"{at}/metrics") == 200
    assert [page(f"{at}{path}") for path in ("/config_dump", "/clusters", "/")] == [404, 404, 404]
    assert page(f"{at}/quitquitquit", method="POST") == 404
    inside = ("exec", pod["metadata"]["name"], "-n", tenant.namespace, "--", "python", "-c", LISTENING)
    listening = release.cluster.kubectl(*inside)
    assert listening.returncode == 0, listening.stderr
    assert set(listening.stdout.split()) == {"8080", "8081"}, "the admin pages are on a socket of the pod's own"
    tenant.kubectl("delete", "mdep", "reviews", "--wait=false")


LISTENING = """
rows = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]]
print(*{int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"})
"""
"""The TCP ports on which a pod listens."""


def page(url: str, *, method: str = "GET") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
