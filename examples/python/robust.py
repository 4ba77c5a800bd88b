"""robust.py - one client in five sends nonsense: the mean of the updates follows it, the median does not.

    robust.py [--versions 20]

First a simulated fleet with either rule, then three sites on a real daemon with the same function:
nothing about a rule has to change between the two.
"""
from __future__ import annotations

import argparse
import threading
from typing import Any

import numpy as np
import tributary as trib

CLIENTS = 20
TRUTH = np.array([1.0, -2.0, 0.5], np.float32)


def median(updates: list[dict[str, Any]], weights: list[int]) -> dict[str, Any]:
    """Each parameter changes by the median of what the clients would change it by."""
    return {name: np.median([update[name] for update in updates], axis=0) for name in updates[0]}


def train(client: int, state: dict[str, Any],
          settings: dict[str, Any]) -> tuple[dict[str, Any], int, None]:
    """One step of least squares on 50 rows of one's own; every fifth client makes its answer up."""
    draw = np.random.default_rng(client)
    x = draw.normal(size=(50, 3)).astype(np.float32)
    y = x @ TRUTH
    state["w"] -= settings["lr"] * x.T @ (x @ state["w"] - y) / len(y)
    if client % 5 == 4:
        state["w"][:] = 10
    return state, len(y), None


def make_spec(versions: int, combiner: str, quorum: int = CLIENTS) -> dict[str, Any]:
    return {"name": "robust", "train": {"lr": 0.5}, "stop": {"versions": versions},
            "strategy": {"preset": "fedavg", "quorum": quorum, "combiner": combiner}}


def zeros() -> dict[str, Any]:
    return {"w": np.zeros(3, np.float32)}


def take_part(link: str, client: int) -> None:
    with trib.join(link, f"c{client}") as joined:
        for task in joined:
            trained, examples, _ = train(client, task.weights("numpy"), task.settings)
            task.submit(trained, examples=examples)


def error_of(state: dict[str, Any]) -> float:
    return float(np.linalg.norm(state["w"] - TRUTH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=20)
    versions = parser.parse_args().versions
    _, state = trib.simulate(make_spec(versions, "sum"), train, model=zeros(), clients=CLIENTS,
                             like="numpy")
    print(f"mean:    {error_of(state):.3f} from the truth")
    _, state = trib.simulate(make_spec(versions, "external"), train, model=zeros(),
                             clients=CLIENTS, combine=median, like="numpy")
    print(f"median:  {error_of(state):.3f}")
    with trib.serve() as server:
        run = server.create(make_spec(versions, "external", 3), zeros())
        for client in (2, 3, 4):  # the last of them lies
            threading.Thread(target=take_part, args=(run.link, client), daemon=True).start()
        made = trib.combine(run.merge_link(), median)
        print(f"live:    {error_of(run.model(like='numpy')):.3f} after {made} versions")


if __name__ == "__main__":
    main()
