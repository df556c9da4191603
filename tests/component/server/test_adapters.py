"""Several adapters on one base model in one server: each answers as it does alone with PEFT."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import transformers
from adapter_artifacts import LABELS, adapter_artifact, base_artifact, base_folder
from app_clients import app_client, metric, wait_until
from huggingface_hub import InferenceClient, constants
from peft import PeftModel
from served_adapters import NAMES, berts_with_adapters, loaded, places, served
from server_process import running_fork

from tuneloop_api.contract.monitoring_profile import FeatureProfile, MonitoringProfile
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_api.features.bins import usable_bins
from tuneloop_server.adapters import read_manifests
from tuneloop_server.features import FeatureCounts
from tuneloop_server.runtimes.torch_runtime import TORCH
from tuneloop_server.tasks import task_of
from tuneloop_trainer.tasks import TASKS

TEXTS = ["w4 w9 w17", "w33", "w5 w6 w7 w8 w9 w10 w11", "w60 w2 w41 w12", "w22 w23"]


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
    return berts_with_adapters(tmp_path_factory.mktemp("berts"))


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


def test_an_adapter_of_rslora_is_served_beside_one_of_lora(tmp_path):
    base = base_folder(tmp_path / "base", "bert")
    variants = {"films": {}, "books": {"use_rslora": True}}
    for seed, (name, variant) in enumerate(variants.items(), start=1):
        method = MethodSettings(type="lora", rank=4, **variant)
        adapter_artifact(tmp_path / name, base, seed=seed, method=method)
    models = loaded(served(base, *places(tmp_path, *variants)))
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
def client_of(config, features=None):
    manifest, adapters = read_manifests(config)
    task = task_of(config, manifest)
    with app_client(
        config, manifest, task=task, runtime=TORCH, adapters=adapters, features=features
    ) as client:  # fmt: skip
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


def test_features_are_counted_of_the_base_models_own_answers_alone(tmp_path):
    base_artifact(tmp_path / "base", "bert")
    adapter_artifact(tmp_path / "films", tmp_path / "base/model", seed=1)
    feature = FeatureProfile(name="truncated", edges=[0.5], counts=[1, 0])
    profile = MonitoringProfile(
        task="text-classification", labels=list(LABELS), temperature=1.0, split="test", rows=1, features=[feature]
    )
    features = FeatureCounts(profile, usable_bins(profile))
    with client_of(served(tmp_path / "base", *places(tmp_path, "films")), features) as client:
        assert client.post("/predict?adapter=films", json={"inputs": TEXTS}).status_code == 200
        assert client.post("/predict", json={"inputs": TEXTS[:2]}).status_code == 200
    counted, _ = features.collect()
    assert [sample.value for sample in counted.samples] == [2, 0]
