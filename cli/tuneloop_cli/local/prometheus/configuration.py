"""What the Prometheus of local mode is told: its command line, what it scrapes, and with which labels. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_cli.local.processes.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIGURATION, TARGETS, RULES, LOG = "prometheus.json", "targets.json", "recording_rules.yaml", "prometheus.log"
"""Files in its folder, which is its working directory: a path in its configuration would be read as a pattern."""
_RETENTION = ("--storage.tsdb.retention.time=2d", "--storage.tsdb.retention.size=256MB")
_KEPT = ("--storage.tsdb.retention.time=100y",)
"""Of data that were brought: they may be of any time."""
_QUERIES = ("--query.timeout=10s", "--query.max-concurrency=4")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A process whose `/metrics` is scraped. Its labels are those that the PodMonitor of the chart gives it; an empty one is none."""

    address: str
    """HOST:PORT, of loopback."""
    namespace: str = ""
    deployment: str = ""
    revision: str = ""
    """Empty for what serves all revisions."""
    component: str = "server"
    """server, router, comparator, or operator."""


def command(program: str, *, port: int, keeps_all: bool = False) -> list[str]:
    """Return the command; its working directory has the files. keeps_all: whether data of any age stay."""
    listen = f"--web.listen-address={LOOPBACK}:{port}"
    files = (f"--config.file={CONFIGURATION}", "--storage.tsdb.path=data")
    return [program, *files, listen, *(_KEPT if keeps_all else _RETENTION), *_QUERIES, "--log.level=warn"]


def configuration_text(*, scrape_seconds: int) -> str:
    """Return the configuration, as JSON, which is YAML."""
    interval = f"{scrape_seconds}s"
    job = {
        "job_name": "tuneloop",
        "honor_labels": True,  # a series that names its deployment and revision itself keeps them, as in a cluster
        "file_sd_configs": [{"files": [TARGETS], "refresh_interval": "5s"}],
    }
    every = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    return json.dumps({"global": every, "rule_files": [RULES], "scrape_configs": [job]})


def targets_text(targets: Iterable[Target]) -> str:
    """Return the file of targets."""
    return json.dumps(
        [
            {
                "targets": [target.address],
                "labels": {
                    "namespace": target.namespace,
                    "deployment": target.deployment,
                    "revision": target.revision,
                    "component": target.component,
                },
            }
            for target in targets
        ]
    )
