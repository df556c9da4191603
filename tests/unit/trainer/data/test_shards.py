"""What is written to a data set's folder is what is read back; damage is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tuneloop_api.contract.results import DataCounts
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.dataset.shard_writer import RowWriter, ShardWriter
from tuneloop_trainer.dataset.shards import (
    MANIFEST,
    DatasetManifest,
    SplitFiles,
    TokenizerFacts,
    open_split,
    read_manifest,
    read_texts,
)
from tuneloop_trainer.errors import StorageError

ROWS = st.lists(
    st.tuples(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9), st.integers(0, 3), st.text(max_size=5)),
    max_size=12,
)


def write_dataset(folder: Path, rows: list[tuple[list[int], int, str]], *, tokens_per_shard: int = 16) -> SplitFiles:
    folder.mkdir(parents=True, exist_ok=True)
    shards = ShardWriter(folder, "train", tokens_per_shard=tokens_per_shard)
    texts = RowWriter(folder, "train", schema=FORMATS["text-label"].schema)
    for row, (ids, label, _) in enumerate(rows):
        shards.add(ids=np.array(ids, dtype=np.int32), row=row * 3, row_columns={"labels": label})
    texts.write([(row * 3, {"text": text, "label": str(label)}) for row, (_, label, text) in enumerate(rows)])
    files = shards.finish([texts.finish()])
    write_manifest(folder, files, rows=len(rows))
    return files


def write_manifest(folder: Path, files: SplitFiles, *, rows: int) -> None:
    manifest = DatasetManifest(
        digest=folder.name,
        labels=["0", "1", "2", "3"],
        max_tokens=9,
        tokenizer=TokenizerFacts(files_digest="sha256:0", pad_token_id=0, special_tokens=2, model_max_tokens=None),
        splits={"train": files},
        counts=DataCounts(rows=rows, splits={"train": rows}, bad=0, duplicates=0, truncated=0),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(by_alias=True, exclude_none=True))


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_rows_come_back_in_order_over_any_number_of_shards(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("data") / "digest"
    write_dataset(folder, rows)
    split = open_split(folder, "train")
    assert [split.tokens(index).tolist() for index in range(len(rows))] == [ids for ids, _, _ in rows]
    assert split.lengths.tolist() == [len(ids) for ids, _, _ in rows]
    assert not rows or split.row_column("labels").tolist() == [label for _, label, _ in rows]
    assert split.rows.tolist() == [row * 3 for row in range(len(rows))]
    assert list(read_texts(folder, "train")) == [
        (row * 3, text, str(label)) for row, (_, label, text) in enumerate(rows)
    ]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.lists(st.integers(0, 99), min_size=1, max_size=5), st.lists(st.integers(0, 99), max_size=7)),
        max_size=9,
    )
)
def test_what_a_row_is_to_write_has_a_length_of_its_own(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("data")
    shards = ShardWriter(folder, "train", tokens_per_shard=6)
    for row, (ids, target) in enumerate(rows):
        shards.add(ids=np.array(ids), row=row, sequences={"labels": np.array(target, dtype=np.int32)})
    write_manifest(folder, shards.finish([]), rows=len(rows))
    split = open_split(folder, "train")
    found = split.sequences["labels"] if rows else None
    assert [found.of_row(index).tolist() for index in range(len(rows))] == [target for _, target in rows]
    assert not rows or split.targets.tolist() == [len(target) for _, target in rows]
    assert not rows or split.all_lengths.tolist() == [[len(ids), len(target)] for ids, target in rows]


@pytest.mark.parametrize("broken", [[0, 2, 1, 3], [1, 2, 2, 3], [0, 1, 2, 4], [0, 1, 3]])
def test_a_sequence_that_does_not_fit_its_rows_is_damage(tmp_path, broken):
    shards = ShardWriter(tmp_path, "train")
    for row in range(3):
        shards.add(ids=np.array([1, 2]), row=row, sequences={"labels": np.array([row], dtype=np.int32)})
    files = shards.finish([])
    write_manifest(tmp_path, files, rows=3)
    path = tmp_path / files.shards[0].file
    save_file(load_file(path) | {"sequence.labels.offsets": np.array(broken, dtype=np.int64)}, path)
    with pytest.raises(StorageError, match="its columns do not fit together"):
        open_split(tmp_path, "train")


def test_a_full_shard_is_followed_by_another(tmp_path):
    files = write_dataset(tmp_path / "d", [([1] * 9, 0, "a"), ([2] * 9, 1, "b"), ([3], 0, "c")], tokens_per_shard=10)
    assert [(shard.rows, shard.tokens) for shard in files.shards] == [(1, 9), (2, 10)]


def test_a_row_that_is_longer_than_a_shard_has_a_shard_of_its_own(tmp_path):
    files = write_dataset(tmp_path / "d", [([1] * 9, 0, "a"), ([2], 1, "b")], tokens_per_shard=4)
    assert [(shard.rows, shard.tokens) for shard in files.shards] == [(1, 9), (1, 1)]


NAMED = st.lists(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(-100, 8), st.integers(0, 9)), min_size=1, max_size=9),
    min_size=1,
    max_size=12,
)


def write_token_columns(folder: Path, rows: list[list[tuple[int, int, int]]], *, tokens_per_shard: int = 16) -> Path:
    """Write a data set with two token columns and one row column; a row is a list of (id, label, word)."""
    write_dataset(folder, [])
    shards = ShardWriter(folder, "train", tokens_per_shard=tokens_per_shard)
    for index, row in enumerate(rows):
        ids, labels, words = (np.array(column, dtype=np.int32) for column in zip(*row, strict=True))
        shards.add(ids=ids, row=index, row_columns={"group": -index}, token_columns={"labels": labels, "words": words})
    manifest = read_manifest(folder)
    (folder / MANIFEST).write_text(
        changed(manifest, splits={"train": shards.finish([])}).model_dump_json(by_alias=True, exclude_none=True)
    )
    return folder


@settings(max_examples=40, deadline=None)
@given(rows=NAMED)
def test_columns_come_back_by_their_names_over_any_number_of_shards(tmp_path_factory, rows):
    split = open_split(write_token_columns(tmp_path_factory.mktemp("data") / "digest", rows), "train")
    columns = (split.tokens, partial(split.token_column, "labels"), partial(split.token_column, "words"))
    read = [list(zip(*(column(index).tolist() for column in columns), strict=True)) for index in range(len(rows))]
    assert read == rows
    assert split.row_column("group").tolist() == [-index for index in range(len(rows))]
    assert split.targets.tolist() == [sum(label != -100 for _, label, _ in row) for row in rows]


def test_a_row_without_labels_of_tokens_is_one_target(tmp_path):
    write_dataset(tmp_path / "d", [([1, 2], 0, "a"), ([3], 1, "b")])
    assert open_split(tmp_path / "d", "train").targets.tolist() == [1, 1]


def test_a_column_that_is_not_there_is_an_error_with_its_name(tmp_path):
    split = open_split(write_token_columns(tmp_path / "d", [[(1, 2, 3)]]), "train")
    with pytest.raises(KeyError, match="labels"):
        split.row_column("labels")
    with pytest.raises(KeyError, match="group"):
        split.token_column("group", 0)


def test_no_value_of_a_token_is_read_before_it_is_asked_for(tmp_path):
    split = open_split(write_token_columns(tmp_path / "d", [[(1, 5, 9), (2, 6, 9)]]), "train")
    path = tmp_path / "d" / "train-00000.safetensors"
    with path.open("r+b") as file:
        written = path.read_bytes()
        for old, new in (((1, 2), (3, 4)), ((5, 6), (7, 8))):
            file.seek(written.index(np.array(old, dtype="<i4").tobytes()))
            file.write(np.array(new, dtype="<i4").tobytes())
    assert split.tokens(0).tolist() == [3, 4]
    assert split.token_column("labels", 0).tolist() == [7, 8]


def test_values_of_tokens_cannot_be_written_to(tmp_path):
    split = open_split(write_token_columns(tmp_path / "d", [[(1, 5, 9), (2, 6, 9)]]), "train")
    for values in (split.tokens(0), split.token_column("labels", 0)):
        assert values.dtype == np.int32
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 7


@pytest.mark.parametrize(
    ("column", "values"),
    [
        pytest.param("input_ids", np.zeros(1, np.int32), id="ids"),
        pytest.param("offsets", np.array([0, 1, 2]), id="offsets of other rows"),
        pytest.param("offsets", np.array([1, 2]), id="offsets that begin late"),
        pytest.param("rows", np.zeros(2, np.int64), id="rows"),
        pytest.param("targets", np.zeros(2, np.int64), id="targets"),
        pytest.param("row.group", np.zeros(2, np.int64), id="a column of rows"),
        pytest.param("token.words", np.zeros(3, np.int32), id="a column of tokens"),
        pytest.param("token.words", None, id="a column that is missing"),
    ],
)
def test_a_shard_whose_columns_do_not_fit_together_is_refused(tmp_path, column, values):
    folder = write_token_columns(tmp_path / "d", [[(1, 5, 9), (2, 6, 9)]])
    path = folder / "train-00000.safetensors"
    columns = load_file(path) | {column: values}
    save_file({name: array for name, array in columns.items() if array is not None}, path)
    with pytest.raises(StorageError, match="train-00000.safetensors: cannot be read") as refused:
        open_split(folder, "train")
    assert refused.value.hint == "it is prepared again from the sources"


def test_rows_of_which_one_has_no_token_are_refused(tmp_path):
    folder = write_token_columns(tmp_path / "d", [[(1, 5, 9)], [(2, 6, 9)]])
    path = folder / "train-00000.safetensors"
    save_file(load_file(path) | {"offsets": np.array([0, 0, 2])}, path)
    with pytest.raises(StorageError, match="do not fit together"):
        open_split(folder, "train")


def test_there_is_no_row_before_the_first_or_after_the_last(tmp_path):
    write_dataset(tmp_path / "d", [([1, 2], 0, "a")])
    split = open_split(tmp_path / "d", "train")
    for index in (-1, 1):
        with pytest.raises(IndexError, match="of 1 in split train"):
            split.tokens(index)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_off, emptied, Path.unlink])
@pytest.mark.parametrize("file", ["train-00000.safetensors", MANIFEST])
def test_a_damaged_file_is_named(tmp_path, damage, file):
    write_dataset(tmp_path / "d", [([1, 2], 0, "a")])
    damage(tmp_path / "d" / file)
    with pytest.raises(StorageError, match=file):
        open_split(tmp_path / "d", "train")


def test_a_damaged_text_file_is_named(tmp_path):
    write_dataset(tmp_path / "d", [([1, 2], 0, "a")])
    cut_off(tmp_path / "d" / "train-00000.parquet")
    with pytest.raises(StorageError, match="train-00000.parquet"):
        list(read_texts(tmp_path / "d", "train"))


def test_a_shard_of_another_data_set_is_refused(tmp_path):
    write_dataset(tmp_path / "one", [([1, 2], 0, "a")])
    write_dataset(tmp_path / "two", [([1, 2, 3], 0, "a")])
    (tmp_path / "two" / "train-00000.safetensors").replace(tmp_path / "one" / "train-00000.safetensors")
    with pytest.raises(StorageError, match="do not fit together"):
        open_split(tmp_path / "one", "train")


def test_a_split_that_is_not_there_is_named(tmp_path):
    write_dataset(tmp_path / "d", [([1, 2], 0, "a")])
    assert read_manifest(tmp_path / "d").splits.keys() == {"train"}
    with pytest.raises(StorageError, match="no split 'test'"):
        open_split(tmp_path / "d", "test")
