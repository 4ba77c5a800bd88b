#!/usr/bin/env python3
"""train_numpy.py - steps of SGD per CPU second of the 2NN written in NumPy, one thread.

Usage: train_numpy.py BATCH STEPS. Prints name, value, unit. In place wherever NumPy can.
"""
import os
import sys
import time

# As for PyTorch: Debian's OpenBLAS takes newer CPUs for a Prescott.
os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy  # noqa: E402


def main(batch, steps, rate=numpy.float32(0.01)):
    draw = numpy.random.default_rng(1)
    widths = (784, 200, 200, 10)
    weights = [draw.normal(0, 0.05, (a, b)).astype(numpy.float32)
               for a, b in zip(widths, widths[1:])]
    biases = [numpy.zeros(b, numpy.float32) for b in widths[1:]]
    inputs = draw.random((20, batch, 784), numpy.float32)
    labels = draw.integers(10, size=(20, batch))
    rows = numpy.arange(batch)

    def step(i):
        values = [inputs[i % 20]]
        for weight, bias in zip(weights[:-1], biases[:-1]):
            outputs = values[-1] @ weight
            outputs += bias
            values.append(numpy.maximum(outputs, 0, out=outputs))
        errors = values[-1] @ weights[-1] + biases[-1]
        errors -= errors.max(axis=1, keepdims=True)
        numpy.exp(errors, out=errors)
        errors /= errors.sum(axis=1, keepdims=True)
        errors[rows, labels[i % 20]] -= 1
        errors *= rate / batch
        for layer in (2, 1, 0):
            below = errors @ weights[layer].T if layer else None
            weights[layer] -= values[layer].T @ errors
            biases[layer] -= errors.sum(axis=0)
            if layer:
                errors = below * (values[layer] > 0)

    for i in range(3):
        step(i)
    began = time.process_time()
    for i in range(steps):
        step(i)
    print("numpy", steps / (time.process_time() - began), "steps/s", sep="\t")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
