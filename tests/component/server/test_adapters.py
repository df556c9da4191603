"""Several adapters on one base model in one server: each answers as it does alone with PEFT, and what does not belong together is refused."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import transformers
from adapter_artifacts import LABELS, adapter_artifact, base_artifact, base_folder, rewrite
from app_clients import app_client, metric, wait_until
from huggingface_hub import InferenceClient, constants
from peft import PeftModel
from server_process import configuration, running_fork
from tiny_architectures import PAD

from tuneloop_server.adapters import check_all_files, read_manifests
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes import runtime_of
from tuneloop_server.runtimes.torch_runtime import TORCH
from tuneloop_server.tasks import task_of
from tuneloop_trainer.tasks import TASKS

TEXTS = ["w4 w9 w17", "w33", "w5 w6 w7 w8 w9 w10 w11", "w60 w2 w41 w12", "w22 w23"]
NAMES = ("films", "books", "songs")


def served(base, *adapters, **changes):
    places = [
        {"name": name, "artifact_path": str(folder), "artifact_uri": f"pvc://models/{name}", "digest": digest}
        for name, folder, digest in adapters
    ]
    return configuration(base, adapters=places, **changes)


def loaded(config):
    """Return the models of a server by their names, as it loads them."""
    manifest, adapters = read_manifests(config)
    check_all_files(config, manifest, adapters)
    return TORCH.load_adapters(config, manifest, adapters, task_of(config, manifest))


def logits(models, name, texts=TEXTS):
    windows = [window for of_text in models[name].encode(texts) for window in of_text]
    return torch.from_numpy(np.stack(models[name].predict(windows)))


def alone(base, adapter, texts=TEXTS, task="text-classification"):
    """Return the logits of an exported adapter in plain transformers and PEFT."""
    kind = getattr(transformers, TASKS[task].auto_class)
    config = transformers.AutoConfig.from_pretrained(adapter / "adapter")
    model = PeftModel.from_pretrained(kind.from_pretrained(base, config=config), adapter / "adapter").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter / "adapter")
    found = []
    for text in texts:
        encoded = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            found.append(model(**encoded).logits[0])
    return found


@pytest.fixture(scope="module")
def berts(tmp_path_factory):
    """A BERT without a head, and three adapters on it."""
    folder = tmp_path_factory.mktemp("berts")
    base = base_folder(folder / "base", "bert")
    for seed, name in enumerate(NAMES, start=1):
        adapter_artifact(folder / name, base, seed=seed, temperature=float(seed))
    return folder


@pytest.fixture
def copies(berts, tmp_path):
    """The same, to be damaged."""
    shutil.copytree(berts, tmp_path / "copies")
    return tmp_path / "copies"


def places(folder, *names):
    return [(name, folder / name, None) for name in names]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "deberta-v2", "gpt2", "llama"])
def test_each_adapter_answers_as_it_does_alone_with_peft(tmp_path, model_type):
    base = base_folder(tmp_path / "base", model_type)
    for seed, name in enumerate(NAMES[:2], start=1):
        adapter_artifact(tmp_path / name, base, seed=seed)
    models = loaded(served(base, *places(tmp_path, *NAMES[:2])))
    for name in ("films", "books", "films"):
        torch.testing.assert_close(
            logits(models, name), torch.stack(alone(base, tmp_path / name)), atol=1e-5, rtol=1e-4
        )


def test_the_base_models_own_head_answers_beside_its_adapters(tmp_path):
    base_artifact(tmp_path / "base", "roberta")
    adapter_artifact(tmp_path / "films", tmp_path / "base/model", seed=1)
    models = loaded(served(tmp_path / "base", *places(tmp_path, "films")))
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base/model").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "base/model")
    with torch.no_grad():
        expected = [
            plain(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0] for text in TEXTS
        ]
    films = alone(tmp_path / "base/model", tmp_path / "films")
    assert not torch.allclose(torch.stack(expected), torch.stack(films), atol=0.1)
    for _ in range(2):  # there and back
        torch.testing.assert_close(logits(models, None), torch.stack(expected), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits(models, "films"), torch.stack(films), atol=1e-5, rtol=1e-4)


def test_windows_of_several_adapters_in_one_call_get_the_numbers_of_their_own(berts):
    models = loaded(served(berts / "base", *places(berts, *NAMES)))
    windows = [models[name].encode([text])[0][0] for text in TEXTS for name in NAMES]
    mixed = torch.from_numpy(np.stack(models["books"].predict(windows)))
    expected = torch.stack([logits(models, name) for name in NAMES], dim=1).flatten(0, 1)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-4)


def test_adapters_tag_tokens_as_well(tmp_path):
    base = base_folder(tmp_path / "base", "roberta")
    labels = ("O", "B-A", "I-A")
    for seed, name in enumerate(NAMES[:2], start=1):
        adapter_artifact(tmp_path / name, base, seed=seed, labels=labels, task="token-classification")
    models = loaded(served(base, *places(tmp_path, *NAMES[:2])))
    for name in NAMES[:2]:
        windows = [window for of_text in models[name].encode(TEXTS) for window in of_text]
        expected = alone(base, tmp_path / name, task="token-classification")
        for found, row in zip(models[name].predict(windows), expected, strict=True):
            torch.testing.assert_close(torch.tensor(found), row, atol=1e-5, rtol=1e-4)


def test_each_further_adapter_takes_its_own_weights_alone(berts):
    def parameters(*names):
        model = next(iter(loaded(served(berts / "base", *places(berts, *names))).values()))._model
        return sum(parameter.numel() for parameter in {*model.parameters()})

    one, two, three = (parameters(*NAMES[:count]) for count in (1, 2, 3))
    assert two - one == three - two
    with (berts / "films/adapter/adapter_model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    sizes = [torch.tensor(tensor["shape"]).prod().item() for name, tensor in header.items() if name != "__metadata__"]
    assert two - one <= sum(sizes)  # packed linear weights are no parameters


# --- what clients see ---


@contextmanager
def client_of(config):
    manifest, adapters = read_manifests(config)
    with app_client(config, manifest, task=task_of(config, manifest), runtime=TORCH, adapters=adapters) as client:
        wait_until(lambda: client.failures or client.get("/readyz").status_code == 200)
        assert not client.failures
        yield client


@pytest.fixture(scope="module")
def client(berts):
    """A server with three adapters on a base model without a head."""
    with client_of(served(berts / "base", *places(berts, *NAMES))) as client:
        yield client


def scores(answer):
    return {label["label"]: label["score"] for label in answer}


def expected_scores(base, adapter, text=TEXTS[0]):
    probabilities = torch.softmax(alone(base, adapter, [text])[0].double(), dim=-1)
    return pytest.approx(dict(zip(LABELS, probabilities.tolist(), strict=True)), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_names_the_adapter(client, berts, name):
    expected = expected_scores(berts / "base", berts / name)
    asked = client.post("/predict", params={"adapter": name}, json={"inputs": TEXTS[0]}).json()
    assert scores(asked) == expected
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [TEXTS[0]]}
    answered = client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]}).json()
    assert answered["model_name"] == name
    assert dict(zip(LABELS, answered["outputs"][2]["data"], strict=True)) == expected
    embedded = client.post("/v1/embeddings", json={"input": TEXTS[0], "model": name}).json()
    assert (embedded["model"], len(embedded["data"][0]["embedding"])) == (name, 16)


def test_requests_of_many_adapters_at_once_get_the_answers_of_their_own(client, berts):
    from concurrent.futures import ThreadPoolExecutor

    def ask(name):
        return scores(client.post("/", params={"adapter": name}, json={"inputs": TEXTS[1]}).json())

    expected = {name: expected_scores(berts / "base", berts / name, TEXTS[1]) for name in NAMES}
    with ThreadPoolExecutor(12) as pool:
        for name, found in zip(NAMES * 12, pool.map(ask, NAMES * 12), strict=True):
            assert found == expected[name]


def test_the_embeddings_of_two_adapters_differ(client):
    films, books = (
        client.post("/v1/embeddings", json={"input": "w9", "model": name}).json()["data"][0]["embedding"]
        for name in ("films", "books")
    )
    assert films != pytest.approx(books, abs=1e-3)


@pytest.mark.parametrize(
    ("ask", "status", "message"),
    [
        pytest.param(
            lambda client: client.post("/?adapter=other", json={"inputs": "w9"}),
            404,
            "adapter: other is not served here; allowed are films, books, songs",
            id="hf",
        ),
        pytest.param(
            lambda client: client.post("/", json={"inputs": "w9"}),
            422,
            "adapter: is missing, and the base model has no answer of its own; allowed are films, books, songs",
            id="hf, none",
        ),
        pytest.param(
            lambda client: client.get("/v2/models/reviews"),
            404,
            "model: reviews is not served here; allowed are films, books, songs",
            id="oip",
        ),
        pytest.param(
            lambda client: client.post("/v1/embeddings", json={"input": "w9", "model": "other"}),
            404,
            "model: other is not served here; allowed are films, books, songs",
            id="openai",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(client, ask, status, message):
    refused = ask(client)
    error = refused.json()["error"]
    assert (refused.status_code, error["message"] if isinstance(error, dict) else error) == (status, message)


def test_all_pages_list_the_adapters(client, berts):
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [*NAMES]
    assert client.get("/v1/models/books").json()["id"] == "books"
    assert json.loads(client.get("/v2/models/films").json()["parameters"]["models"]) == [*NAMES]
    assert client.get("/v2/models/films/ready").json()["ready"]
    info = client.get("/info").json()
    assert [adapter["name"] for adapter in info["adapters"]] == [*NAMES]
    assert (info["task"], info["labels"]) == ("text-classification", [*LABELS])


def test_the_texts_of_each_adapter_are_counted(client):
    client.post("/", params={"adapter": "songs"}, json={"inputs": ["w9", "w8"]})
    assert metric(client, 'tuneloop_adapter_texts_total{adapter="songs",deployment="reviews",')
    assert metric(client, 'tuneloop_adapter_texts_total{adapter="films",deployment="reviews",')


def test_a_single_adapter_answers_to_the_name_of_the_deployment(berts):
    with client_of(served(berts / "base", *places(berts, "books"))) as client:
        expected = expected_scores(berts / "base", berts / "books")
        assert scores(client.post("/", json={"inputs": TEXTS[0]}).json()) == expected
        assert client.get("/v2/models/reviews").json()["name"] == "reviews"
        refused = client.post("/?adapter=x", json={"inputs": "w9"}).json()["error"]
        assert refused == "adapter: x is not served here; allowed are reviews, books, or nothing"


def test_hugging_faces_client_asks_for_an_adapter_by_its_address(berts, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with running_fork(served(berts / "base", *places(berts, *NAMES)), tmp_path) as server:
        found = InferenceClient().text_classification([TEXTS[0]], model=f"{server.url}/predict?adapter=songs")
        assert {one.label: one.score for one in found} == expected_scores(berts / "base", berts / "songs")


# --- what is refused ---


def refusal(config):
    with pytest.raises(CannotServe) as raised:
        loaded(config)
    return str(raised.value)


def test_an_adapter_of_another_base_model_is_refused(copies, tmp_path):
    other = base_folder(tmp_path / "other", "distilbert")
    adapter_artifact(copies / "foreign", other, seed=9)
    found = refusal(served(copies / "base", *places(copies, "films", "foreign")))
    assert found.startswith(
        "spec.adapters: foreign: pvc://models/foreign: was trained on hf://tests/model, whose model.safetensors has SHA-256 "
    )
    assert found.endswith("allowed are adapters of one base model")


def test_a_base_model_that_is_not_that_of_the_adapters_is_refused(copies, tmp_path):
    other = base_folder(tmp_path / "other", "distilbert")
    found = refusal(served(other, *places(copies, "films")))
    assert found.startswith("pvc://models/reviews: model.safetensors: found ")
    assert found.endswith(
        "spec.model.uri must be the folder of hf://tests/model, on which the adapter films was trained"
    )


def test_a_base_artifact_that_is_not_that_of_the_adapter_is_refused(copies):
    base_artifact(copies / "artifact", "bert")
    found = refusal(served(copies / "artifact", *places(copies, "films")))
    assert "pvc://models/films: was trained on hf://tests/model, whose model.safetensors has SHA-256" in found


@pytest.mark.parametrize("labels", [("bad", "good", "fine"), ("bad", "good")])
def test_an_adapter_with_other_labels_is_refused(copies, labels):
    adapter_artifact(copies / "other", copies / "base", seed=4, labels=labels)
    found = refusal(served(copies / "base", *places(copies, "films", "other")))
    assert (
        f"other: pvc://models/other: has the labels {[*labels]}, pvc://models/films has ['bad', 'fine', 'good']"
        in found
    )


def test_an_adapter_of_another_task_is_refused(copies):
    adapter_artifact(copies / "tags", copies / "base", seed=4, task="token-classification")
    found = refusal(served(copies / "base", *places(copies, "films", "tags")))
    assert "has the task token-classification, pvc://models/films has text-classification" in found


def test_an_adapter_with_another_digest_is_refused(berts):
    wrong = f"sha256:{64 * '0'}"
    found = refusal(served(berts / "base", ("films", berts / "films", wrong)))
    assert f"expected {wrong}" in found


def test_an_adapter_that_does_not_name_its_base_is_refused(copies):
    rewrite(copies / "films", adapter_base=None)
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert found.endswith("it is of an older release; train the adapter again")


def test_a_whole_model_is_no_adapter(copies):
    base_artifact(copies / "whole", "bert")
    found = refusal(served(copies / "base", *places(copies, "whole")))
    assert (
        "whole: pvc://models/whole: has no adapter/adapter_model.safetensors, expected an adapter in safetensors"
        in found
    )


def test_an_adapter_in_place_of_the_model_says_where_it_belongs(copies):
    config = configuration(copies / "films")
    with pytest.raises(CannotServe, match=r"holds an adapter alone .* name it in spec\.adapters beside its base model"):
        read_manifests(config)


def test_a_pickle_is_no_adapter(copies):
    weights = copies / "films/adapter/adapter_model.safetensors"
    torch.save({}, weights.with_name("adapter_model.bin"))
    weights.unlink()
    rewrite(copies / "films")
    assert "has no adapter/adapter_model.safetensors" in refusal(served(copies / "base", *places(copies, "films")))


def test_a_pickle_under_the_name_of_safetensors_is_refused(copies, tmp_path):
    touched = tmp_path / "touched"

    class Touches:
        def __reduce__(self):
            return (type(touched).touch, (touched,))

    torch.save(Touches(), copies / "films/adapter/adapter_model.safetensors")
    rewrite(copies / "films")
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert found.startswith("spec.adapters: films: pvc://models/films: adapter/ cannot be loaded: ")
    assert not touched.exists()


def test_a_file_that_was_changed_is_refused_before_it_is_read(copies):
    path = copies / "films/adapter/adapter_config.json"
    path.write_text(path.read_text().replace('"r": 4', '"r": 8'))
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert "pvc://models/films: adapter/adapter_config.json: found SHA-256" in found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"peft_type": "IA3"}, "describes no LoRA adapter", id="another kind"),
        pytest.param({"megatron_config": {"a": 1}}, "megatron_config: {'a': 1} is not known to this server", id="an import"),
        pytest.param({"use_dora": True}, "use_dora: True is not known to this server, expected False", id="a variant"),
        pytest.param({"target_modules": "(a+)+$"}, "target_modules: (a+)+$ was given, expected a list", id="a pattern"),
        pytest.param({"target_modules": ["nothing"]}, "No modules were targeted", id="no layer"),
        pytest.param({"modules_to_save": []}, "neither the base model nor the adapter has", id="no head"),
        pytest.param({"r": 8}, "cannot be loaded", id="another rank"),
    ],
)  # fmt: skip
def test_settings_that_are_not_known_are_refused(copies, settings, words):
    path = copies / "films/adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    rewrite(copies / "films")
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert found.startswith("spec.adapters: films: pvc://models/films: adapter/ cannot be loaded: ")
    assert words in found


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param({"pad_token_id": PAD + 1}, "config.json has pad_token_id 1, expected 0", id="padding"),
        pytest.param({"layer_norm_eps": 0.5}, "config.json has layer_norm_eps 0.5, expected 1e-12", id="numbers"),
    ],
)
def test_an_adapter_whose_model_computes_otherwise_is_refused(copies, setting, words):
    path = copies / "books/adapter/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    rewrite(copies / "books")
    found = refusal(served(copies / "base", *places(copies, "films", "books")))
    assert f"books: pvc://models/books: adapter/ cannot be loaded: {words} as in the base model" in found


def test_the_engine_onnx_serves_no_adapters(berts):
    config = served(berts / "base", *places(berts, "films"), engine="onnx")
    with pytest.raises(
        CannotServe, match=r"spec\.adapters: runtime\.engine: onnx serves no adapters, allowed is torch"
    ):
        runtime_of(config)
