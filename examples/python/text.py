"""text.py - the next character, learned from roles that keep their lines to themselves.

    text.py [FILE] [--roles 20] [--versions 20] [--lstm]

FILE is shakespeare_roles.tsv.gz (play, role, number, line); without it lines are made up. The network
is a small transformer, or with --lstm the recurrent one of McMahan et al. 2017, section 3, smaller.
"""
import argparse
import gzip

import torch
from torch import nn
from together import batches_of, sgd, together

LENGTH = 48  # characters that are looked at
VOCABULARY = 96  # printable ASCII


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


def loss_of(model: nn.Module):
    def loss(batch):
        scores = model(batch[0][:, :-1])
        return nn.functional.cross_entropy(scores.flatten(0, 1), batch[0][:, 1:].flatten())

    return loss


def site(model: nn.Module, rows: torch.Tensor):
    def train(model, task):
        return sgd(model, loss_of(model), batches_of((rows,), task.batch, task.epochs, task.version),
                   task.lr)

    return model, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--roles", type=int, default=20)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--lstm", action="store_true")
    options = parser.parse_args()
    texts = read(options.file, options.roles) if options.file else make_up(options.roles)

    def network() -> nn.Module:
        torch.manual_seed(1)
        return Recurrent() if options.lstm else Transformer()

    split = {role: int(len(text) * 0.8) for role, text in texts.items()}  # the first 80 % train
    sites = {f"role-{number}": site(network(), windows(text[:split[role]]))
             for number, (role, text) in enumerate(texts.items())}
    test = torch.cat([windows(text[split[role]:]) for role, text in texts.items()])
    model = network()
    weights, history = together(
        {"name": "text", "strategy": {"preset": "fedavg", "quorum": len(sites)},
         "train": {"epochs": 1, "batch": 16, "lr": 1.0 if options.lstm else 0.03},
         "stop": {"versions": options.versions}}, model, sites)
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        scores = model(test[:, :-1])
        right = float((scores.argmax(-1) == test[:, 1:]).float().mean())
    print(f"{options.versions} versions, training loss {history[1]['train_loss']:.3f} -> "
          f"{history[-1]['train_loss']:.3f}, next character right {right:.3f}")


if __name__ == "__main__":
    main()
