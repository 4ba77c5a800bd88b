"""mnist.py - a convolutional network on handwritten digits, two digits at most at each site.

    mnist.py [FOLDER] [--sites 20] [--versions 20]

FOLDER has the four files of MNIST or Fashion-MNIST, plain or .gz; without it digits are made up.
"""
import argparse
import gzip
import pathlib

import torch
import tributary as trib
from torch import nn
from together import Train, batches_of, sgd, together


def read_idx(folder: pathlib.Path, name: str) -> torch.Tensor:
    plain = folder / name
    content = plain.read_bytes() if plain.exists() else gzip.open(f"{plain}.gz").read()
    rank = content[3]
    shape = [int.from_bytes(content[4 + 4 * i:8 + 4 * i], "big") for i in range(rank)]
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * rank).reshape(shape)


def read(folder: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = read_idx(pathlib.Path(folder), f"{part}-images-idx3-ubyte")
    labels = read_idx(pathlib.Path(folder), f"{part}-labels-idx1-ubyte")
    return images.unsqueeze(1).float() / 255, labels.long()


def make_up(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A blot whose place is the label's, in noise."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=random)
    images = torch.rand(count, 1, 28, 28, generator=random) * 0.5
    for image, label in zip(images, labels.tolist()):
        image[0, label * 2 + 3:label * 2 + 7, 8:20] += 0.5
    return images, labels


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 16, 5, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 5, 2),
                         nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))


def site(images: torch.Tensor, labels: torch.Tensor) -> tuple[nn.Module, Train]:
    def train(model: nn.Module, task: trib.Task) -> tuple[int, dict[str, float]]:
        batches = batches_of((images, labels), task.batch, task.epochs, task.version)
        return sgd(model, lambda batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
                   batches, task.lr)

    return network(), train


def accuracy(weights: dict[str, torch.Tensor], images: torch.Tensor, labels: torch.Tensor) -> float:
    model = network().eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--versions", type=int, default=20)
    options = parser.parse_args()
    images, labels = read(options.folder, "train") if options.folder else make_up(2000, 1)
    test = read(options.folder, "t10k") if options.folder else make_up(500, 2)
    # Sorted by label and cut into two pieces per site: McMahan et al. 2017, section 3.
    pieces = list(labels.argsort(stable=True).chunk(2 * options.sites))
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(1)).tolist()
    sites = {}
    for number in range(options.sites):
        rows = torch.cat([pieces[order[2 * number]], pieces[order[2 * number + 1]]])
        sites[f"site-{number}"] = site(images[rows], labels[rows])
    weights, history = together(
        {"name": "mnist", "strategy": {"preset": "fedavg", "quorum": options.sites},
         "train": {"epochs": 1, "batch": 20, "lr": 0.05}, "stop": {"versions": options.versions}},
        network(), sites)
    print(f"{options.versions} versions, training loss {history[-1]['train_loss']:.3f}, "
          f"test accuracy {accuracy(weights, *test):.4f}")


if __name__ == "__main__":
    main()
