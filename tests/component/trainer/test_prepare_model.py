"""A model that cannot be fine-tuned is refused before any work on the data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from run_configs import run_config
from tiny_masked import save_masked
from tiny_models import tiny_bert

from tuneloop_trainer.errors import ConfigError, ModelAccessError
from tuneloop_trainer.models.source import PretrainedModel, open_model
from tuneloop_trainer.tasks.fill_mask import FILL_MASK
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION


def opened(tmp_path: Path, **source) -> PretrainedModel:
    config = run_config(tmp_path, model_source=source)
    return open_model(config.settings.model, task=TEXT_CLASSIFICATION, paths=config.paths)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tiny_bert(tmp_path / "model")


def test_a_good_model_says_what_it_is(tmp_path, folder):
    model = opened(tmp_path)
    assert (model.model_type, model.architecture, model.max_tokens) == ("bert", "encoder", 64)
    assert model.path == folder


def test_the_revision_follows_from_the_contents_alone(tmp_path, folder):
    before = opened(tmp_path).revision
    os.utime(folder / "model.safetensors")
    assert opened(tmp_path).revision == before
    tiny_bert(folder, seed=1)
    assert opened(tmp_path).revision != before


def test_a_claim_is_read_like_a_folder(tmp_path, folder):
    assert opened(tmp_path, uri="pvc://work/model").path == folder


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_positions_that_stand_for_padding_cannot_be_read(tmp_path, folder):
    edit_config(folder, model_type="roberta", pad_token_id=1)
    assert opened(tmp_path).max_tokens == 62


def name_tokenizers(folder, *names):
    """Let transformers choose among tokenizers: it takes the one with the newest version in its name."""
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"fast_tokenizer_files": names}))
    for name in names:
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            shutil.copy(folder / "tokenizer.json", place)


DAMAGE = {
    "no folder": (lambda f: f.rename(f.with_name("away")), "file://.*/model does not exist"),
    "a file": (lambda f: (f.rename(f.with_name("away")), f.touch()), "is a file, a folder is needed"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no weights: neither model.safetensors"),
    "only pickles": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        r"only pickled weights \(pytorch_model.bin\)",
    ),
    "weights cut off": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-8]),
        "model.safetensors is damaged or cut off",
    ),
    "LFS pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "Git LFS pointer",
    ),
    "a shard is missing": (
        lambda f: (
            (f / "model.safetensors").unlink(),
            (f / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
            ),
        ),
        "lacks model-00001-of-00001.safetensors",
    ),
    "an index that is no JSON": (
        lambda f: (f / "model.safetensors.index.json").write_text("{"),
        "model.safetensors.index.json cannot be read",
    ),
    "an index without names": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": [1]}'),
        "model.safetensors.index.json cannot be read",
    ),
    "an index that names pickles": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}'),
        "model.safetensors.index.json names pytorch_model.bin, which is no safetensors file",
    ),
    "a shard of another folder": (
        lambda f: (
            (f / "model.safetensors").rename(f.parent / "other.safetensors"),
            (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}'),
        ),
        "../other.safetensors lies outside of the folder",
    ),
    "an index beside the weights": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "/etc/other.safetensors"}}'),
        "/etc/other.safetensors lies outside of the folder",
    ),
    "weights over a link": (
        lambda f: (f / "model.safetensors").symlink_to((f / "model.safetensors").rename(f.parent / "other")),
        "model.safetensors lies outside of the folder",
    ),
    "a tokenizer over a link": (
        lambda f: (f / "vocab.txt").symlink_to("/proc/self/environ"),
        "vocab.txt lies outside of the folder",
    ),
    "a tokenizer of another folder": (
        lambda f: name_tokenizers(f, "tokenizer.json", "../other/tokenizer.4.0.0.json"),
        "tokenizer_config.json names ../other/tokenizer.4.0.0.json in fast_tokenizer_files",
    ),
    "a tokenizer that no digest covers": (
        lambda f: name_tokenizers(f, "tokenizer.4.0.0.json"),
        "tokenizer_config.json names tokenizer.4.0.0.json in fast_tokenizer_files",
    ),
    "an adapter": (
        lambda f: (f / "adapter_config.json").write_text("{}"),
        "has adapter_config.json beside the model: transformers would load that adapter",
    ),
    "no tokenizer": (lambda f: [path.unlink() for path in f.glob("*token*")], "has no tokenizer"),
    "tokenizer is no JSON": (lambda f: (f / "tokenizer.json").write_text("{"), "the tokenizer cannot be loaded"),
    "a model for images": (
        lambda f: edit_config(f, model_type="vit"),
        "models of type 'vit' cannot be used for text-classification",
    ),
    "no type": (
        lambda f: edit_config(f, model_type=None),
        "models of type None cannot be used for text-classification",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_model_that_cannot_be_used_is_refused_with_its_fault(tmp_path, folder, damage, message):
    damage(folder)
    with pytest.raises(ModelAccessError, match=f"model.uri: .*{message}"):
        opened(tmp_path)


def test_a_claim_that_is_not_mounted_is_named(tmp_path):
    with pytest.raises(ConfigError, match="model.uri: pvc://other/model: the claim 'other' is not mounted"):
        opened(tmp_path, uri="pvc://other/model")


def test_an_unreachable_hub_is_another_error_than_a_missing_model(tmp_path):
    """In a process of its own: the hub's address is read when its client is imported."""
    program = (
        "import sys; from run_configs import run_config; from pathlib import Path\n"
        "from tuneloop_trainer.models.source import open_model\n"
        "from tuneloop_trainer.tasks import task_of\n"
        "config = run_config(Path(sys.argv[1]), model_source={'uri': 'hf://org/name', 'revision': 'v1'})\n"
        "try: open_model(config.settings.model, task=task_of(config.settings), paths=config.paths)\n"
        "except Exception as error: print(type(error).__name__, error, error.hint)\n"
    )
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "ModelAccessError model.uri: hf://org/name at revision 'v1' cannot be fetched" in output
    assert "pvc://CLAIM/PATH" in output


def test_a_mask_token_without_an_embedding_is_refused_before_any_row_is_read(tmp_path):
    folder = save_masked(tmp_path / "model", "roberta")
    config = run_config(tmp_path, model=folder, task="fill-mask")
    known = open_model(config.settings.model, task=FILL_MASK, paths=config.paths)
    tokenizer = known.tokenizer
    tokenizer.add_special_tokens({"mask_token": "<other>"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(
        ModelAccessError,
        match=f"the mask token has the id {known.vocabulary}, the model has {known.vocabulary} embeddings",
    ):
        open_model(config.settings.model, task=FILL_MASK, paths=config.paths)
    open_model(config.settings.model, task=TEXT_CLASSIFICATION, paths=config.paths)
