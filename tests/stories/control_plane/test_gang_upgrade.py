"""Release 0.1.0 begins two jobs; today's operator takes over and goes back again, while gangs are killed, go on and export with their own image's code.

Everything is real but the kubelet: both operators, the API server, and the trainer of 0.1.0, which runs on this machine with the run.json that
either operator wrote. Both jobs begin with 0.1.0. `carried` is upgraded in the middle of its training and ends under today's operator.
`returned` is upgraded, goes on, is rolled back, goes on again, and ends under 0.1.0. The gang of `carried` has two ranks. That of `returned` has one:
its messages are the same, and each start of a rank is seconds of work.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from namespace_client import NamespaceClient
from operator_process import RunningOperator, make_certificate
from pod_scripts import End, hang
from pod_status_patcher import PodStatusPatcher
from real_stages import Machine, read_with
from release_code import ROOT, code_of, python_path
from tiny_models import sentences, tiny_bert
from waiting import until

if TYPE_CHECKING:
    from real_stages import Ended

Manifest = dict[str, Any]
FIRST_RELEASE = "0.1.0"
STEPS, SAVE_EVERY = 120, 20
pytestmark = pytest.mark.timeout(1200)  # ten stages, each with the start of a trainer
SPEC: Manifest = {
    "model": {"uri": "pvc://models/tiny"},
    "data": {"train": [{"uri": "pvc://models/rows.csv"}]},
    "training": {"maxSteps": STEPS, "globalBatchSize": 8, "warmupSteps": 5},
    "evaluation": {"bootstrapSamples": 100},
    "checkpoint": {"everySteps": SAVE_EVERY},
}
RANKS = {"carried": 2, "returned": 1}
READ_JOBS = (
    "from tuneloop_api.v1alpha1 import FineTuneJob\n"
    "result = {name: FineTuneJob.from_wire(job).status.to_wire() for name, job in data.items()}"
)
READ_RUNS = (
    "from tuneloop_api.run_config import RunConfig\nresult = [RunConfig.from_wire(run).to_wire() for run in data]"
)
LATER = {"fromTheFuture": {"more": [1, 2]}, "failureClass": "Bored"}
"""What only a later release writes into a message."""


@dataclass(frozen=True)
class Story:
    """What the tests read afterwards."""

    code: Path
    machine: Machine
    ends: dict[str, Ended] = field(default_factory=dict)
    """By the name of a Job."""
    jobs: dict[str, Manifest] = field(default_factory=dict)
    """The two jobs, as they stood under each operator: `carried` under `today`, and so on."""
    logs: dict[str, str] = field(default_factory=dict)
    """By operator."""


@dataclass(frozen=True)
class Scene:
    """The cluster, and the machine on which its pods run."""

    client: NamespaceClient
    kubelet: PodStatusPatcher
    story: Story

    def run(self, job: str, *, more: Manifest | None = None, kill: bool = False) -> Ended:
        """Run the pod of a Job as soon as it is there, and let the kubelet report its end. `more`: fields for its message."""
        pod = until(lambda: self._pod(job), seconds=60, what=f"a pod of {job}")
        config_map = self.client.stored("ConfigMap", job)
        ended = self.story.machine.run(config_map, kill_when=_has_saved if kill else None)
        message = ended.message if more is None else json.dumps(json.loads(ended.message) | more)
        self.story.ends[job] = ended
        self.kubelet.play(pod, End(ended.exit_code, message), namespace=self.client.namespace)
        return ended

    def _pod(self, job: str) -> str | None:
        labelled = (pod["metadata"] for pod in self.client.all("Pod"))
        found = [pod["name"] for pod in labelled if pod["labels"].get("batch.kubernetes.io/job-name") == job]
        known = self.kubelet.pods(namespace=self.client.namespace)
        return next((name for name in found if name in known), None)


def _has_saved(config: Manifest) -> bool:
    """Whether this attempt has committed a checkpoint."""
    folder = Path(config["paths"]["job"], "checkpoints")
    return any(folder.glob(f"step-*-a{config['attempt']}/MANIFEST.json"))


@pytest.fixture(scope="module")
def story(custom_resources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gang-upgrade")
    code = code_of(FIRST_RELEASE)
    machine = Machine(folder=folder, code=code)
    write_claim(machine.claims / "models")
    story = Story(code=code, machine=machine)
    with fresh_namespace(custom_resources) as namespace:
        scripts = {"prepare": hang, "train": hang, "export": hang}
        client = NamespaceClient(custom_resources, namespace)
        with PodStatusPatcher(
            custom_resources, namespace=namespace, scripts=scripts, nodes=[f"{namespace}-0"]
        ) as kubelet:
            scene = Scene(client=client, kubelet=kubelet, story=story)
            common = {
                "pod_namespace": namespace,
                "namespaces": namespace,
                "progress_url": "https://tuneloop-progress.test:8443",
                "tls_directory": make_certificate(folder / "tls"),
            }
            for name, python, act in (
                ("first", python_path(code), begin),
                ("today", None, upgraded),
                ("first-again", python_path(code), rolled_back),
            ):
                operator = RunningOperator(custom_resources, folder, pod=name, python_path=python, **common)
                with operator:
                    operator.wait_ready().wait_leading()
                    act(scene)
                    for job in ("carried", "returned"):
                        story.jobs[f"{job} under {name}"] = client.stored("FineTuneJob", job)
                    operator.terminate()
                story.logs[name] = operator.log
        yield story


def write_claim(folder: Path) -> None:
    """Write a tiny model and rows that can be learned."""
    tiny_bert(folder / "tiny")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *sentences(200)])


def begin(scene: Scene) -> None:
    """Prepare both jobs, and let a gang of each train until it has saved."""
    for job, ranks in RANKS.items():
        scene.client.submit(job, **SPEC, resources={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks})
        scene.run(f"{job}-prepare")
        until(lambda job=job: scene.client.get("Job", f"{job}-a1"), seconds=60, what="a gang")


def upgraded(scene: Scene) -> None:
    """Kill both gangs; they go on under today's operator. `carried` comes to its end."""
    for job in ("carried", "returned"):
        scene.run(f"{job}-a1", kill=True)
    scene.run("carried-a2", more={"fromTheFuture": LATER})
    scene.run("carried-export", more=LATER)
    scene.client.wait_for_phase("carried", "Succeeded")
    until(lambda: scene.client.get("Job", "returned-a2"), seconds=60, what="a second gang")


def rolled_back(scene: Scene) -> None:
    """Kill the gang that today's operator made; it goes on and ends under 0.1.0."""
    scene.run("returned-a2", kill=True)
    scene.run("returned-a3")
    scene.run("returned-export")
    scene.client.wait_for_phase("returned", "Succeeded")


def summary(ended: Ended, part: str) -> Manifest:
    return json.loads(ended.message)[part]


@pytest.mark.parametrize(
    ("job", "attempts"),
    [
        pytest.param("carried", 2, id="after an upgrade"),
        pytest.param("returned", 3, id="after an upgrade and a roll-back"),
    ],
)
def test_a_gang_that_was_killed_goes_on_from_its_checkpoint_and_its_model_is_published(story, job, attempts):
    trained = summary(story.ends[f"{job}-a{attempts}"], "train")
    assert trained["startStep"] >= SAVE_EVERY
    assert trained["steps"] == STEPS
    exported = summary(story.ends[f"{job}-export"], "export")
    under = "today" if job == "carried" else "first-again"
    status = story.jobs[f"{job} under {under}"]["status"]
    assert (status["artifact"]["digest"], status["attempt"]) == (exported["digest"], attempts)
    assert status["artifact"]["uri"].startswith("pvc://models/jobs/")


@pytest.mark.parametrize("job", ["carried", "returned"])
def test_every_attempt_goes_on_later_than_the_one_before(story, job):
    starts = [
        entry["startStep"]
        for entry in story.jobs[f"{job} under first-again"]["status"]["history"]
        if "startStep" in entry
    ]
    assert starts == sorted(starts)


def test_a_job_keeps_its_hash_whatever_operator_writes_its_run_json(story):
    for job in ("carried", "returned"):
        hashes = {config["configHash"] for name, config in story.machine.run_configs.items() if name.startswith(job)}
        assert hashes == {story.jobs[f"{job} under first-again"]["status"]["lineage"]["configHash"]}


def test_both_operators_give_the_trainer_of_the_first_release_the_same_settings(story):
    """Where one of them fills in a default and the other does not, the trainer's own default is the same."""
    runs = [story.machine.run_configs[f"returned-{run}"] for run in ("a1", "a2", "a3")]
    first, today, again = (read["settings"] for read in read_with(story.code, READ_RUNS, runs))
    assert first == today == again


def test_what_only_a_later_release_says_is_ignored_and_the_rest_is_kept(story):
    status = story.jobs["carried under today"]["status"]
    assert status["phase"] == "Succeeded"
    assert status["resume"] in {"exact", "rounding"}


@pytest.fixture(scope="module")
def read_by_both(story):
    """The statuses of all jobs under all operators, as 0.1.0 and as today's code read them."""
    return [read_with(code, READ_JOBS, story.jobs) for code in (story.code, ROOT)]


@pytest.mark.parametrize("job", ["carried", "returned"])
@pytest.mark.parametrize("operator", ["first", "today", "first-again"])
def test_a_status_is_readable_for_both_releases(story, read_by_both, job, operator):
    name = f"{job} under {operator}"
    for statuses in read_by_both:
        assert statuses[name]["phase"] == story.jobs[name]["status"]["phase"]


@pytest.mark.parametrize("operator", ["first", "today", "first-again"])
def test_no_operator_stumbles_over_what_the_other_one_wrote(story, operator):
    assert "Traceback" not in story.logs[operator]
    assert "ValidationError" not in story.logs[operator]
