"""activity.py - what 36 people do, from their phones; what personal layers gain.

    activity.py [FILE] [--versions 40]

FILE is WISDM_ar_v1.1_transformed.arff.gz; without it people are made up.

One network learns what movements look like from everybody. With personal layers its last layer is
each person's own: it never leaves the phone (role `local`), because people who walk alike do not sit
alike. Compared, on each person's held-out windows: everybody alone, one model for all, and personal
last layers.
"""
import argparse
import gzip
from collections.abc import Callable, Mapping

import torch
import tributary as trib
from torch import nn
from together import Train, batches_of, sgd, together

Rows = tuple[torch.Tensor, torch.Tensor]  # features, labels

CLASSES = ("Walking", "Jogging", "Upstairs", "Downstairs", "Sitting", "Standing")
FEATURES = 43


def read(file: str) -> dict[str, Rows]:
    """person -> (features, labels); a missing value is 0, which is the mean once they are scaled."""
    people: dict[str, tuple[list[list[float]], list[int]]] = {}
    with gzip.open(file, "rt") as lines:
        for line in lines:
            cells = [cell.strip('"') for cell in line.strip().split(",")]
            if len(cells) == FEATURES + 3 and cells[-1] in CLASSES:
                features, labels = people.setdefault(cells[1], ([], []))
                features.append([float("nan") if cell == "?" else float(cell)
                                 for cell in cells[2:-1]])
                labels.append(CLASSES.index(cells[-1]))
    return {f"person-{name}": (torch.tensor(features), torch.tensor(labels))
            for name, (features, labels) in people.items()}


def make_up(count: int = 6) -> dict[str, Rows]:
    """People with one idea of each activity, and each with words of their own for them."""
    centres = torch.randn(6, FEATURES, generator=torch.Generator().manual_seed(1))
    people = {}
    for number in range(count):
        random = torch.Generator().manual_seed(number)
        activity = torch.randint(6, (120,), generator=random)
        noise = torch.randn(120, FEATURES, generator=random)
        people[f"person-{number}"] = (centres[activity] + noise, (activity + number) % 6)
    return people


def scale(people: dict[str, Rows]) -> dict[str, Rows]:
    """The units of the sensors are the same everywhere, so fixed ones do: robust ranges of the first
    person's windows. (heart.py shows how to agree on them without showing anything.)"""
    first = next(iter(people.values()))[0]
    middle = first.nanmedian(0).values
    spread = (first - middle).abs().nanmedian(0).values + 1e-3
    return {name: (((features - middle) / spread).clamp(-5, 5).nan_to_num(0.0), labels)
            for name, (features, labels) in people.items()}


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
                         nn.Linear(32, len(CLASSES)))


def loss_of(model: nn.Module) -> Callable[[Rows], torch.Tensor]:
    return lambda batch: nn.functional.cross_entropy(model(batch[0]), batch[1])


def site(features: torch.Tensor, labels: torch.Tensor) -> tuple[nn.Module, Train]:
    def train(model: nn.Module, task: trib.Task) -> tuple[int, dict[str, float]]:
        batches = batches_of((features, labels), task.batch, task.epochs, task.version)
        return sgd(model, loss_of(model), batches, task.lr)

    return network(), train


def accuracy(models: Mapping[str, nn.Module], test: Mapping[str, Rows]) -> float:
    """Over all windows, each judged by its person's model."""
    right = count = 0
    for name, (features, labels) in test.items():
        with torch.no_grad():
            right += int((models[name].eval()(features).argmax(1) == labels).sum())
        count += len(labels)
    return right / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--versions", type=int, default=40)
    options = parser.parse_args()
    people = scale(read(options.file) if options.file else make_up())
    # A person's windows are grouped by activity: every fifth is for the test.
    held = {name: torch.arange(len(labels)) % 5 == 4 for name, (_, labels) in people.items()}
    train = {name: (x[~held[name]], y[~held[name]]) for name, (x, y) in people.items()}
    test = {name: (x[held[name]], y[held[name]]) for name, (x, y) in people.items()}
    spec = {"name": "activity", "strategy": {"preset": "fedavg", "quorum": len(people)},
            "train": {"epochs": 2, "batch": 10, "lr": 0.05},
            "stop": {"versions": options.versions}}

    alone = {name: site(*rows) for name, rows in train.items()}
    for name, (model, _) in alone.items():
        sgd(model, loss_of(model), batches_of(train[name], 10, 2 * options.versions), 0.05)
    print(f"each alone       {accuracy({name: model for name, (model, _) in alone.items()}, test):.3f}")

    weights, _ = together(spec, network(), {name: site(*rows) for name, rows in train.items()})
    one = network()
    one.load_state_dict(weights)
    print(f"one for all      {accuracy(dict.fromkeys(test, one), test):.3f}")

    personal = {"model": {"tensors": [{"match": "4.*", "role": "local"}]}}
    sites = {name: site(*rows) for name, rows in train.items()}
    weights, _ = together({**spec, **personal}, network(), sites)
    for name, (model, _) in sites.items():
        # Their last layer is as they left it; the rest is the run's, and the two are fitted once more.
        model.load_state_dict({**model.state_dict(), **weights})
        for parameter in (*model[0].parameters(), *model[2].parameters()):
            parameter.requires_grad_(False)
        sgd(model, loss_of(model), batches_of(train[name], 10, 2), 0.05)
    print("personal layers  "
          f"{accuracy({name: model for name, (model, _) in sites.items()}, test):.3f}")


if __name__ == "__main__":
    main()
