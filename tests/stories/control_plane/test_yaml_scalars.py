"""The table of tests/golden/yaml_scalars.json is what kubectl does, and the command line's loader does the same beyond the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tuneloop_cli.manifests.yaml_scalars import KubectlLoader

TABLE = json.loads((Path(__file__).parents[2] / "golden/yaml_scalars.json").read_text())
IN_A_NUMBER = st.text("0123456789+-._eExXbBoOaf", min_size=1, max_size=8)
IN_A_WORD = st.text("yYeEsSnNoOfFtTrRuUaAlL~.+-iIN<", min_size=1, max_size=6)


def test_the_table_is_what_kubectl_does(control_plane):
    accepted = [line for line in TABLE if "json" in line]
    values = read_by_kubectl(control_plane, [line["yaml"] for line in accepted])
    assert [(line["yaml"], line["json"]) for line in accepted] == [
        (line["yaml"], value) for line, value in zip(accepted, values, strict=True)
    ]


@pytest.mark.parametrize("line", [line for line in TABLE if "refused" in line], ids=lambda line: line["yaml"])
def test_kubectl_refuses_what_the_table_says_it_refuses(control_plane, line):
    with pytest.raises(AssertionError, match="error parsing STDIN"):
        read_by_kubectl(control_plane, [line["yaml"]])


def test_random_scalars_mean_the_same_to_kubectl_and_to_the_command_line(control_plane):
    scalars = []

    @seed(1)
    @settings(max_examples=3000, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(IN_A_NUMBER | IN_A_WORD)
    def collect(text):
        try:
            scalars.append((text, yaml.load(f"value: {text}\n", Loader=KubectlLoader)["value"]))
        except yaml.YAMLError:
            return  # a dash that begins a list, or infinity: the table has those

    collect()
    values = read_by_kubectl(control_plane, [text for text, _ in scalars])
    assert len(scalars) > 2000
    assert [pair for pair in zip(scalars, values, strict=True) if typed(pair[0][1]) != typed(pair[1])] == []


def read_by_kubectl(plane, texts):
    """Return what kubectl makes of each text as a value."""
    lines = "".join(f"  v{number}: {text}\n" for number, text in enumerate(texts))
    manifest = f"apiVersion: v1\nkind: Thing\nmetadata: {{name: a}}\nvalues:\n{lines}"
    done = plane.kubectl("annotate", "--local", "-f", "-", "-o", "json", "read=yes", stdin=manifest)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)["values"]
    return [as_the_server_decodes(values[f"v{number}"]) for number in range(len(texts))]


def as_the_server_decodes(value):
    """Whole numbers beyond 64 bits are printed in full, and decoded as decimals."""
    return float(value) if type(value) is int and not -(2**63) <= value < 2**63 else value


def typed(value):
    return type(value), value
