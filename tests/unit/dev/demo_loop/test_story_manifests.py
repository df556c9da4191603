"""The manifests of the story say what the story needs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from demo_loop.__main__ import pair
from demo_loop.files import RECENT_FILE, TEST_FILE, TRAIN_FILE, VALIDATION_FILE
from demo_loop.queries import accuracy_shortfall
from demo_loop.story import DEPLOYMENT, TRIGGER, with_threshold

from tuneloop_cli.manifests.load import load_manifests

EXAMPLES = Path(__file__).parents[4] / "examples" / "loop"
FIRST, TEMPLATE = (loaded.manifest for loaded in load_manifests([EXAMPLES / "jobs.yaml"]))
(SERVED,) = (loaded.manifest for loaded in load_manifests([EXAMPLES / "deployment.yaml"]))


def trigger(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["retraining"]["triggers"]
    return dict(found)


def test_the_trigger_asks_the_query_of_the_story() -> None:
    assert SERVED["metadata"]["name"] == DEPLOYMENT
    assert trigger(SERVED)["name"] == TRIGGER
    assert trigger(SERVED)["query"] == accuracy_shortfall("2m")


def test_runs_learn_from_the_first_rows_and_from_feedback_by_the_recipe_of_the_first_model() -> None:
    rows = [f"pvc://demo/story/{TRAIN_FILE}", f"feedback://{DEPLOYMENT}"]
    assert [source["uri"] for source in TEMPLATE["spec"]["data"]["train"]] == rows
    assert TEMPLATE["metadata"]["name"] == SERVED["spec"]["retraining"]["jobTemplateRef"]["name"]
    assert TEMPLATE["spec"]["suspend"]
    for field in ("model", "task", "method", "resources", "storage"):
        assert TEMPLATE["spec"][field] == FIRST["spec"][field], field


def test_old_rows_decide_that_a_model_is_not_worse_and_new_ones_that_it_is_better() -> None:
    for name, file in (("validation", VALIDATION_FILE), ("test", TEST_FILE)):
        assert TEMPLATE["spec"]["data"][name] == FIRST["spec"]["data"][name] == [{"uri": f"pvc://demo/story/{file}"}]
    assert TEMPLATE["spec"]["evaluation"]["compareWith"]["recent"] == [{"uri": f"pvc://demo/story/{RECENT_FILE}"}]


def test_the_threshold_follows_the_first_model_and_nothing_else_changes() -> None:
    changed = with_threshold(SERVED, below=0.836)
    assert trigger(changed) == trigger(SERVED) | {"threshold": 0.164}
    assert with_threshold(changed, below=0.82) == SERVED


def test_a_pair_is_two_kinds_of_text() -> None:
    assert pair("tweets:movies") == ("tweets", "movies")


@pytest.mark.parametrize("text", ["movies", "movies:", "movies:films", "movies:movies", "movies:tweets:amazon", ""])
def test_another_pair_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="for example movies:tweets"):
        pair(text)
