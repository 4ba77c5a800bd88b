"""test_http.py - the wire is strict: loose HTTP, foreign pages and early refusals."""
import contextlib
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

    def test_what_is_refused_is_counted_by_code(self):
        """Also what never becomes a request."""
        def counts():
            lines = self.daemon.request("GET", "/metrics").body.decode().splitlines()
            return {line.split()[0]: int(line.split()[1]) for line in lines if "refus" in line
                    and line[0] != "#"}

        host = b"Host: localhost\r\nConnection: close\r\n"
        cases = {
            b"GET / HTTP/1.1\nHost: localhost\n\n": "requests_refused_total malformed",
            b"GET / HTTP/1.1\r\n\r\n": "requests_refused_total header",
            b"GET / HTTP/2.0\r\n" + host + b"\r\n": "requests_refused_total http_version",
            b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n" * 100 + b"\r\n":
                "requests_refused_total header_too_large",
            b"GET / HTTP/1.1\r\n" + host: "requests_refused_total idle",  # --idle-after 1s
            b"POST /v1/runs/r/pause HTTP/1.1\r\n" + host + b"Authorization: Bearer " +
            self.daemon.admin.encode() + b"\r\nContent-Length: 2000000\r\n\r\n":
                "requests_refused_total too_large",
            b"GET /no/such HTTP/1.1\r\n" + host + b"\r\n": "refusals_total not_found",
            b"PUT /v1/runs HTTP/1.1\r\n" + host + b"\r\n": "refusals_total method",
        }
        for data, metric in cases.items():
            with self.subTest(metric=metric):
                name, code = metric.split()
                key = f'tributary_{name}{{code="{code}"}}'
                before = counts()
                self.daemon.raw(data)
                after = counts()
                self.assertEqual({k for k in after if after[k] != before.get(k)}, {key})
                self.assertEqual(after[key], before.get(key, 0) + 1)

    def test_a_head_without_end_is_cut_off_early(self):
        """100,000 fields, or one without end: refused after a few kilobytes, whatever follows."""
        start = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        for tail in (b"X-%d: a\r\n", b"X-Name: " + b"a" * 1000):
            with self.subTest(tail=tail[:10]), \
                    socket.create_connection((self.daemon.host, self.daemon.port), 10) as peer:
                received = b""
                with contextlib.suppress(ConnectionError):
                    peer.sendall(start)
                    for number in range(100_000):
                        peer.sendall(tail % number if b"%d" in tail else tail)
                with contextlib.suppress(ConnectionError):
                    received = peer.recv(1000)
                self.assertIn(received[:13], (b"HTTP/1.1 431 ", b""))  # "": reset, it went on
        reply = self.daemon.raw(start + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + b"\r\n")
        self.assertTrue(reply.startswith(b"HTTP/1.1 431 "), reply[:80])

    def test_chunked_bombs_are_refused(self):
        """Sizes that overflow, that are no numbers, that never end, or whose sum is too much."""
        head = self.put_head("Connection: close\r\n").replace(
            b"Content-Length: 1000", b"Transfer-Encoding: chunked")
        endless = b"1;" + b"x" * (1 << 17)
        for size in (b"FFFFFFFFFFFFFFFFF", b"-1", b"0x10", b"+5", b"1 0", b"", b"g", endless):
            with self.subTest(size=size[:20]):
                status = self.status_of(head + size + b"\r\n" + b"x" * 100)
                self.assertIn(status, (400, 413, 431, b""))
        flood = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        status = self.status_of(head + 4 * flood)
        self.assertIn(status, (413, b""))
        trailer = head + b"0\r\n" + b"X: a\r\n" * 100_000 + b"\r\n"
        self.assertIn(self.status_of(trailer), (400, 431, b""))
        reply = self.client.put("after", MODEL, base=0, examples=1)
        self.assertEqual(reply.status, 200, reply.body)

    def test_ranges_are_one_or_none(self):
        size = len(self.run_.model(0).body)
        cases = {f"bytes={size}-": 416, "bytes=-0": 416, "bytes=18446744073709551616-": (400, 416),
                 "bytes=0-18446744073709551615": 206, "bytes=-18446744073709551615": 206,
                 "bytes=5-3": (200, 400, 416), "bytes=a-b": (200, 400), "lines=1-2": (200, 400),
                 ",".join(["bytes=0-1"] + ["0-1"] * 1000): (200, 400, 416), "bytes=0-0": 206}
        for field, expected in cases.items():
            with self.subTest(field=field[:40]):
                reply = self.run_.get("/versions/0", headers={"Range": field})
                expected = expected if isinstance(expected, tuple) else (expected,)
                self.assertIn(reply.status, expected)
                self.assertLessEqual(len(reply.body), size)

    def test_no_name_from_outside_is_a_path(self):
        """Whatever is no plain name is refused, in each place of a path where one may stand."""
        tricks = ("..", ".", "%2e%2e", "..%2f..%2fetc", "a%00b", "a%2Fb", "a%5cb", "%c3%bc", "ü",
                  "%e2%80%ae", "a%20b", "a" * 65, "%", "%zz", "-" * 300, "a;b", "~", "%F0%9F%8C%8A")
        for trick in tricks:
            for path in (f"/v1/runs/{trick}", f"/v1/runs/r/clients/{trick}",
                         f"/v1/runs/r/updates/{trick}", f"/v1/runs/r/versions/{trick}"):
                with self.subTest(path=path[:60]):
                    method = "PUT" if "clients" in path or "updates" in path else "GET"
                    status = self.status_of(
                        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                        f"Authorization: Bearer {self.client.token}\r\n"
                        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".encode())
                    self.assertIn(status, (400, 404, 405, 415))
        run = {"name": "ü", "model": {"init": "upload"}}
        self.assertEqual(self.daemon.request("POST", "/v1/runs", run, self.daemon.admin).status, 400)

    def test_fields_that_contradict_each_other_are_refused(self):
        head = self.put_head("Connection: close\r\n")
        for doubled in (b"Tributary-Base-Version: 0\r\n", b"Tributary-Examples: 1\r\n",
                        b"Authorization: Bearer x\r\n", b"Content-Type: application/json\r\n",
                        b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n"):
            with self.subTest(doubled=doubled):
                self.assertIn(self.status_of(head.replace(b"Connection", doubled + b"Connection")),
                              (400, 401))

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
