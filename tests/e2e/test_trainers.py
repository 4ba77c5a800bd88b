"""test_trainers.py - every native model trains live: made by the daemon, recognised by `trib join`."""
import os
import pathlib
import random
import re
import subprocess
import unittest

from harness import SCALE, TRIB, Daemon, main


def bars(path: pathlib.Path, rows: int, seed: int) -> None:
    """8 x 8 pictures of one upright or lying bar, label 0 or 1."""
    draw = random.Random(seed)
    with path.open("w") as table:
        for row in range(rows):
            at = draw.randrange(8)
            pixels = [16 if (i % 8 if row % 2 else i // 8) == at else 0 for i in range(64)]
            print(*pixels, row % 2, sep=",", file=table)


class Trainers(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.folder = pathlib.Path(self.daemon.directory)

    def join(self, run, client, data, *options):
        link = f"trib://{self.daemon.host}:{self.daemon.port}/{run.name}"
        return subprocess.Popen([TRIB, "join", link, "--client", client, "--data", data, *options],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def learn(self, spec, data, partition):
        """Two trainers and an evaluator until the run stops; its last metrics by version."""
        run = self.daemon.create({"name": "r", "evaluate": {"deadline": "30s"}, **spec})
        processes = [self.join(run, f"dev-{i}", data, "--part", f"{i}/2", "--partition", partition)
                     for i in range(2)]
        processes.append(self.join(run, "judge", data, "--role", "evaluator"))
        for process in processes:
            output, _ = process.communicate(timeout=120 * SCALE)
            self.assertEqual(process.returncode, 0, output)
        self.assertEqual(run.status()["state"], "stopped")
        return [record["record"]["metrics"] for record in run.ledger()
                if record["record"]["type"] == "evaluation"]

    def test_a_cnn_tells_upright_from_lying_bars(self):
        data = self.folder / "bars.csv"
        bars(data, 60, 1)
        measured = self.learn({
            "model": {"init": {"trainer": "cnn", "features": 64, "classes": 2, "hidden": [16]}},
            "strategy": {"quorum": 2}, "train": {"epochs": 2, "batch": 5, "lr": 0.05},
            "stop": {"versions": 4}}, str(data), "iid")
        self.assertGreater(measured[-1]["accuracy"], 0.9)

    def test_an_lstm_learns_what_its_roles_say(self):
        data = self.folder / "plays.tsv"
        with data.open("w") as table:
            for line in range(20):
                print("Play", ("ANN", "BOB")[line % 2], line, "to be or not to be", sep="\t",
                      file=table)
        measured = self.learn({
            "model": {"init": {"trainer": "lstm", "features": 80, "classes": 258,
                               "hidden": [24]}},
            "strategy": {"quorum": 2},
            "train": {"epochs": 15, "batch": 2, "optimizer": "sgd", "lr": 1.0},
            "stop": {"versions": 3}}, str(data), "natural")
        self.assertGreater(measured[-1]["accuracy"], 0.2)  # of 258 symbols
        self.assertLess(measured[-1]["loss"], 0.7 * measured[0]["loss"])

    def test_favano_calls_native_trainers_in_the_middle_of_their_work(self):
        data = self.folder / "bars.csv"
        bars(data, 60, 1)
        run = self.daemon.create({
            "name": "r", "model": {"init": {"trainer": "mlp", "features": 64, "classes": 2,
                                            "hidden": [8]}},
            "strategy": {"preset": "favano", "tick": "500ms", "fraction": 1.0},
            "train": {"steps": 1000000000, "batch": 5, "lr": 0.05}, "stop": {"versions": 4},
            "evaluate": {"every": 0}})
        processes = [self.join(run, f"dev-{i}", str(data), "--part", f"{i}/2") for i in range(2)]
        for process in processes:  # a task of all these steps would take days
            output, _ = process.communicate(timeout=120 * SCALE)
            self.assertEqual(process.returncode, 0, output)
            for steps in re.findall(r"trained .* steps=(\d+)", output):
                self.assertLess(int(steps), 1000000000)
        self.assertEqual(run.status()["version"], 4)

    def test_data_that_does_not_fit_is_said_in_words(self):
        data = self.folder / "bars.csv"
        bars(data, 10, 1)
        run = self.daemon.create({
            "name": "r", "model": {"init": {"trainer": "lstm", "features": 80, "classes": 258,
                                            "hidden": [4]}}, "strategy": {"quorum": 1}})
        process = self.join(run, "dev", str(data), "--once")
        output, _ = process.communicate(timeout=60 * SCALE)
        self.assertEqual(process.returncode, 1, output)
        self.assertIn("reads text", output)


if __name__ == "__main__":
    main()
