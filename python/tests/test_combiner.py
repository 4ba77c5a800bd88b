"""test_combiner.py - a rule of one's own makes the versions: trib.combine(), and the example without it."""
import importlib.util
import os
import unittest
import unittest.mock

import support
from support import Daemon, in_background, main_or_skip, wait_for

import harness  # support knows where it is

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


# An update of 1, -2, 0.5, 0, 8, -4 in "w" and 3 in "b", in every way that it may be sent.
LAST = {"b": ([1], [3.0])}
VALUES = [1.0, -2.0, 0.5, 0.0, 8.0, -4.0]
HALVES = [0x3f80, 0xc000, 0x3f00, 0, 0x4100, 0xc080]  # the upper halves of these in F32
BODIES = {
    "F32": ("dense", {"w": ([2, 3], VALUES)}),
    "BF16": ("dense", {"w": ([2, 3], HALVES, "BF16")}),
    "F16": ("dense", {"w": ([2, 3], VALUES, "F16")}),
    "int8": ("int8", {"w": ([2, 3], [2, -4, 1, 0, 16, -8], "I8"), "w.scale": ([1], [0.5])}),
    "int8 in blocks": ("int8", {"w": ([2, 3], [1, -2, 1, 0, 8, -4], "I8"),
                                "w.scale": ([3], [1.0, 0.5, 1.0])}),
    "int8 of others": ("int8", {"w": ([2, 3], VALUES)}),
    "sparse I32": ("sparse", {"w.index": ([5], [0, 1, 2, 4, 5], "I32"),
                              "w.value": ([5], [1.0, -2.0, 0.5, 8.0, -4.0])}),
    "sparse U64": ("sparse", {"w.index": ([5], [0, 1, 2, 4, 5], "U64"),
                              "w.value": ([5], [0x3f80, 0xc000, 0x3f00, 0x4100, 0xc080], "BF16")}),
}


class Codecs(unittest.TestCase):
    """Whatever an update was sent as, the rule sees its numbers."""

    def setUp(self):
        self.daemon = harness.Daemon()
        self.addCleanup(self.daemon.close)
        self.run_ = self.daemon.create(
            {"name": "r", "stop": {"versions": 1}, "strategy": {
                "preset": "fedbuff", "goal": len(BODIES), "combiner": "external"}},
            harness.safetensors({"b": ([1], [0.0]), "w": ([2, 3], [0.0] * 6)}))
        for number, (codec, tensors) in enumerate(BODIES.values()):
            reply = self.run_.join(f"c{number}").put(
                "u", harness.safetensors({**tensors, **LAST}), base=0, examples=2,
                headers={"Tributary-Codec": codec})
            self.assertEqual(reply.status, 200, reply.body)
        reply = self.daemon.request("POST", "/v1/runs/r/tokens", {"scope": "merge"},
                                    self.daemon.admin)
        self.token, self.link = reply.json()["token"], reply.json()["link"]

    def check_updates(self, updates):
        for name, values in zip(BODIES, updates, strict=True):
            with self.subTest(name):
                self.assertEqual({tensor: [float(value) for value in values[tensor]]
                                  for tensor in values}, {"w": VALUES, "b": [3.0]})

    def test_combine_reads_every_codec(self):
        seen = []

        def rule(updates, weights):
            seen.extend({name: array.ravel().tolist() for name, array in update.items()}
                        for update in updates)
            for update in updates:
                self.assertEqual({(array.dtype.name, array.shape) for array in update.values()},
                                 {("float32", (2, 3)), ("float32", (1,))})
                update["w"] *= 2  # they are the rule's own
            return updates[0]

        self.assertEqual(trib.combine(self.link, rule), 1)
        self.check_updates(seen)
        made = harness.read_safetensors(self.run_.model().body)
        self.assertEqual(made["w"], [2 * value for value in VALUES])

    def test_the_example_without_packages_reads_every_codec(self):
        path = support.TOP / "examples/combiner/median.py"
        spec = importlib.util.spec_from_file_location("median", path)
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        seen = []

        def combine(updates, weights):
            seen.extend({name: list(values) for name, (_, values) in update.items()}
                        for update in updates)
            return updates[-1]

        with (unittest.mock.patch.dict(os.environ, {"TRIB_TOKEN": self.token}),
              unittest.mock.patch.object(example, "combine", combine),
              unittest.mock.patch("builtins.print")):
            example.serve(f"{self.daemon.url}/v1/runs/r")
        self.check_updates(seen)
        self.assertEqual(harness.read_safetensors(self.run_.model().body)["w"], VALUES)


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
        with self.assertRaisesRegex(trib.ModelError, r"returns w in the shape \[3\], .* \[2\]"):
            trib.combine(run.merge_link(), lambda updates, weights: {"w": [1, 2, 3]})
        with self.assertRaisesRegex(trib.ModelError, "returns v, which no update has; they have w"):
            trib.combine(run.merge_link(), lambda updates, weights: {"v": [1, 2]})
        with self.assertRaisesRegex(trib.InvalidError, "must return {name: array}, not list"):
            trib.combine(run.merge_link(), lambda updates, weights: updates)
        with self.assertRaisesRegex(trib.RefusedError, "scope merge"):
            trib.combine(run.link, median)
        with self.assertRaisesRegex(trib.InvalidError, "join link"):
            trib.combine("nowhere", median)
        self.assertEqual(trib.combine(run.merge_link(), median), 1)


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
