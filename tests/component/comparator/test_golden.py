"""Golden requests: replayed on both revisions as often as is asked for, with their progress and their counts."""

from __future__ import annotations

import json

import pytest
from comparator_process import DEADLINE, comparator_config, comparing, pairs_of
from odd_revisions import raw, respond, revisions, saying
from waiting import until

SECRET = "the patient is called Ada"


def golden_file(folder, rows):
    path = folder / "golden.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(count, *, label="positive"):
    return [{"inputs": f"{SECRET} {number}", "label": label} for number in range(count)]


def right_below(limit: int, *, score: float):
    """Answer texts whose number is below the limit rightly."""

    async def answer(body, writer):
        number = int(json.loads(body)["inputs"].split()[-1])
        label = "positive" if number < limit else "negative"
        respond(writer, json.dumps([{"label": label, "score": score}]).encode())

    return answer


def test_both_are_asked_each_row_once_and_who_was_wrong_is_counted(tmp_path):
    with (
        revisions(right_below(80, score=0.9), right_below(60, score=0.75)) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, golden={"path": golden_file(tmp_path, rows(100))}), tmp_path
        ) as comparator,
    ):
        assert comparator.counts().golden.wanted == 0
        assert comparator.replay().status_code == 202
        found = comparator.wait_for_replays()
        asked_again = comparator.replay()
        texts = [json.loads(body)["inputs"] for body in stable.bodies]
    golden = found.golden
    assert sorted(texts) == sorted(row["inputs"] for row in rows(100))
    assert len(canary.bodies) == 100
    assert (golden.rows, golden.bad_rows, golden.completed, golden.rows_done) == (100, 0, 1, 0)
    assert (golden.pairs.agree, golden.pairs.disagree) == (80, 20)
    labelled = golden.labelled
    assert (labelled.rows, labelled.both_wrong, labelled.canary_only, labelled.stable_only) == (100, 20, 20, 0)
    assert labelled.gaps.stable == pytest.approx(100 * 0.9 - 80)
    assert labelled.gaps.canary == pytest.approx(100 * 0.75 - 60)
    assert (golden.last_labelled, golden.last_pairs) == (labelled, golden.pairs)
    assert (asked_again.status_code, asked_again.json()["completed"]) == (200, 1)
    assert pairs_of(found.live) == 0


def test_a_second_replay_adds_to_the_counts_and_the_last_one_stays_apart(tmp_path):
    config = {"path": golden_file(tmp_path, rows(30)), "times": 1}
    with (
        revisions(right_below(20, score=0.9), right_below(10, score=0.9)) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config), tmp_path) as comparator,
    ):
        comparator.wait_for_replays(1)
        assert comparator.replay(times=1).json()["wanted"] == 1
        assert comparator.replay(times=2).json()["wanted"] == 2
        golden = comparator.wait_for_replays(2).golden
    assert (golden.labelled.canary_only, golden.last_labelled.canary_only) == (20, 10)
    assert (pairs_of(golden.pairs), pairs_of(golden.last_pairs)) == (60, 30)


def test_rows_that_cannot_be_used_are_named_and_left_out_and_rows_without_a_label_count_for_agreement(tmp_path):
    lines = [*rows(98), {"inputs": "no label 1"}, f'{{"inputs": "{SECRET}"\n']
    config = {"path": golden_file(tmp_path, lines), "times": 1}
    with (
        revisions(right_below(1000, score=0.9), right_below(1000, score=0.9)) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config), tmp_path) as comparator,
    ):
        golden = comparator.wait_for_replays().golden
        log = comparator.log.read_text()
    assert (golden.rows, golden.bad_rows, golden.pairs.agree, golden.labelled.rows) == (99, 1, 99, 98)
    assert golden.first_bad_rows[0].startswith("line 100: is no JSON")
    assert "golden.jsonl: line 100: is no JSON" in log
    assert SECRET not in log


def test_a_set_that_is_refused_is_said_in_the_counts_in_the_log_and_to_who_asks(tmp_path):
    lines = [*rows(3), {"inputs": "x", "label": SECRET}]
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, golden={"path": golden_file(tmp_path, lines), "times": 1}),
            tmp_path,
        ) as comparator,
    ):
        until(lambda: comparator.counts().golden.problem, seconds=DEADLINE, what="the refusal")
        golden, answer = comparator.counts().golden, comparator.replay()
        log = comparator.log.read_text()
        comparator.send([{"inputs": "a"}])
        assert comparator.wait_for_pairs(1).live.agree == 1
    assert "1 of 4 rows cannot be used" in golden.problem
    assert (answer.status_code, answer.json()["error"]) == (409, golden.problem)
    assert golden.problem in log
    assert SECRET not in log + golden.problem
    assert stable.bodies == [b'{"inputs": "a"}']


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"times": 0}, "times: 0 was given, allowed is a whole number from 1 to 100; example: "),
        ({"times": 101}, "times: 101 was given, "),
        ({"times": "1"}, "the body is no request for replays; example: "),
        ({}, "the body is no request for replays; "),
        ({"times": 1, "pad": "x" * 2000}, "the body is no request for replays; "),
        ([1], "the body is no request for replays; "),
    ],
)
def test_a_wrong_request_for_replays_is_refused_with_an_example(without_golden, body, words):
    answer = without_golden.control("POST", "/v1/golden", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(words)


def test_a_replay_without_a_golden_set_is_refused_with_the_field_that_names_one(without_golden):
    answer = without_golden.replay()
    assert (answer.status_code, answer.json()["error"][:46]) == (409, "there is no golden set; give its path in golde")
    assert without_golden.counts().golden is None


@pytest.fixture(scope="module")
def without_golden(tmp_path_factory):
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path_factory.mktemp("plain")) as comparator,
    ):
        yield comparator


def test_a_row_without_room_is_tried_again_so_that_the_set_is_whole(tmp_path):
    busy = {"left": 3}

    async def answer(_, writer):
        busy["left"] -= 1
        if busy["left"] >= 0:
            respond(writer, b"", status=429)
        else:
            respond(writer, b'[{"label": "positive", "score": 0.5}]')

    config = {"path": golden_file(tmp_path, rows(20)), "times": 1}
    with (
        revisions(saying("positive"), answer) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config), tmp_path) as comparator,
    ):
        golden = comparator.wait_for_replays().golden
    assert (golden.pairs.agree, golden.pairs.overloaded) == (20, 0)


def test_a_replay_ends_early_if_a_revision_is_away_and_is_made_again_only_when_asked(tmp_path):
    config = {"path": golden_file(tmp_path, rows(300)), "times": 1}
    limits = {"requestsPerSecond": 10_000, "goldenRequestsPerSecond": 10_000, "answerSeconds": 30, "concurrency": 16}

    async def away(_, writer):
        writer.close()

    with (
        revisions(saying("positive"), away) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config, limits=limits), tmp_path) as comparator,
    ):
        until(lambda: comparator.counts().golden.failure, seconds=DEADLINE, what="the end of the replay")
        ended = comparator.counts().golden
        canary.answer = saying("positive")
        assert comparator.replay().status_code == 202
        golden = comparator.wait_for_replays().golden
    assert ended.failure.startswith("a revision was away for 20 rows in a row (canary: ")
    assert (ended.completed, ended.wanted, ended.last_pairs) == (0, 0, None)
    assert (golden.last_pairs.agree, golden.last_labelled.rows) == (300, 300)
    assert golden.failure is None


def test_another_file_in_its_place_ends_a_replay_and_is_not_counted_as_the_set(tmp_path):
    config = {"path": golden_file(tmp_path, rows(10))}
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config), tmp_path) as comparator,
    ):
        until(lambda: comparator.counts().golden.digest, seconds=DEADLINE, what="the check")
        golden_file(tmp_path, rows(10, label="negative"))
        comparator.replay()
        until(lambda: comparator.counts().golden.failure, seconds=DEADLINE, what="the end of the replay")
        golden = comparator.counts().golden
    assert golden.failure.startswith("the file has changed since the process began")
    assert (golden.completed, golden.last_labelled) == (0, None)


def test_a_model_that_fails_on_every_row_is_replayed_to_the_end(tmp_path):
    """Its failures are evidence."""
    config = {"path": golden_file(tmp_path, rows(100)), "times": 1}
    with (
        revisions(saying("positive"), raw(b'[{"label": "positive", "score": NaN}]')) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, golden=config), tmp_path) as comparator,
    ):
        golden = comparator.wait_for_replays().golden
    assert (golden.pairs.canary_failed, golden.labelled.rows) == (100, 0)
