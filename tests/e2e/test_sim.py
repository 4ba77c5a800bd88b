"""test_sim.py - trib sim: the same bytes on any number of threads, the same versions as the daemon, words for mistakes."""
import hashlib
import json
import pathlib
import random
import subprocess
import tempfile
import unittest

from harness import TRIB, Daemon, Run, main, wait_for

ROWS, FEATURES, CLASSES = 240, 6, 3


def digits(folder):
    """Classes that a line tells apart, with some noise."""
    draw = random.Random(4)
    lines = []
    for row in range(ROWS):
        label = row % CLASSES
        values = [round(draw.gauss(2.0 if i == label else 0.0, 0.6), 4) for i in range(FEATURES)]
        lines.append(",".join(map(str, [*values, label])))
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Sim(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.data = digits(self.folder)

    def spec(self, name, strategy, **fields):
        """A spec in a file, as JSON, which is YAML too."""
        spec = {"name": name, "strategy": strategy,
                "model": {"init": {"trainer": "mlp", "seed": 3, "hidden": [8],
                                   "features": FEATURES, "classes": CLASSES}},
                "train": {"epochs": 1, "batch": 5, "lr": 0.1}, "stop": {"versions": 8},
                "evaluate": {"every": 2}, **fields}
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    def sim(self, *options, code=0):
        done = subprocess.run([TRIB, "sim", *map(str, options)], cwd=self.folder, text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def lines(self, *options):
        return [json.loads(line) for line in self.sim(*options, "--json", "-").splitlines()]

    def test_threads_change_no_byte(self):
        buff = self.spec("buff", {"preset": "fedbuff", "goal": 3, "concurrency": 5})
        average = self.spec("average", {"preset": "fedavg", "fraction": 0.5})
        for threads in ("1", "2"):
            self.sim(buff, average, "--data", self.data, "--clients", 12, "--speed",
                     "lognormal:20s,1", "--upload", "5kB", "--dropout", "0.1", "--threads", threads,
                     "--json", f"{threads}.json", "--plots", threads)
        self.assertEqual((self.folder / "1.json").read_bytes(), (self.folder / "2.json").read_bytes())
        plots = sorted(path.name for path in (self.folder / "1").iterdir())
        self.assertEqual(len(plots), 8)
        for plot in plots:
            picture = (self.folder / "1" / plot).read_text(encoding="utf-8")
            self.assertEqual(picture, (self.folder / "2" / plot).read_text(encoding="utf-8"))
            self.assertTrue(picture.startswith("<svg ") and picture.endswith("</svg>\n"))
            self.assertIn(">buff</text>", picture)
            self.assertIn(">average</text>", picture)

    def test_it_learns_and_says_so(self):
        spec = self.spec("learn", {"preset": "fedavg"}, stop={"target": 0.9, "versions": 60})
        *points, end = self.lines(spec, "--data", self.data, "--clients", 6)
        self.assertIn("reached the target", end["ending"])
        self.assertGreaterEqual(end["best_accuracy"], 0.9)
        self.assertEqual([point["version"] for point in points], list(range(len(points))))
        self.assertIn("learn", self.sim(spec, "--data", self.data, "--clients", 6))

    def both_ways(self, path, versions, sim_options=(), join_options=None):
        """Digests of the versions of four clients: simulated, and of real ones on a live daemon."""
        clients = 4
        parts = ("--data", self.data, "--partition", "dirichlet:1")
        simulated = [line["digest"] for line in self.lines(path, *parts, "--clients", clients,
                                                           *sim_options) if "digest" in line]
        daemon = Daemon()
        self.addCleanup(daemon.close)
        created = daemon.request("POST", "/v1/runs", path.read_bytes(), daemon.admin,
                                 headers={"Content-Type": "application/json"})
        self.assertEqual(created.status, 201, created.body)
        link, run = created.json()["join"], Run(daemon, path.stem)
        self.run_ = run
        people = [subprocess.Popen([TRIB, "join", link, "--client", f"c{i}", "--part",
                                    f"{i}/{clients}", *parts,
                                    *(join_options(i) if join_options else ())],
                                   stderr=subprocess.DEVNULL) for i in range(clients)]
        for person in people:
            self.addCleanup(person.wait)
            self.addCleanup(person.kill)
        wait_for(lambda: run.version() == versions, 60, f"{versions} versions")
        records = (line["record"] for line in run.ledger())
        return simulated, [record["model"] for record in records if record["type"] == "version"]

    def test_versions_are_those_of_the_daemon(self):
        path = self.spec("both", {"preset": "fedavg", "quorum": 4}, stop={"versions": 5})
        simulated, live = self.both_ways(path, 5)
        self.assertEqual(live, simulated)

    def test_attributes_select_and_set_as_on_the_daemon(self):
        path = self.spec("sites", {"preset": "fedavg", "quorum": 3, "weights": "attribute",
                                   "weight_attribute": "beds"}, stop={"versions": 5},
                         select={"never": {"site": "gray"}},
                         sites=[{"match": {"gpu": True}, "train": {"batch": 2, "epochs": 2}}])
        rows = ["site=mercy gpu=true beds=20", "site=gray beds=99", "site=west beds=30",
                "site=mercy gpu=false beds=50"]
        (self.folder / "clients.csv").write_text(
            "site,gpu,beds\nmercy,true,20\ngray,,99\nwest,,30\nmercy,false,50\n")
        simulated, live = self.both_ways(
            path, 5, ("--attributes", "trace:clients.csv"),
            lambda i: [word for row in rows[i].split() for word in ("--attribute", row)])
        self.assertEqual(live, simulated)
        plain = self.spec("plain", {"preset": "fedavg", "quorum": 3}, stop={"versions": 5})
        others = [line["digest"] for line in self.lines(plain, "--data", self.data, "--clients", 4,
                                                        "--partition", "dirichlet:1")
                  if "digest" in line]
        self.assertNotEqual(others[-1], live[-1])
        error = self.sim(path, "--data", self.data, "--attributes", "site=gray", code=2)
        self.assertIn("nobody of this population may be asked", error)

    def test_what_clients_keep_is_kept_in_a_simulation_too(self):
        for preset, more in (("fedcm", {}), ("scaffold", {"population": 4}), ("fedspeed", {}),
                             ("scaffold_m", {"population": 4})):
            with self.subTest(preset=preset):
                path = self.spec(preset, {"preset": preset, "quorum": 4, **more},
                                 stop={"versions": 5}, train={"epochs": 2, "batch": 5, "lr": 0.05})
                simulated, live = self.both_ways(
                    path, 5, join_options=lambda i: ("--state", self.folder / f"{preset}-{i}"))
                self.assertEqual(live, simulated)
        error = self.sim(path, "--data", self.data, "--clients", 6, code=2)
        self.assertIn("population 6 works", error)

    def test_clients_evaluate_on_rows_that_they_hold_out(self):
        path = self.spec("own", {"preset": "fedavg", "quorum": 4}, stop={"versions": 3},
                         evaluate={"on": ["clients"], "min_clients": 4})
        found = {}
        for percent in ("0", "25"):
            *points, end = self.lines(path, "--data", self.data, "--partition", "dirichlet:1",
                                      "--clients", 4, "--hold-out", percent)
            self.assertEqual(points[-1]["clients_reported"], 4)
            self.assertEqual(end["best_metric"], points[-1]["clients_accuracy"])
            found[percent] = points[-1]["clients_accuracy"], points[-1]["clients_loss"]
        self.assertNotEqual(found["0"], found["25"])
        simulated, live = self.both_ways(path, 3, ("--hold-out", "25"),
                                         lambda i: ("--hold-out", "25"))
        self.assertEqual(live, simulated)
        wait_for(lambda: self.run_.status()["state"] == "stopped", 60, "the last evaluation")
        reports = [record["record"] for record in self.run_.ledger()
                   if record["record"]["type"] == "evaluation" and record["record"]["version"] == 3]
        self.assertEqual(len(reports), 4)
        examples = sum(report["examples"] for report in reports)
        for metric, mean in zip(("accuracy", "loss"), found["25"]):
            total = sum(report["examples"] * report["metrics"][metric] for report in reports)
            self.assertAlmostEqual(total / examples, mean, places=9)

    def test_updates_may_be_compressed_and_cost_fewer_bytes(self):
        spec = self.spec("small", {"preset": "fedavg"}, stop={"versions": 25},
                         model={"init": {"trainer": "mlp", "seed": 3, "hidden": [64],
                                         "features": FEATURES, "classes": CLASSES}})
        options = (spec, "--data", self.data, "--clients", 6, "--upload", "10kB")
        ends, digests = {}, {}
        for codec in ("dense", "bf16", "f16", "int8", "sparse:0.1"):
            for threads in ("1", "2"):
                *points, end = self.lines(*options, "--codec", codec, "--threads", threads)
                found = [point["digest"] for point in points], end
                self.assertEqual(digests.setdefault(codec, found), found)
            ends[codec] = end
            self.assertGreater(end["best_accuracy"], 0.8, codec)
        self.assertEqual(len({str(found) for found, _ in digests.values()}), 5)
        dense = ends["dense"]
        for codec, part in (("bf16", 0.7), ("f16", 0.7), ("int8", 0.6), ("sparse:0.1", 0.6)):
            self.assertLess(ends[codec]["bytes_up"], part * dense["bytes_up"])
            self.assertLess(ends[codec]["time"], dense["time"])
            self.assertEqual(ends[codec]["bytes_down"], dense["bytes_down"])
        self.assertIn("int8[:BLOCK]", self.sim("--help"))
        self.assertIn("must be dense, bf16", self.sim(*options, "--codec", "int4", code=2))
        scaffold = self.spec("scaffold", {"preset": "scaffold", "population": 6})
        self.assertIn("dense works", self.sim(scaffold, *options[1:], "--codec", "int8", code=2))

    def test_the_last_version_is_saved_and_can_be_the_first(self):
        spec = self.spec("saved", {"preset": "fedavg"})
        points = self.lines(spec, "--data", self.data, "--clients", 4, "--save", "last.safetensors")
        last = (self.folder / "last.safetensors").read_bytes()
        self.assertEqual(hashlib.sha256(last).hexdigest(), points[-2]["digest"])
        again = self.lines(spec, "--data", self.data, "--clients", 4, "--init", "last.safetensors")
        self.assertEqual(again[0]["digest"], points[-2]["digest"])
        self.assertIn("none/last: cannot be written",
                      self.sim(spec, "--data", self.data, "--clients", 4, "--save", "none/last", code=1))

    def test_a_fleet_file_says_what_options_say(self):
        spec = self.spec("turns", {"preset": "fedbuff", "goal": 2, "concurrency": 4})
        (self.folder / "fleet.yaml").write_text("clients: 9\nspeed: lognormal:5s,1\ndropout: 0.2\n",
                                                encoding="utf-8")
        said = self.sim(spec, "--no-train", "--fleet", "fleet.yaml", "--json", "-")
        self.assertEqual(said, self.sim(spec, "--no-train", "--clients", 9, "--speed",
                                        "lognormal:5s,1", "--dropout", "0.2", "--json", "-"))
        self.assertNotEqual(said, self.sim(spec, "--no-train", "--fleet", "fleet.yaml", "--clients",
                                           8, "--json", "-"))

    def test_mistakes_have_their_place(self):
        spec = self.spec("wrong", {"preset": "fedbuff", "goal": 2})
        endless = self.spec("endless", {"preset": "fedbuff", "goal": 2}, stop={})
        (self.folder / "speed.csv").write_text("seconds\n3\nfast\n", encoding="utf-8")
        (self.folder / "there.csv").write_text("1,0,5\n1,4,9\n", encoding="utf-8")
        (self.folder / "fleet.yaml").write_text("speeed: 3s\n", encoding="utf-8")
        for options, words in (
                ((spec,), "give --data, or --no-train"),
                ((spec, "--no-train", "--work-fds", "3,4"), "leaves no room for"),
                ((spec, "--work-fds", "3"), "--work-fds: 3 is not two numbers"),
                ((spec, "--work-fds", "900,901"), "descriptor 900"),
                ((spec, "--work-fds", "3,4", "--per", "example"), "per: must be task or step"),
                ((spec, endless, "--no-train", "--save", "last"), "take one spec"),
                ((spec, "--no-train", "--speed", "lognrmal:3s,1"), "did you mean lognormal"),
                ((spec, "--no-train", "--speed", "trace:speed.csv"), "line 3, column 1"),
                ((spec, "--no-train", "--availability", "trace:there.csv"), "line 2, column 2"),
                ((spec, "--no-train", "--fleet", "fleet.yaml"), "did you mean speed"),
                ((spec, "--no-train", "--clients", "10000001"), "clients: 10000001"),
                ((spec, "--data", self.data, "--clients", 1000), "give --parts"),
                ((spec, "--data", self.data, "--partition", "natural"), "who brought which row"),
                ((endless, "--no-train"), "the run would never stop")):
            with self.subTest(words=words):
                self.assertIn(words, self.sim(*options, code=2))


if __name__ == "__main__":
    main()
