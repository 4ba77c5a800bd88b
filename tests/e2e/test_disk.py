"""test_disk.py - a disk that is full, too small or read-only: refused with a reason, nothing
acknowledged is lost, and the run goes on by itself when the disk is well again."""
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from harness import Daemon, main, safetensors, wait_for

FLOATS = 1 << 16  # 256 KiB a model, 256 KiB an update
BODY = safetensors({"w": ([FLOATS], [0.0] * FLOATS)})


def run_quietly(*words):
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def can_be_made_immutable(folder):
    """Some file systems have the attribute and let open files be written all the same."""
    if shutil.which("chattr") is None:
        return False
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            return run_quietly("chattr", "+i", file.name) and not file.file.raw.write(b"x")
        except OSError:
            return True
        finally:
            run_quietly("chattr", "-i", file.name)


class SmallDisk(Daemon):
    """A daemon whose data lies on a disk of its own, in memory; close() takes it away."""

    def __init__(self, size):
        self.mount = tempfile.mkdtemp(prefix="trib-disk-")
        if os.geteuid() != 0 or not run_quietly("mount", "-t", "tmpfs", "-o", f"size={size}",
                                                "tmpfs", self.mount):
            os.rmdir(self.mount)
            raise unittest.SkipTest("mounting is not allowed here")
        super().__init__()

    def start(self):
        self.data = os.path.join(self.mount, "data")
        super().start()

    def close(self):
        try:
            super().close()
        finally:
            run_quietly("umount", self.mount)
            os.rmdir(self.mount)

    def free_bytes(self):
        state = os.statvfs(self.mount)
        return state.f_bavail * state.f_frsize

    def is_still(self):
        """Nothing is being written or removed."""
        before = self.free_bytes()
        time.sleep(0.3)
        return self.free_bytes() == before

    def fill(self, leave=0):
        """Take what is free, but for `leave` bytes."""
        with open(os.path.join(self.mount, "filler"), "ab") as filler:
            filler.write(bytes(max(0, self.free_bytes() - leave)))

    def clear(self):
        os.unlink(os.path.join(self.mount, "filler"))


class Disk(unittest.TestCase):
    def create(self, daemon, **more):
        run = daemon.create({"name": "r", "strategy": {"quorum": 2}, **more}, BODY)
        return run, [run.join(f"dev-{i}") for i in range(2)]

    def push(self, client, update, base, acknowledged):
        reply = client.put(update, BODY, base=base, examples=1)
        if reply.status == 200:
            acknowledged.append((client, update))
        return reply

    def assert_version(self, run, clients, version):
        """It comes, once the clients have asked again: a run that was opened again expects them."""
        def has_come():
            for client in clients:
                client.run.get("/task", token=client.token)
            return run.status().get("version", 0) >= version

        wait_for(has_come, 90, f"version {version}")

    def assert_all_counted(self, run, acknowledged):
        """What was acknowledged is counted, and the ledger has each of it once."""
        for client, update in acknowledged:
            wait_for(lambda c=client, u=update: c.fate(u).json().get("fate") == "counted", 90,
                     f"{update} counted")
        counted = [(u["client"], u["update"]) for line in run.ledger()
                   for u in line["record"].get("updates", [])]
        self.assertEqual(len(counted), len(set(counted)))
        self.assertLessEqual({(c.name, u) for c, u in acknowledged}, set(counted))

    def test_a_full_disk_refuses_loses_nothing_and_recovers(self):
        daemon = SmallDisk("24m")
        self.addCleanup(daemon.close)
        run, clients = self.create(daemon)
        acknowledged, refusals = [], []
        for client in clients:
            self.push(client, "u0", 0, acknowledged)
        wait_for(lambda: run.version() == 1, what="version 1")
        # Full from the first byte on, and full in the middle of a body.
        for turn, leave in enumerate((0, 100 << 10, 40 << 10, 0)):
            daemon.fill(leave)
            for client in clients:
                refusals.append(self.push(client, f"full{turn}", 1, acknowledged))
        self.assertGreaterEqual(len([r for r in refusals if r.status == 507]), 2)
        for reply in refusals:
            if reply.status != 200:  # or the run rests after a record that could not be written
                self.assertIn(reply.status, (507, 503), reply.body)
                self.assertIn(reply.json()["code"], ("quota", "busy", "closing"))
                self.assertIn("no space left", reply.json()["message"] + "no space left"
                              * (reply.status == 503))
        self.assertEqual(daemon.request("GET", "/healthz").status, 200)
        daemon.clear()
        before = wait_for(lambda: run.status().get("version"), 90, "the run again")
        for client in clients:
            wait_for(lambda c=client: self.push(c, "later", 1, acknowledged).status == 200, 90,
                     "an update after the disk was cleared")
        self.assert_version(run, clients, before + 1)
        self.assert_all_counted(run, acknowledged)
        daemon.restart()  # and what is on disk is whole
        self.assert_all_counted(run, acknowledged)

    def test_a_version_that_does_not_fit_pushes_out_the_oldest(self):
        daemon = SmallDisk("24m")
        self.addCleanup(daemon.close)
        run, clients = self.create(daemon, keep={"versions": {"last": 3, "best": False}})
        acknowledged = []
        for turn in range(4):
            for client in clients:
                self.push(client, f"u{turn}", turn, acknowledged)
            wait_for(lambda t=turn: run.version() == t + 1, what="the next version")
        self.assertEqual(run.get("/versions/2").status, 200)  # 2, 3 and 4 are kept
        self.push(clients[0], "u4", 4, acknowledged)
        # Room for one more update and the records, not for a version besides.
        daemon.fill((256 + 160) << 10)
        self.assertEqual(self.push(clients[1], "u4", 4, acknowledged).status, 200)
        wait_for(lambda: run.status().get("version") == 5, 30, "version 5 in the place of 2")
        self.assertEqual(run.get("/versions/2").status, 410)
        self.assertEqual(run.get("/versions/3").status, 200)
        self.assertNotIn("record_failed", daemon.log_text())
        daemon.clear()
        self.assert_all_counted(run, acknowledged)

    def test_an_update_that_does_not_fit_pushes_out_the_oldest(self):
        """In a segment or in a file of its own; what keep names stays, and then it is 507."""
        for floats in (FLOATS, 8 * FLOATS):
            with self.subTest(bytes=4 * floats):
                body = safetensors({"w": ([floats], [0.0] * floats)})
                daemon = SmallDisk("40m")
                try:
                    run = daemon.create(
                        {"name": "r", "strategy": {"quorum": 3},
                         "keep": {"versions": {"last": 3, "every": 2, "best": False}}}, body)
                    clients = [run.join(f"dev-{i}") for i in range(3)]
                    for turn in range(5):
                        for client in clients:
                            self.assertEqual(client.put(f"u{turn}", body, turn, 1).status, 200)
                        wait_for(lambda t=turn: run.version() == t + 1, what="the next version")
                    # One that stays, so that its segment cannot go instead.
                    self.assertEqual(clients[0].put("u5", body, 5, 1).status, 200)
                    wait_for(daemon.is_still, what="the spool's release")
                    daemon.fill(len(body) // 2)
                    reply = clients[1].put("u5", body, 5, 1)
                    self.assertEqual(reply.status, 200, reply.body)
                    there = {version: run.get(f"/versions/{version}").status
                             for version in range(6)}
                    self.assertEqual(there, {0: 200, 1: 410, 2: 200, 3: 410, 4: 200, 5: 200})
                    daemon.fill(len(body) // 2)
                    reply = clients[2].put("u5", body, 5, 1)
                    self.assertEqual((reply.status, reply.json()["code"]), (507, "quota"))
                    self.assertIn("no space left", reply.json()["message"])
                    daemon.clear()
                    self.assertEqual(clients[2].put("u5", body, 5, 1).status, 200)
                    wait_for(lambda: run.version() == 6, what="version 6")
                finally:
                    daemon.close()

    def test_a_quota_is_taken_by_the_head_and_freed_by_a_checkpoint(self):
        """A body that could not end is not begun; what is counted goes before its time when the
        quota is needed."""
        floats = 1 << 19  # 2 MiB
        body = safetensors({"w": ([floats], [0.0] * floats)})
        daemon = Daemon()
        self.addCleanup(daemon.close)
        run = daemon.create({"name": "r", "strategy": {"quorum": 1}, "checkpoint_every": "1h",
                             "keep": {"disk": "5MiB"}}, body)
        client = run.join("dev-1")
        head = (f"PUT {run.path}/updates/slow HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {client.token}\r\nTributary-Base-Version: 0\r\n"
                f"Tributary-Examples: 1\r\nContent-Type: application/safetensors\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        with socket.create_connection((daemon.host, daemon.port)) as first, \
                socket.create_connection((daemon.host, daemon.port)) as second:
            for number, peer in enumerate((first, second)):
                peer.sendall(head.replace(b"slow", b"slow%d" % number) + body[:1000])
            reply = wait_for(lambda: (lambda r: r if r.status == 507 else None)(
                client.put("u", body, 0, 1)), what="a refusal")
            self.assertIn("do not fit", reply.json()["message"])
        wait_for(lambda: client.put("u0", body, 0, 1).status == 200, what="the quota back")
        for turn in range(1, 8):
            wait_for(lambda t=turn: run.version() == t, what="the next version")
            wait_for(lambda t=turn: client.put(f"u{t}", body, t, 1).status == 200, 5,
                     "room in the quota")

    def test_what_is_counted_does_not_fill_the_disk(self):
        """40 MB of updates through a disk of 24 MB, and through a quota of 8 MiB."""
        daemon = SmallDisk("24m")
        self.addCleanup(daemon.close)
        for options in ({}, {"keep": {"disk": "8MiB"}}):
            with self.subTest(options=options):
                name = "quota" if options else "none"
                run = daemon.create({"name": name, "strategy": {"quorum": 2}, **options}, BODY)
                clients = [run.join(f"dev-{i}") for i in range(2)]
                acknowledged = []
                for turn in range(80):
                    for client in clients:
                        reply = self.push(client, f"u{turn}", turn, acknowledged)
                        self.assertEqual(reply.status, 200, reply.body)
                    wait_for(lambda t=turn: run.version() == t + 1, what="the next version")
                daemon.request("DELETE", f"{run.path}?name={name}", token=daemon.admin)

    def test_files_that_may_not_be_written_are_refused_until_they_may(self):
        """What a file system that turned read-only does to the daemon: nothing can be written."""
        daemon = Daemon()
        self.addCleanup(daemon.close)
        run, clients = self.create(daemon)
        acknowledged = []
        for client in clients:
            self.push(client, "u0", 0, acknowledged)
        wait_for(lambda: run.version() == 1, what="version 1")
        files = os.path.join(daemon.data, "runs", "r")
        self.addCleanup(run_quietly, "chattr", "-R", "-i", files)
        if not can_be_made_immutable(daemon.directory) or not run_quietly("chattr", "-R", "+i", files):
            self.skipTest("files cannot be made immutable here")
        replies = [self.push(client, "bad", 1, acknowledged) for client in clients]
        replies.append(daemon.request("PUT", f"{run.path}/clients/new", {"role": "trainer"}))
        for reply in replies:
            self.assertIn(reply.status, (500, 503), reply.body)
            self.assertIn(reply.json()["code"], ("io", "busy", "closing"))
        self.assertEqual(daemon.request("GET", "/healthz").status, 200)
        run_quietly("chattr", "-R", "-i", files)
        for client in clients:
            wait_for(lambda c=client: self.push(c, "good", 1, acknowledged).status == 200, 90,
                     "an update after the disk was mended")
        self.assert_version(run, clients, 2)
        self.assert_all_counted(run, acknowledged)


if __name__ == "__main__":
    main()
