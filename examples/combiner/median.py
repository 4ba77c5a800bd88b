#!/usr/bin/env python3
"""median.py - an external combiner: each parameter changes by the median of what its clients sent.

    trib run create robust.yaml                      with  strategy: {combiner: external}
    export TRIB_TOKEN=$(trib token create robust --scope merge)
    python3 examples/combiner/median.py http://localhost:7700/v1/runs/robust

One client that sends nonsense moves a mean as far as it likes, and a median no further than to its
neighbour. To try a rule of your own, write another combine(). Standard library only.
"""
import json
import math
import os
import statistics
import struct
import sys
import time
import urllib.error
import urllib.request


def combine(updates, weights):
    """updates: [{name: (shape, [floats])}], all of the same names -> one of these. weights: of each."""
    return {name: (shape, [statistics.median(column)
                           for column in zip(*(update[name][1] for update in updates))])
            for name, (shape, _) in updates[0].items()}


def read(body):
    """The tensors of a safetensors file whose values are F32."""
    start = 8 + struct.unpack_from("<Q", body)[0]
    tensors = {}
    for name, entry in json.loads(body[8:start]).items():
        if name != "__metadata__":
            if entry["dtype"] != "F32":
                raise SystemExit(f"{name} is {entry['dtype']}: this example reads F32 only")
            tensors[name] = entry["shape"], struct.unpack_from(
                f"<{math.prod(entry['shape'])}f", body, start + entry["data_offsets"][0])
    return tensors


def write(tensors):
    head, data = {}, b""
    for name, (shape, values) in tensors.items():
        piece = struct.pack(f"<{len(values)}f", *values)
        head[name] = {"dtype": "F32", "shape": shape,
                      "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def ask(url, body=None, **fields):
    """The body of the reply; an HTTPError for a refusal."""
    fields = {"Authorization": "Bearer " + os.environ["TRIB_TOKEN"], **fields}
    method = "GET" if body is None else "PUT"
    request = urllib.request.Request(url, body, fields, method=method)
    with urllib.request.urlopen(request, timeout=90) as reply:
        return reply.read()


def serve(run):
    """Combine one version after another, until the run ends."""
    while True:
        try:
            answer = ask(f"{run}/merge?wait=30")  # b"" when there was nothing for so long
            if not answer:
                continue
            offer = json.loads(answer)
            place = f"{run}/merge/{offer['version']}"
            delta = combine([read(ask(f"{place}/{update['index']}")) for update in offer["updates"]],
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
