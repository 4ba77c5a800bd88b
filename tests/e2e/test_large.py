"""Large models: how much memory the daemon takes for one, against the model's size."""
import os
import pathlib
import random
import signal
import struct
import subprocess
import unittest

import harness

MIB = 1 << 20
MODEL_BYTES = 64 * MIB


def file_of(byte_count, value=0.0):
    """A model or an update with one tensor of so many bytes, all of one value."""
    head = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (byte_count // 4, byte_count)
    return struct.pack("<Q", len(head)) + head + struct.pack("<f", value) * (byte_count // 4)


def peak_bytes(daemon):
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def play_rounds_from(run, client, version, body):
    """One client answers the round that makes version + 1."""
    assert client.train_task()["version"] == version
    assert client.put(f"u{version}", body, base=version, examples=1).status == 200
    harness.wait_for(lambda: run.version() == version + 1, 60, "version")


def play_rounds(run, clients, rounds, body):
    """All clients answer every round; the digest of the last version."""
    for version in range(rounds):
        for client in clients:
            assert client.train_task()["version"] == version
            assert client.put(f"u{version}", body, base=version, examples=1).status == 200
        harness.wait_for(lambda: run.version() == version + 1, 60, "version")


class Memory(unittest.TestCase):
    @unittest.skipIf(harness.SCALE != 1, "a sanitizer has memory of its own")
    def test_a_resident_model_takes_less_than_five_times_its_size(self):
        """Current and next version, one sum of twice the size. A second sum would be six times."""
        for client_count in (2, 6):
            with self.subTest(clients=client_count):
                # Bodies have a budget of their own; here they go by way of the disk.
                daemon = harness.Daemon("--memory", "4MiB", environment=harness.UNFILLED)
                self.addCleanup(daemon.close)
                before = peak_bytes(daemon)
                run = daemon.create({"name": "r", "strategy": {"preset": "fedavg", "quorum": client_count}},
                                    file_of(MODEL_BYTES))
                clients = [run.join(f"c{i}") for i in range(client_count)]
                play_rounds(run, clients, 2, file_of(MODEL_BYTES, 0.5))
                ratio = (peak_bytes(daemon) - before) / MODEL_BYTES
                print(f"# resident, {client_count} clients: {ratio:.2f} models", flush=True)
                self.assertLess(ratio, 4.5)


def digests_of(memory, preset, rounds, element_count, **strategy):
    """ETags of the versions that two clients make with random updates, the same ones every time."""
    generator = random.Random(5)

    def values():
        return harness.safetensors({"w": ([element_count], [generator.uniform(-1, 1) for _ in range(element_count)])})
    daemon = harness.Daemon("--model-memory", memory)
    try:
        run = daemon.create({"name": "r", "strategy": {"preset": preset, **strategy}}, values())
        clients = [run.join(f"c{i}") for i in range(2)]
        digests = [run.model().headers["ETag"]]
        for count in range(rounds):
            for client in clients:
                base = client.train_task()["version"]
                assert client.put(f"u{count}", values(), base=base, examples=3).status == 200
                if preset == "fedasync":  # each update is a version
                    harness.wait_for(lambda: run.version() == base + 1, 60, "version")
            harness.wait_for(lambda: run.status()["updates"]["counted"] == 2 * count + 2, 60, "version")
            digests.append(run.model().headers["ETag"])
        return run.status()["model"]["held"], digests
    finally:
        daemon.close()


class Ranged(unittest.TestCase):
    """A model that is larger than --model-memory is made by ranges, from files to a file."""

    @unittest.skipIf(harness.SCALE != 1, "a sanitizer has memory of its own")
    def test_memory_is_a_quarter_of_the_model_and_the_budget_whatever_the_clients(self):
        budget = 8 * MIB
        for client_count in (2, 6):
            with self.subTest(clients=client_count):
                daemon = harness.Daemon("--model-memory", str(budget),
                                        environment=harness.UNFILLED)
                self.addCleanup(daemon.close)
                before = peak_bytes(daemon)
                run = daemon.create({"name": "r", "strategy": {"preset": "fedavgm", "quorum": client_count}},
                                    file_of(MODEL_BYTES))
                self.assertEqual(run.status()["model"]["held"], "by ranges")
                self.assertLessEqual(run.status()["model"]["memory"], budget)
                self.assertIn("held=by_ranges", daemon.log_text())
                clients = [run.join(f"c{i}") for i in range(client_count)]
                play_rounds(run, clients, 2, file_of(MODEL_BYTES, 0.5))
                taken = peak_bytes(daemon) - before
                print(f"# by ranges, {client_count} clients: {taken / MIB:.1f} MiB for 64", flush=True)
                self.assertLess(taken, MODEL_BYTES / 4 + budget)

    def test_the_bits_are_those_of_a_resident_model(self):
        for preset, strategy in (("fedadam", {"quorum": 2}), ("fedasync", {}), ("fedbuff", {"goal": 2})):
            with self.subTest(preset=preset):
                whole = digests_of("1GiB", preset, 2, 30000, **strategy)
                ranged = digests_of("200KiB", preset, 2, 30000, **strategy)
                self.assertEqual((whole[0], ranged[0]), ("whole", "by ranges"))
                self.assertEqual(whole[1], ranged[1])

    def test_a_kill_in_the_middle_of_a_version_begins_it_again(self):
        """At every sixth write of its files, in the middle of one; then at the syncs and names."""
        body, strategy = file_of(2 * MIB, 0.5), {"preset": "fedadam", "quorum": 2}
        reference = None
        for crash in [None, *(f"safetensors.write.half:{n}" for n in range(34, 64, 6)),
                      "state.write.half:120", "safetensors.sync.before:2", "safetensors.rename.after:2",
                      "state.rename.before:2", "state.rename.after:2", "ledger.sync.before:6"]:
            with self.subTest(crash=crash):
                # Version 0 is 2 MiB in 33 pieces (its head is one), so the first kill is in version 1.
                daemon = harness.Daemon("--model-memory", "256KiB",
                                        environment={"TRIB_CRASH": crash} if crash else None)
                self.addCleanup(daemon.close)
                run = daemon.create({"name": "r", "strategy": strategy}, file_of(2 * MIB, 1.0))
                daemon.environment.pop("TRIB_CRASH", None)
                clients = [run.join(f"c{i}") for i in range(2)]
                for client in clients:
                    client.train_task()
                    self.assertEqual(client.put("u", body, base=0, examples=1).status, 200)
                if crash:
                    self.assertEqual(daemon.process.wait(timeout=30 * harness.SCALE), -9)
                    files = os.listdir(os.path.join(daemon.data, "runs/r/versions"))
                    self.assertIn("0.safetensors", files)
                    daemon.start()
                harness.wait_for(lambda: [c.task() for c in clients] and run.version() == 1, 30, "version")
                digest = run.model().headers["ETag"]
                reference = reference or digest
                self.assertEqual(digest, reference)
                self.assertFalse([name for folder in ("versions", "state") for name in
                                  os.listdir(os.path.join(daemon.data, "runs/r", folder)) if name.endswith(".tmp")])
                self.assertEqual(run.status()["updates"], {"counted": 2, "pending": 0, "dropped": 0})

    def test_a_restart_with_other_memory_goes_on_with_the_same_bits(self):
        body, daemon = file_of(4 * MIB, 0.25), harness.Daemon("--model-memory", "1GiB")
        self.addCleanup(daemon.close)
        # Far apart checkpoints: versions are made again from the spool, then by ranges.
        run = daemon.create({"name": "r", "checkpoint_every": "1h",
                             "strategy": {"preset": "fedavgm", "quorum": 1}}, file_of(4 * MIB))
        client = run.join("c")
        digests = []
        for version, memory in enumerate(("1GiB", "1GiB", "512KiB", "512KiB", "1GiB")):
            if memory not in daemon.options:
                daemon.options = ("--model-memory", memory)
                daemon.restart(signal.SIGKILL)
            self.assertEqual(run.status()["model"]["held"], "whole" if memory == "1GiB" else "by ranges")
            play_rounds_from(run, client, version, body)
            digests.append(run.model().headers["ETag"])
        daemon.options = ("--model-memory", "512KiB")
        daemon.restart(signal.SIGKILL)
        self.assertEqual(run.model().headers["ETag"], digests[-1])
        status = daemon.stop()
        self.assertEqual(status, 0)
        proof = subprocess.run([harness.TRIB, "ledger", "verify", daemon.data, "r"], check=False,
                               stdout=subprocess.PIPE, text=True)
        self.assertEqual(proof.returncode, 0, proof.stdout)
        daemon.start()

    def test_downloads_by_range(self):
        daemon = harness.Daemon("--model-memory", "512KiB")
        self.addCleanup(daemon.close)
        run = daemon.create({"name": "r", "strategy": {"preset": "fedavg", "quorum": 1}}, file_of(4 * MIB))
        play_rounds_from(run, run.join("c"), 0, file_of(4 * MIB, 0.25))
        whole = run.model()
        etag, size = whole.headers["ETag"], len(whole.body)
        pieces = b""
        while len(pieces) < size:  # as a client that lost its connection goes on
            part = run.get("/versions/1", headers={"Range": f"bytes={len(pieces)}-{len(pieces) + MIB}",
                                                   "If-Range": etag})
            self.assertEqual(part.status, 206)
            self.assertTrue(part.headers["Content-Range"].startswith(f"bytes {len(pieces)}-"))
            pieces += part.body
        self.assertEqual(pieces, whole.body)
        cases = ((f"bytes={size}-", None, 416), ("bytes=-16", None, 206), ("bytes=0-7", '"other"', 200),
                 ("bytes=0-7", etag, 206))
        for field, condition, expected in cases:
            for which in ("1", "latest"):
                headers = {"Range": field, **({"If-Range": condition} if condition else {})}
                reply = run.get(f"/versions/{which}", headers=headers)
                is_moving = which == "latest" and condition is None  # it might be another one by then
                self.assertEqual(reply.status, 200 if is_moving else expected, (which, headers))
        self.assertEqual(run.get("/versions/1", headers={"If-None-Match": etag}).status, 304)
        head = daemon.request("HEAD", run.path + "/versions/1")
        self.assertEqual((head.status, int(head.headers["Content-Length"])), (200, size))

    def test_the_same_model_again_is_known(self):
        daemon = harness.Daemon("--model-memory", "512KiB")
        self.addCleanup(daemon.close)
        fields = {"Content-Type": "application/safetensors"}
        run = daemon.create({"name": "r"}, file_of(4 * MIB, 2.0))
        for body, status in ((file_of(4 * MIB, 2.0), 200), (file_of(4 * MIB, 3.0), 409)):
            reply = daemon.request("PUT", f"{run.path}/versions/0", body, daemon.admin, fields)
            self.assertEqual(reply.status, status, reply.body)
        self.assertEqual(os.listdir(os.path.join(daemon.data, "runs/r/versions")), ["0.safetensors"])
        bad = file_of(4 * MIB, float("nan"))
        other = daemon.create({"name": "bad"})
        reply = daemon.request("PUT", f"{other.path}/versions/0", bad, daemon.admin, fields)
        self.assertEqual((reply.status, reply.json()["code"]), (422, "nonfinite"), reply.body)
        self.assertEqual(os.listdir(os.path.join(daemon.data, "runs/bad/versions")), [])

    def test_without_a_spool_a_model_must_fit(self):
        daemon = harness.Daemon("--model-memory", "512KiB")
        self.addCleanup(daemon.close)
        run = daemon.create({"name": "r", "durability": "memory"})
        reply = daemon.request("PUT", f"{run.path}/versions/0", file_of(4 * MIB), daemon.admin,
                               {"Content-Type": "application/safetensors"})
        self.assertEqual(reply.status, 413, reply.body)
        self.assertIn("durability", reply.json()["message"])


if __name__ == "__main__":
    harness.main()
