"""What `serve.py` sends, and what it measures of a server: requests per second, CPU time, latencies."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXTS = 512
LONG_EACH = 8
"""One of so many mixed texts is long."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """What a client sends for a text."""

    path: str
    document: Callable[[str], dict[str, str]]


APIS = {
    "predict": Api(path="/predict", document=lambda text: {"inputs": text}),
    "embeddings": Api(path="/v1/embeddings", document=lambda text: {"input": text}),
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a run."""

    rate: float
    per_core_second: float
    p50: float = 0.0
    p99: float = 0.0
    cpu_p99: float = 0.0
    """p99 in seconds of the server's CPU time, which other programs on its core do not lengthen as they do wall time."""


# --- texts ----------------------------------------------------------------------------------------------------------------------------


def texts_of(kind: str, path: Path, *, artifact: Path) -> list[str]:
    """Return 512 texts. kind: `short` (a sentence), `long` (sentences up to the model's limit), `mixed` (one of eight is long)."""
    with path.open(encoding="utf-8") as file:
        sentences = [row["sentence"] for row in csv.DictReader(file)]
    short = random.Random(0).sample(sentences, TEXTS)
    if kind == "short":
        return short
    long = long_texts(random.Random(1).sample(sentences, len(sentences)), artifact=artifact)
    return long if kind == "long" else [*short[: TEXTS - TEXTS // LONG_EACH], *long[: TEXTS // LONG_EACH]]


def long_texts(sentences: Sequence[str], *, artifact: Path) -> list[str]:
    """Return texts of so many sentences that one more would be cut off."""
    most = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["maxTokens"]
    tokenizer = Tokenizer.from_file(str(artifact / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts, text = [], ""
    for number in range(len(sentences) * 100):
        if len(texts) == TEXTS:
            break
        more = f"{text} {sentences[number % len(sentences)]}".strip()
        if text and len(tokenizer.encode(more)) > most:
            texts.append(text)
            text = ""
        else:
            text = more
    return texts


# --- a run ----------------------------------------------------------------------------------------------------------------------------


def wait_until_ready(url: str, *, ended: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            if time.monotonic() > deadline or ended():
                raise
            time.sleep(0.2)
        else:
            return


class Counting:
    """The latencies of the requests that end between `begin` and `end`."""

    def __init__(self, clients: int) -> None:
        self.latencies: list[float] = []
        self.cpu_latencies: list[float] = []
        self.begin = self.end = float("inf")
        self.all_warm = asyncio.Event()
        """Each client was answered at least once."""
        self._cold = clients

    def answered(self, *, begin: float, cpu: float, first: bool) -> bool:
        """Count an answer. cpu: seconds that the server computed for it and for others. Returns whether the client goes on."""
        now = time.perf_counter()
        self._cold -= first
        if self._cold == 0:
            self.all_warm.set()
        if self.begin <= now < self.end:
            self.latencies.append(now - begin)
            self.cpu_latencies.append(cpu)
        return now < self.end


async def load(port: int, pid: int, texts: Sequence[str], *, api: Api, clients: int, seconds: float) -> Figures:
    """Send for a while, after a warm-up of a quarter of it in which each client is answered; every answer must be 200."""
    counting = Counting(clients)
    tasks = [
        asyncio.create_task(client(port, pid, texts, api, seed=seed, counting=counting)) for seed in range(clients)
    ]
    warm = asyncio.create_task(counting.all_warm.wait())
    await asyncio.sleep(seconds / 4)
    await asyncio.wait([warm, *tasks], timeout=120, return_when=asyncio.FIRST_COMPLETED)
    warm.cancel()
    counting.begin = time.perf_counter()
    counting.end = counting.begin + seconds
    cpu = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    cpu = cpu_seconds(pid) - cpu
    await asyncio.wait_for(asyncio.gather(*tasks), timeout=120)
    latencies, cpu_latencies = sorted(counting.latencies), sorted(counting.cpu_latencies)
    return Figures(
        rate=len(latencies) / seconds,
        per_core_second=len(latencies) / max(cpu, 1e-9),
        p50=latencies[len(latencies) // 2],
        p99=latencies[int(len(latencies) * 0.99)],
        cpu_p99=cpu_latencies[int(len(latencies) * 0.99)],
    )


async def client(port: int, pid: int, texts: Sequence[str], api: Api, *, seed: int, counting: Counting) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    order = random.Random(seed)
    goes_on = first = True
    while goes_on:
        begin, cpu = time.perf_counter(), time.clock_gettime(cpu_clock(pid))
        body = json.dumps(api.document(order.choice(texts))).encode()
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (api.path.encode(), port, len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a request was not answered 200: {head[:80]!r}")
        goes_on = counting.answered(begin=begin, cpu=time.clock_gettime(cpu_clock(pid)) - cpu, first=first)
        first = False
    writer.close()


def cpu_clock(pid: int) -> int:
    """Return the id of a process's CPU clock (clock_getcpuclockid(3); Linux)."""
    return (~pid << 3) | 2


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
