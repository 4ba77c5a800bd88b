"""test_http.py - the wire is strict: loose HTTP, foreign pages and early refusals."""
import socket
import struct
import time
import unittest

from harness import SCALE, Daemon, main, safetensors, wait_for

MODEL = safetensors({"w": ([4], [0, 0, 0, 0])})


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--idle-after", "1s")
        cls.addClassCleanup(cls.daemon.close)
        cls.run_ = cls.daemon.create({"name": "r", "strategy": {"quorum": 9}}, MODEL)
        cls.client = cls.run_.join("dev")

    def status_of(self, data):
        reply = self.daemon.raw(data)
        return int(reply.split()[1]) if reply.startswith(b"HTTP/1.1 ") else reply

    def test_loose_http_is_refused(self):
        host = b"Host: localhost\r\n"
        cases = {
            b"GET / HTTP/1.1\nHost: localhost\n\n": 400,
            b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\n" + host + host + b"\r\n": 400,
            b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx": 400,
            b"POST /v1/runs HTTP/1.1\r\n" + host +
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
            b"POST /v1/runs HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n": 400,
            b"GET / HTTP/2.0\r\n" + host + b"\r\n": 505,
            b"BREW / HTTP/1.1\r\n" + host + b"\r\n": 501,
            b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 20000 + b"\r\n\r\n": 431,
            b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n" * 100 + b"\r\n": 431,
            b"GET /v1/runs/../../etc HTTP/1.1\r\n" + host + b"\r\n": (400, 404),
            b"GET /v1/runs/%2e%2e%2f HTTP/1.1\r\n" + host + b"\r\n": 400,
            b"GET /v1/runs/r?x=1 HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n": 400,
        }
        for data, expected in cases.items():
            with self.subTest(data=data[:60]):
                expected = expected if isinstance(expected, tuple) else (expected,)
                if b"Connection" not in data:
                    data = data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
                self.assertIn(self.status_of(data), expected)

    def test_foreign_hosts_and_pages_are_refused(self):
        for field, code in (("Host: evil.example", "host"),
                            ("Host: localhost\r\nOrigin: http://evil.example", "origin")):
            reply = self.daemon.raw(f"GET /v1/runs HTTP/1.1\r\n{field}\r\n"
                                    "Connection: close\r\n\r\n".encode())
            self.assertIn(b" 403 ", reply.splitlines()[0])
            self.assertIn(f'"code":"{code}"'.encode(), reply)
            self.assertNotIn(b"Access-Control", reply)

    def put_head(self, extra, length=1000, version=0):
        return (f"PUT {self.run_.path}/updates/u HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {self.client.token}\r\n"
                f"Content-Type: application/safetensors\r\nTributary-Base-Version: {version}\r\n"
                f"Tributary-Examples: 1\r\nContent-Length: {length}\r\n{extra}\r\n").encode()

    def test_expect_is_answered_at_once(self):
        with socket.create_connection((self.daemon.host, self.daemon.port), 10) as peer:
            peer.sendall(self.put_head("Expect: 100-continue\r\n"))
            self.assertTrue(peer.recv(100).startswith(b"HTTP/1.1 100 "))
        refused = self.daemon.raw(self.put_head("Expect: 100-continue\r\n", version=7))
        self.assertTrue(refused.startswith(b"HTTP/1.1 409 "), refused[:80])

    def test_an_early_refusal_is_seen_by_a_client_that_keeps_sending(self):
        body = b"x" * (900 << 10)
        reply = self.daemon.raw(self.put_head("", length=len(body), version=7) + body)
        self.assertTrue(reply.startswith(b"HTTP/1.1 409 "), reply[:80])

    def test_no_length_is_411_and_too_much_is_413(self):
        head = self.put_head("Connection: close\r\n").replace(b"Content-Length: 1000\r\n", b"")
        self.assertEqual(self.status_of(head), 411)
        self.assertEqual(self.status_of(self.put_head("Expect: 100-continue\r\n",
                                                      length=1 << 40)), 413)

    def test_silence_in_a_head_or_a_body_ends_the_connection(self):
        for data in (b"GET / HTTP/1.1\r\nHost: loc", self.put_head("") + b"x" * 10):
            with self.subTest(data=data[:20]):
                start = time.monotonic()
                self.daemon.raw(data, timeout=15)
                self.assertLess(time.monotonic() - start, 10 * SCALE)

    def test_a_slow_upload_that_moves_is_never_cut_off(self):
        values = 4000
        run = self.daemon.create({"name": "slow", "strategy": {"quorum": 9}},
                                 safetensors({"w": ([values], [0.0] * values)}))
        client = run.join("dev")
        body = safetensors({"w": ([values], [1.0] * values)})
        head = (f"PUT {run.path}/updates/u HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {client.token}\r\nConnection: close\r\n"
                "Content-Type: application/safetensors\r\nTributary-Base-Version: 0\r\n"
                f"Tributary-Examples: 1\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        with socket.create_connection((self.daemon.host, self.daemon.port), 30) as peer:
            peer.sendall(head)
            for at in range(0, len(body), 1600):  # 3 s in all, three times the idle time
                peer.sendall(body[at:at + 1600])
                time.sleep(0.3)
            self.assertTrue(peer.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_pool_and_budget_are_given_back(self):
        for _ in range(20):
            with socket.create_connection((self.daemon.host, self.daemon.port), 10) as peer:
                peer.sendall(self.put_head("", length=1000) + b"x" * 500)

        def is_quiet():
            text = self.daemon.request("GET", "/metrics").body.decode()
            values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
            return values["tributary_body_bytes"] == "0" and values["tributary_chunks_lent"] == "0"

        wait_for(is_quiet, what="budget back at zero")

    def test_health_console_and_metrics(self):
        self.assertEqual(self.daemon.request("GET", "/healthz").status, 200)
        self.assertEqual(self.daemon.request("GET", "/readyz").status, 200)
        page = self.daemon.request("GET", "/")
        self.assertIn("default-src 'none'", page.headers["Content-Security-Policy"])
        self.assertIn(b"Waiting for:", page.body)
        metrics = self.daemon.request("GET", "/metrics").body
        self.assertIn(b'tributary_run_version{run="r"} 0', metrics)

    def test_large_updates_stream_through_chunks(self):
        count = 1_000_000  # 4 MB: beyond what is kept in memory
        run = self.daemon.create({"name": "large", "strategy": {"quorum": 1}},
                                 safetensors({"w": ([count], [0.0] * count)}))
        client = run.join("dev")
        reply = client.put("u", safetensors({"w": ([count], [0.5] * count)}), base=0, examples=3)
        self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(run.model().body[-8:], struct.pack("<2f", 0.5, 0.5))


if __name__ == "__main__":
    main()
