"""lightning.py - a callback that makes a Lightning Trainer a participant.

    from tributary.compat.lightning import TributaryCallback
    trainer = lightning.Trainer(max_steps=-1, callbacks=[TributaryCallback(link)])
    trainer.fit(module, loader)

As of compat/transformers.py. training_step() must return the loss, or a dict with "loss".
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any

from lightning.pytorch.callbacks import Callback

from ..client import Client
from ._training import Training


class TributaryCallback(Callback):  # type: ignore[misc]  # lightning may be absent
    """Arguments as of tributary.compat._training.Training; link: of the run."""

    def __init__(self, link: str | Client, client: str | None = None, *, steps: int = 100,
                 examples: int | None = None,
                 evaluate: Callable[[Any], tuple[Mapping[str, Any], int]] | None = None,
                 **options: Any) -> None:
        self._training = Training(link, client, steps, examples, evaluate, options)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop = not self._training.begin(pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any,
                           batch_idx: int) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is not None:
            self._training.losses.append(float(loss.detach()))
        if not trainer.should_stop and not self._training.step(pl_module, length_of(batch)):
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._training.end()


def length_of(batch: Any) -> int:
    """Examples in a batch: the length of its first tensor."""
    while isinstance(batch, (tuple, list, Mapping)):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    return len(batch) if isinstance(batch, Sized) else 1
