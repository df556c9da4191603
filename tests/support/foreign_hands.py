"""`Stage`: what a story of foreign hands has, in a namespace that all of them share with one operator behind a fault proxy.

job = stage.training("reviews")
job.delete("Job", "a1")
job.succeeds_after_one_disruption()
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from namespace_client import NamespaceClient
from operator_traffic import Traffic
from pod_scripts import Until, before_the_end, succeed
from served_models import deploy, is_ready
from waiting import until

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane
    from fault_proxy import FaultProxy
    from pod_status_patcher import PodStatusPatcher

MANAGED, JOB_LABEL = "app.kubernetes.io/managed-by", "tuneloop.dev/job"
ONE_RUN = {"prepare": 1, "a1": 1, "export": 1}
"""How often a job that nobody disturbs makes each of its Jobs."""


@dataclass(frozen=True, kw_only=True)
class SharedEnvironment:
    """What all stories share."""

    plane: ControlPlane
    namespace: str
    kubelet: PodStatusPatcher
    proxy: FaultProxy


class Stage:
    """What one story has of its own."""

    def __init__(self, environment: SharedEnvironment) -> None:
        self.client = NamespaceClient(environment.plane, environment.namespace)
        self._environment = environment

    def job(self, name: str) -> Story:
        """Return the story of a job under a name of its own, which is yet to be submitted."""
        return Story(name, client=self.client, proxy=self._environment.proxy, kubelet=self._environment.kubelet)

    def training(self, name: str) -> Story:
        """Return the story of a job that trains until `go_on("train")`."""
        story = self.job(name)
        story.hold("train")
        story.start()
        return story

    def served(self, name: str) -> Story:
        """Return the story of a ModelDeployment that is ready and at rest."""
        served = self.job(name)
        deploy(self.client, name)
        until(lambda: is_ready(self.client, name), seconds=60, what="ready servers")
        served.traffic.come_to_rest()
        return served


class Story:
    """One job, and what the operator writes for it."""

    def __init__(self, name: str, *, client: NamespaceClient, proxy: FaultProxy, kubelet: PodStatusPatcher) -> None:
        self.name = name
        self.client = client
        self.kubelet = kubelet
        self.traffic = Traffic(proxy, client.namespace, name)
        self._go: dict[str, threading.Event] = {}

    def hold(self, *stages: str) -> None:
        """Let the pods of these stages run until `go_on`."""
        for stage in stages:
            self._go[stage] = threading.Event()
            self.kubelet.scripts[f"{self.name}/{stage}"] = before_the_end(succeed, Until(self._go[stage]))

    def go_on(self, stage: str) -> None:
        """Let the pods of a stage end."""
        self._go[stage].set()

    def start(self) -> None:
        """Submit the job and return once it trains."""
        self.client.submit(self.name)
        self.wait_for("Running")

    def wait_for(self, phase: str, *, seconds: float = 150.0):
        """Return the status once the job is in this phase."""
        return self.client.wait_for_phase(self.name, phase, seconds=seconds)

    def child(self, kind: str, suffix: str):
        """Return a child, or None."""
        return self.client.get(kind, f"{self.name}-{suffix}")

    def stored(self, kind: str, suffix: str):
        """Return a child once it is there."""
        return self.client.stored(kind, f"{self.name}-{suffix}")

    def patch(self, kind: str, suffix: str, change, **how: str):
        """Change a child as a user does."""
        return self.client.patch(kind, f"{self.name}-{suffix}", change, **how)

    def delete(self, kind: str, suffix: str, *, policy: str = "Background") -> None:
        """Delete a child as a user does."""
        self.client.delete(kind, f"{self.name}-{suffix}", policy=policy)

    @property
    def runs(self) -> dict[str, int]:
        """How often each Job was made, by the end of its name."""
        made = self.traffic.made
        return {name.removeprefix(f"{self.name}-"): count for (kind, name), count in made.items() if kind == "jobs"}

    def succeeds_after_one_disruption(self) -> None:
        """Wait for the end, and require that training began again once, and nothing else."""
        status = self.wait_for("Succeeded", seconds=90)
        assert (status["attempt"], status["restarts"]["total"], status["restarts"]["disruption"]) == (2, 1, 1)
        self.traffic.come_to_rest()
        assert self.runs == ONE_RUN | {"a2": 1}


def gang(job: Story):
    """Return the pods of a job's first attempt."""
    return [pod for pod in job.client.all("Pod") if pod["metadata"]["name"].startswith(f"{job.name}-a1")]
