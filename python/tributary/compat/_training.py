"""_training.py - what callbacks of training loops have in common: a loop that is not ours."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..client import Client, Task, join


class Training:
    """Turns one long training into tasks: begin(), step() after each batch, end().

    link      of the run, or a Client that has joined already
    steps     batches per task, when the run's spec does not say
    examples  of this client, its weight. None: those that the steps since the last update saw
    evaluate  called with the model for tasks to evaluate, returns (metrics, examples). None: such
              tasks are declined
    options   of trib.join()
    """

    def __init__(self, link: str | Client, client: str | None, steps: int, examples: int | None,
                 evaluate: Callable[[Any], tuple[Mapping[str, Any], int]] | None,
                 options: Mapping[str, Any]) -> None:
        self._client = join(link, client, **options) if isinstance(link, str) else link
        self._steps = steps
        self._examples = examples
        self._evaluate = evaluate
        self._task: Task | None = None
        self._done = 0
        self._seen = 0
        self.losses: list[float] = []  # since the last update

    def begin(self, model: Any) -> bool:
        """Take the next task and load its weights. False: the run has ended."""
        while True:
            self._task = self._client.next()
            if self._task is None:
                return False
            self._task.load(model)
            if self._task.kind == "train":
                break
            if self._evaluate is None:
                self._task.decline("this client only trains")
            else:
                self._task.report(*self._evaluate(model))
        self._done = self._seen = 0
        self.losses.clear()
        return True

    def step(self, model: Any, examples: int) -> bool:
        """A batch of so many examples is behind us. False: the run has ended."""
        task = self._task
        if task is None:
            return False
        self._done += 1
        self._seen += examples
        steps = task.steps or self._steps
        if self._done < steps:
            task.progress(self._done / steps)
            return True
        metrics = {"loss": sum(self.losses) / len(self.losses)} if self.losses else None
        task.submit(model, examples=self._examples or self._seen, metrics=metrics)
        return self.begin(model)

    def end(self) -> None:
        """Training is over; a task that is half done goes to somebody else."""
        if self._task is not None and not self._task.is_answered:
            self._task.decline("training has ended here")
        self._task = None
        self._client.close()
