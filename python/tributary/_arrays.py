"""_arrays.py - PyTorch, NumPy and everything else that holds numbers, without copies where it goes.

Coming: one float32 buffer becomes a dict of views. Going: whatever was trained becomes buffers of
float32 in row-major order; what is that already is only pointed at.
"""
from __future__ import annotations

import ctypes
import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .errors import ModelError

FLOAT_BYTES = 4
# What PyTorch's wrappers put before the names of the model they wrap.
WRAPPERS = ("module.", "_orig_mod.")
SHOWN = 5  # names in a message
# What the CPU can read, as DLPack numbers devices: its own memory, pinned and managed memory.
HOST_DEVICES = (1, 3, 11, 13)


class Tensor(NamedTuple):
    """A tensor of the run's model: where it lies in the memory of all of them."""

    name: str
    shape: tuple[int, ...]
    offset: int  # bytes

    @property
    def element_count(self) -> int:
        return math.prod(self.shape)


def numpy_or_none() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def is_torch(value: object) -> bool:
    """A tensor or a module of PyTorch, which is not imported to find out."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, (torch.Tensor, torch.nn.Module))


# --- coming ---

def view(memory: Any, tensors: Sequence[Tensor], like: str | None) -> dict[str, Any]:
    """name -> view of memory, as "torch" or "numpy"; None: torch where it is imported already."""
    if like is None:
        like = "torch" if "torch" in sys.modules else "numpy"
    if like == "torch":
        import torch

        def make(tensor: Tensor) -> Any:
            if tensor.element_count == 0:
                return torch.empty(tensor.shape)
            return torch.frombuffer(memory, dtype=torch.float32, count=tensor.element_count,
                                    offset=tensor.offset).reshape(tensor.shape)
    elif like == "numpy":
        import numpy

        def make(tensor: Tensor) -> Any:
            return numpy.frombuffer(memory, dtype=numpy.float32, count=tensor.element_count,
                                    offset=tensor.offset).reshape(tensor.shape)
    else:
        raise ValueError(f'like must be "torch" or "numpy", not {like!r}')
    return {tensor.name: make(tensor) for tensor in tensors}


# --- going ---

def state_of(trained: Any) -> Mapping[str, Any]:
    """name -> array of a model (anything with state_dict()) or of a mapping."""
    state = trained.state_dict() if callable(getattr(trained, "state_dict", None)) else trained
    if not isinstance(state, Mapping):
        raise TypeError("a model with state_dict() or a mapping of names to arrays is needed, "
                        f"not {type(trained).__name__}")
    return state


def find(state: Mapping[str, Any], name: str) -> Any:
    """The array of that name, also below the prefix of a wrapper; None: there is none."""
    for prefix in ("", *WRAPPERS):
        if prefix + name in state:
            return state[prefix + name]
    return None


def list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def select(state: Mapping[str, Any], tensors: Sequence[Tensor],
           frozen: frozenset[str]) -> dict[str, Any]:
    """name -> array of what the run trains; ModelError when something is missing or misshapen."""
    chosen, missing = {}, []
    for tensor in tensors:
        if tensor.name in frozen:
            continue
        value = find(state, tensor.name)
        if value is None:
            missing.append(tensor.name)
        else:
            check_shape(tensor, value)
            chosen[tensor.name] = value
    if missing:
        near = difflib.get_close_matches(missing[0], list(state), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ModelError(f"the run's model has {list_names(missing)}, the one given has not{hint}")
    return chosen


def check_shape(tensor: Tensor, value: Any) -> None:
    shape = tuple(value.shape) if hasattr(value, "shape") else memoryview(value).shape
    if shape != tensor.shape:
        raise ModelError(f"tensor {tensor.name}: shape {list(shape or ())}, "
                         f"the run's model has {list(tensor.shape)}")


def borrow(name: str, value: Any) -> Any:
    """A buffer of float32, row-major: the array's own memory where it is that already."""
    if is_torch(value):
        return borrow_torch(name, value)
    numpy = numpy_or_none()
    if numpy is None:
        plain = memoryview(value)
        if plain.format != "f" or not plain.c_contiguous:
            raise ModelError(f"tensor {name}: without NumPy only contiguous float32 can be sent")
        return plain
    array = numpy.asarray(take_dlpack(name, value) if hasattr(value, "__dlpack__") else value)
    if not numpy.issubdtype(array.dtype, numpy.floating):
        raise ModelError(f"tensor {name}: dtype {array.dtype}, the run trains floats")
    return numpy.require(array, numpy.float32, ["C_CONTIGUOUS", "ALIGNED"])


def take_dlpack(name: str, value: Any) -> Any:
    """In place where NumPy can read the memory; else a copy, as far as the library offers one."""
    numpy = numpy_or_none()
    if isinstance(value, numpy.ndarray):
        return value
    device, _ = value.__dlpack_device__()
    try:
        if device in HOST_DEVICES:
            return numpy.from_dlpack(value)
        if hasattr(value, "__array__"):
            return numpy.asarray(value)
        why = f"DLPack's device {int(device)}"
    except (BufferError, RuntimeError, TypeError) as error:
        why = str(error)
    raise ModelError(f"tensor {name}: bring it to the CPU first ({why})")


def borrow_torch(name: str, value: Any) -> Any:
    import torch

    if not value.is_floating_point():
        raise ModelError(f"tensor {name}: dtype {str(value.dtype).removeprefix('torch.')}, "
                         "the run trains floats")
    plain = fetch(name, value).to(torch.float32).contiguous()
    if numpy_or_none() is not None:
        return plain.numpy()
    memory = (ctypes.c_float * plain.numel()).from_address(plain.data_ptr())
    memory.owner = plain  # the memory lives as long as the view
    return memory


def fetch(name: str, value: Any) -> Any:
    """The tensor on the CPU: brought from a device, gathered where it is spread over processes (FSDP2;
    every process must ask), and with its zeros where it is sparse."""
    check_real(name, value)
    value = value.detach()
    if hasattr(value, "full_tensor"):
        value = value.full_tensor()
    if str(value.layout) != "torch.strided":
        value = value.to_dense()
    return value.cpu()


def check_real(name: str, value: Any) -> None:
    """PyTorch's meta device has shapes and no values, and copies to it do nothing."""
    if value.is_meta:
        raise ModelError(f"tensor {name}: on the device meta it has no values; give the model some "
                         "first, with model.to_empty(device=...)")


# --- loading ---

def load(model: Any, weights: Mapping[str, Any]) -> None:
    """Copy weights into a PyTorch model; what they do not have stays as it is."""
    import torch

    state = model.state_dict()
    missing = [name for name in weights if find(state, name) is None]
    if missing:
        raise ModelError(f"the run's model has {list_names(missing)}, the one given has not")
    with torch.no_grad():
        for name, value in weights.items():
            target = find(state, name)
            check_shape(Tensor(name, tuple(value.shape), 0), target)
            check_real(name, target)
            target.copy_(spread(value, target))


def spread(value: Any, target: Any) -> Any:
    """value, laid out over processes as target is (FSDP2)."""
    if not hasattr(target, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
