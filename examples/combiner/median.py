#!/usr/bin/env python3
"""median.py - an external combiner: each parameter changes by the median of what its clients sent.

    trib run create robust.yaml                      with  strategy: {combiner: external}
    export TRIB_TOKEN=$(trib token create robust --scope merge)
    python3 examples/combiner/median.py http://localhost:7700/v1/runs/robust

One client that sends nonsense moves a mean as far as it likes, and a median no further than to its
neighbour. To try a rule of your own, write another combine(). Standard library only; with NumPy the
package's trib.combine() is shorter and faster.
"""
from __future__ import annotations

import json
import math
import os
import statistics
import struct
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

Tensors = dict[str, tuple[list[int], Sequence[float]]]  # name -> shape, values
FORMATS = {"F32": "f", "F16": "e", "BF16": "H", "I8": "b", "I32": "i", "I64": "q", "U32": "I",
           "U64": "Q"}


def combine(updates: list[Tensors], weights: list[int]) -> Tensors:
    """updates: [{name: (shape, [floats])}], all of the same names -> one of these. weights: of each."""
    return {name: (shape, [statistics.median(column)
                           for column in zip(*(update[name][1] for update in updates))])
            for name, (shape, _) in updates[0].items()}


def numbers(body: bytes, start: int, entry: dict[str, Any]) -> Sequence[float]:
    """The values of one tensor of a safetensors file."""
    values = struct.unpack_from(f"<{math.prod(entry['shape'])}{FORMATS[entry['dtype']]}", body,
                                start + entry["data_offsets"][0])
    if entry["dtype"] == "BF16":  # the upper half of an F32
        return struct.unpack(f"<{len(values)}f", b"".join(struct.pack("<HH", 0, v) for v in values))
    return values


def read(body: bytes, shapes: dict[str, list[int]]) -> Tensors:
    """What an update says of the model's tensors, whatever its codec (docs/protocol.md, section 4)."""
    start = 8 + struct.unpack_from("<Q", body)[0]
    parts = {name: numbers(body, start, entry)
             for name, entry in json.loads(body[8:start]).items() if name != "__metadata__"}
    tensors: Tensors = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        if f"{name}.value" in parts:  # sparse: the others are 0
            chosen = dict(zip(map(int, parts[f"{name}.index"]), parts[f"{name}.value"]))
            tensors[name] = shape, [chosen.get(i, 0.0) for i in range(count)]
        elif f"{name}.scale" in parts:  # int8
            scales = parts[f"{name}.scale"]
            block = -(-count // len(scales))
            tensors[name] = shape, [q * scales[i // block] for i, q in enumerate(parts[name])]
        elif name in parts:
            tensors[name] = shape, parts[name]
    return tensors


def read_shapes(model: bytes) -> dict[str, list[int]]:
    end = 8 + struct.unpack_from("<Q", model)[0]
    return {name: entry["shape"] for name, entry in json.loads(model[8:end]).items()}


def write(tensors: Tensors) -> bytes:
    head, data = {}, b""
    for name, (shape, values) in tensors.items():
        piece = struct.pack(f"<{len(values)}f", *values)
        head[name] = {"dtype": "F32", "shape": shape,
                      "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def ask(url: str, body: bytes | None = None, **fields: str) -> bytes:
    """The body of the reply; an HTTPError for a refusal."""
    fields = {"Authorization": "Bearer " + os.environ["TRIB_TOKEN"], **fields}
    method = "GET" if body is None else "PUT"
    request = urllib.request.Request(url, body, fields, method=method)
    with urllib.request.urlopen(request, timeout=90) as reply:
        return bytes(reply.read())


def serve(run: str) -> None:
    """Combine one version after another, until the run ends."""
    shapes = None
    while True:
        try:
            answer = ask(f"{run}/merge?wait=30")  # b"" when there was nothing for so long
            if not answer:
                continue
            offer = json.loads(answer)
            place = f"{run}/merge/{offer['version']}"
            shapes = shapes or read_shapes(ask(f"{run}/versions/{offer['current']['version']}"))
            delta = combine([read(ask(f"{place}/{update['index']}"), shapes)
                             for update in offer["updates"]],
                            [update["weight"] for update in offer["updates"]])
            made = json.loads(ask(place, write(delta), **{
                "Content-Type": "application/safetensors", "Tributary-Offer": offer["offer"]}))
            print(f"version {made['version']} of {len(offer['updates'])} updates", flush=True)
        except urllib.error.HTTPError as error:
            why = json.loads(error.read())
            if why["code"] == "ended":
                print(why["message"])
                return
            if why["code"] not in ("conflict", "not_found", "busy", "closing"):
                raise SystemExit(why["message"]) from error
            time.sleep(1)  # what was offered is not any more, or the daemon is busy


if __name__ == "__main__":
    serve(sys.argv[1].rstrip("/"))
