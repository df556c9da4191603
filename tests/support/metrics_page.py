"""`docs/metrics.md`, read as tables; what a program exports, read in the same shape; and what promtool says of both."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import cluster_prometheus
import cluster_tier
from prometheus_client.parser import text_string_to_metric_families
from required import skip_or_fail

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/metrics.md").read_text()
RULES = ROOT / "operator/tuneloop_operator/metrics/recording_rules.yaml"
_OF_ALL = re.compile(r"without `namespace`|over all deployments")
_PARTS = ("_bucket", "_sum", "_count")


class Row(NamedTuple):
    """A metric of the page."""

    type: str
    labels: frozenset[str]
    example: str


def rows(section: str) -> dict[str, Row]:
    """Return the metrics of a section, by name."""
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^\| `(\S+)` \| (\w+) \| (.*?) ?\| (.+) \| `(.+)` \|$", text, re.MULTILINE)
    common = re.search(r"^All have (.*?)[.:,] ?", text.replace(", `", " `"), re.MULTILINE)
    shared = set(re.findall(r"`(\w+)`", common[1])) if common else set()
    assert len({name for name, *_ in found}) == len(found), "a metric is there twice"
    return {
        name: Row(
            type_, frozenset({*re.findall(r"`(\w+)`", labels), *(() if _OF_ALL.search(about) else shared)}), example
        )
        for name, type_, labels, about, example in found
    }


def names_and_types(section: str) -> dict[str, str]:
    """Return the type of each metric of a section."""
    return {name: row.type for name, row in rows(section).items()}


def exported_types(text: str) -> dict[str, str]:
    """Return the type of each metric in a text of Prometheus."""
    return dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))


def exported_labels(text: str) -> dict[str, set[str]]:
    """Return the labels of the series of each metric, by the metric's name."""
    types, found = exported_types(text), {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = next(
                (n for part in _PARTS if types.get(n := sample.name.removesuffix(part)) == "histogram"), sample.name
            )
            found.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    return found  # fmt: skip


def assert_documented(text: str, *sections: str) -> None:
    """The text of a program has exactly the metrics of these sections, with their types, and their labels where it has series."""
    documented = {name: row for section in sections for name, row in rows(section).items()}
    types = {
        name: type_ for name, type_ in exported_types(text).items() if not name.startswith(("process_", "python_"))
    }
    assert types == {name: row.type for name, row in documented.items()}
    for name, labels in exported_labels(text).items():
        if name in documented:
            assert labels == documented[name].labels, name


def names_in_rules(prefix: str) -> set[str]:
    """Return the names of exported metrics in the recording rules that begin so; `_bucket`, `_sum` and `_count` are parts of a histogram."""
    lines = [line for line in RULES.read_text().splitlines() if not line.lstrip().startswith("#")]
    names = re.findall(rf"(?<![\w:]){prefix}_\w+(?!\w*:)", "\n".join(lines))
    return {without_part(name) for name in names}


def without_part(name: str) -> str:
    """Return the name of the metric that a series belongs to."""
    return next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), name)


def promtool(*arguments: str, given: str = "") -> tuple[int, str]:
    """Return the exit status of promtool, and what it wrote. Skip or fail where there is none."""
    if problem := cluster_prometheus.missing(say=print, may_install=cluster_tier.required()):
        skip_or_fail(problem)
    done = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def lint(text: str) -> list[str]:
    """Return what `promtool check metrics` finds wrong in a text of Prometheus."""
    return promtool("check", "metrics", given=text)[1].splitlines()
