"""Fine-tune on real data, serve the model, send every test sentence to the server, compare the accuracy with the baselines.

The demo uses the command line and HTTP, as a user would. Only the test sentences are read from the prepared data.
"""

from __future__ import annotations

import asyncio
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq
from free_ports import free_port

ROOT = Path(__file__).resolve().parent.parent
TUNELOOP = [str(Path(sys.executable).parent / "tuneloop")]
CLIENTS = 8


def main() -> int:
    """Return 0 if every step worked."""
    started = time.monotonic()
    ran = subprocess.run([*TUNELOOP, "run", "-f", "examples/reviews/job.yaml"], cwd=ROOT, check=False)
    if ran.returncode != 0:
        return ran.returncode
    trained = time.monotonic() - started
    job = _get("ftj")
    sentences, labels = _test_rows(job)
    port = free_port()
    server = subprocess.Popen(
        [*TUNELOOP, "serve", "-f", "examples/reviews/deployment.yaml", "--port", str(port)], cwd=ROOT
    )
    try:
        url = f"http://127.0.0.1:{port}"
        answers, seconds, elapsed = asyncio.run(_request_all(url, sentences, server))
        metrics = asyncio.run(_fetch_text(f"{url}/metrics"))
    finally:
        server.send_signal(signal.SIGINT)
        stopped = server.wait(timeout=90)
    print_baseline_comparison(job)
    right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
    print(f"\nserver        {right}/{len(labels)} right = accuracy {right / len(labels):.4f}, over HTTP")
    print(f"latency       p50 {_quantile(seconds, 0.5):.1f} ms, p99 {_quantile(seconds, 0.99):.1f} ms")
    print(f"throughput    {len(labels) / elapsed:.0f} sentences/s with {CLIENTS} clients")
    print(f"artifact      {job['status']['artifact']['uri']}  {job['status']['artifact']['digest']}")
    print(f"              in this folder: {_local_path(job['status']['artifact']['uri'])}")
    print(
        f"metrics       {url}/metrics while `tuneloop serve -f examples/reviews/deployment.yaml` runs "
        f"({sum(line.startswith('tuneloop_') for line in metrics.splitlines())} series)"
    )
    print(f"time          {trained / 60:.1f} min to train, {(time.monotonic() - started) / 60:.1f} min in all")
    return stopped


def _get(kind: str) -> dict[str, Any]:
    out = subprocess.run([*TUNELOOP, "get", kind, "reviews", "-o", "json"], cwd=ROOT, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(out.stdout)
    return found


def _local_path(uri: str) -> Path:
    claim, path = uri.removeprefix("pvc://").split("/", 1)
    return Path(".tuneloop/claims") / claim / path


def _test_rows(job: dict[str, Any]) -> tuple[list[str], list[str]]:
    digest = job["status"]["data"]["digest"]
    folder = ROOT / ".tuneloop/claims" / job["spec"]["storage"]["claim"] / "datasets" / digest
    rows = pq.read_table(sorted(folder.glob("test-*.parquet")))
    return rows.column("text").to_pylist(), rows.column("label").to_pylist()


async def _request_all(
    url: str, sentences: list[str], server: subprocess.Popen[bytes]
) -> tuple[list[str], list[float], float]:
    async with aiohttp.ClientSession() as http:
        await _until_ready(http, url, server)
        answers: list[str] = [""] * len(sentences)
        seconds: list[float] = []
        rows = iter(enumerate(sentences))

        async def client() -> None:
            for index, sentence in rows:
                began = time.perf_counter()
                async with http.post(url, json={"inputs": sentence, "parameters": {"top_k": 1}}) as reply:
                    reply.raise_for_status()
                    answers[index] = (await reply.json())[0]["label"]
                seconds.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return answers, seconds, time.perf_counter() - began


async def _until_ready(http: aiohttp.ClientSession, url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            async with http.get(f"{url}/readyz") as reply:
                if reply.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)
    sys.exit("the server did not become ready")


async def _fetch_text(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(url) as reply:
        return await reply.text()


def print_baseline_comparison(job: dict[str, Any]) -> None:
    """Print the primary metric of the job's model below that of each baseline. The trainer writes the primary metric first."""
    evaluation = job["status"]["evaluation"]
    primary, *others = evaluation["metrics"]
    print(f"\n{primary['name']} on the test sentences, with 95 % intervals")
    scores = [*evaluation["baselines"], primary | {"name": "after"}]
    width = max(16, *(len(score["name"]) + 1 for score in scores))
    for score in scores:
        bar = "█" * round(score["value"] * 40)
        print(f"  {score['name']:<{width}}{score['value']:.4f}  [{score['low']:.4f}, {score['high']:.4f}]  {bar}")
    for baseline in evaluation["baselines"]:
        gain = f"{primary['name']}_gain_over_{baseline['name'].replace('-', '_')}"
        for paired in (metric for metric in others if metric["name"] == gain):
            ends = f"[{paired['low']:+.4f}, {paired['high']:+.4f}]"
            print(f"  gain over {baseline['name']} on the same rows: {paired['value']:+.4f}  {ends}")


def _quantile(seconds: list[float], q: float) -> float:
    return statistics.quantiles(seconds, n=1000)[round(q * 1000) - 1] * 1000


if __name__ == "__main__":
    sys.exit(main())
