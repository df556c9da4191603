"""Series as a scrape in a cluster stores them, with the labels that docs/metrics.md lists; and what the real promtool makes of rules on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from metrics_page import RULES, promtool, rows, without_part

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SECTIONS = (
    "Model servers",
    "Model servers: text generation",
    "Model servers: features",
    "Model servers: feedback",
    "Model servers: rows of feedback",
    "Routers",
    "Operator: deployments",
    "Operator: baselines",
    "Operator: jobs",
    "Operator: itself",
)
BY_NAME = {name: row for section in SECTIONS for name, row in rows(section).items()}
OF = {"namespace": "team", "deployment": "reviews", "pod": "a"}


def series(name: str, values: str, /, **labels: str) -> dict[str, str]:
    """Return a series. Labels that do not matter get any value."""
    base = without_part(name)
    wanted = BY_NAME[base].labels | {"namespace", "deployment", "pod"} | ({"le"} if name.endswith("_bucket") else set())
    given = dict.fromkeys(wanted, "any") | OF | labels
    assert given.keys() == wanted, "a label that no program has"
    return {"series": f"{name}{written(given)}", "values": values}


def written(labels: dict[str, str]) -> str:
    """Return labels as PromQL has them."""
    text = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{{{text}}}"


def sample(value: float, **labels: str) -> dict[str, Any]:
    """Return an expected sample of the deployment."""
    return {"labels": written({"namespace": "team", "deployment": "reviews"} | labels), "value": value}


def check_rules(folder: Path, *tests: dict[str, Any], files: Collection[Path] = (RULES,), every: str = "1m") -> None:
    """Let promtool run tests of these files of rules; fail with what it wrote. every: time between two evaluations, and samples where a test names none."""
    groups = [group["name"] for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    document = {
        "rule_files": [str(file) for file in files],
        # else in any order: with an hour between two evaluations a rule does not find the number of a group that comes later
        "group_eval_order": groups,
        "evaluation_interval": every,
        "tests": [{"interval": every} | test for test in tests],
    }
    written_test = folder / "rules_test.yaml"
    written_test.write_text(json.dumps(document))
    status, output = promtool("test", "rules", str(written_test))
    assert status == 0, output
