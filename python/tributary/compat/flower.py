"""flower.py - a Flower NumPyClient takes part as it is; Flower need not be installed.

    from tributary.compat import flower
    run = server.create({"name": "digits"}, flower.parameters(client))     # once, by the operator
    flower.run(client, link)                                               # at each site
"""
from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from .. import client as _client
from ..errors import ModelError


def parameters(numpy_client: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The client's parameters as a model for Run.create().

    numpy_client  with get_parameters(config), or what to_client() made of one
    names         of the arrays, in the client's order: list(model.state_dict()) if that is what it
                  sends. None: "0000", "0001", ... Rules of the spec (roles) go by name
    """
    arrays = unwrap(numpy_client).get_parameters({})
    return dict(zip(names_of(arrays, names), arrays, strict=True))


def run(numpy_client: Any, link: str, client: str | None = None,
        names: Sequence[str] | None = None, **options: Any) -> None:
    """Take part with a NumPyClient until the run has ended.

    fit(parameters, config) answers tasks to train, evaluate(parameters, config) those to evaluate.
    config is the run's `train` settings with "server_round", counted from 1. Metrics that are no
    numbers stay at home. names as given to parameters(), options as of trib.join().
    """
    inner = unwrap(numpy_client)
    current = list(inner.get_parameters({}))
    order = names_of(current, names)
    with _client.join(link, client, **options) as joined:
        for task in joined:
            weights = task.weights("numpy")
            unknown = set(weights) - set(order)
            if unknown:
                raise ModelError(f"the run's model has {sorted(unknown)[0]}, which is none of "
                                 f"names: {order[:3]}...")
            # What the run does not have (counters, personal layers) is the client's own.
            given = [weights.get(name, mine) for name, mine in zip(order, current, strict=True)]
            config = {**task.settings, "server_round": task.version + 1}
            if task.kind == "train":
                fitted, examples, metrics = inner.fit(given, config)
                current = list(fitted)
                task.submit(dict(zip(order, current, strict=True)), examples=examples,
                            metrics=only_numbers(metrics))
            else:
                loss, examples, metrics = inner.evaluate(given, config)
                task.report({"loss": loss, **only_numbers(metrics)}, examples)


def unwrap(numpy_client: Any) -> Any:
    """NumPyClient.to_client() wraps it."""
    return getattr(numpy_client, "numpy_client", numpy_client)


def names_of(arrays: Sequence[Any], names: Sequence[str] | None) -> list[str]:
    order = [f"{index:04d}" for index in range(len(arrays))] if names is None else list(names)
    if len(order) != len(arrays):
        raise ModelError(f"{len(order)} names for {len(arrays)} arrays of get_parameters()")
    return order


def only_numbers(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (metrics or {}).items()
            if isinstance(value, numbers.Real)}
