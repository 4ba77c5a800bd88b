"""together.py - a daemon and all of its sites in one process, for trying things out.

In earnest every site runs `take_part` alone, on its own machine, with the link it was given.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
import tributary as trib

Train = Callable[[Any, trib.Task], tuple[int, dict[str, float]]]


def take_part(link: str, name: str, model: torch.nn.Module, train: Train) -> None:
    """One site: train(model, task) changes the model and returns its examples and metrics."""
    with trib.join(link, name) as client:
        for task in client:
            task.load(model)
            examples, metrics = train(model, task)
            task.submit(model, examples=examples, metrics=metrics)


def evaluate(link: str, model: torch.nn.Module, judge: Train) -> None:
    """Whoever holds test data: judge(model, task) returns its examples and metrics."""
    with trib.join(link, "judge", role="evaluator") as client:
        for task in client:
            task.load(model)
            examples, metrics = judge(model, task)
            task.report(metrics, examples=examples)


def together(spec: Mapping[str, Any], model: torch.nn.Module,
             sites: Mapping[str, tuple[torch.nn.Module, Train]],
             judge: tuple[torch.nn.Module, Train] | None = None,
             progress: bool = True) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Train until the run ends; the last version and the run's history."""
    torch.set_num_threads(1)  # the sites share this machine
    with trib.serve() as server:
        run = server.create(spec, model)
        threads = [threading.Thread(target=take_part, args=(run.link, name, *site))
                   for name, site in sites.items()]
        if judge is not None:
            threads.append(threading.Thread(target=evaluate, args=(run.link, *judge)))
        for thread in threads:
            thread.start()
        run.wait(progress=progress)
        for thread in threads:
            thread.join()
        return run.model(like="torch"), run.history()


def sgd(model: torch.nn.Module, loss_of: Callable[[Any], torch.Tensor], batches: Any,
        lr: float) -> tuple[int, dict[str, float]]:
    """Plain steps over batches of (inputs, ..., labels); examples seen and their mean loss."""
    optimizer = torch.optim.SGD([parameter for parameter in model.parameters()
                                 if parameter.requires_grad], lr)
    model.train()
    examples, total = 0, 0.0
    for batch in batches:
        optimizer.zero_grad()
        loss = loss_of(batch)
        loss.backward()
        optimizer.step()
        examples += len(batch[-1])
        total += float(loss.detach()) * len(batch[-1])
    return examples, {"loss": total / max(examples, 1)}


def batches_of(tensors: tuple[torch.Tensor, ...], size: int | None, epochs: int | None,
               seed: int = 0) -> Any:
    """Shuffled batches (None: all rows at once), for so many passes (None: one)."""
    random = torch.Generator().manual_seed(seed)
    for _ in range(epochs or 1):
        for rows in torch.randperm(len(tensors[0]), generator=random).split(
                size or len(tensors[0])):
            yield tuple(tensor[rows] for tensor in tensors)
