"""What the counting of features costs: its time as a share of the time of the forward passes, in the same run.

    PYTHONPATH=api:server python bench/monitoring.py [--texts 2000] [--clients 32] [--rounds 3]

The service runs in this process on core 0, with the demo's MiniLM and a random head, on real sentences; the clients are coroutines. Counting includes what is
computed of an answer for it alone, and the projections of a pass, which are taken out of its time. Both times are CPU seconds of their threads, so that other load on the machine changes them little.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.monitoring_profile import FeatureProfile, MonitoringProfile
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.features.bins import choice_bins, number_bins, usable_bins
from tuneloop_api.features.projections import PROJECTIONS
from tuneloop_api.features.text import TEXT_FEATURES
from tuneloop_api.features.text_vectors import LastStates
from tuneloop_server.adapters import read_manifests
from tuneloop_server.features import FeatureCounts
from tuneloop_server.lifecycle import ModelService
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.runtimes import runtime_of
from tuneloop_server.runtimes.projecting import Directions
from tuneloop_server.tasks import TASKS, task_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tuneloop_api.contract.artifact import Manifest

ROOT = Path(__file__).parents[1]
DEMO = ROOT / ".tuneloop" / "claims" / "demo"
LABELS = {
    "text-classification": ["negative", "neutral", "positive"],
    "token-classification": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC"],
}
HEADS = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
}


_random = random.Random(0)
DIRECTIONS = {name: [_random.gauss(0.0, 1.0) for _ in range(384)] for name in PROJECTIONS}
"""Of the size of MiniLM's hidden state. What a direction is has no part in the time."""


class Stopwatch:
    """CPU seconds of functions that are part of a forward pass: what projections take there."""

    seconds = 0.0

    def timed(self, function: Any) -> Any:
        def run(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - start

        return run


class TimedCounts(FeatureCounts):
    """Counts, and notes the time that counting takes."""

    seconds = 0.0

    def counter(self, vocabulary: Any) -> Any:
        count = super().counter(vocabulary)

        def timed(*arguments: Any) -> None:
            start = time.thread_time()
            count(*arguments)
            self.seconds += time.thread_time() - start

        return timed


class TimedModel:
    """A model whose forward passes are timed."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, batch: Any) -> Any:
        start = time.thread_time()
        outputs = self._model.predict(batch)
        self.seconds += time.thread_time() - start
        return outputs


class NotedValues(FeatureCounts):
    """Keeps the values, to make bins of them."""

    def __init__(self, directions: Mapping[str, list[float]]) -> None:
        super().__init__(MonitoringProfile(task="", labels=[], temperature=1.0, split="", rows=0), {}, directions)
        self.directions = directions
        self.values: dict[str, list[Any]] = {}

    def add(self, values: Any) -> None:
        for name, value in values.items():
            if value is not None:
                self.values.setdefault(name, []).append(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {0})
    projecting = Stopwatch()
    LastStates.vectors = projecting.timed(LastStates.vectors)
    Directions.projected = projecting.timed(Directions.projected)
    with (DEMO / "movie-reviews.csv").open(encoding="utf-8") as file:
        sentences = [line["sentence"] for line in csv.DictReader(file)]
    texts = random.Random(0).sample(sentences, arguments.texts)
    for task, labels in LABELS.items():
        with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as folder:
            manifest = artifact(Path(folder), task, labels)
            config = ServerConfig(
                namespace="bench", name="reviews", revision="1", artifact_path=folder, artifact_uri="pvc://bench"
            )
            directions = DIRECTIONS if TASKS[task].features.has_projections else {}
            noted = NotedValues(directions)
            asyncio.run(answered(config, noted, texts[:500], clients=arguments.clients))
            profile = profile_of(manifest, noted, config)
            for number in range(arguments.rounds):
                counts = TimedCounts(profile, usable_bins(profile), directions)
                projecting.seconds = 0.0
                passes = asyncio.run(answered(config, counts, texts, clients=arguments.clients)) - projecting.seconds
                parts = {"counting": counts.seconds, "projecting": projecting.seconds}
                took = ", ".join(
                    f"{name} {1e6 * seconds / len(texts):.1f} us a text" for name, seconds in parts.items()
                )
                print(
                    f"{task} round {number + 1}: {len(texts)} texts, passes {passes:.2f} s, {took}, together "
                    f"{sum(parts.values()) / passes:.2%} of the passes",
                    flush=True,
                )
    return 0


def artifact(folder: Path, task: str, labels: Sequence[str]) -> Manifest:
    """Write an artifact of the demo's MiniLM with a random head; returns its manifest."""
    import torch
    import transformers

    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from artifact import write_manifest

    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
    model = getattr(transformers, HEADS[task]).from_pretrained(DEMO / "minilm", num_labels=len(labels), **names)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(folder / "model")
    transformers.AutoTokenizer.from_pretrained(DEMO / "minilm").save_pretrained(folder / "model")
    manifest: Manifest = write_manifest(folder, labels, name="reviews", max_tokens=128, temperature=1.5, task=task)
    return manifest


def profile_of(manifest: Manifest, noted: NotedValues, config: ServerConfig) -> MonitoringProfile:
    """Return the bins of the values of a first run."""
    features = task_of(config, manifest).features
    found = []
    for name in (*TEXT_FEATURES, *features.numbers):
        edges = list(number_bins(noted.values[name]).edges)
        found.append(FeatureProfile(name=name, edges=edges, counts=[0] * (len(edges) + 1)))
    for name, direction in noted.directions.items():
        edges = list(number_bins(noted.values[name]).edges)
        found.append(FeatureProfile(name=name, edges=edges, direction=direction, counts=[0] * (len(edges) + 1)))
    for name, choices in features.choices.items():
        bins = choice_bins(choices(manifest.labels))
        categories = list(map(str, bins.positions))
        found.append(FeatureProfile(name=name, categories=categories, has_other=bins.has_other, counts=[0] * bins.size))
    return MonitoringProfile(
        task=manifest.task,
        labels=manifest.labels,
        temperature=manifest.temperature,
        split="test",
        rows=len(noted.values["text_tokens"]),
        features=found,
    )


async def answered(config: ServerConfig, counts: FeatureCounts, texts: Sequence[str], *, clients: int) -> float:
    """Answer all texts, each client one after the other; returns the CPU seconds of the forward passes."""
    manifest, adapters = read_manifests(config)
    task = task_of(config, manifest)
    monitoring = Monitoring(config, manifest, label_names=task.label_names(manifest.labels))
    runtime, models = runtime_of(config), list[TimedModel]()

    def load(*arguments: Any) -> Any:
        models.append(TimedModel(runtime.load(*arguments)))
        return models[0]

    with ThreadPoolExecutor(1) as worker:
        service = ModelService(
            config,
            manifest,
            task=task,
            runtime=replace(runtime, load=load),
            monitoring=monitoring,
            worker=worker,
            adapters=adapters,
            features=counts,
        )
        running = asyncio.create_task(service.run())
        while service.not_ready_reason is not None:  # noqa: ASYNC110  (the service has no event for it)
            await asyncio.sleep(0.05)
        left = iter(texts)
        await asyncio.gather(*(client(service, left) for _ in range(clients)))
        running.cancel()
    return models[0].seconds


async def client(service: ModelService, texts: Iterator[str]) -> None:
    parameters = service.task.read_parameters({})
    for text in texts:
        json.dumps(await service.answer([text], parameters))


if __name__ == "__main__":
    sys.exit(main())
