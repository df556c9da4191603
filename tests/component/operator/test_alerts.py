"""Each alert by the real promtool: it fires on its fault, and not on what looks like it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from alert_cases import (
    ALERTS,
    CASES,
    FILE,
    GROUPS,
    REVISION,
    Case,
    Given,
    answers,
    blocked,
    collected,
    failed,
    invalid,
    texts,
)
from metrics_page import ROOT, rows, without_part
from rule_series import BY_NAME, OF, check_rules, written


def firing(
    name: str, given: Given, case: Case, labels: list[dict[str, str]], *, at: str | None = None
) -> dict[str, Any]:
    """Return the test that an alert fires with exactly these labels."""
    fixed = {"__name__": "ALERTS", "alertname": name, "alertstate": "firing", **ALERTS[name]["labels"]}
    samples = [{"labels": written(fixed | found), "value": 1} for found in labels]
    expr = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    test = {"expr": expr, "eval_time": at or case.at, "exp_samples": samples}
    return {"interval": case.step, "input_series": given, "promql_expr_test": [test]}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_on_its_fault_and_not_on_what_looks_like_it(name, tmp_path):
    case = CASES[name]
    fault = firing(name, case.fault, case, [case.labels]) | {"name": "its fault"}
    similar = [firing(name, given, case, []) | {"name": what} for what, given in case.similar.items()]
    check_rules(tmp_path, fault, *similar, files=[FILE], every=case.step)


def test_invalid_inputs_are_an_alert_even_if_no_request_is_answered(tmp_path):
    case = CASES["TuneloopInputQuality"]
    given = invalid(1.0, per_minute=50)
    check_rules(tmp_path, firing("TuneloopInputQuality", given, case, [REVISION], at="59m"), files=[FILE])


@pytest.mark.parametrize(
    "of",
    [
        pytest.param({"feature": "finish_reason", "bin": "0"}, id="cut"),
        pytest.param({"feature": "answer_kind", "bin": "0"}, id="empty"),
        pytest.param({"feature": "answer_kind", "bin": "1"}, id="refused"),
    ],
)
def test_more_broken_answers_than_before_are_an_alert(of, tmp_path):
    case = CASES["TuneloopAnswersDegraded"]
    check_rules(tmp_path, firing("TuneloopAnswersDegraded", answers(0.2, **of), case, [REVISION | of]), files=[FILE])


@pytest.mark.parametrize(("kind", "share"), [("blank", 0.2), ("garbled", 0.2), ("repeated", 0.6)])
def test_inputs_that_are_not_fit_to_be_answered_are_an_alert(kind, share, tmp_path):
    case = CASES["TuneloopInputQuality"]
    check_rules(tmp_path, firing("TuneloopInputQuality", texts(kind, share), case, [REVISION]), files=[FILE])


@pytest.mark.parametrize("reason", ["TemplateNotUsable", "Budget", "DataQuality"])
def test_a_block_that_a_person_must_end_is_an_alert_without_a_run(reason, tmp_path):
    case = CASES["TuneloopRetrainBlocked"]
    labels = case.labels | {"reason": reason}
    check_rules(
        tmp_path,
        firing("TuneloopRetrainBlocked", blocked(reason), case, [labels], at="400m"),
        files=[FILE],
        every=case.step,
    )


def test_rows_that_wait_for_half_an_hour_while_none_is_written_are_an_alert(tmp_path):
    """A bucket that never answers makes fewer failures than a disk that is full."""
    name = "TuneloopFeedbackNotWritten"
    given = collected(waiting="3x60", written="5x60")
    check_rules(tmp_path, firing(name, given, CASES[name], [CASES[name].labels]), files=[FILE], every=CASES[name].step)


def test_a_failed_job_is_an_alert_for_a_day(tmp_path):
    case = Case(fault=failed("1x30"), similar={}, step="1h")
    of_a_day, later = (
        firing("TuneloopJobFailed", case.fault, case, labels, at=at)
        for at, labels in (("20h", [CASES["TuneloopJobFailed"].labels]), ("28h", []))
    )
    tests = of_a_day["promql_expr_test"] + later["promql_expr_test"]
    check_rules(tmp_path, of_a_day | {"promql_expr_test": tests}, files=[FILE], every="1h")


def test_every_alert_has_its_severity_its_words_its_runbook_and_its_cases():
    assert ALERTS.keys() == CASES.keys()
    assert len(ALERTS) == sum(len(group["rules"]) for group in GROUPS)
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
        page = ROOT / alert["annotations"]["runbook_url"]
        assert page.relative_to(ROOT).as_posix() == f"docs/runbooks/{name}.md"
        assert page.read_text().startswith(f"# {name}\n")
    assert {page.stem for page in (ROOT / "docs/runbooks").glob("Tuneloop*.md")} == ALERTS.keys()


def test_the_alerts_use_what_the_page_lists():
    text = "\n".join(alert["expr"] for alert in ALERTS.values())
    names = set(re.findall(r"tuneloop[_:][\w:]+", text))
    assert len(names) > 20
    assert {without_part(name) for name in names} <= BY_NAME.keys() | rows("Recording rules").keys()


def test_a_description_names_what_the_alert_is_about():
    for name, case in CASES.items():
        used = set(re.findall(r"\$labels\.(\w+)", ALERTS[name]["annotations"]["description"]))
        assert used <= case.labels.keys(), name
        assert {label for label in used if label in OF} == case.labels.keys() & OF.keys(), name
