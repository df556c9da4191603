"""What keeps a drained node from taking all servers of a revision, or all routers of a deployment, at once: budgets, and the spread over nodes.

There is one budget for each revision. One for all of them would count servers of a canary that never become ready as disrupted, and so keep
the healthy servers of stable on their node for as long as the roll-out lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.desired.common.metadata import deployment_labels, owned_metadata
from tuneloop_operator.names import revision_name, router_labels, router_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest

_FIRST_TO_GUARD = 2
"""A single pod has no budget: it must leave its node before another one is there."""


def server_budgets(deployment: ModelDeployment, counts: Mapping[str, int]) -> tuple[Manifest, ...]:
    """Return the budget of each revision that has several servers. counts: how many servers each revision is to have.

    The budget of a revision with fewer servers than before stays, and hinders nobody: one pod may always go. It is deleted with the revision.
    """
    return tuple(
        _budget(deployment, name=revision_name(deployment, revision), labels=deployment_labels(deployment, revision))
        for revision, count in counts.items()
        if count >= _FIRST_TO_GUARD
    )


def router_budgets(deployment: ModelDeployment, count: int) -> tuple[Manifest, ...]:
    """Return the budget of so many routers, if there are several."""
    if count < _FIRST_TO_GUARD:
        return ()
    return (_budget(deployment, name=router_name(deployment), labels=router_labels(deployment)),)


def apart(labels: dict[str, str]) -> dict[str, Any]:
    """Return the constraint that spreads the pods with these labels over the nodes, as far as there is room.

    The scheduler's own default spreads less than it likes a node that has the image, which is large: both servers would come to the same node.
    """
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }


def _budget(deployment: ModelDeployment, *, name: str, labels: dict[str, str]) -> Manifest:
    """Return a budget by which one pod may be away, whatever their number is: it never stands in the way of a drain for ever."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owned_metadata(deployment, name=name, labels=labels),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": labels},
            # a pod that answers nothing may always go
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
