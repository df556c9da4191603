"""A data set as it lies in a repository of the hub: descriptions are no rows, and a file belongs to the split that its name says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from tuneloop_api.contract.data_settings import SourceSettings
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import files_of
from tuneloop_trainer.split_names import split_of

CLONE = (
    ".gitattributes",
    ".git/config.json",
    "README.md",
    "dataset_infos.json",
    "data/train-00000-of-00002-aa11.parquet",
    "data/train-00001-of-00002-bb22.parquet",
    "data/validation-00000-of-00001-cc33.parquet",
    "data/test-00000-of-00001-dd44.parquet",
    "data/unsupervised-00000-of-00001-ee55.parquet",
)
TRAIN = [f"data/train-0000{number}-of-00002-{end}.parquet" for number, end in enumerate(("aa11", "bb22"))]


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    return tmp_path


def found(folder: Path, **settings) -> list[str]:
    files = files_of(SourceSettings(uri=f"file://{folder}", **settings), claims={}, field="data.train[0]")
    return [file.path.relative_to(folder).as_posix() for file in files]


@pytest.mark.parametrize(
    ("split", "files"),
    [
        ("train", TRAIN),
        ("test", ["data/test-00000-of-00001-dd44.parquet"]),
        ("dev", ["data/validation-00000-of-00001-cc33.parquet"]),
        ("unsupervised", ["data/unsupervised-00000-of-00001-ee55.parquet"]),
    ],
)
def test_of_a_clone_the_files_of_the_split_are_read(tmp_path, split, files):
    assert found(folder_of(tmp_path, *CLONE), split=split) == files


def test_without_a_split_the_training_files_are_read(tmp_path):
    assert found(folder_of(tmp_path, *CLONE)) == TRAIN


@pytest.mark.parametrize("description", ["dataset_infos.json", "dataset_info.json"])
def test_a_description_of_the_data_is_no_rows(tmp_path, description):
    assert found(folder_of(tmp_path, description, "rows.jsonl")) == ["rows.jsonl"]


def test_a_split_that_a_clone_does_not_have_is_refused_with_those_that_it_has(tmp_path):
    with pytest.raises(
        ConfigError, match=r"data.train\[0\].split: .* has no split 'extra'; it has test, train, unsupervised, valid"
    ):
        found(folder_of(tmp_path, *CLONE), split="extra")


def test_a_file_of_which_no_name_says_the_split_is_refused_beside_files_of_splits(tmp_path):
    with pytest.raises(
        DataError, match="files of the splits test, train, and more.csv, whose name says no split"
    ) as refused:
        found(folder_of(tmp_path, "train.csv", "test.csv", "more.csv"))
    assert refused.value.hint.endswith("/more.csv")


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("train-a.csv", "train-b.csv", "more.csv"), ("test.csv",)])
def test_a_folder_whose_names_say_no_more_than_one_split_is_read_whole(tmp_path, names):
    assert found(folder_of(tmp_path, *names)) == sorted(names)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.csv", "train"),
        ("Training_2.csv", "train"),
        ("my-dev-set.jsonl", "validation"),
        ("val/rows.csv", "validation"),
        ("test/a/rows.csv", "test"),
        ("train/test.csv", "test"),
        ("train/a/eval/rows.csv", "test"),
        ("test_matched-00000-of-00001.parquet", "test_matched"),
        ("part-00000-of-00010.parquet", "part"),
        ("trained.csv", None),
        ("latest.csv", None),
        ("train-test.csv", None),
        ("rows.csv", None),
    ],
)
def test_the_name_nearest_to_the_rows_says_the_split(path, split):
    assert split_of(PurePosixPath(path)) == split


def test_a_file_that_git_lfs_has_not_fetched_is_named(tmp_path):
    (tmp_path / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(DataError, match=r"train.parquet is a Git LFS pointer, not the rows") as refused:
        found(tmp_path)
    assert "git lfs pull" in refused.value.hint
