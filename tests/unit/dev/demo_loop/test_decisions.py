"""Each decision of the operator becomes a mark, once, by the change of the status."""

from __future__ import annotations

from typing import Any

import pytest
from demo_loop.decisions import canary_share, decisions, runs_of, trigger_of
from demo_loop.events import Mark

RUN = {"job": "reviews-1a2b", "trigger": "accuracy"}


def status(
    *,
    trigger: str = "Inactive",
    loop: str = "Idle",
    stable: str = "old",
    weight: int = 0,
    runs: tuple[dict[str, Any], ...] = (),
    baseline: bool = False,
) -> dict[str, Any]:
    weights = [{"revision": "new", "weight": weight}] if weight else []
    weights += [{"revision": stable, "weight": 100 - weight}]
    return {
        "rollout": {"stable": stable, "split": {"weights": weights}} | ({"canary": "new"} if weight else {}),
        "retraining": {
            "state": loop,
            "message": "why it is so",
            "triggers": [{"name": "accuracy", "state": trigger, "reason": "the query gives 0.21"}],
            "history": list(runs),
        },
        "monitoring": {"baseline": {"features": []}} if baseline else {"revision": stable},
    }


def marks(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    return [(mark.name, mark.text) for mark in decisions({"status": before}, {"status": after}, at=5.0)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {}, [], id="nothing changed"),
        pytest.param({}, {"trigger": "Pending"}, ["trigger accuracy Pending: the query gives 0.21"], id="pending"),
        pytest.param(
            {"trigger": "Pending"},
            {"trigger": "Firing"},
            ["trigger accuracy Firing: the query gives 0.21"],
            id="firing",
        ),
        pytest.param({"trigger": "Unknown"}, {}, [], id="a trigger that is at rest"),
        pytest.param({}, {"loop": "Training"}, ["loop Training: why it is so"], id="another state of the loop"),
        pytest.param({}, {"weight": 20}, ["the new model gets 20 % of the requests"], id="a first share"),
        pytest.param({"weight": 20}, {"weight": 20}, [], id="the same share"),
        pytest.param({"weight": 20}, {}, [], id="a share that is taken away has its reason in the loop"),
        pytest.param({"weight": 100}, {"stable": "new"}, ["revision new is promoted"], id="a promotion"),
        pytest.param({}, {"runs": (RUN,)}, [], id="a run in flight"),
        pytest.param(
            {"runs": (RUN,)},
            {"runs": (RUN | {"outcome": "Promoted", "reason": "it serves"},)},
            ["run reviews-1a2b: Promoted, it serves"],
            id="the end of a run",
        ),
        pytest.param(
            {"runs": (RUN | {"outcome": "Promoted"},)},
            {"runs": (RUN | {"outcome": "Promoted"},)},
            [],
            id="a run that ended before",
        ),
        pytest.param({"stable": ""}, {}, [], id="a first model"),
    ],
)
def test_what_changed_is_a_mark(before: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    assert [text for _, text in marks(status(**before), status(**after))] == expected


def test_a_baseline_is_marked_once() -> None:
    assert [name for name, _ in marks(status(), status(baseline=True))] == ["baseline"]
    assert marks(status(baseline=True), status(baseline=True)) == []


def test_marks_have_the_time_given_and_the_names_of_the_page() -> None:
    found = list(decisions({"status": status(weight=50)}, {"status": status(stable="new")}, at=7.5))
    assert found == [Mark(at=7.5, name="promoted", text="revision new is promoted")]


def test_a_deployment_without_a_status_has_no_decisions() -> None:
    assert list(decisions({}, {}, at=0.0)) == []
    assert (canary_share({}), trigger_of({}, "accuracy"), runs_of({})) == (0, {}, [])


def test_the_share_is_that_of_the_canary() -> None:
    assert canary_share(status(weight=20)) == 20
