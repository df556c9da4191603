from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from finished_runs import MAX_TOKENS
from peft import PeftModel
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tuneloop_api.contract.artifact import Manifest
from tuneloop_api.contract.results import TrainResult
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.dataset.shards import read_texts
from tuneloop_trainer.errors import ConfigError, NonFiniteLossError, StageError, StorageError
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.export.verify import verify_artifact
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.stage_result import succeeded, write_result
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

LORA = MethodSettings(type="lora", rank=4)
FULL = MethodSettings(type="full")


def dataset_of(config) -> Path:
    return Path(config.paths.datasets) / "d1"


def logits_of(folder: Path, texts: list[str]) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        return AutoModelForSequenceClassification.from_pretrained(folder).eval()(**inputs).logits


def measured_logits(config) -> torch.Tensor:
    return torch.from_numpy(load_file(Path(config.paths.job_dir) / "test.safetensors")["logits"])


def test_texts(config) -> list[str]:
    return [text for _, text, _ in read_texts(dataset_of(config), "test")]


test_texts.__test__ = False


def with_train_result(config, **changes):
    """The same run, with other facts in train.json."""
    job = Path(config.paths.job_dir)
    trained = TrainResult.from_wire(json.loads((job / "train.json").read_bytes())).model_copy(update=changes)
    return config.model_copy(update={"train_result": write_result(trained, stage="train", job=job)})


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_the_published_model_loads_plainly_and_gives_the_logits_of_training(runs, posts, published, method):
    config, artifact = published
    if method is FULL:
        config = runs.tiny(method=FULL)
        artifact = Path(export(config, posts).artifact_path)
    found = logits_of(artifact / "model", test_texts(config))
    torch.testing.assert_close(found, measured_logits(config), atol=1e-4, rtol=0)


def test_the_real_minilm_goes_the_whole_way(runs, posts):
    config = runs.minilm(method=LORA)
    result = export(config, posts)
    artifact = Path(result.artifact_path)
    assert verify_artifact(artifact, result.digest).labels == ["negative", "positive"]
    found = logits_of(artifact / "model", test_texts(config))
    torch.testing.assert_close(found, measured_logits(config), atol=1e-4, rtol=0)
    assert {baseline.name for baseline in result.baselines} == {"majority", "tfidf-linear", "before-training"}


def test_the_config_names_the_classes_and_the_problem(runs, posts):
    result = export(runs.tiny(labels=("bad", "good", "mixed")), posts)
    config = json.loads((Path(result.artifact_path) / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good", "2": "mixed"}
    assert config["label2id"] == {"bad": 0, "good": 1, "mixed": 2}
    assert config["problem_type"] == "single_label_classification"
    assert config["architectures"] == ["BertForSequenceClassification"]


def test_the_adapter_loads_with_peft_on_the_base_model(published, tiny_bert):
    config, artifact = published
    adapter = artifact / "adapter"
    base = load_model(
        tiny_bert, task=TEXT_CLASSIFICATION, labels=["negative", "positive"], pad_token_id=0, dropout=None, seed=1
    )
    model = PeftModel.from_pretrained(base, str(adapter)).eval()
    inputs = AutoTokenizer.from_pretrained(adapter)(test_texts(config), padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, measured_logits(config), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("uri", "base", "revision"), [("hf://org/name", "org/name", "r1"), ("pvc://demo/model", "pvc://demo/model", None)]
)
def test_the_adapter_names_its_base_model_as_others_know_it_and_the_classes(runs, posts, uri, base, revision):
    config = runs.tiny(method=LORA, model={"uri": uri}, evaluation={"baselines": False, "bootstrapSamples": 100})
    adapter = Path(export(config, posts).artifact_path) / "adapter"
    named = json.loads((adapter / "adapter_config.json").read_text())
    assert (named["base_model_name_or_path"], named["revision"]) == (base, revision)
    model = json.loads((adapter / "config.json").read_text())
    assert (model["id2label"], model["architectures"]) == (
        {"0": "negative", "1": "positive"},
        ["BertForSequenceClassification"],
    )


def test_without_merging_only_the_adapter_is_published(runs, posts):
    config = runs.tiny(method=LORA, output={"mergeAdapter": False})
    artifact = Path(export(config, posts).artifact_path)
    assert (artifact / "adapter" / "adapter_model.safetensors").exists()
    assert not (artifact / "model").exists()
    assert "PeftModel" in (artifact / "README.md").read_text()


def test_every_file_is_readable_by_any_user_and_written_by_its_owner_alone(published):
    _, artifact = published
    assert {path.stat().st_mode & 0o777 for path in artifact.rglob("*") if path.is_file()} == {0o644}


def test_nothing_in_the_artifact_is_a_pickle(published):
    _, artifact = published
    kinds = {path.suffix for path in artifact.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".md", ".jinja", ".txt"}


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_the_digest_depends_on_neither_time_nor_place_nor_attempt(runs, posts, method):
    first = export(runs.tiny(method=method, place="here"), posts)
    restarted = with_train_result(
        runs.tiny(method=method, place="there"), attempt=4, start_step=20, world_size=3, tokens_per_second=7.0
    )
    second = export(restarted, posts)
    assert first.artifact_path != second.artifact_path
    assert first.digest == second.digest


def test_no_path_of_the_machine_stands_in_the_artifact(published, tiny_bert):
    config, artifact = published
    texts = [path.read_bytes() for path in artifact.rglob("*") if path.is_file()]
    assert not any(str(place).encode() in text for text in texts for place in (config.paths.claims["demo"], tiny_bert))


def test_an_older_artifact_gives_way(runs, posts):
    config = runs.tiny()
    old = Path(config.paths.job_dir) / "artifact"
    old.mkdir()
    (old / "manifest.json").write_text("{}")
    result = export(config, posts)
    verify_artifact(old, result.digest)
    assert sorted(path.name for path in old.parent.glob("artifact*")) == ["artifact"]


def test_the_same_artifact_stays_untouched(runs, posts):
    config = runs.tiny()
    first = export(config, posts)
    before = (Path(first.artifact_path) / "model" / "model.safetensors").stat()
    second = export(config, posts)
    after = (Path(first.artifact_path) / "model" / "model.safetensors").stat()
    assert second == first
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_result_fits_the_termination_message_and_names_the_uri(runs, posts):
    config = runs.tiny(labels=tuple(f"class {number:02}" for number in range(12)))
    result = export(config, posts)
    assert result.artifact_uri == "pvc://demo/jobs/reviews-1/artifact"
    assert result.size_bytes == sum(
        path.stat().st_size for path in Path(result.artifact_path).rglob("*") if path.is_file()
    )
    assert result.formats == ["safetensors"]
    assert succeeded(result, stage="export", reference=None).export.digest == result.digest


def test_progress_names_each_step_and_never_goes_back(runs, posts):
    export(runs.tiny(), posts)
    fractions = [post["fraction"] for post in posts]
    assert fractions == sorted(fractions)
    assert {post["detail"]: post["fraction"] for post in reversed(posts)} == {
        "measuring the test split": 0.0,
        "fitting the baselines": 0.1,
        "building the model's files": 0.5,
        "comparing the files with training": 0.7,
        "publishing": 0.9,
        "published": 1.0,
    }


def test_baselines_can_be_left_out(runs, posts):
    config = runs.tiny(evaluation={"baselines": False})
    Path(config.paths.job_dir, "before-test.safetensors").unlink()
    result = export(config, posts)
    assert result.baselines == []
    assert result.paired is None


def test_changed_results_of_earlier_stages_are_refused(runs, posts):
    config = runs.tiny()
    path = Path(config.train_result.path)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(StorageError, match=r"train\.json: was changed after its stage ended"):
        export(config, posts)


def test_a_missing_reference_is_a_configuration_error(runs, posts):
    with pytest.raises(ConfigError, match="prepareResult: is missing"):
        export(runs.tiny().model_copy(update={"prepare_result": None}), posts)


def test_weights_that_are_not_what_was_measured_are_not_published(runs, posts):
    config = runs.tiny()
    path = Path(config.paths.job_dir) / "weights" / "trainable.safetensors"
    weights = load_tensors(path)
    weights["classifier.bias"][0] += 0.001
    save_tensors(weights, path)
    with pytest.raises(StageError, match=r"model in the artifact is not what was trained.*nothing was published"):
        export(config, posts)
    assert not list(Path(config.paths.job_dir).glob("artifact*"))


def test_a_tokenizer_that_reads_otherwise_is_not_published(runs, posts):
    config = runs.tiny()
    path = dataset_of(config) / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text().replace('"good":', '"other":'))
    with pytest.raises(StageError, match=r"the tokenizer in model reads test row \d+ otherwise than prepare did"):
        export(config, posts)


def test_predictions_of_other_rows_are_refused(runs, posts):
    config = runs.tiny()
    path = Path(config.paths.job_dir) / "test.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"rows": tensors["rows"][::-1].copy()}, path)
    with pytest.raises(StorageError, match="rows or labels differ"):
        export(config, posts)


def test_logits_that_are_not_finite_are_refused(runs, posts):
    config = runs.tiny()
    path = Path(config.paths.job_dir) / "test.safetensors"
    tensors = load_file(path)
    tensors["logits"][3, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(NonFiniteLossError, match="1 rows have logits that are not finite"):
        export(config, posts)


def test_missing_predictions_are_named(runs, posts):
    config = runs.tiny()
    (Path(config.paths.job_dir) / "validation.safetensors").unlink()
    with pytest.raises(StorageError, match=r"validation\.safetensors: cannot be read"):
        export(config, posts)


def test_the_manifest_lists_every_file_with_its_digest_and_what_the_model_came_from(published):
    config, artifact = published
    manifest = json.loads((artifact / "manifest.json").read_text())
    listed = {file["path"]: file["sha256"] for file in manifest["files"]}
    found = {
        path.relative_to(artifact).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in artifact.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert listed == found
    assert (manifest["name"], manifest["task"], manifest["baseModel"]) == (
        "reviews",
        "text-classification",
        "pvc://demo/model",
    )
    assert (manifest["labels"], manifest["maxTokens"]) == (["negative", "positive"], MAX_TOKENS)
    assert manifest["lineage"] == {
        "modelRevision": "r1",
        "dataDigest": "d1",
        "configHash": config.config_hash,
        "tuneloopVersion": version("tuneloop"),
        "libraries": {
            library: version(library)
            for library in ("torch", "transformers", "tokenizers", "safetensors", "peft", "numpy", "scikit-learn")
        },
    }


def test_the_manifest_of_an_adapter_lists_the_weights_of_its_base_model(published, tiny_bert):
    _, artifact = published
    (file,) = Manifest.from_wire(json.loads((artifact / "manifest.json").read_text())).adapter_base.files
    content = (tiny_bert / "model.safetensors").read_bytes()
    assert (file.path, file.size, file.sha256) == (
        "model.safetensors",
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


def test_a_whole_model_names_no_base_of_an_adapter(runs, posts):
    artifact = Path(export(runs.tiny(), posts).artifact_path)
    assert Manifest.from_wire(json.loads((artifact / "manifest.json").read_text())).adapter_base is None
