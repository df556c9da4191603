"""The shard file of a rank: valid safetensors, and any number of ranks reads what any other number wrote."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from tuneloop_trainer.checkpoint.shard_file import KEYS, SavedFragments, ShardFile
from tuneloop_trainer.engine.master_weights import Fragment
from tuneloop_trainer.errors import StorageError

SIZE = 12
BUFFERS = {
    "counted": torch.tensor([7, -1], dtype=torch.int64),
    "half": torch.tensor([0.5], dtype=torch.bfloat16),
    "mask": torch.tensor([True, False, True]),
    "small": torch.tensor([3], dtype=torch.int8),
    "mean": torch.tensor([[0.25, 4.0]], dtype=torch.float64),
}


def values(name: str) -> dict[str, Tensor]:
    """Return the values of a parameter and its moments, all different."""
    offset = float(sum(name.encode()))
    return {key: torch.arange(SIZE) + offset + 100 * index for index, key in enumerate(KEYS)}


def fragment(name: str, start: int = 0, end: int = SIZE, *, shape: tuple[int, ...] = (3, 4), empty: bool = False):
    views = {key: (torch.zeros(SIZE) if empty else value)[start:end].clone() for key, value in values(name).items()}
    return Fragment(name, shape, start, views)


def write(folder: Path, rank: int, fragments: list[Fragment], buffers: dict[str, Tensor] | None = None) -> str:
    file = ShardFile(fragments, buffers or {})
    file.refresh(fragments, buffers or {})
    return file.write(folder / f"rank{rank:05d}.safetensors").name


def header_of(path: Path) -> tuple[int, dict[str, Any]]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return length, json.loads(content[8 : 8 + length])


def test_a_shard_file_is_the_safetensors_file_that_its_entry_in_the_manifest_names(tmp_path):
    fragments = [fragment("a", 2, 7), fragment("b")]
    file = ShardFile(fragments, BUFFERS)
    file.refresh(fragments, BUFFERS)
    path = tmp_path / "rank00000.safetensors"
    saved = file.write(path)
    assert (saved.name, saved.size) == (path.name, path.stat().st_size) == (path.name, file.size)
    assert saved.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o644
    with safe_open(path, "pt") as found:
        expected = {f"{part.name}/{key}": part.views[key] for part in fragments for key in KEYS}
        expected |= {f"{name}/buffer": tensor for name, tensor in BUFFERS.items()}
        assert set(found.keys()) == set(expected)
        for key, tensor in expected.items():
            assert found.get_tensor(key).dtype == tensor.dtype
            assert torch.equal(found.get_tensor(key), tensor)
        assert json.loads(found.metadata()["fragments"]) == [
            {"name": "a", "shape": [3, 4], "start": 2, "count": 5},
            {"name": "b", "shape": [3, 4], "start": 0, "count": 12},
        ]


def test_each_tensor_lies_where_its_type_can_be_read(tmp_path):
    write(tmp_path, 0, [fragment("a", 0, 3)], BUFFERS)
    length, header = header_of(tmp_path / "rank00000.safetensors")
    assert length % 8 == 0
    assert length < len(json.dumps(header, separators=(",", ":"))) + 8, "no more blanks than are needed"
    widths = {"F64": 8, "I64": 8, "F32": 4, "BF16": 2, "I8": 1, "BOOL": 1}
    entries = [entry for key, entry in header.items() if key != "__metadata__"]
    assert all(entry["data_offsets"][0] % widths[entry["dtype"]] == 0 for entry in entries)
    places = sorted(entry["data_offsets"] for entry in entries)
    assert places[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(places))


def test_every_type_of_a_buffer_has_its_name_in_the_format(tmp_path):
    types = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    types += (torch.int8, torch.uint8, torch.bool)
    buffers = {str(dtype): torch.ones(2, dtype=dtype) for dtype in types}
    names = [write(tmp_path, 0, [], buffers)]
    found = SavedFragments(tmp_path, names).buffers
    assert {name: tensor.dtype for name, tensor in found.items()} == {str(dtype): dtype for dtype in types}
    assert all(torch.equal(found[name], tensor) for name, tensor in buffers.items())


CUTS = st.sets(st.integers(1, SIZE - 1), max_size=4).map(lambda cuts: [0, *sorted(cuts), SIZE])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CUTS, CUTS)
def test_any_number_of_ranks_reads_what_any_other_number_wrote(tmp_path, wrote, read):
    names = [
        write(tmp_path, rank, [fragment("a", *part), *([fragment("b")] if rank == 0 else [])])
        for rank, part in enumerate(pairwise(wrote))
    ]
    saved = SavedFragments(tmp_path, names)
    for start, end in pairwise(read):
        found = fragment("a", start, end, empty=True)
        saved.read_into(found)
        assert all(torch.equal(found.views[key], values("a")[key][start:end]) for key in KEYS)


def test_a_parameter_of_another_shape_or_with_missing_values_is_refused(tmp_path):
    saved = SavedFragments(tmp_path, [write(tmp_path, 0, [fragment("a", 0, 5)])])
    with pytest.raises(StorageError) as missing:
        saved.read_into(fragment("a", 2, 9, empty=True))
    assert missing.value.message == f"checkpoint {tmp_path}: parameter a has 3 of 7 values that are needed"
    with pytest.raises(StorageError) as other:
        saved.read_into(fragment("a", shape=(4, 3), empty=True))
    assert other.value.message == f"checkpoint {tmp_path}: parameter a has shape (3, 4), the model needs (4, 3)"
    with pytest.raises(StorageError, match="parameter b has shape None"):
        saved.read_into(fragment("b", empty=True))


def test_the_buffer_is_used_again_for_the_same_tensors_and_holds_their_newest_values(tmp_path):
    part, buffers = fragment("a"), {name: tensor.clone() for name, tensor in BUFFERS.items()}
    file = ShardFile([part], buffers)
    file.refresh([part], buffers)
    part.views["param"] += 1
    buffers["counted"] += 1
    assert file.fits([part], buffers)
    file.refresh([part], buffers)
    file.write(tmp_path / "rank00000.safetensors")
    saved = SavedFragments(tmp_path, ["rank00000.safetensors"])
    assert torch.equal(saved.buffers["counted"], BUFFERS["counted"] + 1)
    found = fragment("a", empty=True)
    saved.read_into(found)
    assert torch.equal(found.views["param"], values("a")["param"] + 1)
    assert torch.equal(found.views["exp_avg"], values("a")["exp_avg"])


@pytest.mark.parametrize(
    ("fragments", "buffers"),
    [
        pytest.param([fragment("b")], BUFFERS, id="another name"),
        pytest.param([fragment("a", 0, 11)], BUFFERS, id="another size"),
        pytest.param([fragment("a")], BUFFERS | {"small": torch.tensor([3], dtype=torch.uint8)}, id="another type"),
        pytest.param([fragment("a")], BUFFERS | {"new": torch.ones(1)}, id="one more"),
        pytest.param([fragment("a")], {}, id="none"),
    ],
)
def test_other_tensors_do_not_fit_the_buffer(fragments, buffers):
    assert not ShardFile([fragment("a")], BUFFERS).fits(fragments, buffers)
