"""_group.py - one client, many processes: rank 0 speaks, the others hear the same from it.

For data-parallel training at one site (DDP, FSDP2). Every process of the group joins and makes the
same calls in the same order, as with any collective; each call ends the same way in all of them,
also with the same exception.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from ._arrays import FLOAT_BYTES, Tensor
from ._link import Link

Result = TypeVar("Result")


class GroupLink:
    """A Link for each process of a torch.distributed process group."""

    def __init__(self, group: Any, connect: Callable[[], Link]) -> None:
        import torch.distributed as dist

        self._dist = dist
        self._group = group
        self._source = dist.get_global_rank(group, 0) if group is not dist.group.WORLD else 0
        self._speaks = dist.get_rank(group) == 0
        self._link: Link | None = None
        self._owner = os.getpid()
        self._link = self._tell(connect, is_secret=True)

    def _tell(self, call: Callable[[], Any], is_secret: bool = False) -> Any:
        """What call returns or raises at rank 0, in every process. A secret stays with rank 0."""
        outcome: list[Any] = [None, None]
        result = None
        if self._speaks:
            try:
                result = call()
                outcome = [None if is_secret else result, None]
            except Exception as error:
                outcome = [None, error]
        self._dist.broadcast_object_list(outcome, self._source, group=self._group)
        if outcome[1] is not None:
            raise outcome[1]
        return result if self._speaks else outcome[0]

    def _speaker(self) -> Link:
        assert self._link is not None
        return self._link

    def check(self) -> None:
        if self._link is not None:
            self._link.check()

    def next(self) -> Any:
        return self._tell(lambda: self._speaker().next())

    def model(self) -> tuple[Any, list[Tensor]]:
        """The values travel as one tensor, not as an object that would have to be pickled."""
        import torch

        memory: list[Any] = []

        def fetch() -> list[Tensor]:
            values, tensors = self._speaker().model()
            memory.append(values)
            return tensors

        tensors: list[Tensor] = self._tell(fetch)
        count = sum(tensor.element_count for tensor in tensors)
        flat = torch.frombuffer(memory[0], dtype=torch.float32) if memory else torch.empty(count)
        device = self._device()
        moved = flat.to(device)
        self._dist.broadcast(moved, self._source, group=self._group)
        if memory:
            return memory[0], tensors
        values = moved.cpu().numpy() if device != "cpu" else flat.numpy()
        assert values.nbytes == count * FLOAT_BYTES
        return memoryview(values).cast("B"), tensors

    def _device(self) -> str:
        return "cuda" if self._dist.get_backend(self._group) == "nccl" else "cpu"

    def submit(self, examples: int, metrics: str | None, arrays: tuple[Any, ...]) -> None:
        self._tell(lambda: self._speaker().submit(examples, metrics, arrays))

    def report(self, examples: int, metrics: str) -> None:
        self._tell(lambda: self._speaker().report(examples, metrics))

    def decline(self, reason: str, patience_s: float | None = None) -> None:
        """On the way out after an error (patience_s) there may be nobody left to agree with."""
        if patience_s is None:
            self._tell(lambda: self._speaker().decline(reason))
        elif self._speaks:
            self._speaker().decline(reason, patience_s)

    def progress(self, done: float) -> None:
        if self._speaks:
            self._speaker().progress(done)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
