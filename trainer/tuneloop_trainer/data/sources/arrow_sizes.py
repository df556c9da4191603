"""How much memory the values of Arrow columns take as Python objects, and whether an Arrow file holds compressed batches."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pathlib import Path

_OBJECT_BYTES = 16
"""A place in a list, and part of an object: enough that a list of empty texts counts."""
_MESSAGE_HEADER, _DICTIONARY_DATA, _COMPRESSION = 2, 1, 3
"""Numbers of the fields in the tables of Arrow's Message.fbs."""


def decoded_bytes(column: pa.Array) -> int:
    """Return about how many bytes the values of a column are. A text that a dictionary holds once counts as often as it is used.

    Raises pa.ArrowNotImplementedError for a type that no text, label or list of them needs.
    """
    kind = column.type
    objects = _OBJECT_BYTES * len(column)
    if isinstance(kind, pa.BaseExtensionType):
        return decoded_bytes(column.storage)
    if pa.types.is_dictionary(kind):
        values = column.dictionary
        return objects if _is_fixed(values.type) else objects + _sum(pc.take(_lengths(values), column.indices))
    if pa.types.is_struct(kind):
        return objects + sum(decoded_bytes(column.field(index)) for index in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return objects + decoded_bytes(column.flatten())
    return objects if _is_fixed(kind) else objects + _sum(_lengths(column))


def _is_fixed(kind: pa.DataType) -> bool:
    """Return whether a value is a number, a time or nothing."""
    return pa.types.is_primitive(kind) or pa.types.is_null(kind) or pa.types.is_decimal(kind)


def _lengths(column: pa.Array) -> pa.Array:
    """Return the bytes of each text."""
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        return pa.array([value.as_buffer().size if value.is_valid else 0 for value in column], pa.int64())
    return pc.binary_length(column)


def _sum(lengths: pa.Array) -> int:
    return pc.sum(lengths).as_py() or 0


def is_compressed(path: Path) -> bool:
    """Return whether a batch of an Arrow stream is compressed: a few bytes may stand for any number of values."""
    with pa.memory_map(str(path)) as source:
        return any(map(_is_compressed, pa.ipc.MessageReader.open_stream(source)))


def _is_compressed(message: pa.ipc.Message) -> bool:
    if message.type not in {"record batch", "dictionary"}:
        return False
    data = message.metadata.to_pybytes()
    header = _field(data, _at(data, 0), _MESSAGE_HEADER)
    batch = _field(data, header, _DICTIONARY_DATA) if message.type == "dictionary" else header
    return _field(data, batch, _COMPRESSION) != 0


def _field(data: bytes, table: int, number: int) -> int:
    """Return the place of a table that a field of a table holds; 0 if the field is not set."""
    (back,) = struct.unpack_from("<i", data, table)
    slots = table - back
    (size,) = struct.unpack_from("<H", data, slots)
    slot = 4 + 2 * number
    offset = struct.unpack_from("<H", data, slots + slot)[0] if slot < size else 0
    return _at(data, table + offset) if offset else 0


def _at(data: bytes, place: int) -> int:
    return int(place + struct.unpack_from("<I", data, place)[0])
