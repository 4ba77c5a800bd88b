"""test_far.py - clients far away: delay, loss, disorder and partitions between them and the daemon.

Daemon and clients are in network namespaces of their own, joined by forwarder.py. Whatever it does
to packets: what a client heard acknowledged is counted once, which checker.py finds out from the
ledger and the clients' notes alone, and the run goes on to its end. TRIB_SEED=n for other dice.
"""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable

import checker
from forwarder import Forwarder, Unavailable, Way, become_root_of_a_namespace
from harness import SCALE, TRIB, Reply, main, wait_for
from test_kills import Mortal, Play

SEED = int(os.environ.get("TRIB_SEED", "1"))
PORT = 7700  # nobody else is in that namespace
UPDATE_BYTES = 1 << 20  # what the large ones have at least, here and in Play


class FarDaemon(Mortal):
    """A daemon on the far side. Each request is made on the clients' side."""

    def __init__(self, forwarder: Forwarder, *options: str) -> None:
        self.forwarder, self.more = forwarder, options
        self.unanswered = 0  # requests; some of them have been done
        super().__init__()

    def start(self) -> None:
        address = f"{self.forwarder.DAEMON}:{PORT}"
        self.options = ("--listen", address, "--public-url", f"http://{address}", "--insecure",
                        *self.more)
        with self.forwarder.daemon.entered():
            super().start()
        self.host, self.port = self.forwarder.DAEMON, PORT

    def request(self, method: str, path: str, *arguments: object, **more: object) -> Reply:
        """Impatient: an answer that does not come is asked for again, as Play does it."""
        more["timeout"] = SCALE * (6 if "wait=" in path else 2)
        try:
            with self.forwarder.clients.entered():
                return super().request(method, path, *arguments, **more)
        except TimeoutError:
            self.unanswered += 1
            raise


class Far(unittest.TestCase):
    """A forwarder, and a daemon behind it."""

    def setUp(self) -> None:
        try:
            self.way = Forwarder(SEED)
        except Unavailable as reason:
            self.skipTest(f"no forwarder between namespaces: {reason}")
        self.addCleanup(self.way.close)

    def serve(self, *options: str) -> FarDaemon:
        daemon = FarDaemon(self.way, *options)
        self.addCleanup(daemon.close)
        return daemon

    def pass_up(self, count: int) -> None:
        """Wait until so many more bytes have arrived at the daemon."""
        level = self.way.up.counts["bytes"] + count
        wait_for(lambda: self.way.up.counts["bytes"] >= level, 20, f"{count} bytes on their way")

    def cut(self, seconds: float, *ways: Way) -> None:
        """Nothing passes for so long; what was on its way arrives."""
        for way in ways:
            way.is_cut = True
        time.sleep(seconds)
        for way in ways:
            way.is_cut = False
        self.assertTrue(any(way.counts["cut"] for way in ways), "nobody noticed")


class Training(Far):
    """The training of test_kills.py, far away."""

    def train(self, kind: str) -> Play:
        return Play(self.serve(), kind)

    def finish(self, training: Play, *others: Callable[[], None]) -> None:
        """The whole of it, next to the others; then everything is counted again."""
        training.run(*others)
        settled = training.check()
        self.assertTrue(any(version is not None for version, _, _ in settled.values()))

    def test_a_run_reaches_its_versions_over_a_slow_and_lossy_way(self) -> None:
        self.way.both(delay_s=0.02, bytes_per_s=100e6 / 8, loss=0.02)
        self.finish(self.train("mean"))
        self.assertGreater(min(self.way.up.counts["lost"], self.way.down.counts["lost"]), 0)

    def test_twice_and_in_disorder_is_once(self) -> None:
        self.way.both(delay_s=0.005, duplication=0.1, reordering=0.2)
        self.finish(self.train("yogi"))
        for way in (self.way.up, self.way.down):
            self.assertGreater(min(way.counts["twice"], way.counts["held"]), 0)

    def test_what_partitions_leave_open_is_asked_again(self) -> None:
        """Both ways in mid-upload; then the way back, so that answers are lost."""
        def weather() -> None:
            wait_for(lambda: ("big", "u0") in training.journal.updates, 20, "the large update")
            self.pass_up(UPDATE_BYTES // 2)
            self.assertEqual(training.journal.updates["big", "u0"].answers, [])
            self.cut(3, self.way.up, self.way.down)
            self.pass_up(4000)
            self.cut(2.5, self.way.down)

        self.way.both(delay_s=0.005, bytes_per_s=2e6)
        training = self.train("adam")
        self.finish(training, weather)
        if SCALE == 1:  # else they are more patient than a partition is long
            self.assertGreater(training.daemon.unanswered, 0)

    def test_clients_that_move_go_on_under_their_names(self) -> None:
        def move() -> None:
            wait_for(lambda: training.journal.newest >= 1, 20, "a version")
            self.way.move_clients("10.77.0.3")
            self.assertLess(training.status()["version"], training.spec["stop"]["versions"])

        self.way.both(delay_s=0.005)
        training = self.train("mixing")
        self.finish(training, move)


class Program(Far):
    """trib join on the far side, cut off in mid-upload."""

    SPEC = {"name": "r", "strategy": {"quorum": 1}, "stop": {"versions": 1},
            "model": {"init": {"trainer": "mlp", "features": 2, "classes": 2, "hidden": [60000]}}}

    def join(self, daemon: FarDaemon) -> subprocess.Popen[str]:
        folder = tempfile.TemporaryDirectory(prefix="trib-far-")
        self.addCleanup(folder.cleanup)
        spec, data = pathlib.Path(folder.name, "spec.json"), pathlib.Path(folder.name, "rows.csv")
        spec.write_text(json.dumps(self.SPEC))
        data.write_text("".join(f"{i % 2},{(i * 7) % 5},{i % 2}\n" for i in range(60)))
        with self.way.clients.entered():
            link = subprocess.run(
                [TRIB, "run", "create", spec, "--link-only", "--url", daemon.url, "--token-file",
                 f"{daemon.data}/admin.token"], check=True, stdout=subprocess.PIPE, text=True)
            return subprocess.Popen([TRIB, "join", link.stdout.strip(), "--client", "dev-1",
                                     "--data", data, "--once"], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)

    def check_partition(self, *options: str) -> FarDaemon:
        daemon = self.serve(*options)
        self.way.both(delay_s=0.005, bytes_per_s=1e6)
        client = self.join(daemon)
        self.addCleanup(client.communicate)
        self.addCleanup(client.kill)
        self.pass_up(UPDATE_BYTES // 2)
        self.cut(3, self.way.up, self.way.down)
        self.assertIsNone(client.poll(), "it is sure of an answer that it cannot have heard")
        said, _ = client.communicate(timeout=60 * SCALE)
        self.assertEqual(client.returncode, 0, said)
        ledger = daemon.request("GET", "/v1/runs/r/ledger", token=daemon.admin).body
        versions = [record.document for record in checker.ledger_from_lines(ledger)
                    if record.type == "version"]
        self.assertEqual([[update["client"] for update in version["updates"]]
                          for version in versions], [[], ["dev-1"]])
        return daemon

    def test_a_body_goes_on_where_it_was_cut(self) -> None:
        self.check_partition()

    def test_a_body_that_the_daemon_gave_up_is_sent_again(self) -> None:
        daemon = self.check_partition("--idle-after", "1s")
        metrics = daemon.request("GET", "/metrics", token=daemon.admin).body
        self.assertIn(b'tributary_requests_refused_total{code="idle"} ', metrics)


if __name__ == "__main__":
    become_root_of_a_namespace()
    main()
