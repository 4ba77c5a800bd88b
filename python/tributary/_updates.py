"""_updates.py - the bodies of updates, whatever their codec (docs/protocol.md, section 4), as arrays.

    dense   name: F32, BF16 or F16 of the tensor's shape
    int8    name: I8, with name.scale: S numbers; element i of n is name[i] * scale[i // ceil(n / S)]
    sparse  name.index, name.value: positions in the flattened tensor and what is there; 0 elsewhere
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from . import _arrays, _safetensors
from .errors import InvalidError, ModelError

Update = dict[str, Any]  # name -> float32 array
Shape = tuple[int, ...]

NUMPY_DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "<i1", "I32": "<i4", "I64": "<i8", "U32": "<u4",
                "U64": "<u8"}


def decode(body: bytearray | memoryview, shapes: Mapping[str, Shape] | None = None) -> Update:
    """name -> float32 array of what the update carries: of F32 a view of body, else a new one.

    shapes  of the model's tensors. None: the codec is dense, and every name is a tensor's.
    """
    start, entries = _safetensors.parse(memoryview(body))
    parts = {entry.name: values_of(entry, memoryview(body)[start:]) for entry in entries}
    if shapes is None:
        return {name: as_float32(values) for name, values in parts.items()}
    return {name: expand(name, shape, parts) for name, shape in shapes.items()
            if name in parts or f"{name}.value" in parts}


def values_of(entry: _safetensors.Entry, data: memoryview) -> Any:
    """The numbers as they stand there, in their shape; those of BF16 as float32."""
    import numpy

    piece = data[entry.first:entry.last]
    if entry.dtype == "BF16":  # the upper half of an F32
        values = (numpy.frombuffer(piece, "<u2").astype(numpy.uint32) << 16).view(numpy.float32)
    elif entry.dtype in NUMPY_DTYPES:
        values = numpy.frombuffer(piece, NUMPY_DTYPES[entry.dtype])
    else:
        raise InvalidError(f"tensor {entry.name}: dtype {entry.dtype} is in no update")
    return values.reshape(entry.shape)


def as_float32(values: Any) -> Any:
    return values.astype("<f4", copy=False)


def expand(name: str, shape: Shape, parts: Mapping[str, Any]) -> Any:
    """One tensor, whichever way it stands there."""
    import numpy

    if name not in parts:
        whole: Any = numpy.zeros(math.prod(shape), "<f4")
        whole[parts[f"{name}.index"]] = parts[f"{name}.value"]
        return whole.reshape(shape)
    values = parts[name]
    if values.dtype != numpy.int8:
        return as_float32(values)
    scales = parts[f"{name}.scale"].reshape(-1)
    block = -(-values.size // scales.size)
    return (values.reshape(-1) * numpy.repeat(scales, block)[:values.size]).reshape(shape)


def encode(delta: Any, updates: list[Update]) -> _safetensors.Model:
    """What a rule made of the updates, as a dense body of F32; ModelError where it fits none of them."""
    if not isinstance(delta, Mapping):
        raise InvalidError(f"the rule must return {{name: array}}, not {type(delta).__name__}")
    shapes = {name: array.shape for update in updates for name, array in update.items()}
    arrays = {name: plain(value) for name, value in delta.items()}
    for name, array in arrays.items():
        if name not in shapes:
            raise ModelError(f"the rule returns {name}, which no update has; they have "
                             f"{_arrays.list_names(sorted(shapes))}")
        if array.shape != shapes[name]:
            raise ModelError(f"the rule returns {name} in the shape {list(array.shape)}, updates "
                             f"have {list(shapes[name])}")
    return _safetensors.Model(arrays)


def plain(value: Any) -> Any:
    """float32 of NumPy: its functions like to answer in float64, and a rule may use PyTorch."""
    import numpy

    return numpy.asarray(value.detach().cpu() if _arrays.is_torch(value) else value, "<f4")
