"""Artifacts that are damaged or mixed up: the server names what is wrong in one line, with an exit code and without a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from artifact import write_manifest
from server_process import configuration, run_to_its_end

from tuneloop_api.contract.artifact import ArtifactFile
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.model import changed
from tuneloop_server.artifact import check_files, link_checked_model, read_model_manifest
from tuneloop_server.errors import CannotServe
from tuneloop_server.tasks import task_of
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION


@pytest.fixture
def copy(artifact, tmp_path) -> Path:
    return Path(shutil.copytree(artifact.folder, tmp_path / "artifact"))


def complaint(folder: Path, **changes) -> CannotServe:
    config = configuration(folder, **changes)
    with pytest.raises(CannotServe) as refused:
        check_files(config, read_model_manifest(config))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("pvc://models/reviews: ")
    return refused.value


def rewrite_manifest(folder: Path, change) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_an_untouched_artifact_passes(artifact):
    config = configuration(artifact.folder, digest=artifact.manifest.digest())
    check_files(config, read_model_manifest(config))


def test_an_adapter_alone_is_no_model(copy):
    (copy / "model").rename(copy / "adapter")

    def as_adapter(document) -> None:
        for file in document["files"]:
            file["path"] = file["path"].replace("model/", "adapter/", 1)

    rewrite_manifest(copy, as_adapter)
    found = complaint(copy)
    assert found.exit_code == ExitCode.MODEL_ACCESS
    assert "holds an adapter alone (output.mergeAdapter: false)" in str(found)
    assert str(found).endswith("run the job under another name with output.mergeAdapter: true, the default")


@pytest.mark.parametrize("name", ["model/model.safetensors", "model/config.json", "model/tokenizer.json"])
def test_a_changed_byte_is_found_by_its_hash(copy, artifact, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    expected = next(file.sha256 for file in artifact.manifest.files if file.path == name)
    found = complaint(copy)
    assert found.exit_code == ExitCode.STORAGE
    assert f"{name}: found SHA-256 " in str(found)
    assert f", expected {expected}" in str(found)


def test_a_file_that_was_cut_is_found_by_its_size(copy):
    os.truncate(copy / "model/model.safetensors", 100)
    assert "model/model.safetensors: found 100 bytes, expected " in str(complaint(copy))


def test_a_missing_file_is_named(copy):
    (copy / "model/tokenizer.json").unlink()
    assert "model/tokenizer.json: cannot be read (No such file or directory); expected a file of " in str(
        complaint(copy)
    )


def test_another_digest_than_the_expected_one_is_refused(copy, artifact):
    found = complaint(copy, digest="sha256:" + "0" * 64)
    assert f"has the digest {artifact.manifest.digest()}, expected sha256:0000" in str(found)
    assert found.exit_code == ExitCode.STORAGE


def test_a_manifest_that_was_changed_along_with_a_file_fails_the_digest(copy, artifact):
    rewrite_manifest(copy, lambda document: document.update(temperature=9.5))
    assert "manifest.json has the digest" in str(complaint(copy, digest=artifact.manifest.digest()))


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "model/../../secret"])
def test_a_path_out_of_the_artifact_is_refused(copy, path):
    rewrite_manifest(copy, lambda document: document["files"][0].update(path=path))
    assert f"{path}: expected a path inside the artifact" in str(complaint(copy))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "manifest.json is not JSON", id="half a document"),
        pytest.param("{}", "manifest.json is no manifest of version 1: name", id="an empty object"),
        pytest.param("[]", "manifest.json is no manifest of version 1: the document", id="a list"),
    ],
)
def test_a_damaged_manifest_is_named(copy, content, message):
    (copy / "manifest.json").write_text(content)
    assert message in str(complaint(copy))


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    found = complaint(tmp_path)
    assert "manifest.json cannot be read (No such file or directory)" in str(found)
    assert found.exit_code == ExitCode.MODEL_ACCESS


def test_only_checked_files_are_shown_to_the_loader(copy, artifact, tmp_path):
    for extra in ("model/pytorch_model.bin", "model/adapter_config.json"):
        (copy / extra).write_text("{}")
    view = tmp_path / "view"
    view.mkdir()
    link_checked_model(configuration(copy), artifact.manifest, folder=view)
    assert {f"model/{path.name}" for path in view.iterdir()} == {file.path for file in artifact.manifest.files}


def test_files_of_other_folders_are_not_shown_to_the_loader(copy, artifact, tmp_path):
    extra = [
        ArtifactFile(path=path, size=2, sha256=hashlib.sha256(b"{}").hexdigest())
        for path in ("adapter/adapter_config.json", "README.md")
    ]
    for file in extra:
        (copy / file.path).parent.mkdir(exist_ok=True)
        (copy / file.path).write_text("{}")
    config, manifest = configuration(copy), changed(artifact.manifest, files=[*artifact.manifest.files, *extra])
    check_files(config, manifest)
    view = tmp_path / "view"
    view.mkdir()
    link_checked_model(config, manifest, folder=view)
    assert {f"model/{path.name}" for path in view.iterdir()} == {file.path for file in artifact.manifest.files}


def test_a_folder_inside_the_model_is_shown_to_the_loader(artifact, tmp_path):
    file = ArtifactFile(path="model/onnx/config.json", size=2, sha256=hashlib.sha256(b"{}").hexdigest())
    (tmp_path / "model/onnx").mkdir(parents=True)
    (tmp_path / file.path).write_text("{}")
    view = tmp_path / "view"
    view.mkdir()
    link_checked_model(configuration(tmp_path), changed(artifact.manifest, files=[file]), folder=view)
    assert (view / "onnx/config.json").read_text() == "{}"


@pytest.mark.parametrize("sharded", [False, True], ids=["pytorch_model.bin", "an index of shards"])
def test_pickled_weights_are_never_loaded(copy, artifact, sharded):
    """Even if a manifest lists them: a pickle runs code when it is read."""
    from safetensors.torch import load_file
    from torch import save

    from tuneloop_server.runtimes.torch_model import load

    weights = load_file(copy / "model/model.safetensors")
    (copy / "model/model.safetensors").unlink()
    name = "pytorch_model-00001-of-00001.bin" if sharded else "pytorch_model.bin"
    save(weights, copy / "model" / name)
    if sharded:
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(weights, name)}
        (copy / "model/pytorch_model.bin.index.json").write_text(json.dumps(index))
    manifest = write_manifest(
        copy, artifact.manifest.labels, name="reviews", max_tokens=artifact.manifest.max_tokens, temperature=1.0
    )
    check_files(configuration(copy), manifest)
    with pytest.raises(CannotServe, match="model/ cannot be loaded"):
        load(configuration(copy), manifest, TEXT_CLASSIFICATION)


def test_a_task_that_this_server_does_not_know_is_refused_with_those_it_knows(artifact):
    with pytest.raises(CannotServe) as refused:
        task_of(configuration(artifact.folder), changed(artifact.manifest, task="poetry"))
    assert refused.value.exit_code == ExitCode.MODEL_ACCESS
    assert (
        "has the task poetry, allowed are text-classification, text-classification/multi-label, text-classification/regression, token-classification, question-answering, text-generation, text2text-generation, fill-mask"
        in str(refused.value)
    )


def test_extra_files_change_no_prediction(copy, artifact):
    from tuneloop_server.runtimes.torch_model import load

    (copy / "model/pytorch_model.bin").write_bytes(b"not weights")
    (copy / "model/adapter_config.json").write_text('{"peft_type": "LORA"}')
    (copy / "model/model.safetensors.index.json").write_text('{"weight_map": {}}')
    with_extra, without = (
        load(configuration(folder), artifact.manifest, TEXT_CLASSIFICATION) for folder in (copy, artifact.folder)
    )
    batch = [window for (window,) in without.encode(["a good film", "bad"])]
    assert [list(logits) for logits in with_extra.predict(batch)] == [list(logits) for logits in without.predict(batch)]


def test_a_tampered_artifact_ends_the_server_with_one_line(copy, tmp_path):
    os.truncate(copy / "model/model.safetensors", 100)
    code, log = run_to_its_end(configuration(copy), tmp_path)
    assert code == ExitCode.STORAGE
    assert "model/model.safetensors: found 100 bytes, expected" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda folder, manifest: changed(manifest, labels=["no", "yes"]),
            "config.json has the labels ['negative', 'neutral', 'positive'], the manifest ['no', 'yes']",
            id="other labels",
        ),
        pytest.param(
            lambda folder, manifest: without_tensor(folder, manifest, "classifier.weight"),
            "the weights lack classifier.weight",
            id="a tensor is not there, and would be random",
        ),
        pytest.param(
            lambda folder, manifest: without_file(manifest, "model/model.safetensors"),
            "model/ cannot be loaded: ",
            id="no weights",
        ),
    ],
)
def test_a_model_that_does_not_fit_its_manifest_is_not_served(copy, artifact, damage, message):
    from tuneloop_server.runtimes.torch_model import load

    with pytest.raises(CannotServe) as refused:
        load(configuration(copy), damage(copy, artifact.manifest), TEXT_CLASSIFICATION)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == ExitCode.MODEL_ACCESS


def without_tensor(folder, manifest, name):
    from safetensors.torch import load_file, save_file

    path = folder / "model/model.safetensors"
    save_file({key: value for key, value in load_file(path).items() if key != name}, path, metadata={"format": "pt"})
    return manifest


def without_file(manifest, path):
    return changed(manifest, files=[file for file in manifest.files if file.path != path])
