"""A real Prometheus (Debian's package) that scrapes pods, and its answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from build_lock import locked
from cluster.binaries import cache_folder
from free_ports import free_port
from waiting import deadline_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


def missing(*, say: Callable[[str], None], may_install: bool) -> str:
    """Return why there is no Prometheus here, as a sentence; empty if there is one. `may_install`: as a Debian package."""
    if shutil.which("prometheus") and shutil.which("promtool"):
        return ""
    install = ["apt-get", "install", "-y", "--no-install-recommends", "prometheus"]
    if not may_install:
        return f"there is no Prometheus: {' '.join(install)}"
    with locked(cache_folder() / "apt.lock", say=say):  # other workers of the same tier may be installing it
        if shutil.which("prometheus") and shutil.which("promtool"):
            return ""
        for command in (["apt-get", "update"], install):
            say(f"running {' '.join(command)}")
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"Prometheus cannot be installed: {done.stderr.strip()[-400:]}"
    return ""


def version() -> str:
    """Return the version of the program, such as 2.42.0."""
    shown = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+\.\d+\.\d+)", shown.stdout + shown.stderr)
    assert found, shown.stdout
    return found[1]


@dataclass(frozen=True)
class Prometheus:
    """Where it is."""

    url: str

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query: their labels, with the value as `value`."""
        result = self._get("query", query=text)["result"]
        return [sample["metric"] | {"value": float(sample["value"][1])} for sample in result]

    def targets(self) -> dict[str, tuple[str, str]]:
        """Return the health of each job's target, and what its last scrape complained of."""
        active = self._get("targets", state="active")["activeTargets"]
        return {target["labels"]["job"]: (target["health"], target["lastError"]) for target in active}

    def labels(self, job: str) -> list[dict[str, str]]:
        """Return the labels of a job's targets, each with its health as `health`."""
        active = self._get("targets", state="active")["activeTargets"]
        return [target["labels"] | {"health": target["health"]} for target in active if target["labels"]["job"] == job]

    def _get(self, page: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{page}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as reply:
            return json.load(reply)["data"]


@contextmanager
def scraping(targets: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """Run it on loopback; `targets`: job → HOST:PORT, scraped each second."""
    jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    with running(configuration, folder) as prometheus:
        yield prometheus


@contextmanager
def running(configuration: Path, folder: Path, *, address: str = "") -> Iterator[Prometheus]:
    """Run it with a configuration file; `folder`: for its data and log; `address`: HOST:PORT, by default a port of loopback."""
    address = address or f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={address}", "--log.level=warn"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until_ready(f"http://{address}/-/ready", process)
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=20)


def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = deadline_after(30)
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert process.poll() is None, f"prometheus ended with {process.returncode}"
            assert time.monotonic() < deadline, "prometheus is not ready in time"
            time.sleep(0.1)


def complaint(check: str, file: Path) -> str:
    """Return what `promtool check CHECK FILE` finds wrong with a file; empty if nothing. `check`: config or rules."""
    done = subprocess.run(["promtool", "check", check, str(file)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
