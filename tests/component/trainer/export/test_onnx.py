"""`onnx/`: every architecture gives the logits of torch at any shape, and what is published has the proof beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from finished_runs import MINILM, RunMaker, invented_rows
from sklearn.linear_model import LogisticRegression
from tiny_architectures import END, PAD, VOCABULARY, inputs, save_base, tiny_config
from transformers import AutoModelForSequenceClassification

from tuneloop_api.contract.artifact import Manifest
from tuneloop_api.features.text_vectors import noting
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.export.exporters.onnx_model import OnnxSession, write_graph
from tuneloop_trainer.export.onnx_int8 import held_out_rows, same_choices, write_int8
from tuneloop_trainer.export.rounding import compare
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.export.verify import verify_artifact
from tuneloop_trainer.tasks import TASKS

TEXTS, TOKENS = TASKS["text-classification"], TASKS["token-classification"]
ARCHITECTURES = [
    *((TEXTS, name) for name in ("albert", "bart", "bert", "distilbert", "electra", "gpt2", "llama", "modernbert", "mpnet", "qwen2", "t5", "xlnet")),
    *((TOKENS, name) for name in ("deberta-v2", "roberta")),
]  # fmt: skip
SHAPES = [(1, 1), (1, 7), (3, 2), (5, 31)]


def perturbed(model_type: str, task) -> torch.nn.Module:
    torch.manual_seed(0)
    model = getattr(transformers, task.auto_class).from_config(tiny_config(model_type, ["O", "B-A", "I-A"])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch(rows: int, tokens: int) -> dict[str, torch.Tensor]:
    """Return rows that end with the end token; the first is padded, where there is room."""
    ids = torch.randint(END + 1, VOCABULARY, (rows, tokens), generator=torch.Generator().manual_seed(rows))
    ids[:, -1] = END
    if rows > 1 and tokens > 3:
        ids[0, -3:] = torch.tensor([END, PAD, PAD])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


@pytest.mark.parametrize(("task", "model_type"), [pytest.param(*both, id=both[1]) for both in ARCHITECTURES])
def test_the_file_gives_the_logits_of_torch_at_any_shape(tmp_path: Path, task, model_type: str) -> None:
    model = perturbed(model_type, task)
    write_graph(model, tmp_path / "model.onnx", inputs())
    session = OnnxSession(tmp_path / "model.onnx")
    for rows, tokens in SHAPES:
        given = batch(rows, tokens)
        with torch.inference_mode(), noting(model) as last:
            expected = model(**given).logits
            vectors = last.vectors(given["attention_mask"])
        outputs = session(**given)
        torch.testing.assert_close(outputs.text_vector, vectors, rtol=1e-4, atol=1e-5)
        found = outputs.logits
        assert found.shape == expected.shape
        difference = compare(found.flatten(end_dim=-2).numpy(), expected.flatten(end_dim=-2).numpy(), precision="fp32")
        assert difference.is_rounding, (rows, tokens, difference.largest, difference.allowed)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        pytest.param([0, 1, 2], [0, 2, 2], 2, id="a class a target"),
        pytest.param([[0, 1], [1, 1], [0, 0]], [[0, 1], [1, 0], [0, 0]], 2, id="all labels of a target"),
        pytest.param([], [], 0, id="no target in a batch"),
    ],
)
def test_choices_are_counted_by_target(first: list, second: list, same: int) -> None:
    assert same_choices(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)) == same


def test_a_file_has_no_vector_of_a_text_where_none_is_wanted(tmp_path: Path) -> None:
    model = perturbed("bert", TOKENS)
    write_graph(model, tmp_path / "model.onnx", inputs(), has_vector=False)
    with torch.inference_mode():
        expected = model(**inputs()).logits
    outputs = vars(OnnxSession(tmp_path / "model.onnx")(**inputs()))
    assert list(outputs) == ["logits"]
    torch.testing.assert_close(outputs["logits"], expected, rtol=1e-4, atol=1e-5)


ALL_FORMATS = {
    "evaluation": {"baselines": False, "bootstrapSamples": 100},
    "output": {"formats": ["safetensors", "onnx", "onnx-int8"]},
}


class Posts(list[dict[str, Any]]):
    def post(self, **fields: Any) -> None:
        self.append(fields)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, tiny_bert) -> SimpleNamespace:
    """A run that asks for all formats, and its artifact; it has 120 held-out rows."""
    config = RunMaker(folder=tmp_path_factory.mktemp("tiny"), tiny_bert=tiny_bert).tiny(**ALL_FORMATS)
    result = export(config, Posts())
    folder = Path(result.artifact_path)
    manifest = Manifest.from_wire(json.loads((folder / "manifest.json").read_bytes()))
    return SimpleNamespace(folder=folder, result=result, manifest=manifest, dataset=dataset_of(config))


def dataset_of(config) -> Path:
    return Path(config.paths.datasets) / "d1"


def test_the_fp32_file_is_published_with_what_is_needed_to_run_it(tiny):
    verify_artifact(tiny.folder, tiny.result.digest)
    names = {path.name for path in (tiny.folder / "onnx").iterdir()}
    assert {"model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"} <= names
    assert tiny.result.formats == ["onnx", "safetensors"]
    assert (tiny.manifest.onnx.rows, tiny.manifest.onnx.tolerance, tiny.manifest.onnx.refusal) == (60, 2**-13, None)
    assert {"onnx", "onnxruntime"} <= tiny.manifest.lineage["libraries"].keys()


def test_int8_is_not_published_where_too_few_rows_decide(tiny):
    assert not (tiny.folder / "onnx/model_int8.onnx").exists()
    reason = "120 held-out rows are too few to decide, at least 2000 are needed"
    assert tiny.manifest.onnx.int8.refusal == reason
    assert f"No int8 file is published: {reason}." in (tiny.folder / "README.md").read_text()


def pooled(model, dataset: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Return what the head of a BERT sees of all held-out rows, and their labels."""
    features, labels = [], []
    with torch.inference_mode():
        for split, rows in held_out_rows(dataset, rows=1000):
            batch = TEXTS.collate(split, rows, 0)
            given = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
            features.append(model.bert(**given).pooler_output)
            labels.append(batch.labels)
    return torch.cat(features), np.concatenate(labels)


def sure(model, dataset: Path) -> Any:
    """Give a BERT a head that tells the held-out rows apart."""
    features, labels = pooled(model.eval(), dataset)
    fitted = LogisticRegression(C=1000.0, max_iter=1000).fit(features.numpy(), labels)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor(np.concatenate([-fitted.coef_, fitted.coef_])))
        model.classifier.bias.copy_(torch.tensor(np.concatenate([-fitted.intercept_, fitted.intercept_])))
    return model


def undecided(model, dataset: Path) -> Any:
    """Give a BERT a head whose classes nearly agree, each the answer to half of the rows: 8 bits cannot tell them apart."""
    features, _ = pooled(model.eval(), dataset)
    with torch.no_grad():
        weight = model.classifier.weight
        weight[1] = weight[0] + 1e-4 * weight[1]
        model.classifier.bias.copy_(torch.tensor([0.0, -(features @ (weight[1] - weight[0])).median()]))
    return model


def test_int8_is_kept_where_it_predicts_as_fp32_does(runs, tmp_path):
    dataset = dataset_of(runs.minilm())
    model = sure(AutoModelForSequenceClassification.from_pretrained(MINILM), dataset)
    write_graph(model, tmp_path / "model.onnx", inputs())
    found = write_int8(tmp_path, dataset=dataset, task=TEXTS, pad_token_id=0, rows=80)
    assert (found.refusal, found.rows) == (None, 80)
    assert found.agreement >= 0.98
    fp32, int8 = ((tmp_path / name).stat().st_size for name in ("model.onnx", "model_int8.onnx"))
    assert int8 < 0.8 * fp32  # the word embeddings stay


def test_int8_is_dropped_where_its_predictions_are_others(tiny, tmp_path):
    model = undecided(AutoModelForSequenceClassification.from_pretrained(tiny.folder / "model"), tiny.dataset)
    write_graph(model, tmp_path / "model.onnx", {name: tensor % 20 for name, tensor in inputs().items()})
    found = write_int8(tmp_path, dataset=tiny.dataset, task=TEXTS, pad_token_id=0, rows=120)
    assert found.agreement < 0.98
    assert found.refusal == f"{found.agreement:.1%} of its predictions are those of the fp32 file, at least 98% must be"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.fixture
def funnel(tmp_path, tiny_bert) -> Path:
    """A model whose code gives other logits where it was traced: it counts the tokens in Python."""
    save_base(tmp_path / "funnel", "funnel")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_bert / file, tmp_path / "funnel")
    return tmp_path / "funnel"


def test_after_the_training_a_model_that_cannot_be_traced_is_published_without_onnx(runs, posts, funnel):
    result = export(runs.make(funnel, invented_rows(), **ALL_FORMATS), posts)
    folder = Path(result.artifact_path)
    manifest = verify_artifact(folder, result.digest)
    assert result.formats == ["safetensors"]
    assert "spec.output.formats: this model cannot be published as onnx: " in manifest.onnx.refusal
    assert not (folder / "onnx").exists()
    assert f"No ONNX file is published: {manifest.onnx.refusal}." in (folder / "README.md").read_text()


def test_the_same_run_gives_the_same_files(runs, posts):
    first = export(runs.tiny(place="here", **ALL_FORMATS), posts)
    second = export(runs.tiny(place="there", **ALL_FORMATS), posts)
    assert first.artifact_path != second.artifact_path
    assert first.digest == second.digest


def test_a_model_that_one_file_cannot_hold_is_refused(tmp_path):
    with torch.device("meta"):
        config = tiny_config("bert")
        config.vocab_size = 2**25
        model = transformers.BertForSequenceClassification(config)
    with pytest.raises(ConfigError, match=r"its weights have 21\d{8} bytes, one ONNX file holds 2130706432"):
        write_graph(model, tmp_path / "model.onnx", inputs())
