"""A comparator beside two revisions that generate: what it asks them, what it counts, and that it keeps no text."""

from __future__ import annotations

import json

import pytest
from comparator_process import comparator_config, comparing
from metrics_page import assert_documented, lint
from odd_revisions import raw, respond, revisions

MESSAGES = [{"role": "user", "content": "Who was Ada?"}]
CHAT = {"messages": MESSAGES, "temperature": 0.9, "stream": True}
SECRET = "a poet of numbers"


def saying(text: str, *, finish: str = "stop", tokens: int = 4):
    """Answer each chat, completion and text with this text, in the shape that is asked for."""

    async def answer(body, writer):
        asked = json.loads(body)
        if "inputs" in asked:
            details = {"finish_reason": finish, "generated_tokens": tokens}
            found = [{"generated_text": text, "details": details}]
        else:
            content = {"message": {"content": text}} if "messages" in asked else {"text": text}
            found = {"choices": [content | {"finish_reason": finish}], "usage": {"completion_tokens": tokens}}
        respond(writer, json.dumps(found).encode())

    return answer


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What a comparator shows after a chat, a completion, a text and a golden replay; the answers are two thirds alike."""
    folder = tmp_path_factory.mktemp("generated")
    golden = folder / "golden.jsonl"
    rows = [{"inputs": "Ada was", "label": SECRET}, {"messages": MESSAGES, "label": SECRET}]
    golden.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (
        revisions(saying(SECRET), saying("a poet of", finish="length", tokens=5)) as (stable, canary),
        comparing(
            comparator_config(
                stable.port,
                canary.port,
                task="text-generation",
                labels=[],
                golden={"path": str(golden), "times": 1},
            ),
            folder,
        ) as comparator,
    ):
        comparator.wait_for_replays()
        comparator.send([CHAT], target="/v1/chat/completions")
        comparator.send([{"prompt": "Ada was"}], target="/v1/completions")
        comparator.send([{"inputs": "Ada was"}])
        comparator.send([{"input": "Ada was"}], target="/v1/embeddings")
        comparator.wait_for_pairs(3)
        yield {
            "counts": comparator.counts(),
            "metrics": comparator.control("GET", "/metrics").text,
            "asked": [[json.loads(body) for body in revision.bodies] for revision in (stable, canary)],
            "log": comparator.log.read_text(),
        }


def test_chats_completions_and_texts_are_compared(compared):
    live, copies = compared["counts"].live, compared["counts"].copies
    assert (live.disagree, sum(live.similarity), live.similarity[17]) == (3, 3, 3)  # 6 / 7 = 0.857
    assert (live.stable_answers.stop, live.stable_answers.tokens) == (3, 12)
    assert (live.canary_answers.length, live.canary_answers.tokens) == (3, 15)
    assert sum(live.latency_ratios) == 3
    assert (copies.taken, copies.not_a_prediction) == (3, 1)


def test_both_are_asked_whole_and_with_one_seed(compared):
    stable, canary = compared["asked"]
    key = json.dumps
    assert sorted(stable, key=key) == sorted(canary, key=key)
    chats = [asked for asked in stable if asked.get("temperature") == 0.9]
    assert [set(chat) for chat in chats] == [{"messages", "temperature", "seed"}]


def test_golden_rows_are_judged_by_their_references(compared):
    golden = compared["counts"].golden
    similarity = golden.last_labelled.similarity
    assert (similarity.rows, similarity.stable, similarity.canary) == pytest.approx((2, 2, 12 / 7))
    assert (golden.last_labelled.canary_only, golden.last_pairs.disagree) == (2, 2)


def test_metrics_are_those_of_the_page_and_few(compared):
    assert_documented(compared["metrics"], "Comparators", "Comparators: generated text")
    assert lint(compared["metrics"]) == []
    assert len([line for line in compared["metrics"].splitlines() if not line.startswith("#")]) <= 200


def test_no_text_is_shown(compared):
    shown = compared["metrics"] + compared["log"] + compared["counts"].model_dump_json()
    assert "poet" not in shown
    assert "Ada" not in shown


def test_an_answer_may_take_longer_than_one_of_classes(tmp_path):
    slow = raw(b'[{"generated_text": "a"}]', seconds=0.5)
    limits = {"answerSeconds": 0.1, "generatedAnswerSeconds": 30}
    with (
        revisions(slow, slow) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, task="text-generation", labels=[], limits=limits), tmp_path
        ) as comparator,
    ):
        comparator.send([{"inputs": "a"}])
        assert comparator.wait_for_pairs(1).live.agree == 1
