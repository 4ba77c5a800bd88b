"""text.py - the next character, learned from roles that keep their lines to themselves.

    text.py [FILE] [--roles 20] [--versions 20] [--every 5] [--seed 1] [--lstm]

FILE is shakespeare_roles.tsv.gz (play, role, number, line); without it lines are made up. The network
is a small transformer, or with --lstm the recurrent one of McMahan et al. 2017, section 3, smaller.
An evaluator that holds the last fifth of every role judges the versions while the roles train.
"""
import argparse
import gzip
from collections.abc import Callable

import torch
import tributary as trib
from torch import nn
from together import Train, batches_of, sgd, together

LENGTH = 48  # characters that are looked at
VOCABULARY = 96  # printable ASCII
LR, LR_LSTM = 0.1, 4.0  # of plain SGD; from 0.3 on the transformer diverges


def encode(text: str) -> torch.Tensor:
    return torch.tensor([min(max(ord(character) - 32, 0), VOCABULARY - 1) for character in text])


def read(file: str, roles: int) -> dict[str, str]:
    """The roles with the most to say: role -> lines."""
    lines: dict[str, list[str]] = {}
    with gzip.open(file, "rt") as rows:
        for row in rows:
            play, role, _, line = row.rstrip("\n").split("\t")
            lines.setdefault(f"{play}.{role}", []).append(line)
    longest = sorted(lines, key=lambda role: -sum(map(len, lines[role])))[:roles]
    return {role: " ".join(lines[role]) for role in longest}


def make_up(roles: int) -> dict[str, str]:
    words = ("to be or not", "that is the question", "whether nobler", "in the mind to suffer")
    return {f"role.{number}": " ".join(words[(number + i * i) % 4] for i in range(80))
            for number in range(roles)}


class Transformer(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.characters = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.zeros(LENGTH, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True,
                                           norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.characters.weight  # tied, and they stay tied
        nn.init.normal_(self.characters.weight, std=0.05)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        mask = torch.full((text.shape[1], text.shape[1]), float("-inf")).triu(1)
        return self.head(self.layers(self.characters(text) + self.places, mask))


class Recurrent(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.characters = nn.Embedding(VOCABULARY, 8)
        self.layers = nn.LSTM(8, width, 2, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(self.characters(text))[0])


def windows(text: str) -> torch.Tensor:
    """[count, LENGTH + 1]"""
    codes = encode(text)
    return codes[:len(codes) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)


def loss_of(model: nn.Module) -> Callable[[tuple[torch.Tensor]], torch.Tensor]:
    def loss(batch: tuple[torch.Tensor]) -> torch.Tensor:
        scores = model(batch[0][:, :-1])
        return nn.functional.cross_entropy(scores.flatten(0, 1), batch[0][:, 1:].flatten())

    return loss


def site(model: nn.Module, rows: torch.Tensor) -> tuple[nn.Module, Train]:
    def train(model: nn.Module, task: trib.Task) -> tuple[int, dict[str, float]]:
        return sgd(model, loss_of(model), batches_of((rows,), task.batch, task.epochs, task.version),
                   task.lr)

    return model, train


def judge(model: nn.Module, rows: torch.Tensor) -> tuple[int, dict[str, float]]:
    """How many characters, and which share of them is foreseen."""
    model.eval()
    with torch.no_grad():
        right = sum(int((model(part[:, :-1]).argmax(-1) == part[:, 1:]).sum())
                    for part in rows.split(256))
    count = rows[:, 1:].numel()
    return count, {"accuracy": right / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--roles", type=int, default=20)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--every", type=int, default=5, help="versions between evaluations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lstm", action="store_true")
    options = parser.parse_args()
    texts = read(options.file, options.roles) if options.file else make_up(options.roles)

    def network() -> nn.Module:
        torch.manual_seed(options.seed)
        return Recurrent() if options.lstm else Transformer()

    split = {role: int(len(text) * 0.8) for role, text in texts.items()}  # the first 80 % train
    sites = {f"role-{number}": site(network(), windows(text[:split[role]]))
             for number, (role, text) in enumerate(texts.items())}
    test = torch.cat([windows(text[split[role]:]) for role, text in texts.items()])
    weights, history = together(
        {"name": "text", "strategy": {"preset": "fedavg", "quorum": len(sites)},
         "train": {"epochs": 1, "batch": 16, "lr": LR_LSTM if options.lstm else LR},
         "evaluate": {"every": options.every, "metric": "accuracy"},
         "stop": {"versions": options.versions}},
        network(), sites, judge=(network(), lambda model, task: judge(model, test)))
    for row in history:
        if "evaluation_accuracy" in row:
            print(f"version {row['version']:3}: next character right {row['evaluation_accuracy']:.3f}")
    model = network()
    model.load_state_dict(weights)
    count, metrics = judge(model, test)
    print(f"{options.versions} versions, training loss {history[1]['train_loss']:.3f} -> "
          f"{history[-1]['train_loss']:.3f}, next character right {metrics['accuracy']:.3f} "
          f"of {count}")


if __name__ == "__main__":
    main()
