"""Several LoRA adapters on one decoder in one server: the greedy answers of each are those of its merged model, alone and beside others in one batch."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from adapter_artifacts import adapter_artifact, rewrite
from generating_artifacts import CORPUS, WINDOW, PlainTransformers, tiny_decoder
from peft import PeftModel
from served_adapters import places, served
from server_process import running_fork

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_server.adapters import check_all_files, read_manifests
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes.torch_runtime import TORCH
from tuneloop_server.tasks import task_of

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("films", "books")
PROMPTS = [*CORPUS[:2], "Ada", "?" * 30]
MOST = 24


class Merged(PlainTransformers):
    """The base model with one adapter merged into its weights, by PEFT and transformers alone."""

    def __init__(self, base: Path, adapter: Path) -> None:
        super().__init__(base)
        self.model = PeftModel.from_pretrained(self.model, adapter / "adapter").merge_and_unload().eval()


def decoder_with_adapters(folder: Path, kind: str, **variants: MethodSettings) -> Path:
    """Write a decoder to `base`, whose model/ answers itself, and an adapter on it for each name; return the folder."""
    tiny_decoder(folder / "base", kind)
    for seed, name in enumerate(variants or NAMES, start=1):
        method = variants.get(name, MethodSettings(type="lora", rank=4))
        adapter_artifact(
            folder / name,
            folder / "base/model",
            seed=seed,
            labels=(),
            task="text-generation",
            max_tokens=WINDOW[kind],
            method=method,
        )
    return folder


def loaded(config):
    manifest, adapters = read_manifests(config)
    check_all_files(config, manifest, adapters)
    return TORCH.load_generators(config, manifest, adapters, task_of(config, manifest))


def grow(models, rows, *, most=MOST):
    """Return the greedy tokens of rows that grow together in one batch. rows: name of a model, and a text."""
    prompts = [models[name].prompt_of_text(text, field="prompt") for name, text in rows]
    decoder = models[rows[0][0]].decoder
    logits = decoder.add([prompt.ids for prompt in prompts], [prompt.adapter for prompt in prompts])
    found = [[] for _ in rows]
    for _ in range(most):
        for tokens, of_row in zip(found, logits, strict=True):
            tokens.append(int(np.argmax(of_row)))
        logits = decoder.step([tokens[-1] for tokens in found])
    decoder.keep([])
    return found


def merged_models(folder, names=NAMES):
    return {name: Merged(folder / "base", folder / name) for name in names} | {None: PlainTransformers(folder / "base")}


def until_the_end(plain, text, tokens):
    """Return the tokens that plain transformers makes, which stop at the model's end, and as many of those that were found."""
    expected = plain.tokens(text, most=MOST)
    return expected, tokens[: len(expected)]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2"])
def test_each_adapter_makes_the_tokens_of_its_merged_model_alone_and_mixed_in_a_batch(tmp_path, kind):
    folder = decoder_with_adapters(tmp_path, kind)
    models = loaded(served(folder / "base", *places(folder, *NAMES)))
    plain = merged_models(folder)
    rows = [(name, text) for text in PROMPTS for name in ("films", None, "books")]
    alone = [grow(models, [row])[0] for row in rows]
    assert [*plain] == [*NAMES, None]
    assert len({tuple(tokens) for tokens in alone[:3]}) == 3  # three models that differ
    for found in (alone, grow(models, rows)):
        for (name, text), tokens in zip(rows, found, strict=True):
            expected, made = until_the_end(plain[name], text, tokens)
            assert made == expected, (name, text)


def test_rows_keep_their_adapters_as_others_join_and_leave(tmp_path):
    folder = decoder_with_adapters(tmp_path, "llama")
    models = loaded(served(folder / "base", *places(folder, *NAMES)))
    plain = merged_models(folder)
    decoder = models["films"].decoder
    names, texts = ["films", "books", None], ["Ada", "A joy", "Straße"]
    ids = [models[name].prompt_of_text(text, field="prompt").ids for name, text in zip(names, texts, strict=True)]
    made = [[int(np.argmax(row))] for row in decoder.add(ids[:2], names[:2])]
    made.append([int(np.argmax(decoder.add(ids[2:])[0]))])  # the base model's own row, without a word of adapters
    for row, logits in zip(made, decoder.step([row[-1] for row in made]), strict=True):
        row.append(int(np.argmax(logits)))
    decoder.keep([2, 1])
    for row, logits in zip([made[2], made[1]], decoder.step([made[2][-1], made[1][-1]]), strict=True):
        row.append(int(np.argmax(logits)))
    for name, text, row in zip(names, texts, made, strict=True):
        assert row == plain[name].tokens(text, most=3)[: len(row)]
    assert [len(row) for row in made] == [2, 3, 3]


def test_an_adapter_of_rslora_beside_one_of_lora(tmp_path):
    variants = {
        "films": MethodSettings(type="lora", rank=4),
        "books": MethodSettings(type="lora", rank=8, use_rslora=True),
    }
    folder = decoder_with_adapters(tmp_path, "llama", **variants)
    models = loaded(served(folder / "base", *places(folder, *NAMES)))
    plain = merged_models(folder)
    for name, tokens in zip(NAMES, grow(models, [(name, "Ada") for name in NAMES]), strict=True):
        assert tokens == plain[name].tokens("Ada", most=MOST)


def test_a_base_model_without_a_manifest_answers_by_its_adapters_alone(tmp_path):
    folder = decoder_with_adapters(tmp_path, "qwen2")
    models = loaded(served(folder / "base/model", *places(folder, *NAMES)))
    assert [*models] == [*NAMES]
    expected, made = until_the_end(
        Merged(folder / "base", folder / "books"), "Ada", grow(models, [("books", "Ada"), ("films", "A")])[0]
    )
    assert made == expected


def test_the_ends_of_the_base_model_end_the_answers_of_an_adapter(tmp_path):
    folder = decoder_with_adapters(tmp_path, "qwen2")
    models = loaded(served(folder / "base", *places(folder, *NAMES)))
    assert [model.meaning.ends for model in models.values()] == [{0, 1}] * 3
    (folder / "films/adapter/generation_config.json").unlink()  # as an adapter of an older release
    rewrite(folder / "films")
    assert loaded(served(folder / "base", *places(folder, "films")))["films"].meaning.ends == {0}


def test_an_adapter_that_brings_whole_modules_is_refused(tmp_path):
    folder = decoder_with_adapters(tmp_path, "llama")
    path = folder / "films/adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modules_to_save": ["lm_head"]}))
    rewrite(folder / "films")
    with pytest.raises(
        CannotServe,
        match=r"adapter_config\.json: modules_to_save: lm_head was given; allowed are low-rank weights alone",
    ):
        loaded(served(folder / "base", *places(folder, *NAMES)))


# --- what clients see ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return decoder_with_adapters(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    pod = tmp_path_factory.mktemp("pod")
    (pod / "keys").write_text("k" * 32)
    config = served(folder / "base", *places(folder, *NAMES), feedback={"keys_path": str(pod / "keys")})
    with running_fork(config, pod) as found:
        yield found


@pytest.fixture(scope="module")
def plain(folder):
    found = merged_models(folder)
    return {"films": found["films"], "books": found["books"], "reviews": found[None]}


def complete(server, name, text, **fields):
    body = {"model": name, "prompt": text, "max_tokens": MOST} | fields
    response = server.client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    return response


def test_openai_names_the_adapter_in_model_and_answers_grow_side_by_side(server, plain):
    asked = [(name, text) for text in PROMPTS for name in plain]
    with ThreadPoolExecutor(len(asked)) as clients:
        answers = list(clients.map(lambda row: complete(server, *row).json(), asked))
    for (name, text), answer in zip(asked, answers, strict=True):
        assert answer["model"] == name
        assert answer["choices"][0]["text"] == plain[name].text(text, most=MOST)


def test_a_stream_and_a_chat_are_the_adapters_own(server, plain):
    events = complete(server, "books", "Ada", stream=True).text.split("\n\n")
    parts = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    assert "".join(part["choices"][0]["text"] for part in parts) == plain["books"].text("Ada", most=MOST)
    chat = [{"role": "user", "content": "Who was Ada?"}]
    body = {"model": "films", "messages": chat, "max_tokens": MOST}
    answer = server.client.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == plain["films"].text(chat, most=MOST)


def test_hugging_face_names_the_adapter_in_the_address(server, plain):
    body = {"inputs": "Ada", "parameters": {"max_new_tokens": MOST}}
    for name in NAMES:
        answer = server.client.post(f"/predict?adapter={name}", json=body).json()
        assert answer[0]["generated_text"] == plain[name].text("Ada", most=MOST)


def test_the_open_inference_protocol_names_the_adapter_in_the_path(server, plain):
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["Ada"]}
    asked = {"inputs": [tensor], "parameters": {"max_new_tokens": MOST}}
    answer = server.client.post("/v2/models/books/infer", json=asked).json()
    assert answer["model_name"] == "books"
    assert answer["outputs"][0]["data"] == [plain["books"].text("Ada", most=MOST)]


@pytest.mark.parametrize("stream", [False, True])
def test_the_answers_of_each_adapter_are_counted(server, stream):
    def counted(name):
        return server.metrics().get(("tuneloop_adapter_texts_total", name), 0)

    before = counted("books"), counted("films")
    complete(server, "books", "A", stream=stream)
    body = {"inputs": "A", "stream": stream, "parameters": {"max_new_tokens": 2}}
    assert server.client.post("/?adapter=books", json=body).status_code == 200
    assert (counted("books"), counted("films")) == (before[0] + 2, before[1])


@pytest.mark.parametrize("stream", [False, True])
def test_the_answers_of_an_adapter_take_feedback(server, stream):
    hugging_face = {"inputs": "A", "stream": stream, "parameters": {"max_new_tokens": 2}}
    answers = [
        complete(server, "books", "A", stream=stream),
        server.client.post("/?adapter=books", json=hugging_face),
    ]
    feedback = [{"token": answer.headers["x-tuneloop-feedback"], "score": 1} for answer in answers]
    assert server.client.post("/v1/feedback", json=feedback).json() == {"counted": 2, "repeated": 0}


def test_an_unknown_name_is_answered_with_the_known_ones(server):
    refused = server.client.post("/v1/completions", json={"model": "songs", "prompt": "A"})
    assert refused.status_code == 404
    assert (
        refused.json()["error"]["message"]
        == "model: songs is not served here; allowed are reviews, films, books, or nothing"
    )
