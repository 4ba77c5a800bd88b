"""test_control.py - what clients keep and what the server keeps stay together, whatever dies.

SCAFFOLD's c is the mean of the c_i of all clients (Karimireddy et al. 2020, Algorithm 1) only if a
client's own c_i changes exactly when its update counts. Here clients die at every step of keeping
it, and daemons at random; afterwards c, read from the last version, must be the mean of what the
clients have kept, and every version must have one update of each.
"""
import os
import pathlib
import random
import signal
import struct
import subprocess
import time
import unittest

from harness import SCALE, TRIB, Daemon, main, read_safetensors

CLIENTS = 3
VERSIONS = 3


def kept(path: pathlib.Path) -> list[float]:
    """The numbers of a client's `own` file: src/cli/keepsake.c says how it is written."""
    data = path.read_bytes()
    at = 4

    def text():
        nonlocal at
        (size,) = struct.unpack_from("<H", data, at)
        at += 2 + size

    text(), text(), text()
    at += 16
    text()
    (count,) = struct.unpack_from("<Q", data, at)
    return list(struct.unpack_from(f"<{count}f", data, at + 8))


class Control(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.folder = pathlib.Path(self.daemon.directory)
        draw = random.Random(4)
        self.data = self.folder / "points.csv"
        with self.data.open("w") as table:
            for row in range(60):
                label = row % 3
                print(label - 1 + draw.gauss(0, 0.4), draw.gauss(label == 1, 0.4), label, sep=",",
                      file=table)

    def create(self, name, preset="scaffold", versions=VERSIONS, **train):
        return self.daemon.create({
            "name": name, "model": {"init": {"trainer": "mlp", "hidden": [4], "features": 2,
                                             "classes": 3}},
            "strategy": {"preset": preset, "quorum": CLIENTS,
                         **({"population": CLIENTS} if "scaffold" in preset else {})},
            "evaluate": {"every": 0},
            "train": {"epochs": 2, "batch": 5, "lr": 0.1, **train}, "stop": {"versions": versions}})

    def start(self, run, client, port=None, **environment):
        link = f"trib://{self.daemon.host}:{port or self.daemon.port}/{run.name}"
        return subprocess.Popen(
            [TRIB, "join", link, "--client", f"dev-{client}", "--data", str(self.data),
             "--part", f"{client}/{CLIENTS}", "--partition", "shards:1",
             "--state", str(self.state(run, client))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **environment})

    def state(self, run, client):
        return self.folder / f"{run.name}-{client}"

    def finish(self, processes):
        for process in processes:
            output, _ = process.communicate(timeout=60 * SCALE)
            self.assertEqual(process.returncode, 0, output)

    def check(self, run, versions=VERSIONS):
        records = [r["record"] for r in run.ledger() if r["record"]["type"] == "version"]
        self.assertEqual([sorted(u["client"] for u in r["updates"]) for r in records],
                         [[]] + [[f"dev-{i}" for i in range(CLIENTS)]] * versions)
        tensors = read_safetensors(run.model().body)
        control = [x for name in sorted(tensors) if name.startswith("control.")
                   for x in tensors[name]]
        own = [kept(self.state(run, client) / "own") for client in range(CLIENTS)]
        self.assertEqual(len(control), len(own[0]))
        self.assertGreater(max(map(abs, control)), 1e-3)
        for c, mine in zip(control, zip(*own)):
            self.assertAlmostEqual(c, sum(mine) / CLIENTS, delta=1e-6)
        for client in range(CLIENTS):
            self.assertFalse((self.state(run, client) / "sending").exists())

    def test_c_is_the_mean_of_what_clients_keep(self):
        for preset in ("scaffold", "scaffold_m"):
            for option in (1, 2):
                run = self.create(f"{preset}-{option}", preset, option=option)
                self.finish([self.start(run, client) for client in range(CLIENTS)])
                self.check(run)

    def test_a_client_may_die_at_every_step_of_keeping(self):
        run = self.create("all")
        points = self.folder / "points"
        self.finish([self.start(run, client, **({} if client else {"TRIB_CRASH_LIST": str(points)}))
                     for client in range(CLIENTS)])
        names = points.read_text().split()
        self.assertIn("update.send.after", names)
        digest = run.status()["model"]["digest"]
        # From the first update on, so that something is kept already; every point once.
        first = names.index("update.send.before")
        chosen = {name: first + i for i, name in reversed(list(enumerate(names[first:])))}
        self.assertGreater(len(chosen), 8)
        for name, index in sorted(chosen.items(), key=lambda item: item[1]):
            with self.subTest(point=name):
                run = self.create(f"at-{index}")
                how = ":power" if index % 2 else ""
                victim = self.start(run, 0, TRIB_CRASH=f"*:{index + 1}{how}")
                others = [self.start(run, client) for client in range(1, CLIENTS)]
                self.assertEqual(victim.wait(60 * SCALE), -signal.SIGKILL)
                victim.stdout.close()
                self.finish([self.start(run, 0), *others])
                self.check(run)
                self.assertEqual(run.status()["model"]["digest"], digest)

    def test_everybody_is_killed_at_random(self):
        draw = random.Random(int(os.environ.get("TRIB_SEED", "1")))
        versions = 12
        run = self.create("random", versions=versions)
        processes = [self.start(run, client) for client in range(CLIENTS)]
        kills = 0
        # Besides a new port, restarts have the one that the clients know.
        self.daemon.options = ("--listen", f"127.0.0.1:{self.daemon.port}")
        address = self.daemon.port
        deadline = time.monotonic() + 120 * SCALE
        while run.status()["state"] != "stopped" and time.monotonic() < deadline:
            time.sleep(draw.uniform(0.02, 0.3))
            victim = draw.randrange(CLIENTS + 1)
            if victim == CLIENTS:
                self.daemon.restart(signal.SIGKILL)
            elif processes[victim].poll() is None:
                processes[victim].kill()
                processes[victim].communicate()
                processes[victim] = self.start(run, victim, port=address)
            kills += 1
        self.assertGreater(kills, 0)  # on a busy machine starting takes most of the time
        self.finish(processes)
        self.check(run, versions)

    def test_fedcm_and_fedspeed_learn(self):
        for preset in ("fedcm", "fedspeed"):
            run = self.create(preset, preset)
            self.finish([self.start(run, client) for client in range(CLIENTS)])
            losses = [v["train"]["loss"] for v in run.get("/history").json()["versions"][1:]]
            self.assertEqual(len(losses), VERSIONS)
            self.assertLess(losses[-1], losses[0])
        momentum = read_safetensors(self.daemon.request(
            "GET", "/v1/runs/fedcm/versions/latest").body)["momentum.fc1.weight"]
        self.assertGreater(max(map(abs, momentum)), 0)

    def test_a_closed_population_lets_nobody_else_in(self):
        run = self.create("closed")
        for client in range(CLIENTS):
            run.join(f"dev-{client}")
        reply = self.daemon.request("PUT", f"{run.path}/clients/late", {"role": "trainer"})
        self.assertEqual((reply.status, reply.json()["code"]), (403, "forbidden"))
        self.assertIn("population", reply.json()["message"])
        run.join("judge", "evaluator")
        reply = self.daemon.request("PUT", f"{run.path}/clients/dev-0", {"role": "evaluator"})
        self.assertEqual(reply.status, 403)
        run.join("dev-0")

    def test_without_a_place_to_keep_it_says_so(self):
        run = self.create("bare")
        link = f"trib://{self.daemon.host}:{self.daemon.port}/bare"
        for client in (1, 2):
            run.join(f"dev-{client}").task()
        done = subprocess.run([TRIB, "join", link, "--client", "dev-0", "--data", str(self.data),
                               "--once"], capture_output=True, text=True, timeout=60 * SCALE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--state DIR", done.stderr)


if __name__ == "__main__":
    main()
