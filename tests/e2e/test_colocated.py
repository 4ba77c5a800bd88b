"""test_colocated.py - clients on the same machine: a Unix socket, and updates handed over as memory."""
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import SCALE, Daemon, main, safetensors, wait_for

COUNT = 400000  # values: over a megabyte, so that clients hand it over
MODEL = safetensors({"w": ([COUNT], [0.0] * COUNT)})
UPDATE = safetensors({"w": ([COUNT], [0.5] * COUNT)})
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SUBMIT = os.path.join(os.path.dirname(os.environ.get("TRIB", "")), "bench", "bench_submit")


@contextlib.contextmanager
def memory(body, seals=SEALS):
    descriptor = os.memfd_create("update", os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, body)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        yield descriptor
    finally:
        os.close(descriptor)


class Colocated(unittest.TestCase):
    durability = "spool"

    def start(self, *options, **spec):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "socket")
        self.daemon = Daemon("--listen", f"unix:{self.path}", *options)
        self.addCleanup(self.daemon.close)
        self.run_ = self.daemon.create({"name": "r", "durability": self.durability, "lease": "1h",
                                        "strategy": {"preset": "fedbuff", "goal": 2}, **spec}, MODEL)
        self.client = self.run_.join("dev")

    def connect(self):
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.settimeout(30 * SCALE)
        peer.connect(self.path)
        return peer

    def head(self, update, announced, method="PUT", target=None, length=1, expects=True):
        target = target or f"/v1/runs/r/updates/{update}"
        return (f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.client.token}\r\n"
                "Content-Type: application/safetensors\r\nTributary-Base-Version: 0\r\nTributary-Examples: 1\r\n"
                f"Content-Length: {length}\r\nTributary-Handover: {announced}\r\n"
                + ("Expect: 100-continue\r\n" if expects else "") + "\r\n").encode()

    def reply(self, peer):
        received = b""
        while b"\r\n\r\n" not in received:
            piece = peer.recv(1)  # no more than this reply
            self.assertTrue(piece, "the daemon has left")
            received += piece
        head, body = received.split(b"\r\n\r\n", 1)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields.get(b"content-length", 0)):
            body += peer.recv(int(fields[b"content-length"]) - len(body))
        return int(head.split()[1]), json.loads(body) if body else {}

    def hand_over(self, peer, update, descriptors, announced=len(UPDATE)):
        peer.sendall(self.head(update, announced))
        status, body = self.reply(peer)
        if status != 100:
            return status, body
        socket.send_fds(peer, [b"x"], descriptors)
        return self.reply(peer)

    def descriptors(self):
        """Connections and memory that the daemon has open; it may open files meanwhile."""
        folder = f"/proc/{self.daemon.process.pid}/fd"
        kinds = []
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                kinds.append(os.readlink(f"{folder}/{name}"))
        return sum(kind.startswith(("socket:", "/memfd:")) for kind in kinds)

    def maps(self):
        with open(f"/proc/{self.daemon.process.pid}/maps", encoding="ascii") as file:
            return file.read().count("memfd:")

    def assert_counted_once(self, update, version=1):
        fate = wait_for(lambda: (lambda f: f if f["fate"] == "counted" else None)(
            self.run_.get(f"/updates/{update}", token=self.client.token).json()), what="counted")
        self.assertEqual(fate["version"], version)
        ids = [u["update"] for line in self.run_.ledger() if line["record"]["type"] == "version"
               for u in line["record"]["updates"]]
        self.assertEqual(ids.count(update), 1, ids)


class Updates(Colocated):
    def test_memory_is_counted_once_and_like_bytes(self):
        self.start()
        peer = self.connect()
        with memory(UPDATE) as descriptor:
            status, first = self.hand_over(peer, "u1", [descriptor])
            self.assertEqual((status, first["fate"]), (200, "spooled"))
            status, again = self.hand_over(peer, "u1", [descriptor])  # the same id and body
            self.assertEqual((status, again["update"]), (200, "u1"))
        self.assertEqual(self.client.put("u2", UPDATE, base=0, examples=1).status, 200)
        wait_for(lambda: self.run_.version() == 1, what="version 1")
        self.assert_counted_once("u1")
        # Two equal updates: their mean is one of them, whichever way each has come.
        self.assertEqual(self.run_.model().body[-4:], UPDATE[-4:])
        wait_for(lambda: self.maps() == 0, what="memory given back")

    def test_the_same_id_with_another_body_is_a_conflict(self):
        self.start()
        peer = self.connect()
        with memory(UPDATE) as descriptor:
            self.assertEqual(self.hand_over(peer, "u1", [descriptor])[0], 200)
        with memory(MODEL) as descriptor:
            self.assertEqual(self.hand_over(peer, "u1", [descriptor], len(MODEL))[0], 409)

    def test_what_is_acknowledged_survives_a_kill(self):
        self.start()
        with memory(UPDATE) as descriptor:
            self.assertEqual(self.hand_over(self.connect(), "u1", [descriptor])[0], 200)
        self.daemon.restart(signal.SIGKILL)
        self.assertEqual(self.client.put("u2", UPDATE, base=0, examples=1).status, 200)
        wait_for(lambda: self.run_.version() == 1, what="version 1")
        self.assert_counted_once("u1")
        self.assertEqual(self.run_.model().body[-4:], UPDATE[-4:])

    def test_a_kill_in_the_middle_leaves_nothing_and_the_repeat_counts(self):
        self.start()
        peer = self.connect()
        peer.sendall(self.head("u1", len(UPDATE)))
        self.assertEqual(self.reply(peer)[0], 100)
        self.daemon.restart(signal.SIGKILL)
        with memory(UPDATE) as descriptor:
            self.assertEqual(self.hand_over(self.connect(), "u1", [descriptor])[0], 200)
        self.assertEqual(self.client.put("u2", UPDATE, base=0, examples=1).status, 200)
        self.assert_counted_once("u1")

    def test_values_are_checked_like_those_of_bytes(self):
        self.start()
        broken = bytearray(UPDATE)
        broken[-4:] = b"\x00\x00\xc0\x7f"
        for body, code in ((bytes(broken), "nonfinite"), (UPDATE[:-4], "malformed"), (b"x" * 100, "too_large")):
            with self.subTest(code=code), memory(body) as descriptor:
                self.client = self.run_.join(f"dev-{code}")  # after three refusals it would be set aside
                told = self.hand_over(self.connect(), "u1", [descriptor], len(body))
                plain = self.client.put("u2", body, base=0, examples=1)
                self.assertEqual(told[1]["code"], code)
                self.assertEqual((told[0], told[1]["message"]), (plain.status, plain.json()["message"]))
        self.assertEqual(self.run_.status()["version"], 0)

    def test_a_seal_is_missing(self):
        self.start()
        names = {fcntl.F_SEAL_WRITE: "F_SEAL_WRITE", fcntl.F_SEAL_SHRINK: "F_SEAL_SHRINK",
                 fcntl.F_SEAL_GROW: "F_SEAL_GROW"}
        for seal, name in names.items():
            with self.subTest(name=name), memory(UPDATE, SEALS & ~seal) as descriptor:
                status, reply = self.hand_over(self.connect(), "u1", [descriptor])
                self.assertEqual(status, 417)
                self.assertIn(name, reply["message"])

    def test_the_size_is_another_than_announced(self):
        self.start()
        for announced in (len(UPDATE) - 1, len(UPDATE) + 1, 1):
            with self.subTest(announced=announced), memory(UPDATE) as descriptor:
                status, reply = self.hand_over(self.connect(), "u1", [descriptor], announced)
                self.assertEqual(status, 417)
                self.assertIn(str(len(UPDATE)), reply["message"])

    def test_what_is_no_memory_is_refused(self):
        self.start()
        with tempfile.TemporaryFile() as file:
            file.write(UPDATE)
            file.flush()
            status, reply = self.hand_over(self.connect(), "u1", [file.fileno()])
        self.assertEqual(status, 417)
        self.assertIn("memfd", reply["message"])
        reading, writing = os.pipe()
        try:
            self.assertEqual(self.hand_over(self.connect(), "u1", [reading])[0], 417)
        finally:
            os.close(reading)
            os.close(writing)
        peer = self.connect()
        peer.sendall(self.head("u1", len(UPDATE)))
        self.assertEqual(self.reply(peer)[0], 100)
        peer.sendall(b"x")  # nothing with it
        self.assertEqual(self.reply(peer)[0], 417)

    def test_more_than_a_body_may_have_is_refused_at_the_head(self):
        self.start()
        peer = self.connect()
        peer.sendall(self.head("u1", 1 << 40))
        self.assertEqual(self.reply(peer)[0], 413)

    def test_over_the_budget_the_client_is_told_to_send_bytes(self):
        self.start("--memory", "1MiB")
        peer = self.connect()
        peer.sendall(self.head("u1", len(UPDATE)))
        status, reply = self.reply(peer)
        self.assertEqual((status, reply["code"]), (417, "expectation"))
        self.assertIn("send the bytes", reply["message"])

    def test_heads_that_do_not_announce_it_well(self):
        self.start()
        for name, head in {"no expectation": self.head("u1", len(UPDATE), expects=False),
                           "not one byte": self.head("u1", len(UPDATE), length=2),
                           "no number": self.head("u1", "much"),
                           "nothing": self.head("u1", 0),
                           "no update": self.head("", 100, target="/v1/runs/r/clients/dev"),
                           "no model": self.head("", 100, target="/v1/runs/r/versions/0")}.items():
            with self.subTest(name=name):
                peer = self.connect()
                peer.sendall(head)
                self.assertIn(self.reply(peer)[0], (415, 417) if "update" in name else (417, 401, 403, 409))
        reply = self.daemon.request("PUT", "/v1/runs/r/updates/u1", b"x", self.client.token,
                                    {"Content-Type": "application/safetensors", "Tributary-Handover": "100"})
        self.assertEqual(reply.status, 417)  # TCP has no descriptors

    def test_no_descriptor_is_lost_whatever_is_sent(self):
        self.start(strategy={"preset": "fedbuff", "goal": 1})
        before = self.descriptors()
        with memory(UPDATE) as descriptor, memory(UPDATE, 0) as unsealed:
            for i in range(20):
                peer = self.connect()
                self.hand_over(peer, f"u{i}", [unsealed] * 3)
                self.assertEqual(self.hand_over(peer, f"v{i}", [descriptor] * 5)[0], 200)
                early = self.connect()  # before it is asked for: with the head
                socket.send_fds(early, [self.head(f"w{i}", len(UPDATE)) + b"x"], [descriptor])
                self.assertEqual((self.reply(early)[0], self.reply(early)[0]), (100, 417))
                silent = self.connect()
                silent.sendall(self.head(f"x{i}", len(UPDATE)))
                self.reply(silent)
                for one in (peer, early, silent):
                    one.close()
        wait_for(lambda: self.descriptors() <= before, what="descriptors closed")
        wait_for(lambda: self.run_.status()["updates"]["counted"] == 20, what="20 updates counted")
        wait_for(lambda: self.maps() == 0, what="memory given back")


class UpdatesInMemory(Updates):
    """The same without a spool; what survives a kill does not apply."""
    durability = "memory"
    test_what_is_acknowledged_survives_a_kill = None
    test_the_same_id_with_another_body_is_a_conflict = None


class Library(Colocated):
    """The device library does it by itself."""

    def submit(self, count):
        link = f"unix:{self.path}/r"
        return subprocess.Popen([SUBMIT, link, str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @unittest.skipUnless(os.path.exists(SUBMIT), "bench/bench_submit is not built")
    def test_rounds_with_memory(self):
        self.start(strategy={"preset": "fedbuff", "goal": 1})
        process = self.submit(5)
        out, err = process.communicate(timeout=60 * SCALE)
        self.assertEqual(process.returncode, 0, err)
        wait_for(lambda: self.run_.version() == 5, what="version 5")
        self.assertEqual(self.handed(), 5)

    @unittest.skipUnless(os.path.exists(SUBMIT), "bench/bench_submit is not built")
    def test_bytes_when_memory_is_refused(self):
        self.start("--memory", "1MiB", strategy={"preset": "fedbuff", "goal": 1})
        process = self.submit(5)
        out, err = process.communicate(timeout=60 * SCALE)
        self.assertEqual(process.returncode, 0, err)
        wait_for(lambda: self.run_.version() == 5, what="version 5")
        self.assertEqual(self.handed(), 0)

    def handed(self):
        text = self.daemon.request("GET", "/metrics").body.decode()
        return int(float(text.split("\ntributary_updates_handed_total ")[1].split()[0]))


if __name__ == "__main__":
    main()
