"""What is written to a data set's folder is what is read back; damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_api.contract.results import DataCounts
from tuneloop_trainer.dataset.shard_writer import ShardWriter, TextWriter
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
    texts = TextWriter(folder, "train")
    for row, (ids, label, _) in enumerate(rows):
        shards.add(ids=np.array(ids, dtype=np.int32), label=label, row=row * 3)
    texts.write(
        rows=[row * 3 for row in range(len(rows))],
        texts=[text for _, _, text in rows],
        labels=[str(label) for _, label, _ in rows],
    )
    files = shards.finish([texts.finish()])
    manifest = DatasetManifest(
        digest=folder.name,
        labels=["0", "1", "2", "3"],
        max_tokens=9,
        tokenizer=TokenizerFacts(files_digest="sha256:0", pad_token_id=0, special_tokens=2, model_max_tokens=None),
        splits={"train": files},
        counts=DataCounts(rows=len(rows), splits={"train": len(rows)}, bad=0, duplicates=0, truncated=0),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(by_alias=True, exclude_none=True))
    return files


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_rows_come_back_in_order_over_any_number_of_shards(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("data") / "digest"
    write_dataset(folder, rows)
    split = open_split(folder, "train")
    assert [split.tokens(index).tolist() for index in range(len(rows))] == [ids for ids, _, _ in rows]
    assert split.lengths.tolist() == [len(ids) for ids, _, _ in rows]
    assert split.labels.tolist() == [label for _, label, _ in rows]
    assert split.rows.tolist() == [row * 3 for row in range(len(rows))]
    assert list(read_texts(folder, "train")) == [
        (row * 3, text, str(label)) for row, (_, label, text) in enumerate(rows)
    ]


def test_a_full_shard_is_followed_by_another(tmp_path):
    files = write_dataset(tmp_path / "d", [([1] * 9, 0, "a"), ([2] * 9, 1, "b"), ([3], 0, "c")], tokens_per_shard=10)
    assert [(shard.rows, shard.tokens) for shard in files.shards] == [(1, 9), (2, 10)]


def test_token_ids_are_read_through_a_memory_map(tmp_path):
    write_dataset(tmp_path / "d", [([1, 2], 0, "a")])
    tokens = open_split(tmp_path / "d", "train").tokens(0)
    assert tokens.dtype == np.int32
    assert isinstance(tokens.base, np.memmap | np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 7


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
