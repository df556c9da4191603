"""Feedback for generated answers over HTTP, on a real server: tokens of each protocol, whole or streamed, scores, and the rows that corrections become."""

from __future__ import annotations

import json

import pytest
from feedback_in_memory import rows_in
from generating_artifacts import tiny_decoder
from server_process import configuration, running_fork
from waiting import until

HEADER = "x-tuneloop-feedback"
PROMPT = "Ada Lovelace"
CHAT = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Who?"}]}]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generating")
    tiny_decoder(folder / "artifact", "qwen2")
    (folder / "keys").write_text("k" * 32)
    feedback = {"keys_path": str(folder / "keys"), "store": {"folder": str(folder / "rows")}}
    with running_fork(configuration(folder / "artifact", feedback=feedback), folder) as server:
        yield server, folder / "rows"


ASKED = {
    "OpenAI": ("/v1/completions", {"prompt": PROMPT, "max_tokens": 4}),
    "OpenAI, streamed": ("/v1/completions", {"prompt": PROMPT, "max_tokens": 4, "stream": True}),
    "a chat": ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 4}),
    "a chat, streamed": ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 4, "stream": True}),
    "Hugging Face": ("/predict", {"inputs": PROMPT, "parameters": {"max_new_tokens": 4}}),
    "Hugging Face, streamed": ("/predict", {"inputs": PROMPT, "parameters": {"max_new_tokens": 4}, "stream": True}),
}


def sum_of(server, metric: str) -> float:
    return sum(value for key, value in server.metrics().items() if key[0] == metric)


@pytest.mark.parametrize("way", ASKED)
def test_an_answer_has_a_token_and_its_correction_is_kept_with_what_was_asked(served, way):
    server, rows = served
    path, asked = ASKED[way]
    answer = server.client.post(path, json=asked)
    token = answer.headers[HEADER]
    given = CHAT if "messages" in asked else PROMPT
    before = sum_of(server, "tuneloop_feedback_correct_total")
    said = {"token": token, "score": 0.25, "correction": f"right: {way}", "input": given}
    assert server.client.post("/v1/feedback", json=said).json() == {"counted": 1, "repeated": 0}
    assert sum_of(server, "tuneloop_feedback_correct_total") == before + 0.25
    (row,) = until(
        lambda: [row for row in rows_in(rows) if row.label == f"right: {way}"], what="the row on the disk", seconds=30
    )
    if "messages" in asked:
        turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
        assert (row.form, json.loads(row.text)) == ("messages", turns)
    else:
        assert (row.form, row.text) == ("prompt-completion", PROMPT)


def test_every_text_of_a_list_has_a_token_of_its_own(served):
    server, _ = served
    asked = {"inputs": ["Ada", "Grace"], "parameters": {"max_new_tokens": 2}}
    tokens = server.client.post("/predict", json=asked).headers[HEADER].split(",")
    said = [
        {"token": token, "correct": True, "input": text} for token, text in zip(tokens, asked["inputs"], strict=True)
    ]
    assert server.client.post("/v1/feedback", json=said).json() == {"counted": 2, "repeated": 0}


@pytest.mark.parametrize("way", ASKED)
def test_a_client_that_wants_no_token_gets_none(served, way):
    server, _ = served
    path, asked = ASKED[way]
    assert HEADER not in server.client.post(path, json=asked, headers={HEADER: "none"}).headers


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"label": "good"}, "label: is not known; allowed are token, score, correct, correction"),
        ({"score": 2}, "score: 2 was given, allowed are numbers from 0 to 1"),
        ({"score": 1, "input": "another prompt"}, "input: is not the text that this token was given for"),
        ({"score": 1, "input": CHAT}, "input: is not the text that this token was given for"),
        ({"score": 1, "input": [{"role": "user"}]}, "input[0].content: "),
        ({"score": 1, "input": 7}, "input: "),
    ],
)
def test_what_is_wrong_is_named_with_status_400(served, said, words):
    server, _ = served
    path, asked = ASKED["OpenAI"]
    token = server.client.post(path, json=asked).headers[HEADER]
    answer = server.client.post("/v1/feedback", json={"token": token} | said)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
