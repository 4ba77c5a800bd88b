"""test_limits.py - the daemon under load: memory is bounded by configuration, and nobody waits for
a flood. TRIB_LIMITS=full takes larger numbers; the figures are printed as comments.

The clients are bench/load.c, beside the program under test."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import time
import unittest

from harness import SCALE, TRIB, UNFILLED, Daemon, main, wait_for

FULL = os.environ.get("TRIB_LIMITS") == "full"
LOAD = os.path.join(os.path.dirname(os.path.abspath(TRIB)), "bench", "load")
MIB = 1 << 20
CHUNKS = 64 * MIB  # what large bodies may have together: fixed in node.h
BASE = 32 * MIB    # code, threads, ledger, index, allocator: whatever the load is
IS_PLAIN = SCALE == 1  # a sanitizer's memory is not ours


def model(count):
    head = json.dumps({"w": {"dtype": "F32", "shape": [count],
                             "data_offsets": [0, 4 * count]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(4 * count)


def say(what, figures):
    print(f"# {what}: " + ", ".join(f"{k} {v}" for k, v in figures.items()), flush=True)


class Loaded(Daemon):
    def __init__(self, *options):
        super().__init__(*options, environment=UNFILLED)

    def load(self, mode, run, clients, **options):
        """Start bench/load; load_report() waits for it."""
        words = [LOAD, mode, "--url", self.url, "--run", run.name, "--clients", str(clients)]
        for name, value in options.items():
            words.append("--" + name.replace("_", "-"))
            words += [] if value is True else [str(value)]
        return subprocess.Popen(words, stdout=subprocess.PIPE)

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self):
        text = self.request("GET", "/metrics").body.decode()
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}

    def is_quiet(self):
        metrics = self.metrics()
        return (metrics["tributary_body_bytes"] == 0 and metrics["tributary_chunks_lent"] == 0 and
                metrics["tributary_connections"] <= 2)


def load_report(process, seconds=600):
    return json.loads(process.communicate(timeout=seconds * SCALE)[0])


class Limits(unittest.TestCase):
    def start(self, *options):
        if not os.path.exists(LOAD):
            self.skipTest("bench/load is not built")
        daemon = Loaded(*options)
        self.addCleanup(daemon.close)
        return daemon

    def test_idle_polls_cost_little_and_are_all_answered(self):
        count = 19000 if FULL else 2000
        daemon = self.start("--connections", str(count + 100))
        run = daemon.create({"name": "r", "strategy": {"quorum": 1}, "clients_max": 100000},
                            model(4))
        trainer = run.join("trainer")
        trainer.task()
        base = daemon.memory()
        load = daemon.load("poll", run, count, role="evaluator", until_version=1, seconds=120)
        wait_for(lambda: daemon.metrics()["tributary_connections"] >= count and
                 daemon.metrics()["tributary_requests_total"] >= 2 * count, 100, "polls held")
        each = (daemon.memory() - base) / count
        processor = daemon.processor_seconds()
        time.sleep(3)
        processor = (daemon.processor_seconds() - processor) / 3
        self.assertEqual(trainer.put("u", model(4), base=0, examples=1).status, 200)
        report = load_report(load)
        say("idle polls", {"count": count, "bytes each": round(each),
                           "processor": f"{processor:.3f}"})
        self.assertEqual(report["acknowledged"], count)
        self.assertEqual((report["lost"], report["refused"]), (0, {}))
        if IS_PLAIN:
            self.assertLess(each, 8192)
            self.assertLess(processor, 0.5)

    def test_a_flood_of_large_bodies_is_bounded_and_delays_no_other_run_for_long(self):
        count, size = (1000, 16 * MIB) if FULL else (100, 8 * MIB)
        memory = (512 if FULL else 32) * MIB
        daemon = self.start("--memory", str(memory))
        big = daemon.create({"name": "big", "strategy": {"quorum": count, "deadline": "1h"}},
                            model(size // 4))
        small = daemon.create({"name": "small", "strategy": {"quorum": 4}}, model(1024))
        quiet = load_report(daemon.load("round", small, 4, bytes=4096, seconds=3))
        base = peak = daemon.memory()
        flood = daemon.load("push", big, count, bytes=size, count=1)
        wait_for(lambda: daemon.metrics()["tributary_chunks_lent"] > 0 or
                 flood.poll() is not None, what="the flood's beginning")
        rounds = daemon.load("round", small, 4, bytes=4096, seconds=600)
        while flood.poll() is None:
            peak = max(peak, daemon.memory())
            time.sleep(0.05)
        rounds.terminate()
        flood, rounds = load_report(flood), load_report(rounds)
        say("flood", {"bodies": f"{count} x {size // MIB} MiB", "seconds": flood["seconds"],
                      "peak above base MiB": (peak - base) // MIB})
        say("rounds of another run", {
            f"{name} {key}": report[key] for name, report in (("quiet", quiet), ("flood", rounds))
            for key in ("p50_ms", "p99_ms", "max_ms")})
        self.assertEqual(flood["acknowledged"], count, flood)
        self.assertGreater(rounds["acknowledged"], 0)
        self.assertEqual((flood["lost"], rounds["lost"]), (0, 0))
        self.assertLess(rounds["p99_ms"], 2000 * SCALE)
        if IS_PLAIN:
            self.assertLess(peak - base, memory + CHUNKS + BASE)
        wait_for(daemon.is_quiet, what="budgets back at zero")

    def test_small_updates_are_durable_by_the_thousand(self):
        daemon = self.start()
        run = daemon.create({"name": "r", "strategy": {"quorum": 64, "staleness_max": 1024}},
                            model(1024))
        report = load_report(daemon.load("push", run, 64, bytes=4096,
                                         seconds=15 if FULL else 4))
        say("durable updates of 4 kB", {key: report[key]
                                        for key in ("per_second", "p50_ms", "p99_ms")})
        self.assertEqual((report["lost"], report["refused"]), (0, {}))
        self.assertGreater(report["per_second"], 500 / SCALE)

    def test_clients_that_come_and_go_leave_nothing_behind(self):
        daemon = self.start()
        for name, size in (("small", MIB // 2), ("large", 2 * MIB)):
            run = daemon.create({"name": name, "strategy": {"quorum": 1000}}, model(size // 4))
            load_report(daemon.load("push", run, 50, bytes=size, count=2, abandon=True))
            wait_for(daemon.is_quiet, what="budgets back at zero")
            before = daemon.memory()
            report = load_report(daemon.load("push", run, 50, bytes=size, count=10, abandon=True))
            wait_for(daemon.is_quiet, what="budgets back at zero")
            grown = daemon.memory() - before
            say(f"500 half uploads, {name}", {"memory KiB": grown // 1024})
            self.assertEqual(report["refused"], {})
            spool = os.path.join(daemon.data, "runs", name, "spool")
            self.assertEqual([f for f in os.listdir(spool) if f.endswith(".body")], [])
            if IS_PLAIN:
                self.assertLess(grown, CHUNKS + BASE)  # all half bodies: 125 and 500 MiB

    def test_heads_that_never_end_are_cut_off(self):
        daemon = self.start("--idle-after", "1s")
        with contextlib.ExitStack() as peers:
            slow = [peers.enter_context(socket.create_connection((daemon.host, daemon.port)))
                    for _ in range(200)]
            deadline = time.monotonic() + 30 * SCALE
            for peer in slow:
                peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
            while daemon.metrics()["tributary_connections"] > 2:
                self.assertLess(time.monotonic(), deadline, "slow heads are still there")
                for peer in slow:
                    with contextlib.suppress(OSError):
                        peer.sendall(b"X-Slow: 1\r\n")
                time.sleep(0.5)

    def test_slow_bodies_cannot_keep_all_chunks(self):
        """More slow clients than chunks, each too fast for the idle rule."""
        count, size = 300, 4 * MIB
        daemon = self.start("--memory", str(2 * MIB))  # none is kept in memory
        run = daemon.create({"name": "r", "strategy": {"quorum": 1000}}, model(size // 4))
        client = run.join("quick")
        slow = daemon.load("push", run, count, bytes=size, rate=6000, seconds=300)
        try:
            wait_for(lambda: daemon.metrics()["tributary_chunks_lent"] >= 256, 30,
                     "all chunks lent")
            start = time.monotonic()
            self.assertEqual(client.put("u", model(size // 4), base=0, examples=1).status, 200)
            seconds = time.monotonic() - start
        finally:
            slow.terminate()
            report = load_report(slow)
        say("4 MiB among 300 slow bodies", {"seconds": f"{seconds:.2f}"})
        self.assertEqual(report["lost"], 0)
        self.assertLess(seconds, 30 * SCALE)
        wait_for(daemon.is_quiet, what="budgets back at zero")

    def test_bodies_beyond_the_budget_wait_and_are_not_refused(self):
        for durability in ("memory", "spool"):
            for size in (MIB // 4, 2 * MIB):
                with self.subTest(durability=durability, size=size):
                    daemon = self.start("--memory", str(4 * MIB))
                    run = daemon.create({"name": "r", "strategy": {"quorum": 32},
                                         "durability": durability}, model(size // 4))
                    report = load_report(daemon.load("push", run, 32, bytes=size, count=2))
                    self.assertEqual((report["acknowledged"], report["lost"], report["refused"]),
                                     (64, 0, {}))
                    wait_for(daemon.is_quiet, what="budgets back at zero")

    def test_newcomers_beyond_the_connections_wait_for_their_turn(self):
        daemon = self.start("--connections", "20")
        run = daemon.create({"name": "r", "strategy": {"preset": "fedbuff", "goal": 10}}, model(1024))
        report = load_report(daemon.load("push", run, 150, bytes=4096, count=3))
        self.assertEqual((report["acknowledged"], report["lost"], report["refused"]), (450, 0, {}))

    def test_slow_bodies_cannot_keep_the_budget(self):
        """What waits for long goes by way of the disk, also where nothing has to be durable."""
        for size in (MIB // 2, 2 * MIB):
            with self.subTest(size=size):
                daemon = self.start("--memory", str(3 * MIB))
                run = daemon.create({"name": "r", "strategy": {"quorum": 1000},
                                     "durability": "memory"}, model(size // 4))
                client = run.join("quick")
                slow = daemon.load("push", run, 8, bytes=size, rate=6000, seconds=300)
                try:
                    wait_for(lambda: daemon.metrics()["tributary_chunks_lent"] > 0, 60,
                             "a body that waited for the budget goes by way of the disk")
                    reply = client.put("u", model(size // 4), base=0, examples=1)
                    self.assertEqual(reply.status, 200)
                    self.assertEqual(reply.json()["durability"], "memory")
                finally:
                    slow.terminate()
                    report = load_report(slow)
                self.assertEqual((report["lost"], report["refused"]), (0, {}))
                spool = os.path.join(daemon.data, "runs", "r", "spool")
                wait_for(lambda: daemon.is_quiet() and
                         not [f for f in os.listdir(spool) if f.endswith(".body")],
                         what="budgets and spool back at nothing")


if __name__ == "__main__":
    main()
