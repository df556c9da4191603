"""The alerts of the chart, with the series of the fault that each is for, and of what looks like it."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml
from metrics_page import ROOT, rows
from rule_series import series, written

FILE = ROOT / "charts/tuneloop/rules-files/alerts.yaml"
GROUPS = yaml.safe_load(FILE.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DEPLOYMENT = {"namespace": "team", "deployment": "reviews"}
REVISION = DEPLOYMENT | {"revision": "03ab"}
FEATURE = REVISION | {"feature": "tokens"}
Given = list[dict[str, str]]


def recorded(name: str, values: str, **labels: str) -> dict[str, str]:
    """Return the series that a recording rule makes."""
    assert name in rows("Recording rules")
    return {"series": f"{name}{written(REVISION | labels)}", "values": values}


def servers(ready: str, wanted: str) -> Given:
    values = {"ready": ready, "wanted": wanted}
    return [series("tuneloop_model_deployment_servers", numbers, state=state) for state, numbers in values.items()]


def condition(type_: str, status: str) -> dict[str, str]:
    return series("tuneloop_model_deployment_status_condition", "1x60", condition=type_, status=status)


def phase(word: str) -> dict[str, str]:
    return series("tuneloop_rollout_phase", "1x60", phase=word)


def requests(**by_code: float) -> Given:
    """Return requests per second by status."""
    return [recorded("tuneloop:requests:rate5m", f"{rate}x60", code=code.strip("_")) for code, rate in by_code.items()]


def overloaded(per_minute: int, *, reason: str = "overloaded") -> Given:
    return [
        series("tuneloop_requests_total", "0+100x60", revision="03ab", reason="ok", code="200"),
        series("tuneloop_requests_total", f"0+{per_minute}x60", revision="03ab", reason=reason, code="503"),
    ]


def drift(psi: float, *, critical: float = 0.03, samples: int = 1000) -> Given:
    values = {
        "tuneloop:feature_psi:1h": psi,
        "tuneloop:feature_psi_critical:1h": critical,
        "tuneloop:feature_samples:increase1h": samples,
    }
    return [recorded(name, f"{value}x60", feature="tokens") for name, value in values.items()]


def answers(share: float, *, before: float = 0.02, z: float = 9.0, samples: int = 1000, **of: str) -> Given:
    """Return generated answers: the share of a bin, and what it was in the baseline window."""
    found = {"feature": "answer_kind", "bin": "2"} | of
    return [
        recorded("tuneloop:feature_bin:ratio1h", f"{share}x60", **found),
        series("tuneloop_reference_bin_ratio", f"{before}x60", revision="03ab", **found),
        recorded("tuneloop:answer_bin:z1h", f"{z}x60", **found),
        recorded("tuneloop:feature_samples:increase1h", f"{samples}x60", feature=found["feature"]),
    ]


def truncated(share: float, *, answered: int = 1000) -> Given:
    return [
        recorded("tuneloop:truncated_requests:ratio1h", f"{share}x60"),
        recorded("tuneloop:answered_requests:increase1h", f"{answered}x60"),
    ]


def invalid(share: float, *, per_minute: int) -> Given:
    return [
        recorded("tuneloop:invalid_requests:ratio1h", f"{share}x60"),
        series("tuneloop_requests_total", f"0+{per_minute}x60", revision="03ab", reason="validation", code="422"),
    ]


def texts(kind: str, share: float, *, count: int = 1000) -> Given:
    return [
        recorded("tuneloop:texts:ratio1h", f"{share}x60", kind=kind),
        recorded("tuneloop:texts:increase1h", f"{count}x60"),
    ]


def of_one_client(labels: int, right: int, *, of: tuple[int, int] = (1000, 640)) -> Given:
    """Return labels and right ones of the client with the most wrong ones. of: those of all clients."""
    values = {
        "tuneloop:feedback_labels:all": of[0],
        "tuneloop:feedback_correct:all": of[1],
        "tuneloop:feedback_worst_client_labels:count": labels,
        "tuneloop:feedback_worst_client_correct:count": right,
    }
    return [recorded(name, f"{value}x60") for name, value in values.items()]


def labelled(*, upper: str, lower: str, labels: str = "500x14") -> Given:
    """Return what labels say each day."""
    return [
        recorded("tuneloop:feedback_accuracy:upper95", upper),
        recorded("tuneloop:feedback_accuracy:lower95", lower),
        recorded("tuneloop:feedback_labels:mature", labels),
    ]


def coverage(predictions: int, share: float | None) -> Given:
    found = [recorded("tuneloop:feedback_predictions:mature", f"{predictions}x400")]
    return found + ([] if share is None else [recorded("tuneloop:feedback_coverage:ratio", f"{share}x400")])


def unwritten(**values: str) -> Given:
    """Return how often each server could not write."""
    name = "tuneloop_feedback_write_failures_total"
    return [series(name, counts, pod=pod, revision="03ab") for pod, counts in values.items()]


def collected(*, waiting: str, written: str) -> Given:
    """Return the rows of a server that wait for the bucket, and those that are there."""
    return [
        series("tuneloop_feedback_rows_waiting", waiting, pod="a", revision="03ab"),
        series("tuneloop_feedback_rows_total", written, pod="a", revision="03ab", outcome="written"),
    ]


def failed(values: str, *, class_: str = "OutOfMemory", result: str = "Failed") -> Given:
    return [
        series(
            "tuneloop_job_completed_total", values, namespace="team", name="tickets", result=result, **{"class": class_}
        )
    ]


def job(name: str, values: str) -> Given:
    return [series(name, values, namespace="team", name="tickets")]


def retrains(values: str, outcome: str, *, pods: tuple[str, ...] = ("a",)) -> Given:
    """Return the counts of runs that replicas of the operator show."""
    return [series("tuneloop_retrains_total", values, pod=pod, trigger="drift", outcome=outcome) for pod in pods]


def blocked(reason: str) -> Given:
    return [series("tuneloop_retrain_blocked", "1x60", reason=reason)]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an alert says of some series."""

    fault: Given
    similar: dict[str, Given]
    """What must not fire, by its description."""
    labels: dict[str, str] = field(default_factory=lambda: DEPLOYMENT)
    at: str = "45m"
    step: str = "1m"


CASES = {
    "TuneloopDeploymentUnavailable": Case(
        fault=servers("2x5 0x55", "2x60"),
        similar={
            "one of two servers answers": servers("1x60", "2x60"),
            "it sleeps": servers("0x60", "0x60"),
            "it has never answered": [condition("Ready", "False")],
            "a minute without servers": servers("2x43 0x17", "2x60"),
        },
    ),
    "TuneloopHighErrorRatio": Case(
        fault=requests(_200=1.0, _500=0.05, _503=0.05),
        similar={
            "few failures": requests(_200=1.0, _500=0.04),
            "mistakes of clients": requests(_200=1.0, _422=0.9),
            "one failure of three requests": requests(_200=0.006, _500=0.003),
        },
    ),
    "TuneloopLatencyHigh": Case(
        fault=[recorded("tuneloop:request_duration_seconds:p95_5m", "0.1x200 0.25x60")],
        at="240m",
        similar={
            "slow as ever": [recorded("tuneloop:request_duration_seconds:p95_5m", "2x260")],
            "a little slower": [recorded("tuneloop:request_duration_seconds:p95_5m", "0.1x200 0.19x60")],
            "twice as long as nothing": [recorded("tuneloop:request_duration_seconds:p95_5m", "0.01x200 0.03x60")],
            "a new deployment": [recorded("tuneloop:request_duration_seconds:p95_5m", "_x200 5x60")],
        },
    ),
    "TuneloopQueueSaturated": Case(
        fault=overloaded(5),
        similar={"hardly ever": overloaded(0), "another failure": overloaded(50, reason="model_error")},
    ),
    "TuneloopModelLoadFailed": Case(
        fault=[condition("Stalled", "True"), condition("Accepted", "True"), phase("Starting")],
        similar={
            "a roll-out waits for a person": [condition("Stalled", "True"), phase("Paused")],
            "a gate has taken a revision back": [condition("Stalled", "True"), phase("RolledBack")],
            "a spec is refused": [condition("Stalled", "True"), condition("Accepted", "False")],
            "servers start": [condition("Reconciling", "True"), condition("Ready", "False")],
        },
    ),
    "TuneloopMetricsAbsent": Case(
        fault=[*servers("1x60", "1x60"), series("tuneloop_model_loaded", "1x10 _x50", revision="03ab")],
        similar={
            "one of two servers is scraped": [
                *servers("2x60", "2x60"),
                series("tuneloop_model_loaded", "1x10 _x50", revision="03ab"),
                series("tuneloop_model_loaded", "1x60", revision="03ab", pod="b"),
            ],
            "another image": servers("1x60", "1x60"),
            "it went to sleep": [
                *servers("1x10 0x50", "1x10 0x50"),
                series("tuneloop_model_loaded", "1x10 _x50", revision="03ab"),
            ],
        },
    ),
    "TuneloopCanaryStuck": Case(
        fault=[phase("Held")],
        similar={"it waits for approval, as it should": [phase("Paused")], "it goes on": [phase("Progressing")]},
    ),
    "TuneloopCanaryRolledBack": Case(
        fault=[series("tuneloop_rollouts_total", "0x10 1x50", outcome="RolledBack")],
        labels=DEPLOYMENT | {"outcome": "RolledBack"},
        similar={
            "a person has aborted it": [series("tuneloop_rollouts_total", "0x10 1x50", outcome="Aborted")],
            "it was promoted": [series("tuneloop_rollouts_total", "0x10 1x50", outcome="Promoted")],
            "an old one, and another operator": [series("tuneloop_rollouts_total", "3x60", outcome="RolledBack")],
        },
    ),
    "TuneloopFeatureDrift": Case(
        fault=drift(0.35),
        labels=FEATURE,
        similar={
            "significant, and small": drift(0.15),
            "large, and within the noise of so few": drift(0.25, critical=0.3),
            "beyond the noise, of too few texts": drift(0.9, critical=0.5, samples=150),
            "without a baseline": drift(0.35)[2:],
        },
    ),
    "TuneloopAnswersDegraded": Case(
        fault=answers(0.2) + answers(0.9, before=0.1, feature="answer_kind", bin="3")[:3],
        labels=REVISION | {"feature": "answer_kind", "bin": "2"},
        similar={
            "beyond chance, and 4 points": answers(0.06),
            "18 points, and within chance": answers(0.2, z=2.0),
            "beyond chance, of too few answers": answers(0.2, samples=150),
            "fewer than before": answers(0.02, before=0.2, z=-9.0),
            "without a baseline": answers(0.2)[:1] + answers(0.2)[3:],
            "more answers end by themselves": answers(0.9, before=0.1, feature="finish_reason", bin="1"),
            "more answers are sound": answers(0.9, before=0.1, bin="3"),
            "another feature": answers(0.9, before=0.1, feature="text_tokens", bin="0"),
        },
    ),
    "TuneloopInputQuality": Case(
        fault=truncated(0.1) + invalid(0.0, per_minute=0),
        labels=REVISION,
        similar={
            "a few are cut": truncated(0.03) + invalid(0.05, per_minute=50),
            "half of ten": truncated(0.5, answered=10),
            "three of five are no inputs": invalid(0.6, per_minute=1),
            "a few are garbled": texts("garbled", 0.05),
            "half of ten are blank": texts("blank", 0.5, count=10),
            "a third comes again": texts("repeated", 0.3),
            "all are sound": texts("sound", 1.0),
        },
    ),
    "TuneloopQualityDegraded": Case(
        fault=labelled(upper="0.95x9 0.85x5", lower="0.9x9 0.8x5"),
        labels=REVISION,
        at="12d",
        step="1d",
        similar={
            "the intervals overlap": labelled(upper="0.95x9 0.91x5", lower="0.9x9 0.86x5"),
            "few labels then": labelled(upper="0.95x9 0.85x5", lower="0.9x9 0.8x5", labels="50x9 500x5"),
            "few labels now": labelled(upper="0.95x9 0.85x5", lower="0.9x9 0.8x5", labels="500x9 50x5"),
            "a revision of a week": labelled(upper="_x9 0.5x5", lower="_x9 0.4x5"),
        },
    ),
    "TuneloopFeedbackOfOneClient": Case(
        fault=of_one_client(330, 10),
        labels=REVISION,
        similar={
            "no client is known": of_one_client(0, 0),
            "the only client": of_one_client(1000, 640),
            "the others say the same": of_one_client(600, 380),
            "half of what is wrong": of_one_client(330, 160),
            "few labels": of_one_client(40, 0, of=(1000, 950)),
            "nothing is wrong": of_one_client(300, 300, of=(1000, 1000)),
        },
    ),
    "TuneloopLabelsMissing": Case(
        fault=coverage(5000, 0.002),
        labels=REVISION,
        at="390m",
        step="10m",
        similar={
            "a label for one in ten": coverage(5000, 0.1),
            "few predictions": coverage(500, 0.0),
            "days that are not mature": [],
        },
    ),
    "TuneloopFeedbackNotWritten": Case(
        fault=unwritten(a="0x10 0+12x50", b="0x60"),
        similar={
            "a disk that was full for some minutes": unwritten(a="0x35 0+12x3 36x30"),
            "old files that cannot be removed, on many servers": unwritten(**dict.fromkeys("abcdefgh", "0x30 1x30")),
            "rows are written": unwritten(a="0x60"),
            "rows are collected for an object of the bucket": collected(waiting="0x5 3x60", written="0x12 1+1x50"),
            "rows wait for less than half an hour": collected(waiting="0x20 3x40", written="0x60"),
        },
    ),
    "TuneloopOperatorDown": Case(
        fault=[],
        labels={},
        similar={"one of two is away": [series("tuneloop_build_info", "1x60", pod="b")]},
    ),
    "TuneloopNoLeader": Case(
        fault=[series("tuneloop_leader", "0x60"), series("tuneloop_leader", "0x60", pod="b")],
        labels={"namespace": "team"},
        similar={
            "the other one leads": [series("tuneloop_leader", "0x60"), series("tuneloop_leader", "1x60", pod="b")],
            "a change of the leader": [series("tuneloop_leader", "1x43 0x17")],
        },
    ),
    "TuneloopTrainingStuck": Case(
        fault=job("tuneloop_job_heartbeat_timestamp_seconds", "0+60x10 600x50"),
        labels={"namespace": "team", "name": "tickets"},
        similar={
            "it reports": job("tuneloop_job_heartbeat_timestamp_seconds", "0+60x60"),
            "it is over": job("tuneloop_job_heartbeat_timestamp_seconds", "0+60x10 _x50"),
            "a long save": job("tuneloop_job_heartbeat_timestamp_seconds", "0+60x35 2100x25"),
        },
    ),
    "TuneloopJobFailed": Case(
        fault=failed("_x10 1x50"),
        labels={"namespace": "team", "name": "tickets", "class": "OutOfMemory"},
        similar={"it has succeeded": failed("_x10 1x50", class_="", result="Succeeded")},
    ),
    "TuneloopRetrainBlocked": Case(
        fault=blocked("NoNewData") + retrains("0x2 1x10 2x50", "NoNewData"),
        labels=DEPLOYMENT | {"reason": "NoNewData"},
        at="560m",
        step="10m",
        similar={
            "it pauses after one run without new data": blocked("NoNewData") + retrains("0x2 1x60", "NoNewData"),
            "it waits for the cooldown": blocked("Cooldown"),
            "a run is on its way": blocked("RunInFlight"),
            "a person wants it so": blocked("DryRun"),
        },
    ),
    "TuneloopRetrainFailing": Case(
        fault=retrains("0x2 1x10 2x50", "Failed"),
        at="40h",
        step="1h",
        similar={
            "one of two, seen by two operators": retrains("0x2 1x60", "Failed", pods=("a", "b")),
            "rejected ones": retrains("0x2 1x10 2x50", "Rejected"),
            "long ago": retrains("2x60", "Failed"),
        },
    ),
    "TuneloopRetrainStorm": Case(
        fault=retrains("0x2 1x2 2x2 3x2 4x50", "Rejected"),
        at="20h",
        step="1h",
        similar={
            "three": retrains("0x2 1x2 2x2 3x50", "Rejected"),
            "two, seen by two operators": retrains("0x2 1x2 2x50", "Rejected", pods=("a", "b")),
            "dry runs": retrains("0x2 1x2 2x2 3x2 4x50", "DryRun"),
        },
    ),
}
