#!/usr/bin/env python3
"""seeds_store.py - writes the first inputs of corpus/ledger and corpus/spool.

The first byte of an input says whether the target repairs its checksums (journal_input.h). The
layouts are those of docs/state.md. Usage: seeds_store.py
"""
import hashlib
import pathlib
import struct
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"
SALT = bytes(range(0x11, 0x19))


def sealed(head):
    return head + struct.pack("<I", zlib.crc32(head))


def header(magic, about):
    return sealed(magic + struct.pack("<2I", 1, len(about)) + SALT + about)


def record(kind, payload, synced):
    return sealed(SALT + struct.pack("<2IQI", kind, len(payload), synced, zlib.crc32(payload))) + payload


def text(value):
    return struct.pack("<H", len(value)) + value


def ledger(*texts, name=b"r1"):
    digest = hashlib.sha256(b"tributary ledger 1\n" + name).digest()
    data = header(b"TRIBLEDG", name)
    for line in texts:
        digest = hashlib.sha256(digest + line).digest()
        data += record(1, line + digest, len(data))
    return data


def entry(body=b"", number=0, body_bytes=None, client=b"dev-1", update=b"u1", extra=b""):
    numbers = (12, 13, 1, 600, 600, len(body) if body_bytes is None else body_bytes, number)
    fields = struct.pack("<7Qd", *numbers, 1.7e9) + hashlib.sha256(body).digest()
    fields += text(client) + text(update) + text(b"dense") + text(b'{"loss":0.5}') + text(b"") + extra
    return struct.pack("<I", len(fields)) + fields + body


def segment(*entries, kind=1, number=1):
    data = header(b"TRIBSPOL", struct.pack("<2Q", number, 0))
    for payload in entries:
        data += record(kind, payload, len(data))
    return data


GOOD_LEDGER = ledger(b'{"version":0}', b'{"version":1}', b'{"version":2}')
LEDGER = {
    "good_empty": ledger(),
    "good_three": GOOD_LEDGER,
    "bad_nothing": b"",
    "bad_header_cut": GOOD_LEDGER[:20],
    "bad_other_run": ledger(name=b"r2"),
    "bad_rot": GOOD_LEDGER[:100] + b"\x7f" + GOOD_LEDGER[101:],
    "bad_order": GOOD_LEDGER[:30] + GOOD_LEDGER[107:],
    "torn_payload": GOOD_LEDGER[:-1],
    "torn_head": GOOD_LEDGER[:-70],
    "torn_zeros": GOOD_LEDGER + bytes(600),
}
GOOD_SPOOL = segment(entry(b"abc"), entry(b"x" * 40, update=b"u2"))
SPOOL = {
    "good_empty": segment(),
    "good_two": GOOD_SPOOL,
    "good_body_file": segment(entry(number=7, body_bytes=5000)),
    "good_marker": segment(entry(), kind=2),
    "good_extra": segment(entry(b"abc", extra=b"later")),
    "bad_kind": segment(entry(), kind=3),
    "bad_number": segment(entry(), number=2),
    "bad_name": segment(entry(client=b"../../etc")),
    "bad_nul": segment(entry(client=b"a\0b")),
    "bad_body_bytes": segment(entry(b"abc", body_bytes=1 << 63)),
    "bad_body_number": segment(entry(number=(1 << 64) - 1, body_bytes=5)),
    "bad_rot": GOOD_SPOOL[:90] + b"\x7f" + GOOD_SPOOL[91:],
    "torn": GOOD_SPOOL[:-1],
}

for target, seeds in {"ledger": LEDGER, "spool": SPOOL}.items():
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (CORPUS / target / (name + "_raw")).write_bytes(b"\0" + content)
        (CORPUS / target / name).write_bytes(b"\1" + content)
