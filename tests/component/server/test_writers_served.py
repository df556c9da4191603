"""Text-to-text generation on real servers: answers are those of plain transformers, greedy and by beams, alone and beside others; Hugging Face's client asks for translations and summaries."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import InferenceClient, constants
from metrics_page import assert_documented, lint
from page_programs import programs_of
from server_process import Server, configuration, running_fork
from waiting import until
from writing_models import MOST, POSITIONS, PlainWriter, writing_artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = ["w5 w6 w7", "w9", "w20 w21 w22 w23 w24 w25 w26 w27", "w30 w31", "unknown w5", "w8 " * 40]
PREFIX, BEAMS = "say ", 3


@dataclass(frozen=True)
class Served:
    server: Server
    plain: PlainWriter

    def written(self, inputs: str | list[str], **parameters: object) -> object:
        response = self.server.ask({"inputs": inputs, "parameters": parameters})
        assert response.status_code == 200, response.text
        found = response.json()
        return [of[0]["generated_text"] for of in found] if isinstance(inputs, list) else found[0]["generated_text"]

    def refusal(self, path: str = "/predict", **document: object) -> tuple[int, str]:
        response = self.server.client.post(path, json=document)
        error = response.json()["error"]
        return response.status_code, error if isinstance(error, str) else error["message"]


@contextmanager
def serving(kind: str, folder, prefix: str | None = None, batching: dict | None = None, **settings) -> Iterator[Served]:
    writing_artifact(folder / "artifact", kind, prefix=prefix, **settings)
    changes = {} if batching is None else {"batching": batching}
    with running_fork(configuration(folder / "artifact", **changes), folder) as server:
        yield Served(server, PlainWriter(folder / "artifact", prefix=prefix or ""))


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Iterator[Served]:
    """Searches with beams, and begins every source with a prefix."""
    with serving("t5", tmp_path_factory.mktemp("t5"), prefix=PREFIX, num_beams=BEAMS) as found:
        yield found


@pytest.fixture(scope="module", params=["bart", "bert2bert"])
def greedy(request, tmp_path_factory) -> Iterator[Served]:
    rules = {"no_repeat_ngram_size": 2, "forced_bos_token_id": 6} if request.param == "bart" else {}
    with serving(request.param, tmp_path_factory.mktemp(request.param), **rules) as found:
        yield found


@pytest.fixture
def hugging_face(t5, monkeypatch):
    """Hugging Face's client; the tests run offline, where it asks nobody."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return InferenceClient(t5.server.url)


# --- equal to plain transformers ---


def test_a_text_alone_gets_the_answer_of_plain_transformers(greedy):
    assert [greedy.written(source) for source in SOURCES] == [greedy.plain.text(source) for source in SOURCES]


def test_the_beams_and_the_prefix_of_the_artifact_hold_without_a_word_of_the_client(t5):
    expected = [t5.plain.text(source) for source in SOURCES]
    assert [t5.written(source) for source in SOURCES] == expected
    assert expected != [t5.plain.text(source, num_beams=1) for source in SOURCES]


def test_texts_beside_each_other_get_the_same_whatever_each_asks_for(t5):
    asked = [{"num_beams": count, "max_new_tokens": most} for count, most in ((1, 12), (4, 9), (2, 12), (1, 5), (3, 12), (1, 12))]  # fmt: skip
    with ThreadPoolExecutor(len(SOURCES)) as clients:
        found = list(clients.map(lambda source, how: t5.written(source, **how), SOURCES, asked))
    assert found == [t5.plain.text(source, **how) for source, how in zip(SOURCES, asked, strict=True)]


def test_a_list_of_texts_is_answered_in_its_order(greedy):
    assert greedy.written(SOURCES) == [greedy.plain.text(source) for source in SOURCES]


# --- clients ---


def test_hugging_face_translates_and_summarizes(t5, hugging_face):
    assert hugging_face.translation(SOURCES[0]).translation_text == t5.plain.text(SOURCES[0])
    found = hugging_face.summarization(SOURCES[2], generate_parameters={"max_new_tokens": 4, "num_beams": 2})
    assert found.summary_text == t5.plain.text(SOURCES[2], max_new_tokens=4, num_beams=2)


@pytest.mark.usefixtures("hugging_face")
def test_the_program_of_the_page_runs(t5, capsys):
    (program,) = [found for found in programs_of("docs/generation.md") if ".translation(" in found]
    exec(program.replace("127.0.0.1:8080", t5.server.url.removeprefix("http://")), {})
    translated = t5.plain.text("Der Zug fuhr um neun.")
    assert capsys.readouterr().out == f"{translated}\n{t5.plain.text('A long text …', num_beams=4)}\n"


def test_the_open_inference_protocol_gets_a_tensor_of_texts(t5):
    tensor = {"name": "text", "datatype": "BYTES", "shape": [2], "data": SOURCES[:2]}
    document = {"inputs": [tensor], "parameters": {"num_beams": 1}}
    (output,) = t5.server.client.post("/v2/models/reviews/infer", json=document).json()["outputs"]
    assert (output["name"], output["data"]) == (
        "text",
        [t5.plain.text(source, num_beams=1) for source in SOURCES[:2]],
    )


def test_openai_completes_a_text_with_what_the_model_writes_for_it(t5):
    answered = t5.server.client.post("/v1/completions", json={"prompt": SOURCES[0], "max_tokens": 7}).json()
    assert answered["choices"][0]["text"] == t5.plain.text(SOURCES[0], max_new_tokens=7)
    assert answered["usage"]["prompt_tokens"] == len([PREFIX, *SOURCES[0].split(), "</s>"])


def test_a_greedy_answer_is_streamed(t5):
    body = {"prompt": SOURCES[0], "max_tokens": MOST, "num_beams": 1, "stream": True}
    text = t5.server.client.post("/v1/completions", json=body).text
    assert text.endswith("data: [DONE]\n\n")
    body = {"inputs": SOURCES[0], "parameters": {"num_beams": 1}, "stream": True}
    assert f'"generated_text":"{t5.plain.text(SOURCES[0], num_beams=1)}"' in t5.server.client.post("/", json=body).text.replace('": "', '":"')  # fmt: skip


def test_the_same_seed_draws_the_same_text(t5):
    drawn = [t5.written("w5 w6", do_sample=True, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


# --- what is refused ---


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"inputs": "w5", "stream": True}, "stream: true was given, and an answer of 3 beams is known at its end alone; leave it out, or send num_beams: 1"),
        ({"inputs": "w5", "parameters": {"num_beams": 17}}, "parameters.num_beams: 17 was given, allowed are whole numbers from 1 to 16; for example 4"),
        ({"inputs": "w5", "parameters": {"num_beams": 2, "do_sample": True}}, "parameters.num_beams: 2 was given, an answer that is drawn has one beam; allowed is 1"),
        ({"inputs": "w5", "parameters": {"stop": ["w"]}}, "parameters.stop: is only allowed with one beam, and this answer has 3; send parameters.num_beams: 1"),
        ({"inputs": "w5", "parameters": {"src_lang": "en", "tgt_lang": "de"}}, "parameters.src_lang: this model translates between the languages that it was trained for; leave it out"),
        ({"inputs": "w5", "parameters": {"truncation": "do_not_truncate"}}, 'parameters.truncation: do_not_truncate was given, allowed are longest_first, only_first; for example "longest_first"'),
        ({"inputs": "w5", "parameters": {"generate_parameters": {"top_n": 1}}}, "parameters.generate_parameters.top_n: is not known; allowed are max_new_tokens,"),
        ({"inputs": "w5", "parameters": {"num_beams": 2, "generate_parameters": {"seed": 1}}}, "parameters.num_beams: stands beside generate_parameters; say all of it in one place"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_answered_is_refused_by_its_field(t5, document, message):
    status, found = t5.refusal(**document)
    assert status == 422
    assert found.startswith(message)


def test_a_chat_is_sent_where_texts_are_answered(t5):
    messages = [{"role": "user", "content": "w5"}]
    assert t5.refusal("/v1/chat/completions", messages=messages) == (
        400,
        "messages: this model writes a text for a text and holds no conversation; ask /v1/completions with the text as prompt",
    )


def test_an_answer_has_as_many_tokens_as_the_decoder_has_positions(greedy):
    status, found = greedy.refusal(inputs="w5", parameters={"max_new_tokens": POSITIONS + 1})
    assert (status, found) == (
        422,
        "parameters.max_new_tokens: 65 was given, at most 64 are allowed: an answer of this model has at most 64 tokens",
    )


# --- the end of an answer, and of the server ---


def test_nothing_is_computed_for_a_client_that_left_its_search(t5):
    aborted = t5.server.metrics()["tuneloop_generation_finish_total", "abort"]
    leaving = InferenceLeft(t5)
    leaving.start()
    until(
        lambda: t5.server.metrics()["tuneloop_generation_finish_total", "abort"] == aborted + 1,
        what="the end of the answer",
        seconds=30,
    )
    leaving.join()
    assert t5.written("w5") == t5.plain.text("w5")


class InferenceLeft(threading.Thread):
    """Asks for a long answer and leaves before it comes."""

    def __init__(self, served: Served) -> None:
        super().__init__()
        self._served = served

    def run(self) -> None:
        import httpx

        body = {"inputs": "w5", "parameters": {"num_beams": 8, "max_new_tokens": 4000}}
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{self._served.server.url}/predict", json=body, timeout=1.0)


def test_the_metrics_are_those_of_the_page(t5):
    t5.written("w5")
    text = t5.server.client.get("/metrics").text
    assert_documented(text, "Model servers", "Model servers: text generation")
    assert lint(text) == []
