"""test_simulate.py - a fleet in virtual time that trains with a Python function."""
import os
import tempfile
import pathlib
import unittest
import warnings

from support import in_background, main_or_skip

try:
    import numpy as np
    import tributary as trib
except ImportError:
    main_or_skip("numpy", "tributary")

CLIENTS, FEATURES = 20, 3
TRUTH = np.array([1.0, -2.0, 0.5])


def make_data(seed=5):
    """20 clients with 5 to 24 rows each of a line with little noise."""
    draw = np.random.default_rng(seed)
    data = []
    for client in range(CLIENTS):
        x = draw.normal(size=(5 + client, FEATURES))
        data.append((x, x @ TRUTH + 0.01 * draw.normal(size=len(x))))
    return data


DATA = make_data()


def step(client, w, lr):
    """One step of gradient descent on half the mean squared error, in double precision."""
    x, y = DATA[client]
    return w - lr * x.T @ (x @ w - y) / len(y)


def train(client, state, settings):
    x, y = DATA[client]
    w = step(client, state["w"].astype(np.float64), settings["lr"])
    return {"w": w.astype(np.float32)}, len(y), {"loss": float(np.mean((x @ w - y) ** 2))}


def evaluate(state):
    x, y = (np.concatenate(part) for part in zip(*DATA, strict=True))
    return {"loss": float(np.mean((x @ state["w"] - y) ** 2))}


def zeros():
    return {"w": np.zeros(FEATURES, np.float32)}


def spec(strategy, versions, **fields):
    return {"name": "line", "strategy": strategy, "train": {"lr": 0.3},
            "stop": {"versions": versions}, **fields}


FEDAVG = {"preset": "fedavg", "fraction": 1.0}
FEDBUFF = {"preset": "fedbuff", "goal": 1, "concurrency": 1}


class Simulations(unittest.TestCase):
    def test_fedavg_is_the_weighted_mean_of_all_clients(self):
        rows, state = trib.simulate(spec(FEDAVG, 40, evaluate={"every": 10}), train, model=zeros(),
                                    clients=CLIENTS, evaluate=evaluate, like="numpy",
                                    speed="uniform:5s,1m")
        examples = np.array([len(y) for _, y in DATA])
        w = np.zeros(FEATURES)
        for _ in range(40):
            w = examples @ np.array([step(client, w, 0.3) for client in range(CLIENTS)])
            w /= examples.sum()
        np.testing.assert_allclose(state["w"], w, rtol=0, atol=1e-6)
        self.assertEqual([row["version"] for row in rows], list(range(41)))
        self.assertEqual({row["updates"] for row in rows[1:]}, {CLIENTS})
        scored = {row["version"]: row["evaluation_loss"] for row in rows if "evaluation_loss" in row}
        self.assertEqual(sorted(version for version in scored if version > 0), [10, 20, 30, 40])
        self.assertAlmostEqual(scored[40], evaluate({"w": w})["loss"], places=6)
        self.assertLess(scored[40], 0.001)
        self.assertGreater(rows[1]["train_loss"], rows[40]["train_loss"])
        self.assertGreater(rows[40]["seconds"], rows[1]["seconds"])

    def test_fedbuff_adds_the_updates_in_virtual_time(self):
        told = []

        def noting(client, state, settings):
            told.append(client)
            return train(client, state, settings)

        rows, state = trib.simulate(spec(FEDBUFF, 60), noting, model=zeros(), clients=CLIENTS,
                                    like="numpy", seed=3)
        w = np.zeros(FEATURES)
        for client in told[:60]:
            w = step(client, w, 0.3)
        np.testing.assert_allclose(state["w"], w, rtol=0, atol=1e-5)
        self.assertEqual(len(rows), 61)
        self.assertGreater(len(set(told)), 1)

    def test_stale_updates_of_a_fleet_lead_there_too(self):
        strategy = {"preset": "fedbuff", "goal": 4, "concurrency": 10}
        rows, state = trib.simulate(spec(strategy, 150), train, model=zeros(), clients=CLIENTS,
                                    like="numpy", speed="lognormal:30s,1", dropout=0.05)
        np.testing.assert_allclose(state["w"], TRUTH, atol=0.02)
        self.assertGreater(max(row["staleness"] for row in rows), 1)

    def test_the_same_seed_gives_the_same_bytes_another_does_not(self):
        def digests(seed):
            rows, _ = trib.simulate(
                spec({"preset": "fedbuff", "goal": 3, "concurrency": 8}, 12), train, model=zeros(),
                clients=CLIENTS, speed="lognormal:30s,1", jitter="lognormal:1,0.5", seed=seed)
            return [row["digest"] for row in rows]

        first = digests(1)
        self.assertEqual(len(set(first)), 13)
        self.assertEqual(digests(1), first)
        self.assertNotEqual(digests(2), first)

    def test_a_delta_is_added_as_it_is(self):
        third = np.array([1 / 3, 0, 2 ** -30], np.float32)

        def shift(client, state, settings):
            state["w"][:] = np.nan  # its own memory
            return trib.Delta(w=third), 1, None

        _, state = trib.simulate(spec(FEDBUFF, 1), shift, model={"w": np.full(3, 4, np.float32)},
                                 clients=1, like="numpy")
        np.testing.assert_array_equal(state["w"], np.float32(4) + third)

    def test_frozen_tensors_come_and_are_not_wanted_back(self):
        fields = {"model": {"tensors": [{"match": "base", "role": "freeze"}]}}

        def shift(client, state, settings):
            self.assertEqual((sorted(state), settings), (["base", "w"], {"lr": 0.3}))
            return {"w": state["w"] + state["base"]}, 1, {}

        model = {"w": np.zeros(2, np.float32), "base": np.ones(1, np.float32)}
        _, state = trib.simulate(spec(FEDBUFF, 2, **fields), shift, model=model, clients=1,
                                 like="numpy")
        np.testing.assert_array_equal(state["w"], 2)
        np.testing.assert_array_equal(state["base"], 1)

    def test_a_spec_may_be_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "line.yaml")
            path.write_text("name: line\ntrain: {lr: 0.3}\nstop: {versions: 3}\n")
            rows, _ = trib.simulate(path, train, model=zeros(), clients=CLIENTS)
        self.assertEqual(rows[-1]["version"], 3)


def median(updates, weights):
    return {name: np.median([update[name] for update in updates], axis=0) for name in updates[0]}


class Combining(unittest.TestCase):
    """The rule for a live daemon (trib.combine) makes the versions of a simulation, too."""

    STRATEGY = {"preset": "fedavg", "fraction": 1.0, "combiner": "external"}

    def simulate(self, rule, function=train, **options):
        return trib.simulate(spec(self.STRATEGY, options.pop("versions", 5)), function,
                             model=zeros(), clients=CLIENTS, combine=rule, like="numpy", **options)

    def test_versions_are_what_the_rule_makes_of_all_updates(self):
        weights_seen = []

        def rule(updates, weights):
            weights_seen.append(weights)
            return median(updates, weights)

        rows, state = self.simulate(rule)
        w = np.zeros(FEATURES, np.float32)
        for _ in range(5):
            trained = [step(client, w.astype(np.float64), 0.3) for client in range(CLIENTS)]
            deltas = [target.astype(np.float32) - w for target in trained]
            w = w + np.median(deltas, axis=0).astype(np.float32)
        np.testing.assert_array_equal(state["w"], w)
        # in order of the clients' names: c0, c1, c10, c11, ...
        names = sorted(f"c{client}" for client in range(CLIENTS))
        self.assertEqual(weights_seen, [[len(DATA[int(name[1:])][1]) for name in names]] * 5)
        self.assertEqual({row["updates"] for row in rows[1:]}, {CLIENTS})

    def test_the_weighted_mean_is_what_the_daemon_would_have_made(self):
        def mean(updates, weights):
            return {"w": np.average([update["w"] for update in updates], axis=0, weights=weights)}

        _, state = self.simulate(mean)
        _, summed = trib.simulate(spec(FEDAVG, 5), train, model=zeros(), clients=CLIENTS,
                                  like="numpy")
        np.testing.assert_allclose(state["w"], summed["w"], rtol=0, atol=1e-6)

    def test_the_same_seed_gives_the_same_bytes(self):
        def digests(seed):
            strategy = {"preset": "fedbuff", "goal": 3, "concurrency": 8, "combiner": "external"}
            rows, _ = trib.simulate(spec(strategy, 12), train, model=zeros(), clients=CLIENTS,
                                    combine=median, speed="lognormal:30s,1", seed=seed)
            return [row["digest"] for row in rows]

        self.assertEqual(digests(1), digests(1))
        self.assertNotEqual(digests(1), digests(2))

    def test_it_is_the_rule_of_a_live_daemon(self):
        """Three real clients, a daemon and trib.combine() make the digests that were foretold."""
        fields = {"name": "line", "train": {"lr": 0.3}, "stop": {"versions": 4},
                  "strategy": {"preset": "fedavg", "fraction": 1.0, "quorum": 3,
                               "combiner": "external"}}
        rows, _ = trib.simulate(fields, train, model=zeros(), clients=3, combine=median)

        def take_part(client):
            with trib.join(run.link, f"c{client}") as joined:
                for task in joined:
                    trained, examples, _ = train(client, task.weights("numpy"), task.settings)
                    task.submit(trained, examples=examples)

        with trib.serve() as server:
            run = server.create(fields, zeros())
            for client in range(3):
                in_background(lambda client=client: take_part(client))
            self.assertEqual(trib.combine(run.merge_link(), median), 4)
            self.assertEqual([row["digest"] for row in run.history()],
                             [row["digest"] for row in rows])

    def test_mistakes_of_a_rule_are_told(self):
        with self.assertRaises(ZeroDivisionError):
            self.simulate(lambda updates, weights: 1 / 0)
        with self.assertRaisesRegex(trib.ModelError, r"returns w in the shape \[2\]"):
            self.simulate(lambda updates, weights: {"w": np.zeros(2)})
        with self.assertRaisesRegex(trib.TributaryError, "what version 1 is made of: tensor w: value 0"):
            self.simulate(lambda updates, weights: {"w": np.full(3, np.nan)})
        with self.assertRaisesRegex(trib.InvalidError, "strategy.combiner: external, and nobody"):
            self.simulate(None)
        with self.assertRaisesRegex(trib.InvalidError, "strategy.combiner: sum leaves nothing"):
            trib.simulate(spec(FEDAVG, 1), train, model=zeros(), combine=median)


class Mistakes(unittest.TestCase):
    def simulate(self, function=train, fields=None, **options):
        return trib.simulate(fields or spec(FEDBUFF, 3), function,
                             **{"model": zeros(), "clients": CLIENTS, **options})

    def test_an_exception_of_a_function_is_the_callers(self):
        count = 0

        def fail(client, state, settings):
            nonlocal count
            count += 1
            if count == 2:
                raise BrokenPipeError("my own pipe")  # not taken for the program's
            return train(client, state, settings)

        before = len(os.listdir("/proc/self/fd"))
        with self.assertRaisesRegex(BrokenPipeError, "my own pipe"):
            self.simulate(fail)
        self.assertEqual(count, 2)
        with self.assertRaisesRegex(KeyError, "no such metric"):
            self.simulate(evaluate=lambda state: {}["no such metric"])
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_answers_that_do_not_fit_are_told(self):
        for trained, examples, message in [
                ({"w": np.zeros(2, np.float32)}, 1, r"tensor w: shape \[2\]"),
                ({"v": np.zeros(3, np.float32)}, 1, "the run.s model has w, the one given has not"),
                ({"w": np.array([0, np.nan, 0])}, 1,
                 "client [0-9]+ on version 0: tensor w: value 1 .* diverged"),
                (zeros(), 0, "examples must be a whole number"), (3, 1, "a mapping of names")]:
            with self.subTest(message):
                with self.assertRaisesRegex((ValueError, TypeError), message):
                    self.simulate(lambda *_, t=trained, e=examples: (t, e, None))
        with self.assertRaisesRegex(trib.InvalidError, "must return .*, not dict"):
            self.simulate(lambda *_: zeros())

    def test_unknown_options_name_the_nearest(self):
        with self.assertRaisesRegex(trib.InvalidError, "^fleet.json: speeed: .*did you mean speed"):
            self.simulate(speeed="10s")
        with self.assertRaisesRegex(trib.InvalidError, "speed"):
            self.simulate(speed="fast")
        with self.assertRaisesRegex(trib.InvalidError, "per: must be task or step"):
            self.simulate(per="example")

    def test_a_spec_that_cannot_work_is_told(self):
        with self.assertRaisesRegex(trib.InvalidError, "^spec.json: the run would never stop"):
            self.simulate(fields={"name": "endless"})
        with self.assertRaisesRegex(trib.InvalidError, "strategy.goal"):
            self.simulate(fields=spec({"preset": "fedbuff", "goal": -1}, 3))

    def test_a_program_that_dies_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "trib")
            program.write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
            program.chmod(0o755)
            with self.assertRaisesRegex(trib.TributaryError, "no luck"):
                self.simulate(program=str(program))

    def test_a_run_that_cannot_end_is_a_warning(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows, _ = self.simulate(fields=spec({"preset": "fedavg", "quorum": 50}, 3))
        self.assertEqual([row["version"] for row in rows], [0])
        self.assertEqual(len(caught), 1)
        self.assertRegex(str(caught[0].message), "has not come to its end: nothing more can happen")


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
