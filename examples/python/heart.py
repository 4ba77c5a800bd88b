"""heart.py - heart disease across four hospitals that lack different columns.

    heart.py [FOLDER] [--versions 30]

FOLDER has the four processed.*.data of UCI Heart Disease; without it patients are made up.

First the hospitals agree on how to scale the columns: each sends the count, the sum and the sum of
squares of what it knows, and nothing else; a run with the preset `sum` adds them up, and shows the
total once all have sent. Then they train: a value that is missing is the mean, which is 0 after
scaling, and a column per attribute says that it is missing.
"""
import argparse
import pathlib
import threading

import torch
import tributary as trib
from torch import nn
from together import Train, batches_of, sgd, together

HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
COLUMNS = 13


def read(folder: str, hospital: str) -> torch.Tensor:
    """[patients, 14]; NaN where a value is missing."""
    lines = pathlib.Path(folder, f"processed.{hospital}.data").read_text().split()
    return torch.tensor([[float("nan") if cell == "?" else float(cell)
                          for cell in line.split(",")] for line in lines])


def make_up(seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(150, COLUMNS + 1, generator=random) * 10 + 50
    rows[:, -1] = (rows[:, 0] + rows[:, 1] - rows[:, 2] > 50).float()
    rows[:, 10 + seed % 3] = float("nan")  # a column that this hospital does not have
    return rows


def summary(rows: torch.Tensor) -> dict[str, torch.Tensor]:
    known = ~rows.isnan()
    values = rows.nan_to_num().double()
    return {"count": known.sum(0).float(), "sum": values.sum(0).float(),
            "square": values.square().sum(0).float()}


def agree(sites: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each column over all hospitals, from exact sums."""
    vectors = {name: [COLUMNS] for name in ("count", "sum", "square")}

    def send(link: str, name: str, rows: torch.Tensor) -> None:
        with trib.join(link, name) as client:
            for task in client:
                task.submit(summary(rows[:, :COLUMNS]), examples=1)

    with trib.serve() as server:
        run = server.create(
            {"name": "columns", "model": {"init": {"zeros": vectors}, "delta_max": 1e8},
             "strategy": {"preset": "sum", "min_clients": len(sites)}})
        threads = [threading.Thread(target=send, args=(run.link, name, rows))
                   for name, rows in sites.items()]
        for thread in threads:
            thread.start()
        run.wait()
        for thread in threads:
            thread.join()
        total = run.model(like="torch")
    mean = total["sum"] / total["count"]
    return mean, (total["square"] / total["count"] - mean.square()).clamp_min(1e-6).sqrt()


def prepare(rows: torch.Tensor, mean: torch.Tensor,
            deviation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    columns = rows[:, :COLUMNS]
    scaled = ((columns - mean) / deviation).nan_to_num(0.0)
    return torch.cat([scaled, columns.isnan().float()], 1), (rows[:, -1] > 0).float()


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(2 * COLUMNS, 1)


def site(features: torch.Tensor, labels: torch.Tensor) -> tuple[nn.Module, Train]:
    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])

    def train(model: nn.Module, task: trib.Task) -> tuple[int, dict[str, float]]:
        batches = batches_of((features, labels), task.batch, task.epochs, task.version)
        return sgd(model, lambda batch: loss(model, batch), batches, task.lr)

    return network(), train


def accuracy(weights: dict[str, torch.Tensor], features: torch.Tensor, labels: torch.Tensor) -> float:
    model = network()
    model.load_state_dict(weights)
    with torch.no_grad():
        return float(((model(features)[:, 0] > 0) == (labels > 0)).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--versions", type=int, default=30)
    options = parser.parse_args()
    rows = {name: read(options.folder, name) if options.folder else make_up(number)
            for number, name in enumerate(HOSPITALS)}
    # Every fifth patient is for the test.
    held = {name: torch.arange(len(table)) % 5 == 4 for name, table in rows.items()}
    mean, deviation = agree({name: table[~held[name]] for name, table in rows.items()})
    sites = {name: site(*prepare(table[~held[name]], mean, deviation))
             for name, table in rows.items()}
    weights, _ = together(
        {"name": "heart", "strategy": {"preset": "fedavg", "quorum": len(sites)},
         "train": {"epochs": 2, "batch": 16, "lr": 0.05}, "stop": {"versions": options.versions}},
        network(), sites)
    features, labels = prepare(torch.cat([table[held[name]] for name, table in rows.items()]), mean,
                               deviation)
    print(f"together: test accuracy {accuracy(weights, features, labels):.3f}")
    for name, table in rows.items():  # what a hospital would have by itself
        model, train = site(*prepare(table[~held[name]], mean, deviation))
        batches = batches_of(prepare(table[~held[name]], mean, deviation), 16, 2 * options.versions)
        sgd(model, lambda batch: nn.functional.binary_cross_entropy_with_logits(
            model(batch[0])[:, 0], batch[1]), batches, 0.05)
        print(f"{name} alone: {accuracy(model.state_dict(), features, labels):.3f} on everybody's "
              "patients")


if __name__ == "__main__":
    main()
