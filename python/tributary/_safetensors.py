"""_safetensors.py - read and write safetensors: u64 N, N bytes of JSON, data."""
from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from . import _arrays
from ._arrays import Tensor
from .errors import InvalidError, ModelError

HEAD_BYTES_MAX = 100 << 20
ALIGNMENT = 64
DTYPES = {  # as torch and NumPy spell them
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "bool": "BOOL",
}
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "U8": 1,
          "U16": 2, "U32": 4, "U64": 8, "BOOL": 1}  # bytes of an element


def head(entries: Sequence[tuple[str, str, tuple[int, ...], int]]) -> bytes:
    """The canonical head of (name, dtype, shape, bytes), which must be sorted by name."""
    lines, offset = [], 0
    for name, dtype, shape, count in entries:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        sizes = ",".join(map(str, shape))
        lines.append(f'"{quoted}":{{"dtype":"{dtype}","shape":[{sizes}],'
                     f'"data_offsets":[{offset},{offset + count}]}}')
        offset += count
    text = ("{" + ",".join(lines) + "}").encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


class Entry(NamedTuple):
    """A tensor of a file: bytes first to last of its data."""

    name: str
    dtype: str  # as the file says it
    shape: tuple[int, ...]
    first: int
    last: int


def head_bytes(file: memoryview) -> int:
    """How long the head is, its length included: what a file begins with."""
    if len(file) < 8:
        raise InvalidError("the file ends too early")
    (count,) = struct.unpack_from("<Q", file)
    if count > HEAD_BYTES_MAX:
        raise InvalidError(f"the file's head has {count} bytes, at most {HEAD_BYTES_MAX}")
    return 8 + int(count)


def parse(file: memoryview, data_bytes: int | None = None) -> tuple[int, list[Entry]]:
    """Where the data begins, and the tensors by name. data_bytes: of a file whose head alone is
    here."""
    start = head_bytes(file)
    if start > len(file):
        raise InvalidError("the file's head is longer than the file")
    there = len(file) - start if data_bytes is None else data_bytes
    try:
        rows = json.loads(bytes(file[8:start]))
        rows.pop("__metadata__", None)
        entries = [parse_entry(name, row, there) for name, row in rows.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(f"this is no safetensors file: {error}") from None
    return start, sorted(entries, key=lambda entry: entry.name.encode())


def parse_entry(name: str, row: dict[str, Any], data_bytes: int) -> Entry:
    first, last = row["data_offsets"]
    entry = Entry(name, str(row["dtype"]), tuple(int(size) for size in row["shape"]), int(first),
                  int(last))
    width = WIDTHS.get(entry.dtype, 0)
    if (min(entry.shape, default=0) < 0 or not 0 <= first <= last <= data_bytes or
            (width and last - first != math.prod(entry.shape) * width)):
        raise ValueError(f"tensor {name} is not of its shape")
    return entry


def parse_versions(file: memoryview) -> tuple[int, list[Tensor]]:
    """Where the data of a version begins, and its tensors; offsets count from there."""
    start, entries = parse(file)
    for entry in entries:
        if entry.dtype != "F32" or entry.first % _arrays.FLOAT_BYTES:
            raise InvalidError(f"the model's tensor {entry.name} is not F32")
    return start, [Tensor(entry.name, entry.shape, entry.first) for entry in entries]


def raw(name: str, value: Any) -> tuple[str, tuple[int, ...], memoryview]:
    """dtype, shape and bytes of an array of any kind, in place where they can be."""
    if _arrays.is_torch(value):
        import torch

        plain = _arrays.fetch(name, value).contiguous()
        dtype, shape = str(plain.dtype).removeprefix("torch."), tuple(plain.shape)
        data = memoryview(plain.reshape(-1).view(torch.uint8).numpy())
    else:
        import numpy

        array = numpy.asarray(value)
        array = numpy.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        dtype, shape = array.dtype.name, numpy.shape(value)
        data = memoryview(array.reshape(-1).view(numpy.uint8))
    if dtype not in DTYPES:
        raise ModelError(f"tensor {name}: dtype {dtype} has no place in a model")
    return DTYPES[dtype], shape, data


class Model:
    """A state_dict as the bytes of a file, tensor by tensor: iterate over it, more than once."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        names = sorted(state, key=lambda name: name.encode())
        parts = {name: raw(name, state[name]) for name in names}
        self._head = head([(name, dtype, shape, data.nbytes)
                           for name, (dtype, shape, data) in parts.items()])
        self._parts = [data for _, _, data in parts.values()]

    def __len__(self) -> int:
        return len(self._head) + sum(part.nbytes for part in self._parts)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._head
        yield from self._parts
