"""test_restart.py - a run goes on where it was: same bits, nothing lost, nothing twice."""
import json
import os
import pathlib
import signal
import subprocess
import unittest

from harness import TRIB, Daemon, main, safetensors, wait_for

MODEL = safetensors({"w": ([64], [i / 7 for i in range(64)]), "b": ([1], [0.25])})


def delta(seed):
    return safetensors({"w": ([64], [((i * 37 + seed * 11) % 101 - 50) / 97 for i in range(64)]),
                        "b": ([1], [seed / 13])})


def train(run, clients, versions, before=lambda version: None):
    """Two updates per version; returns the digests of all versions."""
    for version in range(run.version(), versions):
        before(version)
        for i, client in enumerate(clients):
            reply = client.put(f"u{version}", delta(version * 10 + i), base=version,
                               examples=i + 3)
            assert reply.status == 200, reply.body
        wait_for(lambda: run.version() == version + 1)
    return [v["digest"] for v in run.get("/history").json()["versions"]]


SPEC = {"name": "r", "keep": {"updates": "forever", "versions": {"last": 3}},
        "strategy": {"preset": "fedadam", "quorum": 2, "server": {"lr": 0.1}}}


class Restart(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def create(self, spec):
        run = self.daemon.create(spec, MODEL)
        return run, [run.join("dev-0"), run.join("dev-1")]

    def test_a_restart_before_each_version_changes_no_bit(self):
        run, clients = self.create(SPEC)
        undisturbed = train(run, clients, 5)
        disturbed_run, clients = self.create({**SPEC, "name": "again"})
        ways = [signal.SIGTERM, signal.SIGKILL]

        def restart(version):
            self.daemon.restart(ways[version % 2])

        disturbed = train(disturbed_run, clients, 5, restart)
        self.assertEqual(undisturbed, disturbed)

    def test_an_acknowledged_update_survives_a_kill_and_counts_once(self):
        run, clients = self.create(SPEC)
        clients[0].task(), clients[1].task()
        self.assertEqual(clients[0].put("u0", delta(0), base=0, examples=3).status, 200)
        self.daemon.restart(signal.SIGKILL)
        self.assertEqual(run.status()["updates"]["pending"], 1)
        repeat = clients[0].put("u0", delta(0), base=0, examples=3)
        self.assertEqual((repeat.status, repeat.json()["fate"]), (200, "spooled"))
        other = clients[0].put("u0", delta(9), base=0, examples=3)
        self.assertEqual(other.status, 409)
        clients[1].task()
        clients[1].put("u0", delta(1), base=0, examples=4)
        wait_for(lambda: run.version() == 1)
        digest = run.status()["model"]["digest"]
        self.daemon.restart(signal.SIGKILL)
        self.assertEqual(run.status()["model"]["digest"], digest)
        self.assertEqual(clients[0].fate("u0").json()["fate"], "counted")
        undisturbed, clients = self.create({**SPEC, "name": "again"})
        for i, client in enumerate(clients):
            client.put("u0", delta(i), base=0, examples=i + 3)
        wait_for(lambda: undisturbed.version() == 1)
        self.assertEqual(undisturbed.status()["model"]["digest"], digest)

    def test_versions_without_a_checkpoint_are_made_again_from_the_spool(self):
        spec = {**SPEC, "checkpoint_every": "1h", "keep": {"versions": {"last": 3}}}
        run, clients = self.create(spec)
        digests = train(run, clients, 4)
        self.daemon.restart(signal.SIGKILL)
        self.assertEqual(run.version(), 4)
        self.assertEqual(run.status()["model"]["digest"], digests[-1])
        train(run, clients, 5)
        self.assertEqual(clients[0].fate("u1").json()["fate"], "counted")

    def test_pause_best_and_evaluations_survive(self):
        run, clients = self.create({**SPEC, "evaluate": {"on": ["evaluators"]}})
        judge = run.join("judge", "evaluator")
        train(run, clients, 2)
        for version, accuracy in ((1, 0.9), (2, 0.5)):
            self.assertEqual(judge.evaluate(f"e{version}", version, 10,
                                            {"accuracy": accuracy}).status, 200)
        self.assertEqual(run.control("pause").status, 200)
        self.daemon.restart(signal.SIGKILL)
        status = run.status()
        self.assertEqual((status["state"], status["best"]["version"]), ("paused", 1))
        self.assertEqual(run.control("resume").json()["state"], "running")
        train(run, clients, 3)

    def test_a_lost_index_is_rebuilt_from_the_ledger(self):
        run, clients = self.create(SPEC)
        train(run, clients, 2)
        history = run.get("/history").json()
        self.daemon.stop()
        for name in os.listdir(os.path.join(self.daemon.data, "runs/r")):
            if name.startswith("index.sqlite"):
                os.unlink(os.path.join(self.daemon.data, "runs/r", name))
        self.daemon.start()
        self.assertEqual(run.get("/history").json(), history)
        self.assertEqual(clients[0].fate("u1").json()["fate"], "counted")
        train(run, clients, 3)

    def verify(self, run="r"):
        return subprocess.run([TRIB, "ledger", "verify", self.daemon.data, run, "--json"],
                              capture_output=True, text=True)

    def test_verify_recomputes_versions_and_finds_a_flipped_byte(self):
        run, clients = self.create(SPEC)
        train(run, clients, 4)
        busy = self.verify()
        self.assertNotEqual(busy.returncode, 0)
        self.daemon.stop()
        good = self.verify()
        self.assertEqual(good.returncode, 0, good.stderr)
        report = json.loads(good.stdout)
        self.assertEqual((report["versions"], report["recomputed"], report["updates"]), (4, 4, 8))
        folder = pathlib.Path(self.daemon.data, "runs/r")
        victims = [folder / "ledger", folder / "versions/4.safetensors",
                   next((folder / "spool").iterdir())]
        for victim in victims:
            with self.subTest(victim=victim.name):
                whole = victim.read_bytes()
                for at in (len(whole) // 3, len(whole) // 2, len(whole) - 9):
                    victim.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
                    self.assertEqual(self.verify().returncode, 1, f"byte {at}")
                    victim.write_bytes(whole)
        self.assertEqual(self.verify().returncode, 0)
        self.daemon.start()

    def test_one_daemon_per_directory(self):
        second = subprocess.run([TRIB, "serve", "--data-dir", self.daemon.data, "--listen",
                                 "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("another process", second.stderr)


if __name__ == "__main__":
    main()
