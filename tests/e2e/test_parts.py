"""test_parts.py - updates in parts: any order, several connections, on from where one broke off; and what
is refused of it, with its reason."""
import contextlib
import os
import random
import socket
import struct
import subprocess
import threading
import unittest

from harness import SCALE, TRIB, Daemon, main, safetensors, wait_for

SUBMIT = os.path.join(os.path.dirname(os.path.abspath(TRIB)), "bench", "bench_submit")

COUNT = 300_000
TYPE = "application/safetensors"


def body_of(value):
    return safetensors({"w": ([COUNT], [value] * COUNT)})


class Cutter:
    """A way to the daemon on which every connection breaks after so many bytes from the client."""

    def __init__(self, daemon, bytes_max):
        self.target = (daemon.host, daemon.port)
        self.bytes_max = bytes_max
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                daemon = socket.create_connection(self.target)
                threading.Thread(target=self.pump, args=(client, daemon, self.bytes_max), daemon=True).start()
                threading.Thread(target=self.pump, args=(daemon, client, None), daemon=True).start()

    def pump(self, source, sink, left):
        with contextlib.suppress(OSError):
            while left != 0 and (piece := source.recv(65536 if left is None else min(65536, left))):
                sink.sendall(piece)
                left = left and left - len(piece)
        self.cuts += left == 0
        for peer in (source, sink):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)  # wakes the other direction's thread
            peer.close()  # else a peer that still sends would wait for room


class Parts(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.run_ = self.daemon.create({"name": "r", "strategy": {"quorum": 1}}, body_of(0.0))
        self.client = self.run_.join("a")
        self.body = body_of(0.5)

    def part(self, first, end, update="u", total=None, client=None, body=None, **fields):
        piece = self.body[first:end] if body is None else body
        headers = {"Content-Range": f"bytes {first}-{end - 1}/{total or len(self.body)}", **fields}
        return (client or self.client).put(update, piece, base=0, examples=1, headers=headers)

    def held(self, update="u", client=None):
        return (client or self.client).fate(update).json()["held"]

    def bodies(self):
        folder = os.path.join(self.daemon.data, "runs", "r", "spool")
        return [name for name in os.listdir(folder) if name.endswith(".body")]

    def test_parts_in_any_order_make_one_update(self):
        generator = random.Random(7)
        cuts = sorted({0, len(self.body), *generator.sample(range(1, len(self.body)), 20)})
        pieces = list(zip(cuts, cuts[1:]))
        generator.shuffle(pieces)
        for first, end in pieces[:-1]:
            reply = self.part(first, end)
            self.assertEqual((reply.status, reply.json()["fate"]), (202, "receiving"))
            self.assertEqual(reply.json()["bytes"], len(self.body))
            self.assertEqual(reply.json()["held"], self.held())
            start = reply.json()["held"][0]
            self.assertEqual(reply.json()["next"], start[1] + 1 if start[0] == 0 else 0)
        reply = self.part(*pieces[-1])
        self.assertEqual((reply.status, reply.json()["fate"]), (200, "spooled"), reply.body)
        wait_for(lambda: self.run_.version() == 1, what="version 1")
        self.assertEqual(self.client.fate("u").json()["fate"], "counted")
        values = struct.unpack(f"<{COUNT}f", self.run_.model().body[-4 * COUNT:])
        self.assertEqual(set(values), {0.5})
        # As a whole it is the same update; a part of it says nothing any more.
        self.assertEqual(self.client.put("u", self.body, base=0, examples=1).status, 200)
        reply = self.part(0, 100)
        self.assertEqual((reply.status, reply.json()["code"]), (409, "conflict"))

    def test_several_connections_at_once(self):
        size = len(self.body) // 4 + 1
        pieces = [(at, min(at + size, len(self.body))) for at in range(0, len(self.body), size)]
        replies = []
        threads = [threading.Thread(target=lambda piece=piece: replies.append(self.part(*piece).status))
                   for piece in pieces]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Whichever is the last to end is answered for the whole.
        self.assertEqual(sorted(replies), [200, 202, 202, 202])

    def test_what_had_come_of_a_broken_part_is_held(self):
        head = (f"PUT /v1/runs/r/updates/u HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\n"
                f"Authorization: Bearer {self.client.token}\r\nTributary-Base-Version: 0\r\n"
                f"Tributary-Examples: 1\r\nContent-Length: {len(self.body)}\r\n"
                f"Content-Range: bytes 0-{len(self.body) - 1}/{len(self.body)}\r\n\r\n").encode()
        with socket.create_connection((self.daemon.host, self.daemon.port)) as peer:
            peer.settimeout(20 * SCALE)
            peer.sendall(head + self.body[:700_000])
            wait_for(lambda: self.client.fate("u").status == 200, what="its beginning")
            wait_for(lambda: self.daemon.request("GET", "/metrics").body.count(
                b"tributary_chunks_lent 1\n"), what="all but the last chunk in the file")
        wait_for(self.held, what="what had come")
        [[first, last]] = self.held()
        self.assertEqual(first, 0)
        self.assertGreaterEqual(last + 1, 2 * (256 << 10))
        reply = self.part(last + 1, len(self.body))
        self.assertEqual((reply.status, reply.json()["fate"]), (200, "spooled"))
        wait_for(lambda: self.run_.version() == 1, what="version 1")

    def test_a_client_gets_through_where_no_connection_lives_long_enough(self):
        if not os.path.exists(SUBMIT):
            self.skipTest("bench/bench_submit is not built")
        self.daemon.create({"name": "far", "strategy": {"preset": "fedbuff", "goal": 1}},
                           safetensors({"w": ([3_000_000], [0.0] * 3_000_000)}))
        cutter = Cutter(self.daemon, 5 << 20)  # of 12 MB
        self.addCleanup(cutter.listener.close)
        done = subprocess.run([SUBMIT, f"{cutter.url}/far", "3"], stdout=subprocess.PIPE,
                              timeout=120 * SCALE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertGreaterEqual(cutter.cuts, 3)
        wait_for(lambda: self.daemon.request("GET", "/v1/runs/far").json()["version"] == 3,
                 what="version 3")

    def test_bytes_that_are_held_are_not_taken_again(self):
        self.assertEqual(self.part(1000, 2000).status, 202)
        for first, end in ((1000, 2000), (0, 1001), (1999, 3000), (0, len(self.body)), (1500, 1501)):
            reply = self.part(first, end)
            self.assertEqual((reply.status, reply.json()["code"]), (409, "conflict"))
            self.assertEqual(reply.json()["held"], [[1000, 1999]])
        self.assertEqual(self.part(0, 1000).json()["held"], [[0, 1999]])

    def test_hostile_parts_are_refused_with_their_reason(self):
        size = len(self.body)
        for text in ("", "bytes", "bytes 0-9", "bytes 0-9/*", "bytes 9-0/100", f"bytes 0-{size}/{size}",
                     "bytes */100", "bytes 0-9/100, 20-29/100", "bytes 0-99999999999999999999/5"):
            reply = self.client.put("u", self.body[:10], base=0, examples=1,
                                    headers={"Content-Range": text})
            self.assertEqual((reply.status, reply.json()["code"]), (400, "header"), text)
        reply = self.part(0, 100, body=self.body[:99])
        self.assertEqual((reply.status, reply.json()["code"]), (400, "header"))
        reply = self.part(0, 100, total=1 << 50)
        self.assertEqual((reply.status, reply.json()["code"]), (413, "too_large"))
        self.assertEqual(self.client.fate("u").status, 404)
        self.assertEqual(self.part(0, 100).status, 202)
        reply = self.part(100, 200, total=size + 1)
        self.assertEqual((reply.status, reply.json()["code"]), (409, "conflict"))
        # A model comes whole: half of it must not be taken for all.
        reply = self.daemon.request("PUT", "/v1/runs/r/versions/0", self.body[:100], self.daemon.admin,
                                    {"Content-Type": TYPE, "Content-Range": f"bytes 0-99/{size}"})
        self.assertEqual((reply.status, reply.json()["code"]), (400, "header"))

    def test_a_part_shorter_than_it_says_leaves_what_came(self):
        head = (f"PUT /v1/runs/r/updates/u HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\n"
                f"Authorization: Bearer {self.client.token}\r\nTributary-Base-Version: 0\r\n"
                "Tributary-Examples: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
                f"Content-Range: bytes 0-199/{len(self.body)}\r\n\r\n96\r\n").encode()
        reply = self.daemon.raw(head + self.body[:150] + b"\r\n0\r\n\r\n")
        self.assertTrue(reply.startswith(b"HTTP/1.1 400 "), reply)
        self.assertIn(b'"code":"header"', reply)
        self.assertIn(b"50 bytes fewer", reply)
        self.assertEqual(self.held(), [[0, 127]])

    def test_too_many_gaps_are_refused(self):
        for index in range(64):
            self.assertEqual(self.part(10 * index, 10 * index + 1).status, 202)
        reply = self.part(1000, 1001)
        self.assertEqual((reply.status, reply.json()["code"]), (409, "conflict"))
        self.assertEqual(len(reply.json()["held"]), 64)

    def test_another_update_in_parts_drops_the_first(self):
        other = self.run_.join("b")
        self.assertEqual(self.part(0, 100).status, 202)
        self.assertEqual(self.part(0, 50, client=other).status, 202)
        self.assertEqual(self.part(0, 10, update="v").status, 202)
        self.assertEqual(self.client.fate("u").status, 404)
        self.assertEqual(self.held("v"), [[0, 9]])
        self.assertEqual(self.held("u", other), [[0, 49]])
        self.assertEqual(len(self.bodies()), 2)

    def test_a_body_that_is_wrong_is_refused_as_a_whole(self):
        self.body = body_of(float("nan"))
        self.assertEqual(self.part(0, 1000).status, 202)
        reply = self.part(1000, len(self.body))
        self.assertEqual((reply.status, reply.json()["code"]), (422, "nonfinite"))
        self.assertEqual(self.client.fate("u").status, 404)
        wait_for(lambda: self.bodies() == [], what="nothing of it left")

    def test_a_restart_forgets_parts_and_their_file(self):
        self.assertEqual(self.part(0, 1000).status, 202)
        self.assertEqual(len(self.bodies()), 1)
        self.daemon.restart()
        self.assertEqual(self.client.fate("u").status, 404)
        self.assertEqual(self.bodies(), [])
        self.assertEqual(self.client.put("u", self.body, base=0, examples=1).status, 200)

    def test_parts_are_within_the_quota_of_the_disk(self):
        run = self.daemon.create({"name": "q", "strategy": {"quorum": 1},
                                  "keep": {"disk": "2MiB"}}, body_of(0.0))
        one, two = run.join("a"), run.join("b")
        self.assertEqual(self.part(0, 10, client=one).status, 202)
        reply = self.part(0, 10, client=two)
        self.assertEqual((reply.status, reply.json()["code"]), (507, "quota"), reply.body)


if __name__ == "__main__":
    main()
