"""The shard file of one rank: its fragments in safetensors format.

`ShardFile` holds the bytes of the file in a buffer that is made once. Training waits for `refresh` alone, which copies the present values
into the buffer; `write` reads only the buffer and can run beside the next steps. A copy into a buffer whose pages were touched before
costs as much as a memcpy; fresh clones cost six times that.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from tuneloop_trainer.checkpoint.manifest import SavedFile
from tuneloop_trainer.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tuneloop_trainer.engine.master_weights import Fragment

KEYS = ("param", "exp_avg", "exp_avg_sq")
BUFFER = "buffer"
_CHUNK = 8 << 20
_DTYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


class ShardFile:
    """The bytes of one rank's shard file in memory."""

    def __init__(self, fragments: Iterable[Fragment], buffers: dict[str, Tensor]) -> None:
        fragments = list(fragments)
        tensors = dict(_tensors(fragments, buffers))
        entries: dict[str, Any] = {}
        end = 0
        for key, tensor in tensors.items():
            start, end = end, end + tensor.numel() * tensor.element_size()
            entries[key] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        entries["__metadata__"] = {"fragments": json.dumps([_place(fragment) for fragment in fragments])}
        header = json.dumps(entries, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        self._header = struct.pack("<Q", len(header)) + header
        self._bytes = torch.zeros(end, dtype=torch.uint8)  # `zeros` touches every page now, `empty` would not
        self._views = [_view(self._bytes, entries[key], tensor) for key, tensor in tensors.items()]
        self._layout = _layout(tensors)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self._header) + self._bytes.numel()

    def fits(self, fragments: Iterable[Fragment], buffers: dict[str, Tensor]) -> bool:
        """Tell whether these tensors have the names, types and shapes that the buffer was made for."""
        return self._layout == _layout(dict(_tensors(fragments, buffers)))

    @torch.no_grad()
    def refresh(self, fragments: Iterable[Fragment], buffers: dict[str, Tensor]) -> None:
        """Copy the present values into the buffer: the part of a save that blocks training."""
        for view, (_, tensor) in zip(self._views, _tensors(fragments, buffers), strict=True):
            if tensor.is_cpu and tensor.dtype == torch.float32:
                # one thread: torch shares a copy among its threads, and waits for the slowest on cores that other ranks need
                np.copyto(view.numpy(), tensor.numpy())
            else:
                view.copy_(tensor)

    def write(self, path: Path) -> SavedFile:
        """Write, hash and fsync the file, and drop it from the page cache, so that the next reader gets it from the disk. Raises OSError."""
        digest = hashlib.sha256()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for chunk in self._chunks():
                digest.update(chunk)
                _write_all(descriptor, chunk)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        return SavedFile(name=path.name, size=self.size, sha256=digest.hexdigest())

    def _chunks(self) -> Iterator[memoryview]:
        for part in (memoryview(self._header), self._bytes.numpy().data):
            for start in range(0, len(part), _CHUNK):
                yield part[start : start + _CHUNK]


class SavedFragments:
    """The shard files of all ranks of a checkpoint, open for reading slices. Raises StorageError when a file does not fit the model."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._places: dict[str, list[tuple[int, int, Any]]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.buffers: dict[str, Tensor] = {}
        for name in names:
            file = safe_open(folder / name, "pt")
            for place in json.loads(file.metadata()["fragments"]):
                start = place["start"]
                self._places.setdefault(place["name"], []).append((start, start + place["count"], file))
                self._shapes[place["name"]] = tuple(place["shape"])
            for key in file.keys():  # noqa: SIM118  (not a dict)
                if key.endswith(f"/{BUFFER}"):
                    self.buffers[key.removesuffix(f"/{BUFFER}")] = file.get_tensor(key)

    @torch.no_grad()
    def read_into(self, fragment: Fragment) -> None:
        """Fill the views of a fragment from all files that hold a part of it."""
        name, start, end = fragment.name, fragment.start, fragment.start + fragment.count
        if self._shapes.get(name) != fragment.shape:
            raise StorageError(
                f"checkpoint {self._folder}: parameter {name} has shape {self._shapes.get(name)}, the model needs {fragment.shape}"
            )
        filled = 0
        for first, last, file in self._places[name]:
            low, high = max(start, first), min(end, last)
            if low >= high:
                continue
            for key in KEYS:
                fragment.views[key][low - start : high - start] = file.get_slice(f"{name}/{key}")[
                    low - first : high - first
                ]
            filled += high - low
        if filled != fragment.count:
            raise StorageError(
                f"checkpoint {self._folder}: parameter {name} has {filled} of {fragment.count} values that are needed"
            )


def _tensors(fragments: Iterable[Fragment], buffers: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    tensors = [(f"{fragment.name}/{key}", fragment.views[key]) for fragment in fragments for key in KEYS]
    tensors += [(f"{name}/{BUFFER}", buffer) for name, buffer in buffers.items()]
    # the format has no gaps between tensors: each tensor is aligned for its type only if the widest types come first
    return sorted(tensors, key=lambda pair: -pair[1].element_size())


def _layout(tensors: dict[str, Tensor]) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
    return [(key, tensor.dtype, tuple(tensor.shape)) for key, tensor in tensors.items()]


def _place(fragment: Fragment) -> dict[str, Any]:
    return {"name": fragment.name, "shape": fragment.shape, "start": fragment.start, "count": fragment.count}


def _view(flat: Tensor, entry: dict[str, Any], like: Tensor) -> Tensor:
    start, end = entry["data_offsets"]
    return flat[start:end].view(like.dtype).view(like.shape)


def _write_all(descriptor: int, chunk: memoryview) -> None:
    while len(chunk):
        chunk = chunk[os.write(descriptor, chunk) :]
