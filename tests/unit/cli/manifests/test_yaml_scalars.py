"""The command line reads YAML as kubectl does; tests/golden/yaml_scalars.json says how, and is held against the real kubectl elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tuneloop_cli.manifests.yaml_scalars import KubectlLoader

TABLE = json.loads((Path(__file__).parents[3] / "golden/yaml_scalars.json").read_text())
ACCEPTED = [line for line in TABLE if "json" in line and "refusedHere" not in line]
REFUSED = [line for line in TABLE if "refused" in line or "refusedHere" in line]


def load(text):
    return yaml.load(f"value: {text}\n", Loader=KubectlLoader)["value"]  # a SafeLoader


@pytest.mark.parametrize("line", ACCEPTED, ids=lambda line: line["yaml"])
def test_a_value_means_what_it_means_to_kubectl(line):
    assert json.dumps(load(line["yaml"]), sort_keys=True) == json.dumps(line["json"], sort_keys=True)


@pytest.mark.parametrize("line", REFUSED, ids=lambda line: line["yaml"])
def test_what_kubectl_cannot_send_is_refused(line):
    with pytest.raises(yaml.YAMLError) as caught:
        load(line["yaml"])
    assert caught.value.problem_mark.line in {0, 1}


def test_a_key_that_stands_twice_is_named_with_its_line():
    with pytest.raises(yaml.YAMLError, match="the key 'epochs' stands twice in one mapping") as caught:
        yaml.load("training:\n  epochs: 1\n  epochs: 2\n", Loader=KubectlLoader)
    assert caught.value.problem_mark.line == 2


def test_several_documents_are_read_one_by_one():
    assert list(yaml.load_all("a: on\n---\n---\nb: 1e3\n", Loader=KubectlLoader)) == [{"a": True}, None, {"b": 1000}]


def test_nothing_of_the_ordinary_loader_changes():
    assert yaml.safe_load("y") == "y"
    assert yaml.safe_load("1:30") == 90
