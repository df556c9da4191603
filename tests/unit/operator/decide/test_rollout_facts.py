"""The facts of a roll-out that are read from the cluster: which split the Service follows, where it stands for a router."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.decide.model_deployment.rollout.facts import SERVICE
from tuneloop_operator.decide.model_deployment.rollout.state import Rollout, Router, Split, Strategy
from tuneloop_operator.decide.model_deployment.rollout_facts import facts_of
from tuneloop_operator.state.observed import ObservedDeployment


def observed(selector: dict[str, str] | None) -> ObservedDeployment:
    manifest: dict[str, Any] = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "api", "namespace": "team-a", "uid": "u"},
        "spec": {"model": {"uri": "pvc://models/artifact"}, "rollout": {}},
    }
    service = {"metadata": {"labels": {}}, "spec": {"selector": selector}}
    present = {("Service", "api"): service} if selector is not None else {}
    return ObservedDeployment(deployment=ModelDeployment.from_wire(manifest), manifest=manifest, present=present)


def rollout(*revisions: str) -> Rollout:
    """Return a memory in which these revisions had all requests one after the other, the last one now."""
    splits = [Split(generation=1 + number, weights=((name, 100),)) for number, name in enumerate(revisions)]
    return Rollout(strategy=Strategy.RECREATE, stable="old", canary="new", split=splits[-1], earlier=tuple(splits[:-1]))


@pytest.mark.parametrize(
    ("wanted", "serving", "generation"),
    [
        pytest.param(("old", "new"), "new", 2, id="what is wanted"),
        pytest.param(("old", "new"), "old", 1, id="what was wanted before"),
        pytest.param(("old", "new", "old"), "old", 3, id="the newest of two that are alike"),
        pytest.param(("old", "new"), "by hand", None, id="what nobody wanted"),
    ],
)
def test_the_service_follows_the_newest_split_that_leads_where_it_leads(
    wanted: tuple[str, ...], serving: str, generation: int | None
) -> None:
    facts = facts_of(observed({"tuneloop.dev/revision": serving}), rollout(*wanted), offered="new", is_local=False)
    assert facts.routers == (Router(name=SERVICE, generation=generation),)


@pytest.mark.parametrize("selector", [None, {}, {"app": "mine"}])
def test_a_service_that_leads_to_no_revision_is_no_router(selector: dict[str, str] | None) -> None:
    facts = facts_of(observed(selector), rollout("old", "new"), offered="new", is_local=False)
    assert (facts.routers, facts.serving) == ((), "")
