"""Feedback over HTTP, on real servers: tokens in the answers of each protocol, and labels that come back to another server."""

from __future__ import annotations

import pytest
from server_process import configuration, running_fork

HEADER = "x-tuneloop-feedback"
TEXT = "a good film"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "keys"
    path.write_text("k" * 32)
    return path


@pytest.fixture(scope="module")
def two_revisions(artifact, keys, tmp_path_factory):
    """Servers of two revisions of one deployment."""
    settings = {"feedback": {"keys_path": str(keys)}}
    one, other = (
        configuration(artifact.folder, revision=revision, **settings) for revision in ("03ab11f0", "7d1f0b2c")
    )
    with (
        running_fork(one, tmp_path_factory.mktemp("one")) as stable,
        running_fork(other, tmp_path_factory.mktemp("other")) as canary,
    ):
        yield stable, canary


@pytest.fixture
def served(two_revisions):
    return two_revisions[0]


def send(server, document):
    return server.client.post("/v1/feedback", json=document)


def total(server, metric: str, **labels: str) -> float:
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(server.client.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples if sample.name == metric)
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def test_a_prediction_has_a_token_and_its_label_counts_on_another_revision(two_revisions):
    stable, canary = two_revisions
    before = total(stable, "tuneloop_feedback_total", predicted_by="7d1f0b2c")
    answer = canary.ask({"inputs": TEXT})
    best = answer.json()[0]["label"]
    token = answer.headers[HEADER]
    assert send(stable, {"token": token, "label": best}).json() == {"counted": 1, "repeated": 0}
    assert send(stable, {"token": token, "label": best}).json() == {"counted": 0, "repeated": 1}
    assert total(stable, "tuneloop_feedback_total", predicted_by="7d1f0b2c") == before + 1
    assert total(stable, "tuneloop_feedback_correct_total", predicted_by="7d1f0b2c") >= 1
    assert total(canary, "tuneloop_feedback_predictions_total", predicted_by="7d1f0b2c") >= 1


def test_each_text_of_a_list_has_its_token_in_its_order(served):
    answer = served.ask({"inputs": [TEXT, "a bad film", "no film"]})
    items = [
        {"token": token, "label": scores[0]["label"]}
        for token, scores in zip(answer.headers[HEADER].split(","), answer.json(), strict=True)
    ]
    before = total(served, "tuneloop_feedback_correct_total")
    assert send(served, items).json() == {"counted": 3, "repeated": 0}
    assert total(served, "tuneloop_feedback_correct_total") == before + 3


def test_a_long_list_has_tokens_for_its_first_texts_alone(served):
    answer = served.ask({"inputs": [TEXT] * 40})
    assert len(answer.json()) == 40
    assert len(answer.headers[HEADER].split(",")) == 32
    assert len(answer.headers[HEADER]) < 2000


def test_the_open_inference_protocol_has_tokens_too_and_its_body_stays(served):
    body = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": [TEXT, "a bad film"]}]}
    answer = served.client.post("/v2/models/reviews/infer", json=body)
    assert set(answer.json()) == {"model_name", "model_version", "outputs"}
    tokens = answer.headers[HEADER].split(",")
    assert send(served, [{"token": token, "correct": True} for token in tokens]).json()["counted"] == 2


@pytest.mark.parametrize("parameters", [{"top_k": 1}, {"function_to_apply": "none"}])
def test_what_a_client_wants_to_see_changes_no_token(served, parameters):
    answer = served.ask({"inputs": TEXT, "parameters": parameters})
    label = served.ask({"inputs": TEXT}).json()[0]["label"]
    before = total(served, "tuneloop_feedback_correct_total")
    assert send(served, {"token": answer.headers[HEADER], "label": label}).status_code == 200
    assert total(served, "tuneloop_feedback_correct_total") == before + 1


def test_who_wants_no_token_is_in_no_cohort(served):
    before = total(served, "tuneloop_feedback_predictions_total")
    answer = served.client.post("/predict", json={"inputs": TEXT}, headers={HEADER: "none"})
    assert HEADER not in answer.headers
    assert total(served, "tuneloop_feedback_predictions_total") == before


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"token": "x", "label": 0}, "token: is damaged"),
        ({"token": "A" * 59, "label": 0}, "token: has version 0"),
        ({"token": "AQ" + "A" * 57, "label": 0}, "token: was signed with another key"),
        ([], "1 to 1000 objects are allowed"),
        ({"token": "x"}, "either label or correct is needed"),
    ],
)
def test_what_is_wrong_is_answered_400_with_the_reason(served, document, words):
    answer = send(served, document)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_label_that_there_is_not_is_refused_with_those_that_there_are(served):
    token = served.ask({"inputs": TEXT}).headers[HEADER]
    answer = send(served, {"token": token, "label": "great"})
    assert answer.status_code == 400
    assert "allowed are the model's 3 labels (negative, neutral, positive) or their ids" in answer.json()["error"]


def test_a_body_that_is_too_large_is_refused(served):
    assert served.client.post("/v1/feedback", content=b"[" + b" " * 1_100_000).status_code == 413


def test_keys_that_change_while_it_serves_are_followed(artifact, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("a" * 32)
    config = configuration(artifact.folder, revision="03ab11f0", feedback={"keys_path": str(keys)})
    with running_fork(config, tmp_path) as server:
        token = server.ask({"inputs": TEXT}).headers[HEADER]
        keys.write_text(f"{'b' * 32}\n{'a' * 32}")
        assert send(server, {"token": token, "correct": True}).json()["counted"] == 1
        log = server.log.read_text()
    assert "aaaa" not in log
    assert "bbbb" not in log


def test_without_feedback_there_is_neither_a_token_nor_the_page(server):
    answer = server.ask({"inputs": TEXT})
    assert HEADER not in answer.headers
    assert server.client.post("/v1/feedback", json={"token": "x", "correct": True}).status_code == 404


def test_a_tagger_gives_no_token_and_says_why_it_takes_none(tagger_artifact, keys, tmp_path):
    config = configuration(tagger_artifact.folder, feedback={"keys_path": str(keys)})
    with running_fork(config, tmp_path) as tagger:
        assert HEADER not in tagger.ask({"inputs": TEXT}).headers
        answer = send(tagger, {"token": "x", "correct": True})
    assert (answer.status_code, answer.json()["error"].split(":")[0]) == (400, "feedback")
    assert "a text of token-classification has no single label" in answer.json()["error"]
