"""test_sum.py - sites agree on preprocessing: exact sums of what nobody shows alone."""
import json
import signal
import subprocess
import tempfile
import unittest

from harness import TRIB, Daemon, main, read_safetensors, safetensors, wait_for

SHAPES = {"age": [3], "age.bins": [4]}  # count, sum, sum of squares; a histogram
BINS = [30, 50, 70]


def statistics(ages):
    bins = [0] * 4
    for age in ages:
        bins[sum(age >= edge for edge in BINS)] += 1
    return safetensors({"age": ([3], [len(ages), sum(ages), sum(age * age for age in ages)]),
                        "age.bins": ([4], bins)})


SITES = {"mercy": [34, 51, 78, 29], "gray": [65, 66, 67], "west": [18, 93]}


class Sum(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def create(self, **strategy):
        return self.daemon.create({"name": "s", "model": {"init": {"zeros": SHAPES}},
                                   "strategy": {"preset": "sum", **strategy}})

    def test_the_sum_is_exact_and_has_everybody_once(self):
        run = self.create()
        clients = [run.join(site) for site in SITES]
        for client in clients:
            self.assertEqual(client.train_task()["version"], 0)
        self.assertEqual(read_safetensors(run.model(0).body),
                         {"age": [0.0] * 3, "age.bins": [0.0] * 4})
        for client in clients[:2]:
            reply = client.put("mine", statistics(SITES[client.name]), base=0, examples=1)
            self.assertEqual(reply.status, 200, reply.body)
        twice = clients[0].put("again", statistics([1]), base=0, examples=1)
        self.assertEqual((twice.status, twice.json()["code"]), (409, "conflict"))
        self.daemon.restart(signal.SIGKILL)
        self.assertEqual(run.version(), 0)  # two are not enough
        for client in clients:
            client.task()
        twice = clients[0].put("again", statistics([1]), base=0, examples=1)
        self.assertEqual(twice.status, 409)
        clients[2].put("mine", statistics(SITES["west"]), base=0, examples=1)
        wait_for(lambda: run.status()["state"] == "stopped")
        ages = [age for site in SITES.values() for age in site]
        self.assertEqual(run.model(1).body, run.model().body)
        self.assertEqual(read_safetensors(run.model().body), read_safetensors(statistics(ages)))

    def test_nothing_is_released_of_fewer(self):
        run = self.create(min_clients=2)
        client = run.join("mercy")
        client.put("mine", statistics([50]), base=0, examples=1)
        self.assertIn("1 more trainer", run.status()["waiting_for"])
        run.control("stop")
        wait_for(lambda: run.status()["state"] == "stopped")
        self.assertEqual(run.get("/versions/1").status, 404)
        self.assertEqual(client.fate("mine").json()["fate"], "dropped")

    def test_values_up_to_the_bound_are_taken_and_larger_ones_refused_whole(self):
        run = self.create(min_clients=1)
        client = run.join("mercy")
        most = safetensors({"age": ([3], [2.0 ** 24, -(2.0 ** 24), 0.5]), "age.bins": ([4], [0] * 4)})
        over = safetensors({"age": ([3], [2.0 ** 24 + 2, 0, 0]), "age.bins": ([4], [0] * 4)})
        refused = client.put("over", over, base=0, examples=1)
        self.assertEqual((refused.status, refused.json()["code"]), (422, "bound"))
        self.assertEqual(client.put("most", most, base=0, examples=1).status, 200)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(read_safetensors(run.model().body)["age"], [2.0 ** 24, -(2.0 ** 24), 0.5])

    def test_what_makes_no_sense_is_refused(self):
        for spec, words in (
                ({"strategy": {"preset": "sum", "quorum": 2}}, "strategy.quorum: only with"),
                ({"strategy": {"preset": "sum", "server": {"optimizer": "adam"}}}, "strategy.server"),
                ({"strategy": {"preset": "sum", "weights": "examples"}}, "strategy.weights"),
                ({"strategy": {"preset": "sum"}, "stop": {"versions": 2}}, "stop.versions"),
                ({"model": {"init": {"zeros": {}}}}, "model.init.zeros: must be"),
                ({"model": {"init": {"zeros": {"a": [1 << 20, 1 << 20]}}}}, "model.init.zeros")):
            with self.subTest(spec):
                reply = self.daemon.request("POST", "/v1/runs", {"name": "x", "model": {}, **spec},
                                            self.daemon.admin)
                self.assertEqual(reply.status, 400, reply.body)
                self.assertIn(words, reply.json()["message"])

    def test_trib_makes_the_run_from_a_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("name: y\nmodel: {init: {zeros: {age: [3], hist: [20]}}}\n"
                       "strategy: {preset: sum, min_clients: 2}\n")
            file.flush()
            subprocess.run([TRIB, "run", "create", file.name, "--url", self.daemon.url, "--token",
                            self.daemon.admin], check=True, capture_output=True)
        spec = json.loads(self.daemon.request("GET", "/v1/runs/y/spec").body)
        self.assertEqual(spec["model"]["delta_max"], 2.0 ** 24)
        self.assertEqual((spec["stop"]["versions"], spec["strategy"]["min_clients"]), (1, 2))


if __name__ == "__main__":
    main()
