"""flower_client.py - a client written for Flower, unchanged, and the two lines that bring it here.

    flower_client.py LINK NAME           at a site
    flower_client.py                     all of it on this machine, with two sites

Flower itself is not needed.
"""
import sys
import threading
from typing import Any

import numpy as np
import tributary as trib
from tributary.compat import flower


# --- as it was -------------------------------------------------------------------------------------

class Client:  # (flwr.client.NumPyClient)
    """Logistic regression on this site's own rows."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.x = random.normal(size=(200, 4)).astype(np.float32)
        self.y = (self.x @ np.array([1, -2, 3, 0.5]) > 0).astype(np.float32)
        self.weights: Any = np.zeros(4, np.float32)

    def get_parameters(self, config: dict[str, Any]) -> list[Any]:
        return [self.weights]

    def fit(self, parameters: list[Any],
            config: dict[str, Any]) -> tuple[list[Any], int, dict[str, Any]]:
        self.weights = parameters[0].copy()
        for _ in range(config["local_epochs"]):
            self.weights -= config["lr"] * self.x.T @ (self.guess() - self.y) / len(self.y)
        return [self.weights], len(self.y), {}

    def evaluate(self, parameters: list[Any],
                 config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        self.weights = parameters[0].copy()
        guess = np.clip(self.guess(), 1e-6, 1 - 1e-6)
        loss = -np.mean(self.y * np.log(guess) + (1 - self.y) * np.log(1 - guess))
        return float(loss), len(self.y), {"accuracy": float(((guess > 0.5) == self.y).mean())}

    def guess(self) -> Any:
        return 1 / (1 + np.exp(-self.x @ self.weights))


# --- what is new -------------------------------------------------------------------------------------

def main() -> None:
    if len(sys.argv) == 3:
        # was: flwr.client.start_client(server_address=..., client=Client(1).to_client())
        flower.run(Client(1), sys.argv[1], sys.argv[2])
        return
    with trib.serve() as server:
        # was: flwr.server.start_server(config=ServerConfig(num_rounds=10), strategy=FedAvg(...))
        run = server.create(
            {"name": "rows", "strategy": {"preset": "fedavg", "quorum": 2}, "stop": {"versions": 10},
             "train": {"local_epochs": 5, "lr": 0.5},
             "evaluate": {"on": ["clients"], "metric": "accuracy", "min_clients": 2}},
            flower.parameters(Client(0)))
        sites = [threading.Thread(target=flower.run, args=(Client(seed), run.link, f"site-{seed}"))
                 for seed in (1, 2)]
        for site in sites:
            site.start()
        for site in sites:
            site.join()
        accuracy = run.status()["evaluated"]["metrics"]["accuracy"]
        print(f"{run.version} versions, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
