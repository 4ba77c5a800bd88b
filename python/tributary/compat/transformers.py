"""transformers.py - a callback that makes a Hugging Face Trainer a participant.

    from tributary.compat.transformers import TributaryCallback
    trainer = Trainer(model, args, train_dataset=rows, callbacks=[TributaryCallback(link)])
    trainer.train()

Weights are loaded when training begins and after each update, an update is sent every `train.steps`
optimizer steps of the run's spec, and training stops when the run does (set max_steps high). The
Trainer's optimizer and its learning rates go on over all of it. Adapters (PEFT) travel alone when
the run's model has nothing else.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback

from ..client import Client
from ._training import Training


class TributaryCallback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Arguments as of tributary.compat._training.Training; link: of the run."""

    def __init__(self, link: str | Client, client: str | None = None, *, steps: int = 100,
                 examples: int | None = None,
                 evaluate: Callable[[Any], tuple[Mapping[str, Any], int]] | None = None,
                 **options: Any) -> None:
        self._training = Training(link, client, steps, examples, evaluate, options)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        control.should_training_stop = not self._training.begin(given["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        batch = args.train_batch_size * args.gradient_accumulation_steps
        if not self._training.step(given["model"], batch):
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if "loss" in (given.get("logs") or {}):
            self._training.losses.append(float(given["logs"]["loss"]))

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._training.end()
