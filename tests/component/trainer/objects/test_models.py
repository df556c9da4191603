"""A model in a bucket is fetched once for all jobs of a claim, without pickles; and a whole `prepare` that reads model and rows from buckets."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from object_server import SECRET_KEY, ObjectServer
from run_configs import run_config
from tiny_models import sentences, tiny_bert

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import ConfigError, ModelAccessError, StorageError
from tuneloop_trainer.export.champion.rows import recent_sources
from tuneloop_trainer.models.source import PretrainedModel, open_model
from tuneloop_trainer.prepare import locate_sources, prepare
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.tasks import task_of

URI = "s3://models/bases/tiny"
FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """The files of a model, by name."""
    folder = tiny_bert(tmp_path_factory.mktemp("served") / "model")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def bucket(server: ObjectServer, files: dict[str, bytes]) -> ObjectServer:
    further = {
        "pytorch_model.bin": b"pickle",
        "onnx/model.onnx": b"1",
        "model_of_others.py": b"code",
        "original/model.safetensors": b"2",
    }
    server.begin(models={f"bases/tiny/{name}": content for name, content in (files | further).items()})
    return server


def opened(folder: Path, *, uri: str = URI, job: str = "job", is_awaited: bool = False) -> PretrainedModel:
    config = run_config(folder, model_source={"uri": uri})
    paths = changed(config.paths, job_dir=str(folder / job))
    return open_model(config.settings.model, task=task_of(config.settings), paths=paths, is_awaited=is_awaited)


def test_a_model_is_fetched_once_for_all_jobs_without_pickles_and_code(bucket, tmp_path, files):
    first = opened(tmp_path)
    assert {path.name for path in first.path.iterdir()} == FILES
    assert (first.path / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert first.revision.startswith("sha256:")
    bucket.asked.clear()
    again = opened(tmp_path, job="another")
    assert (again.path, again.revision) == (first.path, first.revision)
    assert bucket.asked == ["GET /models"] * len(bucket.asked)  # the list alone
    assert [path.name for path in (tmp_path / "models").iterdir()] == [first.path.name]


def test_another_content_of_the_same_address_and_size_is_another_folder(bucket, tmp_path):
    first = opened(tmp_path)
    content = bucket.buckets["models"]["bases/tiny/config.json"]
    changed_content = content.replace(b'"num_hidden_layers": 2', b'"num_hidden_layers": 1')
    assert (len(changed_content), changed_content == content) == (len(content), False)
    bucket.buckets["models"]["bases/tiny/config.json"] = changed_content
    second = opened(tmp_path)
    assert second.path != first.path
    assert second.revision != first.revision


@pytest.mark.parametrize(
    ("uri", "without", "message"),
    [
        pytest.param(URI, ["model.safetensors"], f"model.uri: {URI} has only pickled weights (pytorch_model.bin), which can run code", id="pickles alone"),
        pytest.param(URI, ["config.json"], f"model.uri: {URI} has no config.json", id="no configuration"),
        pytest.param(f"{URI}/", ["tokenizer.json"], f"model.uri: {URI} has no tokenizer", id="no tokenizer"),
        pytest.param("s3://models/bases/none", [], "model.uri: s3://models/bases/none does not exist", id="no folder"),
        pytest.param("s3://none/tiny", [], "model.uri: s3://none/tiny: there is no bucket 'none'", id="no bucket"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_before_anything_is_fetched(bucket, tmp_path, uri, without, message):
    for name in without:
        del bucket.buckets["models"][f"bases/tiny/{name}"]
    with pytest.raises(ModelAccessError) as refused:
        opened(tmp_path, uri=uri)
    assert refused.value.message.startswith(message)
    assert not any("bytes=" in command for command in bucket.asked)


def test_a_bucket_without_rights_is_named_with_the_models_field(bucket, tmp_path):
    bucket.refused = "AccessDenied"
    with pytest.raises(ModelAccessError, match=f"^model.uri: {URI}: access is refused") as refused:
        opened(tmp_path)
    assert "s3:GetObject" in refused.value.hint


@pytest.mark.parametrize(("is_awaited", "tries"), [(False, 5), (True, 2)])
def test_whoever_waits_hears_of_a_busy_storage_after_two_tries(bucket, tmp_path, is_awaited, tries):
    bucket.busy = 1000
    with pytest.raises(StorageError, match="busy"):
        opened(tmp_path, is_awaited=is_awaited)
    assert len(bucket.asked) == tries


def test_weights_that_change_meanwhile_are_named(bucket, tmp_path):
    bucket.before_read = lambda: bucket.buckets["models"].update({"bases/tiny/model.safetensors": b"other"})
    with pytest.raises(ModelAccessError, match="model.safetensors was changed or deleted while it was fetched"):
        opened(tmp_path)


def csv_of(rows: list[tuple[str, str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("text", "label"), *rows])
    return file.getvalue().encode()


def config_of(folder: Path, bucket: ObjectServer) -> RunConfig:
    rows = sentences(460)
    bucket.buckets["reviews"] = {
        "2026/a.csv": csv_of(rows[:200]),
        "2026/b.csv": csv_of(rows[200:400]),
        "recent.csv": csv_of(rows[400:]),
    }
    beside = {"compareWith": {"uri": "pvc://work/champion", "recent": [{"uri": "s3://reviews/recent.csv"}]}}
    return run_config(
        folder, sources=[{"uri": "s3://reviews/2026"}], model_source={"uri": URI}, method={"type": "full"}, evaluation=beside
    )  # fmt: skip


def test_prepare_reads_buckets_and_export_what_prepare_has_fetched(bucket, tmp_path, monkeypatch):
    """The pod of export has no credentials."""
    config = config_of(tmp_path, bucket)
    monkeypatch.setattr(
        "tuneloop_trainer.prepare.notes_on_champion",
        lambda config, *_args, **_given: [
            item.field for item in recent_sources(config, snapshots=tmp_path / "job" / "feedback")
        ],
    )  # a champion takes a training
    result = prepare(config, Reporter(config))
    (source,) = json.loads(Path(result.report_path).read_text())["sources"]
    assert (source["uri"], source["read"], source["objects"]["count"]) == ("s3://reviews/2026", 400, 2)
    found = source["objects"]
    assert result.notes == [
        f"s3://reviews/2026 for data.train: 2 objects, {found['bytes']:,} bytes, {found['digest']}",
        "evaluation.compareWith.recent[0]",
    ]
    assert SECRET_KEY not in Path(result.report_path).read_text()

    bucket.asked.clear()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    exporting = changed(config, stage="export")
    (recent,) = recent_sources(exporting, snapshots=tmp_path / "job" / "feedback")
    assert [file.name for file in recent.files] == ["s3://reviews/recent.csv"]
    assert bucket.asked == []


def test_a_later_job_with_the_same_rows_finds_the_prepared_data(bucket, tmp_path):
    config = changed(
        config_of(tmp_path, bucket),
        settings=changed(config_of(tmp_path, bucket).settings, evaluation=run_config(tmp_path).settings.evaluation),
    )
    first = prepare(config, Reporter(config))
    shutil.rmtree(tmp_path / "job")
    second = prepare(config, Reporter(config))
    assert (first.cache_hit, second.cache_hit, second.dataset_digest) == (False, True, first.dataset_digest)


def test_export_asks_no_bucket(bucket, tmp_path):
    config = changed(config_of(tmp_path, bucket), stage="export")
    with pytest.raises(ConfigError, match="the files that prepare has fetched are gone"):
        recent_sources(config, snapshots=tmp_path / "job" / "feedback")
    assert bucket.asked == []


def test_files_of_an_object_source_are_named_by_their_address(bucket, tmp_path):
    config = config_of(tmp_path, bucket)
    (source,) = locate_sources(config, snapshots=tmp_path / "job" / "feedback")
    assert [file.name for file in source.files] == ["s3://reviews/2026/a.csv", "s3://reviews/2026/b.csv"]
