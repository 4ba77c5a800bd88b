#!/usr/bin/env python3
"""soak_large.py - two versions of a model with seven billion parameters, by ranges, in 4 GiB.

The model has the shape of a language model of that size and begins with zeros, which take no place on
disk; updates are sparse and touch some elements at the ends and in the middle of every tensor. What is
looked at: memory stays within the budget, the touched elements have the mean, others are zero, and the file on
disk is the size of a model and nearly empty. Fewer layers make a smaller model, for a look at this program.
Usage: soak_large.py [SECONDS that it may take; 1800 [LAYERS; 32]]
"""
import json
import os
import struct
import sys
import time

import harness

GIB = 1 << 30
WIDTH, HIDDEN, WORDS = 4096, 11008, 32000
LAYERS = int(sys.argv[2]) if len(sys.argv) > 2 else 32
SHAPES = {"embed": [WORDS, WIDTH], "head": [WORDS, WIDTH],
          **{f"layer-{i}.attention": [4 * WIDTH, WIDTH] for i in range(LAYERS)},
          **{f"layer-{i}.mlp": [3 * HIDDEN, WIDTH] for i in range(LAYERS)}}


def sparse_update(value):
    """Three elements of every tensor become larger by `value`."""
    tensors = {}
    for name, (rows, columns) in SHAPES.items():
        last = rows * columns - 1
        tensors[name + ".index"] = ([3], [0, last // 2, last], "I64")
        tensors[name + ".value"] = ([3], [value] * 3)
    return harness.safetensors(tensors)


def status_bytes(daemon, what):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
        return int(file.read().split(what + ":")[1].split()[0]) * 1024


def element(run, head_bytes, entry, index):
    """One number of the newest version, by Range."""
    first = head_bytes + entry["data_offsets"][0] + 4 * index
    reply = run.get(f"/versions/{run.version()}", headers={"Range": f"bytes={first}-{first + 3}"})
    assert reply.status == 206, reply.status
    return struct.unpack("<f", reply.body)[0]


def check_numbers(run, expected):
    (size,) = struct.unpack("<Q", run.get(f"/versions/{run.version()}", headers={"Range": "bytes=0-7"}).body)
    head = json.loads(run.get(f"/versions/{run.version()}", headers={"Range": f"bytes=8-{7 + size}"}).body)
    for name, (rows, columns) in SHAPES.items():
        last = rows * columns - 1
        for index, value in ((0, expected), (last // 2, expected), (last, expected), (1, 0.0), (last - 1, 0.0)):
            found = element(run, 8 + size, head[name], index)
            assert abs(found - value) < 1e-6, (name, index, found, value)


def main():
    patience = float(sys.argv[1]) if len(sys.argv) > 1 else 1800
    started = time.monotonic()
    daemon = harness.Daemon("--model-memory", "4GiB")
    try:
        idle = status_bytes(daemon, "VmRSS")
        reply = daemon.request("POST", "/v1/runs", {
            "name": "seven", "model": {"init": {"zeros": SHAPES}}, "keep": {"versions": {"last": 1}},
            "strategy": {"preset": "fedavg", "quorum": 2, "deadline": "1h", "first_deadline": "1h"}},
            daemon.admin, timeout=patience)
        assert reply.status == 201, reply.body
        run = harness.Run(daemon, "seven")
        model = run.status()["model"]
        assert model["held"] == "by ranges", model
        print(f"version 0: {time.monotonic() - started:.0f} s", flush=True)
        clients = [run.join(f"c{i}") for i in range(2)]
        for version in range(2):
            began = time.monotonic()
            # Both have to be heard of after so long a time, before either is asked.
            harness.wait_for(lambda: all([client.task(1)["kind"] == "train" for client in clients]), 60, "tasks")
            for client, value in zip(clients, (0.5, 1.5)):
                assert client.train_task()["version"] == version
                reply = client.put(f"u{version}", sparse_update(value), base=version, examples=1,
                                   headers={"Tributary-Codec": "sparse"})
                assert reply.status == 200, reply.body
            harness.wait_for(lambda: run.version() == version + 1, patience, "version")
            print(f"version {version + 1}: {time.monotonic() - began:.0f} s", flush=True)
            check_numbers(run, 1.0 + version)
        path = os.path.join(daemon.data, "runs/seven/versions/2.safetensors")
        file = os.stat(path)
        peak = status_bytes(daemon, "VmHWM")
        print(f"{model['parameters']:,} parameters, {file.st_size / GIB:.1f} GiB, {file.st_blocks * 512 >> 20} MiB on disk; "
              f"memory {idle >> 20} MiB idle, at most {peak >> 20} MiB; {time.monotonic() - started:.0f} s in all")
        assert file.st_size == model["bytes"] and peak < 4 * GIB and peak < file.st_size / 4
        assert time.monotonic() - started < patience, "too slow"
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
