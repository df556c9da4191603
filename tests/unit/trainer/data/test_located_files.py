"""Which files an address stands for: folders, splits, claims; what is refused is named with what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop_api.contract.data_settings import SourceSettings
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import DataFile, files_of, path_of_uri


def located(path: Path, **settings) -> list[DataFile]:
    return files_of(SourceSettings(uri=f"file://{path}", **settings), claims={}, field="data.train[0]")


def test_a_folder_is_read_file_by_file_in_order(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.csv", "a.jsonl", "sub/c.csv", "README.md", ".hidden.csv", "_SUCCESS"):
        (tmp_path / name).write_text("text,label\n")
    assert [file.path.relative_to(tmp_path).as_posix() for file in located(tmp_path)] == [
        "a.jsonl",
        "b.csv",
        "sub/c.csv",
    ]


def test_a_split_of_a_plain_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n")
    for path in (tmp_path / "a.csv", tmp_path):
        with pytest.raises(
            ConfigError, match=rf"data.train\[0\].split: 'dev' is for a folder with splits; .*{path.name} has none"
        ):
            located(path, split="dev")


def test_a_missing_file_shows_its_neighbours(tmp_path):
    (tmp_path / "reviews.csv").touch()
    with pytest.raises(DataError, match="does not exist") as caught:
        located(tmp_path / "data" / "review.csv")
    assert "reviews.csv" in caught.value.hint


@pytest.mark.parametrize("name", ["a.doc", "a.csv.gz", "a"])
def test_an_unknown_extension_shows_those_that_are_allowed(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"no known extension; allowed: .csv, .tsv"):
        located(tmp_path / name)


def test_a_folder_without_data_says_what_is_there(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"no file of .* can be read; allowed: .*; there is notes.md"):
        located(tmp_path)


def test_an_address_on_a_claim_lies_below_its_mount():
    assert path_of_uri("pvc://work/a/b.csv", claims={"work": "/mnt/w"}, field="f") == Path("/mnt/w/a/b.csv")
    assert path_of_uri("file:///a/b.csv", claims={}, field="f") == Path("/a/b.csv")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pvc://other/a.csv", "f: pvc://other/a.csv: the claim 'other' is not mounted; mounted: work"),
        ("pvc://work/../etc/passwd", "has '..' in its path"),
        ("hf://org/name", "cannot be read here; allowed are pvc://CLAIM/PATH and file:///PATH"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused(uri, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        path_of_uri(uri, claims={"work": "/mnt/w"}, field="f")
