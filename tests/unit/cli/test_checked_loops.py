"""What `tuneloop validate` says about the loop of a ModelDeployment, from the manifests that are checked together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_cli.commands.known_objects import known_objects
from tuneloop_cli.commands.loop_problems import LoopVerdict, loop_verdict
from tuneloop_cli.commands.validate import check_files, local_settings
from tuneloop_cli.exits import TuneloopExit
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.manifests.load import LoadedManifest

if TYPE_CHECKING:
    from pathlib import Path

KINDS: dict[str, type[FineTuneJob | ModelDeployment]] = {"FineTuneJob": FineTuneJob, "ModelDeployment": ModelDeployment}
KEPT = {"storeInputs": "all", "storage": {"claim": "labels"}}
OWN = [{"uri": "feedback://reviews"}]
LIMITED = [{"uri": "pvc://models/a.csv", "limit": 10}]


def manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "tuneloop.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def template(train: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    given = {
        "model": {"uri": "pvc://models/bert"},
        "task": "text-classification",
        "data": {"train": train or [{"uri": "pvc://models/a.csv"}]},
        "suspend": True,
    }
    return manifest("FineTuneJob", "recipe", given | spec)


def deployment(name: str = "reviews", *, feedback: dict[str, Any] | None = KEPT, **retraining: Any) -> dict[str, Any]:
    spec = {
        "model": {"fineTuneJobRef": {"name": "to-come"}},
        "rollout": {"strategy": "Recreate"},
        "retraining": {"enabled": True, "jobTemplateRef": {"name": "recipe"}} | retraining,
    }
    return manifest("ModelDeployment", name, spec | ({"feedback": feedback} if feedback else {}))


def verdict(tmp_path: Path, checked: dict[str, Any], *others: dict[str, Any]) -> LoopVerdict:
    loaded = [
        LoadedManifest(file=tmp_path / "a.yaml", resource=KINDS[found["kind"]].from_wire(found), manifest=found)
        for found in (checked, *others)
    ]
    known = known_objects(loaded, folders=Folders(root=tmp_path))
    return loop_verdict(checked, known=known, settings=local_settings())


FILMS = [{"uri": "feedback://films"}]
NO_JOB = "retraining would be blocked (TemplateNotUsable): no job can be made of FineTuneJob recipe: "
CASES: list[tuple[list[dict[str, Any]], str, str]] = [
    ([deployment(), template()], "", ""),
    ([deployment(data=OWN), template(LIMITED)], "", ""),
    ([deployment(enabled=False), template(LIMITED)], "", ""),
    ([deployment(), template(LIMITED)], "spec.retraining.jobTemplateRef: found FineTuneJob recipe, of which each ", ""),
    (
        [deployment(data=OWN, feedback=None), template()],
        "spec.retraining.data[0].uri: found feedback://reviews; the",
        "",
    ),
    (
        [deployment(feedback=None), template(OWN)],
        "spec.retraining.jobTemplateRef: found feedback://reviews; the Mo",
        "",
    ),
    (
        [deployment(data=FILMS), deployment("films", data=OWN), template()],
        "spec.retraining: found a circle in which models learn from each other: reviews <- films <- reviews",
        "",
    ),
    (
        [deployment(), template(model={"uri": "pvc://models/bert", "labels": ["good", "good"]})],
        NO_JOB,
        "",
    ),
    (
        [deployment(data=FILMS), deployment("films", feedback=None, enabled=False), template()],
        f"{NO_JOB}spec.data.train[1].uri: found feedback://films; the ModelDeployment films keeps no feedback",
        "",
    ),
    (
        [deployment()],
        "",
        "retraining would be blocked (TemplateNotUsable): spec.retraining.jobTemplateRef: there is no FineTuneJob recipe in this n",
    ),
    (
        [deployment(data=FILMS), template()],
        "",
        f"{NO_JOB}spec.data.train[1].uri: found feedback://films; there is no ModelDeployment films in this namespace",
    ),
]
"""Manifests, the deployment that is looked at first; begin of the problem, and of the note."""


@pytest.mark.parametrize(("manifests", "problem", "note"), CASES)
def test_what_is_in_the_way_of_a_loop_is_said_before_anything_is_applied(
    tmp_path: Path, manifests: list[dict[str, Any]], problem: str, note: str
) -> None:
    found = verdict(tmp_path, *manifests)
    assert (found.problem[: len(problem)], found.note[: len(note)]) == (problem, note)
    assert (bool(found.problem), bool(found.note)) == (bool(problem), bool(note))


def test_objects_of_the_folder_count_and_a_checked_manifest_stands_for_the_stored_one(tmp_path: Path) -> None:
    ObjectFiles(tmp_path).write(template(LIMITED))
    assert verdict(tmp_path, deployment()).problem
    assert verdict(tmp_path, deployment(), template()) == LoopVerdict()


def test_validate_refuses_a_loop_that_cannot_learn_and_reads_a_template_beside_its_deployment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for claim in ("models", "labels", "default"):
        (tmp_path / "claims" / claim).mkdir(parents=True)
    both = [template(OWN), deployment(feedback=None)]
    file = tmp_path / "loop.yaml"
    file.write_text(yaml.safe_dump_all(both), encoding="utf-8")
    with pytest.raises(TuneloopExit):
        check_files([file], folder=tmp_path)
    job, refused = capsys.readouterr().out.split(f"{file}: ModelDeployment reviews: ")
    assert "data: not read, for there is no feedback of reviews here yet" in job
    assert refused.startswith(
        "spec.retraining.jobTemplateRef: found feedback://reviews; the ModelDeployment reviews itself keeps no feedback"
    )
