"""A real Prometheus (Debian's package) that scrapes addresses of pods, and its answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from free_ports import free_port
from waiting import deadline_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


def missing(*, say: Callable[[str], None], may_install: bool) -> str:
    """Return why there is no Prometheus here, as a sentence; empty if there is one. `may_install`: as a Debian package."""
    if shutil.which("prometheus"):
        return ""
    install = ["apt-get", "install", "-y", "--no-install-recommends", "prometheus"]
    if not may_install:
        return f"there is no Prometheus: {' '.join(install)}"
    say(f"running {' '.join(install)}")
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"Prometheus cannot be installed: {done.stderr.strip()[-400:]}"


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

    def _get(self, page: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{page}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as reply:
            return json.load(reply)["data"]


@contextmanager
def scraping(targets: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """Run it on loopback; `targets`: job → HOST:PORT, scraped each second."""
    port = free_port()
    jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until_ready(f"http://127.0.0.1:{port}/-/ready", process)
        yield Prometheus(f"http://127.0.0.1:{port}")
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
