"""The FineTuneJobs that a ModelDeployment with a loop refers to, and is woken by."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.model_deployment import references_of


def deployment(model: dict[str, Any], *, version: int = 1, **status: Any) -> dict[str, Any]:
    metadata = {"name": "api", "namespace": "a", "uid": "u", "resourceVersion": str(version)}
    spec = {"model": model, "retraining": {"enabled": True, "jobTemplateRef": {"name": "reviews"}}}
    return {"kind": "ModelDeployment", "metadata": metadata, "spec": spec, "status": status}


RUNS = [{"job": f"api-{number}"} for number in range(5)]


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        (deployment({"uri": "pvc://a/b"}), ["reviews"]),
        (deployment({"fineTuneJobRef": {"name": "reviews"}}), ["reviews"]),
        (deployment({"fineTuneJobRef": {"name": "first"}}), ["first", "reviews"]),
        (deployment({"uri": "pvc://a/b"}, retraining={"history": RUNS}), ["reviews", "api-3", "api-4"]),
        (deployment({"uri": "pvc://a/b"}, retraining={"history": "?"}), ["reviews"]),
        (deployment({"uri": "pvc://a/b"}, retraining={"history": [{"job": 5}, None]}), ["reviews"]),
    ],
)
def test_its_model_its_template_and_its_newest_runs_each_once(manifest: dict[str, Any], names: list[str]) -> None:
    assert [name for _, name in references_of(manifest)] == names


def test_a_deployment_whose_model_is_its_template_can_be_stored_again() -> None:
    store = new_store()
    for version in (1, 2):
        assert store.put(deployment({"fineTuneJobRef": {"name": "reviews"}}, version=version))
    assert len(list(store.referring("FineTuneJob", "reviews", namespace="a"))) == 1
