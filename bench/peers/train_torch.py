#!/usr/bin/env python3
"""train_torch.py - steps of SGD per CPU second of PyTorch, one thread, on the models of src/train.

Usage: train_torch.py MODEL BATCH STEPS; MODEL is mlp, cnn or lstm. Prints name, value, unit.
"""
import os
import sys
import time

# Debian's OpenBLAS takes newer CPUs for a Prescott; with the right kernels PyTorch is four times as fast.
os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
from torch import nn  # noqa: E402

SYMBOLS, STEPS_IN_ROW = 258, 80


class Text(nn.Module):
    """Without the peepholes that the paper's LSTM has: PyTorch's has none."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, 8)
        self.lstm = nn.LSTM(8, 256, num_layers=2, batch_first=True)
        self.fc = nn.Linear(256, SYMBOLS)

    def forward(self, symbols):
        return self.fc(self.lstm(self.embedding(symbols))[0]).flatten(0, 1)


def model_of(name):
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(),
                             nn.Linear(200, 10))
    if name == "cnn":
        return nn.Sequential(nn.Unflatten(1, (1, 28, 28)),
                             nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10))
    return Text()


def main(name, batch, steps):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = model_of(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()
    if name == "lstm":
        inputs = torch.randint(SYMBOLS, (20, batch, STEPS_IN_ROW))
        labels = torch.randint(SYMBOLS, (20, batch * STEPS_IN_ROW))
    else:
        inputs = torch.rand(20, batch, 784)
        labels = torch.randint(10, (20, batch))

    def step(i):
        optimizer.zero_grad()
        loss_of(model(inputs[i % 20]), labels[i % 20]).backward()
        optimizer.step()

    for i in range(3):
        step(i)
    began = time.process_time()
    for i in range(steps):
        step(i)
    print("torch", steps / (time.process_time() - began), "steps/s", sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
