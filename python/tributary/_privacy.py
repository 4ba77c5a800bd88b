"""_privacy.py - updates that say less: clipped to a norm, with Gaussian noise on every value.

Both happen before anything leaves the client. This is the mechanism of differential privacy, not an
accounting of it: what a clip and a noise are worth depends on how many clients and rounds there are.
"""
from __future__ import annotations

import math
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

from .errors import InvalidError


class Privacy:
    """clip: bound on the L2 norm of an update, None: none. noise: standard deviation, 0: none."""

    def __init__(self, clip: float | None, noise: float, seed: int | None) -> None:
        if (clip is not None and not 0 < clip < math.inf) or not 0 <= noise < math.inf:
            raise InvalidError("clip must be above 0 and noise at least 0")
        self.clip = clip
        self.noise = noise
        self.seed = secrets.randbits(64) if seed is None else seed

    def apply(self, task: str, before: Mapping[str, Any],
              after: Mapping[str, Any]) -> dict[str, Any]:
        """before + clipped (after - before) + noise, as NumPy arrays.

        The noise depends on the seed and the task alone: a submit that is repeated after a lost
        connection must send the same bytes, or it would be another update."""
        import numpy

        deltas = {name: numpy.asarray(after[name]) - before[name] for name in sorted(after)}
        if self.clip is not None:
            squares = math.fsum(float(numpy.square(delta, dtype=numpy.float64).sum())
                                for delta in deltas.values())
            scale = min(1.0, self.clip / math.sqrt(squares)) if squares > 0 else 1.0
            if scale < 1.0:
                deltas = {name: delta * numpy.float32(scale) for name, delta in deltas.items()}
        if self.noise > 0:
            random = numpy.random.default_rng([self.seed, zlib.crc32(task.encode())])
            for name, delta in deltas.items():
                noise = random.normal(0.0, self.noise, delta.shape)
                deltas[name] = delta + noise.astype(numpy.float32)
        return {name: numpy.require(before[name] + delta, numpy.float32, ["C_CONTIGUOUS"])
                for name, delta in deltas.items()}
