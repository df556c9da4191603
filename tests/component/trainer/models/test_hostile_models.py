"""The files of a model are data: whatever a folder holds, no code of it runs, no file of others is read, and no network is asked."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_models import CANARY, HOSTILE, PICKLES

CLEAN = ("ModelAccessError: ", "CannotServe: ")
"""Errors whose words a person reads."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def outcomes(folder) -> dict[str, dict[str, object]]:
    """What `prepare`, a rank and the server did with each folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "0"}
    program = [sys.executable, "-m", "hostile_models", str(folder)]
    output = subprocess.run(program, env=environment, capture_output=True, text=True, check=True, timeout=300).stdout
    return {outcome.pop("name"): outcome for outcome in map(json.loads, filter(_is_json, output.splitlines()))}


def _is_json(line: str) -> bool:
    return line.startswith("{")


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_model_folder_runs_or_is_unpickled(outcomes, folder, name):
    assert outcomes[name]["events"] == []
    assert not (folder / CANARY).exists()


@pytest.mark.parametrize("program", ["prepare", "train", "serve"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_opened_as_a_good_one_or_refused_in_one_line(outcomes, name, program):
    answer = outcomes[name][program]
    assert answer == "opened" or answer.startswith(CLEAN), answer


def test_a_good_folder_is_opened(outcomes):
    assert outcomes["nothing"] == {"prepare": "opened", "train": "opened", "serve": "opened", "events": []}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("a kernel of a hub")])
def test_the_attention_that_a_folder_names_is_not_used(outcomes, name):
    """Without a choice of ours, transformers refuses such a folder where the library for kernels is absent, and fetches the code where it is there."""
    assert outcomes[name] == outcomes["nothing"]


@pytest.mark.parametrize("name", [name for name in PICKLES if name.startswith("pickle")])
def test_the_payload_is_real(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLES[name]())
    assert (tmp_path / CANARY).exists()


def test_code_of_a_folder_runs_where_it_is_trusted(tmp_path, monkeypatch):
    from tiny_models import tiny_bert
    from transformers import AutoModelForSequenceClassification

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", list(sys.path))  # transformers adds that folder
    HOSTILE["code for a model of a new type"](tiny_bert(tmp_path / "model"))
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert (tmp_path / CANARY).exists()
