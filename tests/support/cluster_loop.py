"""The loop of retraining on a node: requests turn to other words, a trigger sees it in Prometheus, a run learns them, is compared, gets the requests and takes over.

The task is learned in seconds: each class has words of its own, and the words that requests turn to are in no row of the first model.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster_audit import Asked, asked
from cluster_feedback import secret
from cluster_release import OWNER, Tenant
from cluster_stories import SMALLEST
from enforced_policies import enforced
from labelled_traffic import labelled_traffic
from tiny_models import WORDS, write_csv
from workspace import CLAIM, deployment_manifest, job_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from cluster_prometheus import Prometheus
    from cluster_release import Object, Release
    from labelled_traffic import LabelledAnswer, LabelledTraffic, Rows

NAMESPACE = "loop"
TRIGGER = "wrong"
LABELS = ("class-0", "class-1")
_OPERATOR = "app.kubernetes.io/instance=tuneloop"
_OLD, _NEW = WORDS[:28], WORDS[28:56]
_STEADY, _AFTER = 300, 100
"""Answers that are looked at before the turn, and of the new model alone."""
_FOLDER = f"pvc://{CLAIM}/story"
_COUNTS = 'namespace="{{namespace}}",deployment="{{deployment}}",predicted_by="{{revision}}"'
_LABELLED = f"sum(increase(tuneloop_feedback_total{{{_COUNTS}}}[40s]))"
_RIGHT = f"sum(increase(tuneloop_feedback_correct_total{{{_COUNTS}}}[40s]))"
_WRONG = f"1 - {_RIGHT} / {_LABELLED} and {_LABELLED} >= 40"
"""Share of wrong answers among the labels of forty seconds."""


@dataclass(frozen=True, kw_only=True)
class Looped:
    """What was observed on the way."""

    champion: str
    """Revision of the first model."""
    before: Sequence[LabelledAnswer]
    """Of requests before they turned."""
    runs_before: list[Object]
    baseline: Object
    """The condition MonitoringReady before the turn."""
    targets: dict[str, set[str]]
    """Health of the targets of Prometheus by component, while policies were enforced."""
    turned: Sequence[LabelledAnswer]
    """The last answers of the champion alone, to the new words."""
    trigger: Object
    """`status.retraining.triggers[0]` when the run had begun."""
    columns: list[str]
    """What `kubectl get mdep` showed while the run was on its way."""
    job: Object
    """The job of the run, ended."""
    report: Object
    """Its data report."""
    states: list[str]
    """`status.retraining.state` in the order in which they were seen."""
    run: Object
    """The run in the history, ended."""
    stable: str
    """Revision that served at the end."""
    both: set[str]
    """Revisions that answered while the roll-out was on its way."""
    after: Sequence[LabelledAnswer]
    failures: list[str]
    asked: Asked
    """What the operator asked of the API server."""


def looped(release: Release, prometheus: Prometheus) -> Looped:
    """Go the whole way; nothing but the traffic turns."""
    watch, words = _Watch(release.in_namespace(NAMESPACE)), _write_rows(release.claim / "story")
    watch.tenant.apply(secret(), _job("reviews"), _job("reviews-again", **_AGAIN), _deployment())
    watch.until(lambda: watch.status.get("phase") == "Ready", what="a served model")
    watch.until(lambda: "tuneloop.dev/component" in _service(watch.tenant)["spec"]["selector"], what="routers")
    champion = watch.status["stable"]["revision"]
    with labelled_traffic(f"{_service(watch.tenant)['spec']['clusterIP']}:80", words["old"]) as traffic:
        steady = _steady(watch, traffic)
        drifted = _drifted(watch, traffic, words["new"], prometheus)
        taken_over = _taken_over(watch, traffic)
    job = watch.tenant.get("finetunejobs", watch.runs[0]["job"])
    path = job["status"]["data"]["report"].removeprefix(f"/tuneloop/claims/{CLAIM}/")
    return Looped(
        champion=champion,
        job=job,
        report=json.loads((release.claim / path).read_text()),
        states=watch.states,
        failures=traffic.failures,
        asked=asked(
            release.cluster.audit_log,
            account=release.account,
            namespaces=release.watched,
            release_namespace=release.namespace,
        ),
        **steady,
        **drifted,
        **taken_over,
    )


@dataclass
class _Watch:
    """The deployment, and the states of its loop in the order in which they were seen."""

    tenant: Tenant
    states: list[str] = field(default_factory=list)

    @property
    def status(self) -> Object:
        return self.tenant.status("modeldeployments", "reviews")

    @property
    def runs(self) -> list[Object]:
        return (self.status.get("retraining") or {}).get("history") or []

    def until(self, condition: Callable[[], Any], *, what: str) -> Any:
        """Return the first true value."""

        def look() -> Any:
            state = (self.status.get("retraining") or {}).get("state", "")
            self.states.extend([state] if self.states[-1:] != [state] else [])
            return condition()

        return self.tenant.until(look, what=what)


def _steady(watch: _Watch, traffic: LabelledTraffic) -> dict[str, Any]:
    """Let the first model answer what it knows, until there is a baseline."""
    before = traffic.next(_STEADY)
    watch.until(lambda: "baseline" in (watch.status.get("monitoring") or {}), what="a baseline")
    (baseline,) = [found for found in watch.status["conditions"] if found["type"] == "MonitoringReady"]
    return {"before": before, "baseline": baseline, "runs_before": watch.runs}


def _drifted(watch: _Watch, traffic: LabelledTraffic, rows: Rows, prometheus: Prometheus) -> dict[str, Any]:
    """Turn to other words, and wait for the run. Until it begins, every pod is kept to the policies that are there."""
    release = watch.tenant.release
    with enforced(Tenant(release=release, namespace=release.namespace), _OPERATOR), enforced(watch.tenant):
        traffic.turn(rows)
        watch.until(lambda: watch.runs, what="a run")
        targets = _targets(prometheus)
    return {
        "targets": targets,
        "turned": traffic.answers[-_AFTER:],
        "trigger": watch.status["retraining"]["triggers"][0],
        "columns": watch.tenant.kubectl("get", "mdep", "reviews").splitlines()[1].split(),
    }


def _taken_over(watch: _Watch, traffic: LabelledTraffic) -> dict[str, Any]:
    """Wait for the end of the run, and for answers of one model alone."""
    began = len(traffic.answers)
    watch.until(lambda: "outcome" in watch.runs[0], what="the end of the run")
    stable = watch.status["stable"]["revision"]
    both = {answer.revision for answer in traffic.answers[began:]}
    watch.until(lambda: {answer.revision for answer in traffic.next(20)} == {stable}, what="answers of one model alone")
    return {"run": watch.runs[0], "stable": stable, "both": both, "after": traffic.next(_AFTER)}


def _targets(prometheus: Prometheus) -> dict[str, set[str]]:
    """Return the health of what is scraped, by component."""
    found: dict[str, set[str]] = {}
    for job in prometheus.targets():
        for labels in prometheus.labels(job):
            found.setdefault(labels.get("component", "operator"), set()).add(labels["health"])
    return found


def _service(tenant: Tenant) -> Object:
    """Return the Service that users call."""
    (found,) = [found for found in tenant.list("services") if found["metadata"]["name"] == "reviews"]
    return found


_AGAIN: dict[str, Any] = {
    "suspend": True,
    "evaluation": {
        "bootstrapSamples": 200,
        "baselines": False,
        "compareWith": {"uri": f"pvc://{CLAIM}/champion", "recent": [{"uri": f"{_FOLDER}/recent.csv"}]},
    },
}


def _job(name: str, **spec: Any) -> Object:
    """Return the job of the first model, or the template of the runs."""
    fixed = {
        **SMALLEST,
        "model": {"uri": f"pvc://{CLAIM}/model", "labels": list(LABELS)},
        "data": {split: [{"uri": f"{_FOLDER}/{split}.csv"}] for split in ("train", "validation", "test")},
        "training": {"maxSteps": 100, "globalBatchSize": 16, "microBatchSize": 16, "learningRate": 1e-2},
        "checkpoint": {"everySteps": 100},
        "evaluation": {"bootstrapSamples": 200, "baselines": False},
    }
    return job_manifest(**fixed | spec) | {"metadata": {"name": name}}


def _deployment() -> Object:
    return deployment_manifest(
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        feedback={"labelDelay": "1s", "storeInputs": "all", "storage": {"claim": CLAIM, "subPath": "feedback"}},
        monitoring={"baselineWindow": "10s"},
        rollout={
            "strategy": "Canary",
            "steps": [{"weight": 50, "minRequests": 40}, {"weight": 100, "minRequests": 40}],
            "gates": [{"name": "errors", "metric": "Errors", "margin": 0.15}],
            "shadow": {"percent": 50},
            "rollback": {"baking": "1s", "window": "1s"},
        },
        retraining={
            "enabled": True,
            "jobTemplateRef": {"name": "reviews-again"},
            "data": [{"uri": "feedback://reviews"}],
            "cooldown": "1h",
            "triggers": [
                {"name": TRIGGER, "type": "promql", "query": _WRONG, "threshold": 0.3, "for": "50s", "clearFor": "20s"}
            ],
        },
    )


def _write_rows(folder: Path) -> dict[str, Rows]:
    """Write the rows of the jobs, and return those of the traffic, by their words. No text is in two places."""
    old, new = _sentences(_OLD, 1600, seed=1), _sentences(_NEW, 1400, seed=2)
    folder.mkdir()
    write_csv(folder / "train.csv", old[:400])
    write_csv(folder / "validation.csv", old[400:500])
    # where two models answer all rows alike, nothing is proven: some rows are of the new words
    write_csv(folder / "test.csv", [*old[500:840], *new[:60]])
    write_csv(folder / "recent.csv", new[60:400])
    for path in (folder, *folder.iterdir()):
        os.chown(path, OWNER, OWNER)
    return {"old": old[900:], "new": new[400:]}


def _sentences(words: Sequence[str], count: int, *, seed: int) -> Rows:
    """Return distinct rows; every second word is of one class."""
    source, rows = random.Random(seed), dict[str, str]()
    while len(rows) < count:
        number = len(rows) % len(LABELS)
        rows[" ".join(source.choices(words[number :: len(LABELS)], k=source.randint(4, 8)))] = LABELS[number]
    return list(rows.items())


def accuracy(answers: Iterable[LabelledAnswer]) -> float:
    """Return the share of right answers."""
    found = [answer.is_right for answer in answers]
    return sum(found) / len(found)
