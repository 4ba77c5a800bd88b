#!/usr/bin/env python3
"""seeds.py - writes the first inputs of tests/fuzz/corpus: small files, good, or bad in one way.

Inputs that a fuzzer finds are added next to them under the names it gives. Usage: seeds.py
"""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
NAN = struct.pack("<f", float("nan"))


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def body(head, data=b"", pad=0):
    """A safetensors file; head is JSON text or something to be written as JSON."""
    text = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
    text += b" " * pad
    return struct.pack("<Q", len(text)) + text + data


W = tensor("F32", [2], 0, 8)
BIAS = tensor("F32", [3], 0, 12)
WEIGHT = tensor("F32", [3, 2], 12, 36)
MEAN = tensor("F32", [2], 36, 44)
VALUES = struct.pack("<11f", 0.5, -0.25, 3, 1e-3, -1e-3, 0, -0.0, 16, -16, 4, -4)

SAFETENSORS = {
    "good_one": body({"w": W}, bytes(8)),
    "good_empty": body({}),
    "good_metadata": body({"__metadata__": {"format": "pt", "é": "\n"}, "w": W}, bytes(8), pad=7),
    "good_dtypes": body(
        {"a": tensor("I64", [], 0, 8), "b": tensor("F16", [1, 2], 8, 12),
         "c": tensor("BF16", [1], 12, 14), "d": tensor("F64", [1], 14, 22),
         "e": tensor("BOOL", [2], 22, 24), "f": tensor("F8_E4M3", [1], 24, 25),
         "g": tensor("F8_E5M2", [1], 25, 26), "h": tensor("F32", [0, 3], 26, 26)},
        struct.pack("<q2eHd4B", 1 << 56, 1, 6e-8, 0x3F80, 1, 0, 1, 56, 60)),
    "good_escapes": body(b'{"q\\"\\\\\\u00e9":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
                         bytes(8)),
    "bad_nothing": b"",
    "bad_length_short": b"\x02\0\0",
    "bad_length_huge": b"\xff" * 8 + b"{}",
    "bad_head_cut": body({"w": W})[:20],
    "bad_data_cut": body({"w": W}, bytes(7)),
    "bad_data_over": body({"w": W}, bytes(9)),
    "bad_gap": body({"w": tensor("F32", [1], 4, 8)}, bytes(8)),
    "bad_overlap": body({"v": W, "w": tensor("F32", [2], 4, 12)}, bytes(12)),
    "bad_twice": body(b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
                      b'"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "bad_key_twice": body(b'{"w":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}',
                          bytes(8)),
    "bad_key_unknown": body({"w": {**W, "x": 1}}, bytes(8)),
    "bad_product": body({"w": tensor("F32", [2**32, 2**32, 4], 0, 8)}, bytes(8)),
    "bad_number": body({"w": tensor("F32", [2.0], 0, 8)}, bytes(8)),
    "bad_offsets": body({"w": tensor("F32", [2], 8, 0)}, bytes(8)),
    "bad_dtype": body({"w": tensor("F33", [2], 0, 8)}, bytes(8)),
    "bad_name": body({"a\0b": W}, bytes(8)),
    "bad_metadata": body({"__metadata__": {"a": 1}}),
    "bad_json": body(b'{"w":{"dtype":"F32",', bytes(8)),
    "bad_deep": body(b'{"w":' + b"[" * 200),
    "bad_nan": body({"w": W}, NAN * 2),
}

UPDATE = {
    "good_all": body({"__metadata__": {"base_version": "12", "examples": "600", "codec": "dense"},
                      "fc.bias": BIAS, "fc.weight": WEIGHT, "bn.running_mean": MEAN}, VALUES),
    "good_group": body({"bn.running_mean": tensor("F32", [2], 0, 8)}, VALUES[36:]),
    "good_f16": body({"fc.bias": tensor("F16", [3], 0, 6),
                      "fc.weight": tensor("F16", [3, 2], 6, 18)},
                     struct.pack("<9e", 1, -1, 6e-8, 0, -0.0, 16, -16, 0.5, 0.1)),
    "good_bf16": body({"bn.running_mean": tensor("BF16", [2], 0, 4)}, b"\x80\x40\x80\xc0", pad=1),
    "bad_bound": body({"bn.running_mean": tensor("F32", [2], 0, 8)}, struct.pack("<2f", 4.001, 0)),
    "bad_nan": body({"bn.running_mean": tensor("F32", [2], 0, 8)}, NAN * 2),
    "bad_half_group": body({"fc.bias": BIAS}, VALUES[:12]),
    "bad_frozen": body({"frozen": tensor("F32", [], 0, 4)}, VALUES[:4]),
    "bad_unknown": body({"other": tensor("F32", [], 0, 4)}, VALUES[:4]),
    "bad_shape": body({"fc.bias": tensor("F32", [3, 1], 0, 12)}, VALUES[:12]),
    "bad_dtype": body({"fc.bias": tensor("I8", [3], 0, 3)}, bytes(3)),
    "bad_examples": body({"__metadata__": {"examples": "many"},
                          "bn.running_mean": tensor("F32", [2], 0, 8)}, bytes(8)),
    "bad_codec": body({"__metadata__": {"codec": "x" * 40}}),
    "bad_none": body({}),
    "good_int8": body({"__metadata__": {"codec": "int8"}, "fc.bias": tensor("I8", [3], 0, 3),
                       "fc.bias.scale": tensor("F32", [], 3, 7),
                       "fc.weight": tensor("F32", [3, 2], 7, 31)},
                      b"\x01\xff\x80" + VALUES[:4] + VALUES[12:36]),
    "good_int8_blocks": body({"bn.running_mean": tensor("I8", [2], 0, 2),
                              "bn.running_mean.scale": tensor("F32", [2], 2, 10)},
                             b"\x02\xfe" + struct.pack("<2f", 0.5, 2)),
    "bad_int8_blocks": body({"bn.running_mean": tensor("I8", [2], 0, 2),
                             "bn.running_mean.scale": tensor("F32", [3], 2, 14)}, bytes(14)),
    "bad_int8_scale": body({"bn.running_mean": tensor("I8", [2], 0, 2),
                            "bn.running_mean.scale": tensor("F32", [1], 2, 6)}, b"\x02\xfe" + NAN),
    "good_sparse": body({"fc.weight.index": tensor("U32", [2], 0, 8),
                         "fc.weight.value": tensor("F32", [2], 8, 16),
                         "fc.bias": tensor("F32", [3], 16, 28)},
                        struct.pack("<2I5f", 1, 5, 1, -1, 0, 0.5, 16)),
    "good_sparse_none": body({"bn.running_mean.index": tensor("I64", [0], 0, 0),
                              "bn.running_mean.value": tensor("BF16", [0], 0, 0)}),
    "bad_sparse_order": body({"bn.running_mean.index": tensor("I64", [2], 0, 16),
                              "bn.running_mean.value": tensor("F32", [2], 16, 24)},
                             struct.pack("<2q2f", 1, 0, 1, 1)),
    "bad_sparse_outside": body({"bn.running_mean.index": tensor("I32", [1], 0, 4),
                                "bn.running_mean.value": tensor("F16", [1], 4, 6)},
                               struct.pack("<ie", -1, 1)),
}

LINK = {
    "good_trib": b"trib://fl.lab.org:7700/digits#join~digits~~0~0000000000000000~0a1b",
    "good_ipv6": b"trib://[2001:db8::7]:7700/r",
    "good_prefix": b"https://lab.org:8443/a/b/r#t",
    "good_pin": b"https://lab.org/r?pin=sha256:" + b"0123456789abcdef" * 4 + b"#t",
    "good_pin_on_loopback": b"trib://127.0.0.1:7700/r?pin=sha256:" + b"ABCDEF0123456789" * 4,
    "good_unix": b"unix:/run/tributary/socket/r#t",
    "good_proxy": b"http://user:pass%20word@proxy.lab.org:3128/",
    "good_proxy_short": b"proxy.lab.org:3128",
    "good_list": b"lab.org, .other.org:7700,10.0.0.0/8\t[2001:db8::7]:7700 2001:db8::/32,*",
    "bad_pin_on_http": b"http://lab.org/r?pin=sha256:" + b"00" * 32,
    "bad_pin_short": b"https://lab.org/r?pin=sha256:00",
    "bad_query": b"https://lab.org/r?x=1",
    "bad_port": b"trib://lab.org:65536/r",
    "bad_proxy_line": b"http://u:%0d%0aX-Evil:%201@proxy.lab.org:1",
    "bad_proxy_scheme": b"socks5://proxy.lab.org:1080",
    "bad_network": b"10.0.0.0/33,2001:db8::/129,10.0.0.0/,[::1,/8",
}

for target, seeds in {"safetensors": SAFETENSORS, "update": UPDATE, "link": LINK}.items():
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        assert len(content) < 1024, name
        (CORPUS / target / name).write_bytes(content)
