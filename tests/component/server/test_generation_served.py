"""Text generation on real servers: greedy answers are those of plain transformers, alone and beside others; unmodified clients of OpenAI and Hugging Face."""

from __future__ import annotations

import importlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from generating_artifacts import CORPUS, KINDS, PlainTransformers, tiny_decoder
from huggingface_hub import InferenceClient, constants
from metrics_page import assert_documented, lint
from page_programs import programs_of
from required import skip_or_fail
from server_process import Server, configuration, running_fork
from waiting import until

from tuneloop_server.user_agent import COMPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPTS = [*CORPUS, "Ada", "A", "?" * 30]
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who was Ada Lovelace?"}]
MOST = 40
PROGRAMS = [program for program in programs_of("docs/generation.md") if ".translation(" not in program]
LONG = 4000
"""Tokens of an answer that takes seconds."""


@dataclass(frozen=True)
class Served:
    server: Server
    plain: PlainTransformers

    def complete(self, prompt: str, **fields: object) -> dict:
        response = self.server.client.post("/v1/completions", json={"prompt": prompt, "max_tokens": MOST} | fields)
        assert response.status_code == 200, response.text
        return response.json()

    def ended(self, reason: str) -> float:
        return self.server.metrics()["tuneloop_generation_finish_total", reason]

    @property
    def generated(self) -> float:
        return self.server.metrics()["tuneloop_tokens_total", "generated"]


@contextmanager
def serving(kind: str, folder, **changes: object) -> Iterator[Served]:
    tiny_decoder(folder / "artifact", kind)
    with running_fork(configuration(folder / "artifact", **changes), folder) as server:
        yield Served(server, PlainTransformers(folder / "artifact"))


@pytest.fixture(scope="module", params=KINDS)
def served(request, tmp_path_factory) -> Iterator[Served]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Iterator[Served]:
    with serving("llama", tmp_path_factory.mktemp("one")) as found:
        yield found


@pytest.fixture
def openai(llama):
    try:
        module = importlib.import_module("openai")
    except ImportError as missing:
        skip_or_fail(f"{missing.name} is not installed (make setup)")
    with module.OpenAI(base_url=f"{llama.server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def hugging_face(llama, monkeypatch):
    """Hugging Face's client; the tests run offline, where it asks nobody."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return InferenceClient(llama.server.url)


# --- equal to plain transformers ---


def test_a_prompt_alone_gets_the_answer_of_plain_transformers(served):
    for prompt in PROMPTS:
        (choice,) = served.complete(prompt)["choices"]
        assert choice["text"] == served.plain.text(prompt, most=MOST)


def test_prompts_beside_each_other_get_the_same(served):
    with ThreadPoolExecutor(len(PROMPTS)) as clients:
        answers = list(clients.map(lambda prompt: served.complete(prompt)["choices"][0]["text"], PROMPTS))
    assert answers == [served.plain.text(prompt, most=MOST) for prompt in PROMPTS]


def test_the_usage_and_the_end_are_those_of_plain_transformers(served):
    tokens = served.plain.tokens("Ada", most=MOST)
    answered = served.complete("Ada")
    assert answered["usage"]["completion_tokens"] == len(tokens)
    assert answered["choices"][0]["finish_reason"] == ("length" if len(tokens) == MOST else "stop")


def test_a_list_of_texts_grows_together_and_is_answered_in_its_order(served):
    answered = served.server.ask({"inputs": PROMPTS, "parameters": {"max_new_tokens": MOST}}).json()
    assert [of_text[0]["generated_text"] for of_text in answered] == [
        served.plain.text(prompt, most=MOST) for prompt in PROMPTS
    ]


# --- OpenAI ---


def test_openai_chats_as_plain_transformers_with_the_chat_template(llama, openai):
    answered = openai.chat.completions.create(model="reviews", messages=CHAT, max_tokens=MOST)
    assert answered.choices[0].message.content == llama.plain.text(CHAT, most=MOST)
    assert (answered.choices[0].finish_reason, answered.usage.completion_tokens) == ("length", MOST)


def test_openai_gets_the_same_as_a_stream_with_the_usage_at_its_end(llama, openai):
    options = {"include_usage": True}
    chunks = list(
        openai.chat.completions.create(
            model="reviews", messages=CHAT, max_tokens=MOST, stream=True, stream_options=options
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == llama.plain.text(CHAT, most=MOST)
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "length"]
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], MOST)


def test_openai_streams_the_rest_of_a_text(llama, openai):
    chunks = openai.completions.create(model="reviews", prompt="Ada", max_tokens=MOST, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == llama.plain.text("Ada", most=MOST)


def test_an_answer_ends_before_a_stop_string_that_no_token_is(llama, openai):
    expected = llama.plain.text("Ada", most=MOST)
    stop = expected[7:10]
    answered = openai.completions.create(model="reviews", prompt="Ada", max_tokens=MOST, stop=[stop])
    assert answered.choices[0].text == expected[: expected.index(stop)]
    assert answered.choices[0].finish_reason == "stop"
    assert answered.usage.completion_tokens < MOST


def test_the_same_seed_draws_the_same_answer_beside_others(llama, openai):
    def drawn(seed):
        return openai.completions.create(model="reviews", prompt="Ada", max_tokens=MOST, temperature=1.0, seed=seed)

    with ThreadPoolExecutor(4) as clients:
        texts = [answered.choices[0].text for answered in clients.map(drawn, (1, 1, 2, 1))]
    assert len({texts[0], texts[1], texts[3]}) == 1
    assert texts[2] != texts[0]


def test_openai_reads_our_errors(openai):
    module = importlib.import_module("openai")
    with pytest.raises(
        module.BadRequestError, match=r"max_tokens: 5000 was given, at most \d+ are left.*4096"
    ) as refused:
        openai.chat.completions.create(model="reviews", messages=CHAT, max_tokens=5000)
    assert refused.value.param == "max_tokens"
    with pytest.raises(module.BadRequestError, match="prompt: the prompt has 4100 tokens, at most 4095 are allowed"):
        openai.completions.create(model="reviews", prompt="?" * 4100)
    with pytest.raises(module.NotFoundError, match="gpt-4 is not served here"):
        openai.chat.completions.create(model="gpt-4", messages=CHAT)
    with pytest.raises(module.BadRequestError, match="n: 3 was given, this server does not have it"):
        openai.chat.completions.create(model="reviews", messages=CHAT, n=3)
    with pytest.raises(module.BadRequestError, match="this model generates text and makes no embeddings"):
        openai.embeddings.create(model="reviews", input="a")


def test_openai_can_be_used_without_waiting(llama, openai):
    import asyncio

    async def life():
        module = importlib.import_module("openai")
        async with module.AsyncOpenAI(base_url=f"{llama.server.url}/v1", api_key="none") as client:
            create = client.completions.create
            asked = (create(model="reviews", prompt=prompt, max_tokens=MOST) for prompt in PROMPTS)
            return [answered.choices[0].text for answered in await asyncio.gather(*asked)]

    assert asyncio.run(life()) == [llama.plain.text(prompt, most=MOST) for prompt in PROMPTS]


def test_the_models_page_says_that_there_are_no_embeddings(llama):
    (model,) = llama.server.client.get("/v1/models").json()["data"]
    assert (model["task"], model["embeddings"]["available"]) == ("text-generation", False)


# --- Hugging Face and the Open Inference Protocol ---


def test_hugging_face_gets_the_text_the_full_text_and_the_details(llama, hugging_face):
    expected = llama.plain.text("Ada", most=MOST)
    ask = hugging_face.text_generation
    assert ask("Ada", max_new_tokens=MOST) == expected
    assert ask("Ada", max_new_tokens=MOST, return_full_text=True) == f"Ada{expected}"
    details = ask("Ada", max_new_tokens=MOST, details=True).details
    assert (details.finish_reason, details.generated_tokens) == ("length", MOST)
    assert [token.id for token in details.tokens] == llama.plain.tokens("Ada", most=MOST)


def test_hugging_face_gets_the_same_token_by_token(llama, hugging_face):
    expected = llama.plain.text("Ada", most=MOST)
    assert "".join(hugging_face.text_generation("Ada", max_new_tokens=MOST, stream=True)) == expected
    *_, last = hugging_face.text_generation("Ada", max_new_tokens=MOST, stream=True, details=True)
    assert (last.generated_text, last.details.finish_reason) == (expected, "length")


def test_the_comparator_gets_a_streamed_request_answered_as_a_whole(llama):
    body = {"inputs": PROMPTS[0], "stream": True, "parameters": {"max_new_tokens": MOST}}
    response = llama.server.client.post("/", json=body, headers={"user-agent": COMPARATOR})
    assert response.json() == [{"generated_text": llama.plain.text(PROMPTS[0], most=MOST)}]


def test_the_comparator_gets_the_first_tokens_of_a_long_answer(llama):
    body = {"messages": CHAT, "max_tokens": 300}
    response = llama.server.client.post("/v1/chat/completions", json=body, headers={"user-agent": COMPARATOR}).json()
    assert (response["usage"]["completion_tokens"], response["choices"][0]["finish_reason"]) == (256, "length")


def test_hugging_face_chats(llama, hugging_face):
    expected = llama.plain.text(CHAT, most=MOST)
    assert hugging_face.chat_completion(CHAT, max_tokens=MOST).choices[0].message.content == expected
    chunks = hugging_face.chat_completion(CHAT, max_tokens=MOST, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected


def test_hugging_face_hears_of_a_wrong_parameter(llama):
    response = llama.server.ask({"inputs": ["a", "b"], "stream": True})
    assert (response.status_code, response.json()["error"]) == (
        422,
        "stream: one text is streamed in a request, and inputs is a list; send a string",
    )


def test_the_open_inference_protocol_gets_a_tensor_of_texts(llama):
    tensor = {"name": "text", "datatype": "BYTES", "shape": [2], "data": PROMPTS[:2]}
    document = {"inputs": [tensor], "parameters": {"max_new_tokens": MOST}}
    (output,) = llama.server.client.post("/v2/models/reviews/infer", json=document).json()["outputs"]
    assert output == {
        "name": "text",
        "datatype": "BYTES",
        "shape": [2],
        "data": [llama.plain.text(prompt, most=MOST) for prompt in PROMPTS[:2]],
    }


def test_a_model_without_a_chat_template_says_where_to_ask(tmp_path):
    with serving("gpt2", tmp_path) as served:
        response = served.server.client.post("/v1/chat/completions", json={"messages": CHAT})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == (
        "messages: this model has no chat template; ask /v1/completions with the whole prompt"
    )


def test_the_chat_template_may_refuse_a_conversation(llama):
    body = {"messages": [{"role": "user", "content": "hi", "name": "x"}], "max_tokens": 1}
    assert llama.server.client.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.split("\n", 1)[0])
@pytest.mark.usefixtures("openai", "hugging_face")
def test_the_programs_of_the_page_run(llama, program, capsys):
    address = llama.server.url.removeprefix("http://")
    exec(program.replace("127.0.0.1:8080", address).replace('"stories"', '"reviews"'), {})
    assert llama.plain.text("Ada Lovelace was", most=64) in capsys.readouterr().out


# --- clients that leave, that do not read; the end of the server ---


def ask(server: Server, *, most: int, stream: bool = True, buffer: int | None = None) -> socket.socket:
    """Ask by hand, and return the connection. buffer: bytes that the system keeps for a client that does not read."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    host, port = server.url.removeprefix("http://").split(":")
    connection.settimeout(60)
    connection.connect((host, int(port)))
    body = json.dumps({"prompt": "Ada", "max_tokens": most, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_nothing_is_computed_for_a_client_that_left_its_stream(llama):
    before, aborted = llama.generated, llama.ended("abort")
    with ask(llama.server, most=LONG) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: llama.ended("abort") == aborted + 1, what="the end of the answer", seconds=30)
    stopped_at = llama.generated
    llama.complete("A", max_tokens=2)  # a pass later the answer would have grown
    assert llama.generated == stopped_at + 2
    assert stopped_at - before < LONG / 2


def test_nothing_is_computed_for_a_client_that_left_before_its_answer(llama):
    before, aborted = llama.generated, llama.ended("abort")
    with ask(llama.server, most=LONG, stream=False):
        until(lambda: llama.generated > before, what="the first token", seconds=30)
    until(lambda: llama.ended("abort") == aborted + 1, what="the end of the answer", seconds=30)
    assert llama.generated - before < LONG
    assert llama.server.metrics()["tuneloop_requests_total", "499", "openai", "client_left"] >= 1


def test_a_client_that_never_reads_its_stream_harms_no_other(llama):
    with ask(llama.server, most=LONG, buffer=4096):
        answers = [llama.complete(prompt)["choices"][0]["text"] for prompt in PROMPTS]
    assert answers == [llama.plain.text(prompt, most=MOST) for prompt in PROMPTS]


def test_a_server_that_is_stopped_finishes_its_streams(tmp_path):
    with serving("llama", tmp_path) as served:
        connection = ask(served.server, most=600)
        first = connection.recv(100)
        codes = []
        stopping = threading.Thread(target=lambda: codes.append(served.server.stop()))
        stopping.start()
        received = first
        while part := connection.recv(65536):
            received += part
            if b"[DONE]" in received:
                break
        connection.close()
        stopping.join()
    assert received.count(b'"finish_reason":"length"') == 1
    assert b"data: [DONE]\n\n" in received
    assert codes == [0]


# --- metrics ---


def test_the_metrics_are_those_of_the_page(llama):
    llama.complete("Ada")
    text = llama.server.client.get("/metrics").text
    assert_documented(text, "Model servers", "Model servers: text generation")
    assert lint(text) == []
