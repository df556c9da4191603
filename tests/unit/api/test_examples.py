"""Every example manifest of our kinds is one that the API server would take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tuneloop_api.combinations.table import METHODS, OPTIONS
from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment
from tuneloop_cli.manifests.yaml_scalars import KubectlLoader

EXAMPLES = Path(__file__).parents[3] / "examples"
KINDS = {"FineTuneJob": FineTuneJob, "ModelDeployment": ModelDeployment}
MANIFESTS = [
    pytest.param(manifest, id=path.relative_to(EXAMPLES).as_posix())
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for manifest in yaml.load_all(path.read_text(encoding="utf-8"), Loader=KubectlLoader)
    if manifest.get("apiVersion") == API_VERSION  # values of charts have none
]


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_an_example_is_valid(manifest: dict) -> None:
    assert KINDS[manifest["kind"]].from_wire(manifest).metadata["name"]


def test_there_is_an_example_of_every_task() -> None:
    tasks = {param.values[0]["spec"].get("task") for param in MANIFESTS}
    assert tasks >= {
        "text-classification",
        "token-classification",
        "question-answering",
        "text2text-generation",
        "fill-mask",
    }


def test_there_is_an_example_of_every_problem_type() -> None:
    types = {param.values[0]["spec"].get("taskOptions", {}).get("problemType", "single-label") for param in MANIFESTS}
    assert types >= {"single-label", "multi-label", "regression"}


def test_there_is_an_example_of_every_method_and_option() -> None:
    blocks = [param.values[0]["spec"].get("method", {}) for param in MANIFESTS if param.id.startswith("methods/")]
    assert {block["type"] for block in blocks} == set(METHODS)
    assert set().union(*blocks) >= OPTIONS.keys()
