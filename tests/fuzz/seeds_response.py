#!/usr/bin/env python3
"""seeds_response.py - the first inputs of corpus/response: what a daemon, or a liar, answers.

The first byte is the size of the pieces. Usage: seeds_response.py
"""
import pathlib

CORPUS = pathlib.Path(__file__).parent / "corpus" / "response"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def document(text, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nETag: \"a\"\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text)


SEEDS = {
    "task": document(b'{"kind":"train","task":"1.0","version":1,"digest":"ab",'
                     b'"settings":{"lr":0.1,"frozen":["a"]},"expected_by_s":2.5,"global_step":1}'),
    "wait": document(b'{"kind":"wait","after_s":2.0,"reason":"round full"}'),
    "join": document(b'{"client":"a","role":"trainer","token":"t","lease_s":30}'),
    "error": document(b'{"code":"shape","message":"\\u00e4","hint":"h"}', b"422 Unprocessable"),
    "chunks": CHUNKED + b"3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "close": OK + b"Connection: close\r\n\r\nuntil the end",
    "bad_length": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "bad_chunk": CHUNKED + b"\x13\r\nabc\r\n",
    "bad_both": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "cut": OK + b"Content-Length: 10\r\n\r\nhalf",
}

CORPUS.mkdir(parents=True, exist_ok=True)
for name, text in SEEDS.items():
    for suffix, first in (("", b"\x02"), ("_head", b"\xff")):
        (CORPUS / (name + suffix)).write_bytes(first + text)
