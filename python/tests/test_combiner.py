"""test_combiner.py - a rule of one's own makes the versions: trib.combine()."""
import unittest

from support import Daemon, in_background, main_or_skip, wait_for

try:
    import numpy as np
    import tributary as trib
except ImportError:
    main_or_skip("numpy", "tributary")


def train(link, name, change):
    with trib.join(link, name) as client:
        for task in client:
            weights = task.weights("numpy")
            for value in weights.values():
                value += change
            task.submit(weights, examples=4)


def median(updates, weights):
    return {name: np.median([update[name] for update in updates], axis=0) for name in updates[0]}


class Combining(Daemon):
    def create_external(self, model, **stop):
        return self.create(model, stop=stop, evaluate={"every": 0}, strategy={
            "quorum": 3, "deadline": "30s", "combiner": "external"})

    def start(self, run, changes=(1, 2, 16)):
        for name, change in zip("abc", changes):
            in_background(lambda name=name, change=change: train(run.link, name, change))

    def test_the_median_of_three_clients_until_the_run_ends(self):
        run = self.create_external({"w": np.zeros((2, 3), np.float32), "b": np.float32(1)},
                                   versions=3)
        self.start(run)
        self.assertEqual(trib.combine(run.merge_link("robust"), median), 3)
        model = run.model(like="numpy")
        np.testing.assert_array_equal(model["w"], np.full((2, 3), 6))
        self.assertEqual(model["b"], 7)

    def test_weights_and_views_are_those_of_the_updates(self):
        run = self.create_external({"w": np.zeros(2, np.float32)}, versions=1)
        self.start(run)
        seen = []

        def rule(updates, weights):
            seen.append(([update["w"].tolist() for update in updates], weights))
            return updates[1]

        self.assertEqual(trib.combine(run.merge_link(), rule), 1)
        self.assertEqual(seen, [([[1, 1], [2, 2], [16, 16]], [4, 4, 4])])
        np.testing.assert_array_equal(run.model(like="numpy")["w"], 2)

    def test_it_goes_on_when_the_daemon_comes_back(self):
        run = self.create_external({"w": np.zeros(2, np.float32)}, versions=2)
        link = run.merge_link()
        made = []
        worker = in_background(lambda: made.append(trib.combine(link, median)))
        self.server.kill()
        self.server.start()
        self.start(run)
        worker.join(60)
        self.assertEqual(made, [2])

    def test_what_cannot_be_is_said(self):
        run = self.create_external({"w": np.zeros(2, np.float32)}, versions=1)
        self.start(run)
        wait_for(lambda: "combiner" in run.status()["waiting_for"])
        with self.assertRaisesRegex(trib.RefusedError, "nonfinite"):
            trib.combine(run.merge_link(), lambda updates, weights: {"w": [np.nan, 0]})
        with self.assertRaises(ZeroDivisionError):
            trib.combine(run.merge_link(), lambda updates, weights: 1 / 0)
        with self.assertRaisesRegex(trib.RefusedError, "scope merge"):
            trib.combine(run.link, median)
        with self.assertRaisesRegex(trib.InvalidError, "join link"):
            trib.combine("nowhere", median)
        self.assertEqual(trib.combine(run.merge_link(), median), 1)


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
