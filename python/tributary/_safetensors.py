"""_safetensors.py - read and write safetensors: u64 N, N bytes of JSON, data."""
from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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


def parse_versions(file: memoryview) -> tuple[int, list[Tensor]]:
    """Where the data of a version begins, and its tensors; offsets count from there."""
    if len(file) < 8:
        raise InvalidError("the model ends too early")
    (count,) = struct.unpack_from("<Q", file)
    if count > HEAD_BYTES_MAX or 8 + count > len(file):
        raise InvalidError("the model's head is longer than the model")
    try:
        entries = json.loads(bytes(file[8:8 + count]))
        entries.pop("__metadata__", None)
        tensors = [parse_tensor(name, entry, len(file) - 8 - count)
                   for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(f"the model is no safetensors file of float32: {error}") from None
    return 8 + count, sorted(tensors, key=lambda tensor: tensor.name.encode())


def parse_tensor(name: str, entry: dict[str, Any], data_bytes: int) -> Tensor:
    first, last = entry["data_offsets"]
    tensor = Tensor(name, tuple(int(size) for size in entry["shape"]), int(first))
    if (entry["dtype"] != "F32" or min(tensor.shape, default=0) < 0 or
            not 0 <= first <= last <= data_bytes or first % 4 or
            last - first != tensor.element_count * _arrays.FLOAT_BYTES):
        raise ValueError(f"tensor {name} is not F32, or not of its shape")
    return tensor


def raw(name: str, value: Any) -> tuple[str, tuple[int, ...], memoryview]:
    """dtype, shape and bytes of an array of any kind, in place where they can be."""
    if _arrays.is_torch(value):
        import torch

        plain = _arrays.whole(value.detach()).cpu().contiguous()
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
