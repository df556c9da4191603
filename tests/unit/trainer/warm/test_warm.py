"""The warm process: when it ends, and which commands need an interpreter of their own."""

from __future__ import annotations

import json
import os

import pytest
from run_configs import run_config

from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer.warm.__main__ import needs_hub
from tuneloop_trainer.warm.fork_server import ForkServer


def test_a_warm_process_ends_with_its_client():
    read, write = os.pipe()
    os.close(write)
    assert ForkServer(requests=read, answers=1, idle_seconds=600).serve() is None
    os.close(read)


def test_a_warm_process_ends_when_it_has_forked_nothing_for_a_while():
    read, write = os.pipe()
    assert ForkServer(requests=read, answers=1, idle_seconds=0.01).serve() is None
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    ("stage", "uri", "needed"),
    [
        ("prepare", f"{HUB_SCHEME}google-bert/bert-base-uncased", True),
        ("prepare", "file:///models/bert", False),
        ("train", f"{HUB_SCHEME}google-bert/bert-base-uncased", False),
    ],
)
def test_only_a_model_that_is_fetched_from_the_hub_needs_a_fresh_interpreter(tmp_path, stage, uri, needed):
    path = tmp_path / "run.json"
    config = run_config(tmp_path, stage=stage, model_source={"uri": uri, "revision": "a" * 40})
    path.write_text(config.model_dump_json(by_alias=True, exclude_none=True))
    assert needs_hub(path) == needed


@pytest.mark.parametrize("text", ["no JSON", json.dumps({"stage": "prepare"})], ids=["no JSON", "no settings"])
def test_a_wrong_configuration_is_left_for_the_command_to_report(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    assert not needs_hub(path)
    assert not needs_hub(tmp_path / "absent.json")
