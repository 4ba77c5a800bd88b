#!/usr/bin/env python3
"""fold_numpy.py - a weighted mean of K updates as NumPy does it, one sample of each figure.

Usage: fold_numpy.py UPDATES TENSORS MILLIONS. Prints name, value, unit: GB/s of update data.

  numpy.flower   every update is multiplied array by array, the products are added pairwise, the sum
                 is divided: what Flower's server does with the lists of arrays that clients send
  numpy.blocked  written by hand: blocks of 16384 elements, one accumulator, no temporaries but one
"""
import functools
import sys
import time

import numpy

BODIES_MAX = 10
BLOCK = 16384


def sizes(tensors, total):
    """The unequal tensors of bench_aggregate.c."""
    shares = tensors * (tensors + 1) // 2
    counts = [total // shares * (i + 1) for i in range(tensors)]
    counts[-1] = total - sum(counts[:-1])
    return counts


def flower(updates, weights):
    weighted = [[layer * weight for layer in update] for update, weight in zip(updates, weights)]
    return [functools.reduce(numpy.add, layers) / sum(weights) for layers in zip(*weighted)]


def blocked(updates, weights):
    means = []
    product = numpy.empty(BLOCK, numpy.float64)
    for layers in zip(*updates):
        mean = numpy.empty_like(layers[0])
        for first in range(0, mean.size, BLOCK):
            total = numpy.zeros(min(BLOCK, mean.size - first), numpy.float64)
            for layer, weight in zip(layers, weights):
                numpy.multiply(layer[first:first + BLOCK], weight, out=product[:total.size])
                total += product[:total.size]
            mean[first:first + BLOCK] = total / sum(weights)
        means.append(mean)
    return means


def main(update_count, tensors, millions):
    total = millions * 1000000
    random = numpy.random.default_rng(1)
    bodies = [[random.standard_normal(count, numpy.float32) for count in sizes(tensors, total)]
              for _ in range(BODIES_MAX)]
    updates = [bodies[i % BODIES_MAX] for i in range(update_count)]
    weights = [100 + i for i in range(update_count)]
    for name, function in (("flower", flower), ("blocked", blocked)):
        started = time.perf_counter()
        function(updates, weights)
        seconds = time.perf_counter() - started
        print(f"numpy.{name}\t{4e-9 * total * update_count / seconds:.4g}\tGB/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
