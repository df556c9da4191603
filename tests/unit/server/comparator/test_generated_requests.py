"""How requests for generated text are asked of both revisions, and golden rows that are requests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.answers import ANSWERS
from tuneloop_server.comparator.generated_requests import PATHS, compared_body, golden_request
from tuneloop_server.comparator.golden_rows import BadRow, GoldenFile, GoldenRow
from tuneloop_server.protocols.completion_request import read_chat, read_completion
from tuneloop_server.protocols.hf import read
from tuneloop_server.tasks.text2text_generation import read_parameters as read_text2text_parameters
from tuneloop_server.tasks.text_generation import read_parameters

GENERATED = ANSWERS["text-generation"]
GENERATING = GENERATED.generating
MESSAGES = [{"role": "user", "content": "Who was Ada?"}]
CHAT, TEXT, HF = b"/v1/chat/completions", b"/v1/completions", b"/predict"
SECRET = "the patient is called Ada"


def asked(target, document, *, seed=7):
    return json.loads(compared_body(target, json.dumps(document).encode(), GENERATING, seed=seed))


@pytest.mark.parametrize(
    ("target", "document", "expected"),
    [
        (CHAT, {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}, {"messages": MESSAGES, "seed": 7}),
        (TEXT, {"prompt": "a", "temperature": 0.7, "max_tokens": 9}, {"prompt": "a", "temperature": 0.7, "max_tokens": 9, "seed": 7}),
        (TEXT, {"prompt": "a", "seed": 1}, {"prompt": "a", "seed": 1}),
        (TEXT, {"prompt": "a", "seed": None}, {"prompt": "a", "seed": 7}),
        (HF, {"inputs": "a", "stream": True}, {"inputs": "a", "parameters": {"details": True, "return_full_text": False, "seed": 7}}),
        (HF + b"?adapter=x", {"inputs": "a", "parameters": {"seed": 1, "return_full_text": True}},
         {"inputs": "a", "parameters": {"details": True, "return_full_text": False, "seed": 1}}),
        (b"/", {"inputs": "a", "parameters": None}, {"inputs": "a", "parameters": {"details": True, "return_full_text": False, "seed": 7}}),
        (HF, {"inputs": "a", "parameters": "b"}, {"inputs": "a", "parameters": "b"}),
    ],
)  # fmt: skip
def test_a_copy_is_asked_whole_with_its_end_and_with_one_seed_for_both(target, document, expected):
    assert asked(target, document) == expected


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff", b"[" * 100_000, b'{"prompt": "\\ud800"}', b""])
def test_a_body_that_cannot_be_read_is_left_to_the_revisions(body):
    assert compared_body(TEXT, body, GENERATING, seed=7) == body


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_prompt_arrives_as_the_client_wrote_it(text):
    assert asked(TEXT, {"prompt": text})["prompt"] == text
    assert asked(HF, {"inputs": [text, text]})["inputs"] == [text, text]


@pytest.mark.parametrize("temperature", [0, 0.7, None])
def test_our_server_reads_what_is_asked(temperature):
    sampling = {"temperature": temperature} if temperature is not None else {}
    for target, reader, document in (
        (CHAT, read_chat, {"messages": MESSAGES}),
        (TEXT, read_completion, {"prompt": "a"}),
    ):
        body = compared_body(target, json.dumps(document | sampling | {"stream": True}).encode(), GENERATING, seed=7)
        found = reader(body, named=lambda _: "stories")
        assert (found.stream, found.asked.sampling.seed) == (False, 7)
    body = compared_body(
        HF, json.dumps({"inputs": "a", "stream": True, "parameters": sampling}).encode(), GENERATING, seed=7
    )
    found = read(body)
    parameters = read_parameters(found.parameters)
    assert (found.stream, parameters.details, parameters.asked.sampling.seed) == (False, True, 7)


def test_text_to_text_is_asked_as_the_client_asked_and_without_a_stream():
    generating = ANSWERS["text2text-generation"].generating
    nested = {"inputs": "a", "parameters": {"generate_parameters": {"num_beams": 4}}}
    for document in (nested, {"inputs": "a", "parameters": {}}):
        body = compared_body(HF, json.dumps(document | {"stream": True}).encode(), generating, seed=7)
        assert json.loads(body) == document
        read_text2text_parameters(read(body).parameters)


def test_copies_of_completions_are_taken_beside_those_of_hugging_faces_api():
    assert {"/", "/predict", "/v1/chat/completions", "/v1/completions"} == PATHS


def golden(folder, *rows, task="text-generation") -> list[GoldenRow | BadRow]:
    path = folder / "golden.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [*GoldenFile(path=str(path), answers=ANSWERS[task], labels=[], max_bad_fraction=1.0).read()]


@pytest.mark.parametrize(
    "parameters", [{"num_beams": 4, "do_sample": True}, {"generate_parameters": {"num_beams": 4, "do_sample": True}}]
)
def test_a_golden_row_of_text_to_text_is_greedy_wherever_its_parameters_stand(tmp_path, parameters):
    row = {"inputs": "a", "parameters": parameters, "label": "b"}
    (found,) = golden(tmp_path, row, task="text2text-generation")
    asked = read_text2text_parameters(read(found.body).parameters).asked
    assert (asked.num_beams, asked.sampling.do_sample) == (4, False)


def test_a_golden_row_of_text_to_text_is_no_conversation(tmp_path):
    (row,) = golden(tmp_path, {"messages": MESSAGES, "label": SECRET}, task="text2text-generation")
    problem = 'messages is given, and the model holds no conversation, expected inputs; example: {"inputs": '
    assert row.problem.startswith(problem)


def test_a_golden_row_is_a_request_that_is_answered_greedily_and_its_label_the_reference(tmp_path):
    prompt = {"inputs": "Ada was", "parameters": {"max_new_tokens": 5, "do_sample": True}, "label": "a poet", "id": 3}
    talk = {"messages": MESSAGES, "max_tokens": 5, "stop": ["."], "temperature": 2, "label": "A mathematician"}
    first, second = golden(tmp_path, prompt, talk)
    assert (first.target, first.reference, first.right) == (HF, "a poet", GENERATED.read_label("a poet", []))
    assert (second.target, second.reference) == (CHAT, "A mathematician")
    parameters = read_parameters(read(first.body).parameters)
    assert (parameters.asked.max_tokens, parameters.asked.sampling.do_sample, parameters.details) == (5, False, True)
    found = read_chat(second.body, named=lambda _: "stories").asked
    assert (found.max_tokens, found.stop, found.sampling.temperature) == (5, (".",), 0)


def test_a_golden_row_of_classes_has_no_reference(tmp_path):
    path = tmp_path / "golden.jsonl"
    path.write_text('{"inputs": "a", "label": "yes"}\n')
    answers = ANSWERS["text-classification"]
    (row,) = GoldenFile(path=str(path), answers=answers, labels=["yes"], max_bad_fraction=0.0).read()
    assert (row.body, row.reference) == (b'{"inputs": "a"}', None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"inputs": "a", "parameters": [SECRET]}, "parameters is a list, expected an object; example: "),
        ({"messages": []}, "messages is no list of messages with role and content; example: "),
        ({"messages": [SECRET]}, "messages is no list of messages with role and content; "),
        ({"messages": [{"role": "user", "content": [SECRET]}]}, "messages is no list of messages "),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages is a text with half of a surrogate pair, "),
        ({"prompt": SECRET}, "inputs is missing, expected a text; "),
        ({"inputs": "a", "label": [SECRET]}, "label is no text; "),
    ],
)
def test_a_golden_row_that_is_no_request_is_named_without_its_text(tmp_path, row, problem):
    (bad,) = golden(tmp_path, row)
    assert isinstance(bad, BadRow)
    assert bad.problem.startswith(problem)
    assert SECRET not in bad.problem


def test_the_body_of_a_golden_row_is_the_same_each_time():
    row = {"messages": MESSAGES}
    assert golden_request(row, GENERATING) == golden_request(row, GENERATING)
