"""A ModelDeployment that retrains, on the memory cluster: the operator's own FineTuneJobs, whose stages a test lets end."""

from __future__ import annotations

from typing import Any

from deployed_in_memory import Deployed
from operator_harness import SPEC, OperatorHarness

from tuneloop_operator.settings.operator import OperatorSettings

Manifest = dict[str, Any]
ROLLOUT: Manifest = {"strategy": "Recreate", "rollback": {"baking": "1h", "window": "1d"}}
RETRAINING: Manifest = {"enabled": True, "jobTemplateRef": {"name": "reviews"}, "cooldown": "1d"}
HOUR, DAY = 3600.0, 86_400.0


class Retrained(Deployed):
    """The ModelDeployment `api`, whose template `reviews` rests."""

    def __init__(self, **settings: Any) -> None:
        """settings: further ones of the operator."""
        given = {"trainer_image": "trainer:1", "server_image": "server:1"} | settings
        super().__init__(OperatorHarness(OperatorSettings(**given)))
        self.created: list[str] = []
        """Names of the FineTuneJobs that the operator has created, one after another."""
        self.harness.cluster.watchers.append(self._note)
        self._tokens = 0

    async def begin(self, **retraining: Any) -> str:
        """Create template and deployment, let its servers be ready, and return its first revision."""
        self.harness.submit("reviews", **SPEC | {"suspend": True, "resources": {"nodes": 1, "gpusPerNode": 0}})
        counts_labels = any(trigger["type"] in {"accuracy", "newData"} for trigger in retraining.get("triggers") or ())
        counts_features = any(trigger["type"] == "drift" for trigger in retraining.get("triggers") or ())
        blocks = {"feedback": counts_labels, "monitoring": counts_features}
        self.besides = {"retraining": RETRAINING | retraining} | {
            name: {} for name, is_needed in blocks.items() if is_needed
        }
        return await self.create(replicas=1, **ROLLOUT)

    async def ask(self) -> None:
        """Ask for a retraining by hand."""
        self._tokens += 1
        metadata = self.stored["metadata"] | {"annotations": {"tuneloop.dev/retrain": f"t{self._tokens}"}}
        self.harness.cluster.change(self.stored, metadata=metadata)
        await self.settle()

    async def prepare(self, data: str) -> None:
        """Let the job of the run in flight prepare data with this digest."""
        self.harness.succeed(f"{self.run}-prepare", datasetDigest=data)
        await self.settle()

    async def train(self, data: str) -> None:
        """Let the job of the run in flight come to its good end, with an artifact of its own."""
        await self.prepare(data)
        await self.finish()

    async def finish(self) -> None:
        """Let the job of the run in flight train and publish, once its data are prepared."""
        await self.learn()
        await self.publish()

    async def learn(self) -> None:
        """Let the gang of the run in flight end well."""
        self.harness.succeed(f"{self.run}-a1")
        await self.settle()

    async def publish(self, **summary: Any) -> None:
        """Let the export of the run in flight end well, with an artifact of its own. summary: further fields of what it says."""
        name = self.run
        digest = "sha256:" + (name.rpartition("-")[2] * 8)[:64]
        self.harness.succeed(
            f"{name}-export", artifactUri=f"pvc://models/jobs/{name}/artifact", digest=digest, **summary
        )
        await self.settle()

    async def fail_job(self) -> None:
        """Let the job of the run in flight fail for good."""
        self.harness.fail(f"{self.run}-prepare", exit_code=65)
        await self.settle()

    async def serve(self) -> None:
        """Let all servers that are asked for be ready."""
        for revision, count in self.counts.items():
            await self.ready(revision, count)

    async def retrain(self, data: str) -> None:
        """Ask, train, serve, and let the new model bake to its end."""
        await self.ask()
        await self.train(data)
        await self.serve()
        await self.settle(later=HOUR + 1)

    @property
    def loop(self) -> Manifest:
        """The status of the loop."""
        found: Manifest = self.status.get("retraining", {})
        return found

    @property
    def run(self) -> str:
        """The job of the run in flight."""
        return next(found["job"] for found in self.loop["history"] if "outcome" not in found)

    @property
    def outcomes(self) -> list[str]:
        """How the runs ended, oldest first."""
        return [found["outcome"] for found in self.loop.get("history", ()) if "outcome" in found]

    @property
    def place(self) -> tuple[str, str]:
        """State of the loop, and what blocks it."""
        return self.loop["state"], self.loop.get("blockedReason", "")

    def job_spec(self, name: str) -> Manifest:
        """The spec of a FineTuneJob."""
        spec: Manifest = self.harness.job(name)["spec"]
        return spec

    def _note(self, type_: str, manifest: Manifest) -> None:
        labels = manifest["metadata"].get("labels") or {}
        if (type_, manifest["kind"]) == ("ADDED", "FineTuneJob") and "tuneloop.dev/retraining" in labels:
            self.created.append(manifest["metadata"]["name"])
