"""Two model servers of ours, Envoy before them, and a comparator beside it: the counts are what a client computes from the answers of both."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from artifact import make_artifact
from comparator_process import DEADLINE, comparator_config, comparing, pairs_of, start_comparator
from required import skip_or_fail
from router_process import running as running_router
from router_process import settings_file
from server_process import configuration, running_fork, word_salads
from tiny_models import tiny_bert
from waiting import until

from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

LABELS = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Two models that differ in their heads, and agree on about half of the texts."""
    folder = tmp_path_factory.mktemp("artifacts")
    base = tiny_bert(folder / "bert")
    listen_to_words(base / "model.safetensors")
    for name, seed in (("stable", 15), ("canary", 6)):
        make_artifact(folder / name, base, LABELS, max_tokens=16, seed=seed)
    return folder


def listen_to_words(weights):
    """Make attention strong: with the small weights of a new model all texts get the same class."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    for name in tensors:
        if name.endswith(("attention.self.value.weight", "attention.output.dense.weight")):
            tensors[name] = 30 * tensors[name]
    save_file(tensors, weights, metadata={"format": "pt"})


def serving(artifacts, name, folder):
    # as in a pod: on loopback a server refuses Envoy's probes, whose Host is the name of a cluster
    return running_fork(configuration(artifacts / name, revision=name, host="0.0.0.0"), folder)


@pytest.fixture(scope="module")
def servers(artifacts, tmp_path_factory):
    with (
        serving(artifacts, "stable", tmp_path_factory.mktemp("stable")) as stable,
        serving(artifacts, "canary", tmp_path_factory.mktemp("canary")) as canary,
    ):
        yield stable, canary


def port_of(server) -> int:
    return int(server.url.rsplit(":", 1)[1])


def classes(answer) -> list[str]:
    """Return the best class of each text, as a client reads it."""
    texts = answer if isinstance(answer[0], list) else [answer]
    return [max(text, key=lambda item: item["score"])["label"] for text in texts]


def test_the_counts_of_copies_that_envoy_sends_are_what_a_client_computes(servers, tmp_path):
    try:
        find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))
    stable, canary = servers
    texts = word_salads(60, longest=12)
    bodies = [{"inputs": text} for text in texts] + [{"inputs": texts[place : place + 3]} for place in range(0, 60, 6)]
    bodies += [{"inputs": text, "parameters": {"top_k": 1, "function_to_apply": "none"}} for text in texts[:10]]
    config = comparator_config(port_of(stable), port_of(canary))
    with comparing(config, tmp_path, start=start_comparator) as comparator:  # as in a pod
        split = {
            "generation": 1,
            "deployment": "reviews",
            "revisions": [
                {"name": "canary", "host": "127.0.0.1", "port": port_of(canary), "weight": 0},
                {"name": "stable", "host": "127.0.0.1", "port": port_of(stable), "weight": 100},
            ],
            "shadow": {"host": "127.0.0.1", "port": comparator.config.port, "percent": 100},
        }
        with running_router(settings_file(tmp_path, split)) as router:
            until(lambda: router.get("/info")[0] == 200, seconds=DEADLINE, what="stable is healthy for Envoy")
            headers = {"content-type": "application/json"}  # on loopback the comparator takes no other
            answers = [
                router.send("POST", "/predict", body=json.dumps(body).encode(), headers=headers) for body in bodies
            ]
            found = comparator.wait_for_pairs(len(bodies))
    assert {status for status, _, _ in answers} == {200}
    flips, agree = Counter(), 0
    for body, (_, _, answered) in zip(bodies, answers, strict=True):
        of_stable, of_canary = classes(stable.ask(body).json()), classes(canary.ask(body).json())
        assert classes(json.loads(answered)) == of_stable
        agree += of_stable == of_canary
        flips.update(pair for pair in zip(of_stable, of_canary, strict=True) if pair[0] != pair[1])
    assert 0 < agree < len(bodies)
    assert (found.live.agree, found.live.disagree, pairs_of(found.live)) == (agree, len(bodies) - agree, len(bodies))
    assert {(flip.stable, flip.canary): flip.count for flip in found.live.flips} == flips
    assert sum(found.live.latency_ratios) == len(bodies)
    assert found.copies.taken == len(bodies)
    assert found.copies.not_a_prediction >= 1  # of pages, not of the model


def test_the_counts_of_golden_rows_are_what_a_client_computes(servers, tmp_path):
    stable, canary = servers
    texts = [text for text in word_salads(80, longest=12, seed=1) if text]
    answers = [(stable.ask({"inputs": text}).json(), canary.ask({"inputs": text}).json()) for text in texts]
    labels = [classes(answers[place][place % 2])[0] for place in range(len(texts))]
    golden = tmp_path / "golden.jsonl"
    rows = [{"inputs": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    golden.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = comparator_config(port_of(stable), port_of(canary), golden={"path": str(golden), "times": 1})
    with comparing(config, tmp_path) as comparator:
        found = comparator.wait_for_replays().golden
    wrong = Counter(
        (classes(of_stable) != [label], classes(of_canary) != [label])
        for (of_stable, of_canary), label in zip(answers, labels, strict=True)
    )
    labelled = found.labelled
    assert (labelled.rows, labelled.both_wrong) == (len(texts), wrong[True, True])
    assert (labelled.canary_only, labelled.stable_only) == (wrong[False, True], wrong[True, False])
    assert labelled.canary_only > 0 < labelled.stable_only
    for role, place in (("stable", 0), ("canary", 1)):
        gaps = [
            max(item["score"] for item in pair[place]) - (classes(pair[place]) == [label])
            for pair, label in zip(answers, labels, strict=True)
        ]
        # a server's scores differ in their last digits with the texts beside them in a batch
        assert getattr(labelled.gaps, role) == pytest.approx(sum(gaps), abs=1e-4)
        assert getattr(labelled.gaps, f"{role}_squared") == pytest.approx(sum(gap * gap for gap in gaps), abs=1e-4)


def test_requests_that_a_server_refuses_are_refused_by_both(servers, tmp_path):
    stable, canary = servers
    wrong = [b"", b"{", {"inputs": 3}, {"inputs": "a", "more": 1}, {"inputs": []}]
    with comparing(comparator_config(port_of(stable), port_of(canary)), tmp_path) as comparator:
        comparator.send(wrong)
        found = comparator.wait_for_pairs(len(wrong)).live
    assert (found.refused, found.rows) == (len(wrong), 0)


def test_a_canary_that_is_gone_is_no_evidence_of_its_model(servers, artifacts, tmp_path):
    stable, _ = servers
    with (
        serving(artifacts, "canary", tmp_path) as dying,
        comparing(comparator_config(port_of(stable), port_of(dying)), tmp_path) as comparator,
    ):
        comparator.send({"inputs": text} for text in word_salads(50, longest=12))
        before = comparator.wait_for_pairs(50).live
        dying.process.kill()
        dying.process.wait()  # a process that was killed may still answer for a moment
        comparator.send({"inputs": text} for text in word_salads(50, longest=12))
        after = comparator.wait_for_pairs(100).live
    assert (before.rows, before.away) == (50, 0)
    assert (after.rows, after.away) == (50, 50)
    assert (after.canary_failures.away, after.stable_failures.away) == (50, 0)


def test_the_servers_say_what_is_compared(servers, tmp_path):
    stable, canary = servers
    config = comparator_config(port_of(stable), port_of(canary), task="", labels=[])
    with comparing(config, tmp_path) as comparator:
        assert comparator.counts().task == "text-classification"
        comparator.send([{"inputs": text} for text in word_salads(20, longest=12)])
        live = comparator.wait_for_pairs(20).live
        assert live.agree + live.disagree == 20
        assert {flip.stable for flip in live.flips} <= set(LABELS)
