"""A Canary of the ModelDeployment `reviews` on a control plane whose pods and routers are played: `PlayedCanary`.

canary = PlayedCanary(client, routers)
old = canary.deploy()
new = canary.offer()
canary.wait_for_share(new, 25)
canary.let_through()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from served_models import deployment_status
from waiting import until

if TYPE_CHECKING:
    from namespace_client import NamespaceClient
    from played_routers import PlayedRouters

Manifest = dict[str, Any]
NAME = "reviews"
SECONDS = 120.0
_PAUSE = 0.15
MANY_REQUESTS = 1_000_000
STEPS = [{"weight": 5}, {"weight": 25, "minRequests": MANY_REQUESTS}, {"weight": 100}]
"""The second one lasts until the routers count many requests."""
_FIRST, _SECOND = {"maxBatchSize": 4}, {"maxBatchSize": 8}


@dataclass(frozen=True)
class PlayedCanary:
    """From the first revision to the promotion of the second one."""

    client: NamespaceClient
    routers: PlayedRouters

    def deploy(self, **spec: Any) -> str:
        """Create the ModelDeployment; return its revision once requests go by a router."""
        rollout = {"strategy": "Canary", "steps": STEPS, "rollback": {"baking": "0s"}}
        body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}}
        model = {"model": {"uri": "pvc://models/artifact"}, "batching": _FIRST, "rollout": rollout}
        self.client.create("ModelDeployment", body | {"spec": model | spec})
        self.wait(lambda status: status.get("phase") == "Ready", what="the first revision")
        self.wait(lambda _: self._leads_to_routers(), what="the Service leads to routers")
        return self.status["stable"]["revision"]

    def offer(self) -> str:
        """Change the spec; return the canary."""
        self.change_spec()
        return self.wait(lambda status: status.get("canary"), what="a canary")["canary"]["revision"]

    def change_spec(self) -> None:
        """Ask for the second revision."""
        self.client.patch("ModelDeployment", NAME, {"spec": {"batching": _SECOND}})

    def wait_for_new_revision(self, *, beside: str) -> str:
        """Return another revision than this one once it is known."""

        def others(status: Manifest) -> list[str]:
            return [found["revision"] for found in status["revisions"] if found["revision"] != beside]

        return others(self.wait(others, what="a second revision"))[0]

    def wait_for_share(self, revision: str, weight: int) -> Manifest:
        """Return the status of the roll-out once this share of a revision is in force and its step has begun."""

        def holds(status: Manifest) -> bool:
            rollout = status.get("rollout", {})
            shares = {share["revision"]: share["weight"] for share in rollout["split"]["weights"]}
            return shares.get(revision) == weight and rollout.get("stepStartedAt") and rollout.get("requests")

        return self.wait(holds, what=f"{weight} % in force")["rollout"]

    def let_through(self) -> None:
        """Let the routers count all requests that the step waits for."""
        self.routers.requests_per_poll = 4 * MANY_REQUESTS

    def wait_for_promotion(self, revision: str) -> Manifest:
        """Return the status once the revision is stable and nothing is on its way."""

        return self.wait(lambda _: self.is_promoted(revision), what=f"{revision} is promoted")

    def is_promoted(self, revision: str) -> bool:
        """Whether the revision is stable and nothing is on its way."""
        status = self.status
        is_stable = status.get("stable", {}).get("revision") == revision
        return is_stable and status["rollout"]["phase"] == "Done" and "canary" not in status

    def wait(self, holds: Any, *, what: str) -> Manifest:
        """Return the status once it is so."""
        until(lambda: holds(self.status), seconds=SECONDS, what=what, pause=_PAUSE)
        return self.status

    @property
    def status(self) -> Manifest:
        """Of the ModelDeployment."""
        return deployment_status(self.client, NAME)

    @property
    def servers(self) -> dict[str, str]:
        """Uids of the pods of all revisions, by name."""
        pods = (pod["metadata"] for pod in self.client.all("Pod"))
        return {pod["name"]: pod["uid"] for pod in pods if "tuneloop.dev/component" not in pod["labels"]}

    def _leads_to_routers(self) -> bool:
        selector = (self.client.get("Service", NAME) or {}).get("spec", {}).get("selector", {})
        return selector.get("tuneloop.dev/component") == "router"
