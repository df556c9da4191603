"""`tuneloop backtest` without a Prometheus: options, manifests, what an answer means, and what the replay says to people."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from trigger_walks import ACCURACY, BEGAN, DAY, HOUR, MINUTE, trigger

from tuneloop_cli.backtest.manifest import Watched
from tuneloop_cli.backtest.range_answer import History, UnreadableHistoryError, history_of, labels_by_time
from tuneloop_cli.backtest.replay import Past, Replay, Run, replayed
from tuneloop_cli.backtest.report import as_json, as_lines
from tuneloop_cli.commands.backtest import backtest
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_operator.prometheus.answer import Number, Unanswered

BEGIN = int(BEGAN.timestamp())
ACCURACY_SPEC = {"name": "accuracy", "type": "accuracy", "below": 0.9}
PROMQL = trigger("promql", query="sum(a)", threshold=10)


def refusal(folder, *, retraining=None, **options) -> str:
    """Return why the command ends before anything is asked."""
    retraining = {"triggers": [ACCURACY_SPEC]} if retraining is None else retraining
    document = {"kind": "ModelDeployment", "metadata": {"name": "reviews"}, "spec": {"retraining": retraining}}
    (folder / "deployment.yaml").write_text(yaml.safe_dump(document))
    (folder / "dump.om").write_text("# EOF\n")
    given = {"prometheus": "", "dump": folder / "dump.om", "begin": "30d", "end": "0s", "step": "1m", "revision": ""}
    with pytest.raises(TuneloopExit) as ended:
        backtest(folder / "deployment.yaml", **(given | options), as_json=False)
    assert ended.value.code is Exit.BAD_INPUT
    return ended.value.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dump": None}, "exactly one of --prometheus and --file"),
        ({"prometheus": "http://127.0.0.1:9"}, "exactly one of --prometheus and --file"),
        ({"dump": None, "prometheus": "prometheus:9090"}, "http or https address"),
        ({"begin": "yesterday"}, "2026-11-01T00:00:00Z or 30d"),
        ({"begin": "2026-03-03T00:00:00"}, "a time with its zone"),
        ({"begin": "1h", "end": "2h"}, "must be before"),
        ({"begin": "1h", "end": "1h"}, "must be before"),
        ({"step": "181s"}, "1s to 3m"),
        ({"step": "0s"}, "1s to 3m"),
        ({"revision": "main"}, "8 digits"),
        ({"retraining": {}}, "spec.retraining.triggers: found none"),
        ({"retraining": {"triggers": [{"name": "a", "type": "accuracy"}]}}, "spec.retraining.triggers[0]: type: accuracy needs"),
        ({"retraining": {"triggers": [{"name": "a", "type": "schedule", "schedule": "61 * * * *"}]}}, "triggers[0].schedule"),
        ({"retraining": {"triggers": [{"name": "a", "type": "drift", "below": 0.9}]}}, "triggers[0].below: applies only to type"),
    ],
)  # fmt: skip
def test_a_wrong_option_or_trigger_is_refused_by_its_name(tmp_path, options, words):
    assert words in refusal(tmp_path, **options)


def test_a_dump_that_is_not_there_is_refused(tmp_path):
    assert "no such file" in refusal(tmp_path, dump=tmp_path / "none.om")


def matrix(*series: dict) -> dict:
    return {"status": "success", "data": {"resultType": "matrix", "result": [*series]}}


def test_each_time_has_its_own_answer():
    history = History(
        answers=history_of(
            matrix({"values": [[60, "1.5"], [120, "NaN"], [180, "2"]]}, {"values": [[180, "3"]]}, {"histograms": [[240, {}]]})
        )
    )  # fmt: skip
    assert history.at(60) == Number(value=1.5, at=60)
    reasons = {
        time: answer.reason for time in (120, 180, 240, 300) if isinstance(answer := history.at(time), Unanswered)
    }
    assert "no finite number" in reasons[120]
    assert "more than one series" in reasons[180]
    assert "histogram" in reasons[240]
    assert reasons[300] == "the query has an empty result"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, "bad_data parse error"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "is it the address of Prometheus?"),
        ([], "is it the address of Prometheus?"),
        (None, "is it the address of Prometheus?"),
    ],
)
def test_what_is_no_matrix_is_no_history(document, words):
    with pytest.raises(UnreadableHistoryError, match=words.replace("?", ".")):
        history_of(document)


def test_a_revision_is_stable_where_its_series_is_not_0():
    given = matrix(
        {"metric": {"revision": "a"}, "values": [[60, "1"]]}, {"metric": {"revision": "b"}, "values": [[120, "0"]]}
    )
    assert [*labels_by_time(given, "revision")] == [(60, "a")]


def past(answers: dict, *, hours: int, step: int = MINUTE, revisions: dict | None = None) -> Past:
    return Past(
        begin=BEGIN, end=BEGIN + hours * HOUR, step=step, revisions=revisions or {BEGIN: "7d1f0b2c"}, answers=answers
    )


def constant(value: float, *, hours: int, step: int = MINUTE, begin: int = 0) -> History:
    times = range(BEGIN + begin * HOUR, BEGIN + hours * HOUR + 1, step)
    return History(answers={time: Number(value=value, at=time) for time in times})


def watched(*triggers, cooldown: float = DAY) -> Watched:
    return Watched(namespace="team", name="reviews", triggers=triggers, cooldown=cooldown)


def test_people_read_when_what_was_said_for_how_long_and_why():
    of = watched(PROMQL)
    given = past({("watch", "value", "7d1f0b2c"): constant(11, hours=3, begin=1)}, hours=3)
    lines = [*as_lines(of, given, replayed(of, given))]
    assert lines[0] == "team/reviews, 2026-03-02T12:00:00Z to 2026-03-02T15:00:00Z, a look every 60 s"
    assert lines[2] == "watch (promql, Retrain): fired 1 time; unknown for 33% of the time"
    assert [line.split("  ")[1:3] for line in lines[3:6]] == [
        ["2026-03-02T12:00:00Z", "Unknown"],
        ["2026-03-02T13:00:00Z", "Pending"],
        ["2026-03-02T14:00:00Z", "Firing"],
    ]
    assert lines[-3:-1] == ["runs, with a cooldown of 1d: 1", "  2026-03-02T14:00:00Z  watch"]


def test_runs_that_broken_data_may_have_kept_from_starting_are_said():
    of = watched(PROMQL)
    given = past({("watch", "value", "7d1f0b2c"): constant(11, hours=3, begin=1)}, hours=3)
    found = replayed(of, given)
    assert [*as_lines(of, given, found)][-1] == (
        "whether data were broken then was not looked at: DataQuality may have kept 1 of them from starting"
    )
    assert [run["mayBeBlockedBy"] for run in as_json(of, given, found)["runs"]] == [["DataQuality"]]


def test_a_run_by_the_clock_starts_on_broken_data_too():
    of = watched(trigger("schedule", schedule="0 14 * * *"))
    given = past({}, hours=3)
    found = Replay(
        stretches={of.triggers[0].name: []},
        runs=[Run(at=datetime.fromtimestamp(BEGIN, UTC), trigger=of.triggers[0].name, key="k")],
    )
    assert [*as_lines(of, given, found)][-1].startswith("  2026-03-02T12:00:00Z  ")
    assert [run["mayBeBlockedBy"] for run in as_json(of, given, found)["runs"]] == [[]]


def test_false_alarms_to_be_expected_are_days_over_the_setting():
    of = watched(trigger("drift", expectedDaysBetweenFalseTriggers=10))
    given = past({}, hours=48)
    assert "false alarms to be expected: at most 0.2" in [*as_lines(of, given, replayed(of, given))][2]


def test_after_a_promotion_the_answers_are_those_of_the_new_revision():
    answers = {("watch", "value", "aaaa"): constant(11, hours=6), ("watch", "value", "bbbb"): constant(1, hours=6)}
    of = watched(PROMQL)
    found = replayed(of, past(answers, hours=6, revisions={BEGIN: "aaaa", BEGIN + 3 * HOUR: "bbbb"}))
    assert [stretch.state.value for stretch in found.stretches["watch"]] == ["Pending", "Firing", "Inactive"]
    assert found.stretches["watch"][-1].begin.timestamp() == BEGIN + 3 * HOUR


def test_what_goes_on_firing_begins_a_run_after_each_cooldown():
    of = watched(PROMQL, cooldown=5 * HOUR)
    found = replayed(of, past({("watch", "value", "7d1f0b2c"): constant(11, hours=12)}, hours=12))
    assert [(run.at.timestamp() - BEGIN) / HOUR for run in found.runs] == [1, 6, 11]


def test_an_alert_begins_no_run():
    of = watched(trigger("promql", query="sum(a)", threshold=10, action="Alert"))
    assert replayed(of, past({("watch", "value", "7d1f0b2c"): constant(11, hours=12)}, hours=12)).runs == []


def test_a_run_takes_the_new_labels_with_it():
    of = watched(trigger("newData", minNewSamples=120), cooldown=0)
    found = replayed(of, past({("watch", "count", ""): constant(1, hours=5)}, hours=5))
    assert [(run.at.timestamp() - BEGIN) / MINUTE for run in found.runs] == [119, 239]


def test_a_trigger_on_accuracy_reads_both_counts_of_the_stable_revision():
    answers = {("watch", part, "7d1f0b2c"): constant(value, hours=25) for part, value in (("right", 800), ("labels", 1000))}  # fmt: skip
    of = watched(ACCURACY)
    states = [stretch.state.value for stretch in replayed(of, past(answers, hours=25)).stretches["watch"]]
    assert states == ["Pending", "Firing"]
