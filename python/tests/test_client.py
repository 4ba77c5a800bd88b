"""test_client.py - joining, tasks, answers, and everything that can go wrong on the way."""
import itertools
import os
import pathlib
import signal
import threading
import time
import tracemalloc
import unittest
import warnings

import support
from support import SCALE, Daemon, Road, in_background, main_or_skip, wait_for

try:
    import numpy as np
    import tributary as trib
except ImportError:
    main_or_skip("numpy", "tributary")


def small():
    return {"bias": np.zeros(2, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


class FourLines(Daemon):
    def test_the_four_lines_survive_a_daemon_that_is_killed_in_the_middle(self):
        run = self.create(small(), stop={"versions": 40})

        def kill():
            wait_for(lambda: run.version >= 10)
            self.server.kill()
            time.sleep(0.2)
            self.server.start()

        killer = in_background(kill)
        trained = 0
        with trib.join(run.link, "a") as client:
            for task in client:
                weights = task.weights()
                weights["bias"] += task.lr
                task.submit(weights, examples=10, metrics={"loss": 1 / (1 + task.version)})
                trained += 1
        killer.join()
        self.assertEqual(client.stop_reason, "run stopped: 40 versions")
        self.assertEqual(trained, 40)
        # Each version has exactly one update, and every update is in the sum.
        self.assertEqual([row["updates"] for row in run.history()], [0] + [1] * 40)
        np.testing.assert_array_equal(run.model(like="numpy")["bias"], [20, 20])
        self.assertEqual(run.history()[4]["train_loss"], 0.25)

    def test_a_task_says_what_it_is(self):
        run = self.create(small(), train={"lr": 0.25, "epochs": 2, "batch": 8, "flavour": "mild"})
        with self.join(run) as client:
            task = client.next()
            self.assertEqual((task.kind, task.id, task.version, task.global_step),
                             ("train", "0.0", 0, 0))
            self.assertEqual((task.steps, task.epochs, task.batch, task.lr), (None, 2, 8, 0.25))
            self.assertEqual(task.settings["flavour"], "mild")
            self.assertGreater(task.expected_by, time.monotonic())
            self.assertIn("train task 0.0", repr(task))
            task.decline()

    def test_clients_without_a_name_are_different_clients(self):
        run = self.create(small(), strategy={"quorum": 2})
        with trib.join(run.link) as one, trib.join(run.link) as other:
            self.assertNotEqual(one.name, other.name)
            self.assertEqual(run.status()["clients"]["joined"], 2)

    def test_a_daemon_restarted_with_its_data_knows_its_clients(self):
        run = self.create(small())
        client = self.join(run)
        task = client.next()
        self.server.stop()
        self.server.start()
        task.submit(task.weights(), examples=1)
        self.assertEqual(client.next().version, 1)
        client.close()


class Weights(Daemon):
    def test_weights_are_views_that_stay_when_the_client_goes_on(self):
        run = self.create(small())
        with self.join(run) as client:
            first = client.next()
            weights = first.weights("numpy")
            self.assertFalse(weights["weight"].flags.owndata)
            self.assertEqual(weights["weight"].ctypes.data % 4, 0)
            weights["bias"] += 1
            first.submit(weights, examples=1)
            second = client.next()
            again = second.weights("numpy")
            weights["bias"] += 5  # an old view changes nothing that anybody else sees
            np.testing.assert_array_equal(again["bias"], [1, 1])
            np.testing.assert_array_equal(second.weights("numpy")["bias"], [1, 1])
            second.submit(again, examples=1)
        np.testing.assert_array_equal(weights["bias"], [6, 6])
        np.testing.assert_array_equal(weights["weight"], small()["weight"])

    def test_shapes_of_all_kinds_come_and_go(self):
        model = {"scalar": np.float32(3), "none": np.zeros((0, 4), np.float32),
                 "deep": np.ones((1, 2, 1, 3), np.float32)}
        run = self.create(model)
        with self.join(run) as client:
            task = client.next()
            weights = task.weights("numpy")
            self.assertEqual({name: value.shape for name, value in weights.items()},
                             {"scalar": (), "none": (0, 4), "deep": (1, 2, 1, 3)})
            weights["deep"] *= 2
            task.submit(weights, examples=1)
            np.testing.assert_array_equal(client.next().weights("numpy")["deep"], 2)

    def test_names_need_not_be_plain(self):
        run = self.create({'sch\u00f6n "und" gut\\': np.zeros(3, np.float32)})
        with self.join(run) as client:
            task = client.next()
            task.submit({name: value + 1 for name, value in task.weights("numpy").items()},
                        examples=1)
            wait_for(lambda: run.version == 1)

    def test_float32_is_sent_from_where_it_lies(self):
        """No copy of a tensor in Python, neither coming nor going."""
        count = 4 << 20  # 16 MiB
        trained = np.ones(count, np.float32)
        run = self.create({"w": np.zeros(count, np.float32)})
        with self.join(run) as client:
            task = client.next()
            weights = task.weights("numpy")
            del weights
            tracemalloc.start()
            support.reset_resident_peak()
            before = support.resident_peak_bytes()
            task.submit({"w": trained}, examples=1)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            grown = support.resident_peak_bytes() - before
        most = trained.nbytes / 2 if support.IS_PURE else 1 << 20  # NumPy's pieces, and one mask
        self.assertLess(peak, most)
        self.assertLess(grown, trained.nbytes / 2)


class Arrays(Daemon):
    """What can be submitted, and what is refused before a byte is sent."""

    def setUp(self):
        super().setUp()
        self.run_ = self.create(small())
        self.client = self.join(self.run_)
        self.task = self.client.next()

    def counted(self):
        wait_for(lambda: self.run_.version == 1)
        return {name: value - small()[name]
                for name, value in self.run_.model(like="numpy").items()}

    def refused(self, pattern, model, kind=trib.ModelError):
        with self.assertRaisesRegex(kind, pattern):
            self.task.submit(model, examples=1)
        status = self.run_.status()
        self.assertEqual((status["version"], status["refused"]), (0, {}))

    def test_arrays_of_other_layouts_and_floats_are_converted(self):
        weight = np.asfortranarray(small()["weight"].astype(np.float64) + 1)
        bias = np.arange(8, dtype=np.float16)[::4]  # 0, 4
        self.task.submit({"weight": weight, "bias": bias, "more": np.ones(3)}, examples=1)
        delta = self.counted()
        np.testing.assert_array_equal(delta["weight"], 1)
        np.testing.assert_array_equal(delta["bias"], [0, 4])

    def test_unaligned_and_swapped_memory_is_converted(self):
        odd = np.frombuffer(b"x" + np.ones(2, np.float32).tobytes(), np.uint8)[1:].view(np.float32)
        self.assertFalse(odd.flags.aligned)
        weight = (small()["weight"] + 1).astype(">f4")
        self.task.submit({"weight": weight, "bias": odd}, examples=1)
        delta = self.counted()
        np.testing.assert_array_equal(delta["bias"], 1)
        np.testing.assert_array_equal(delta["weight"], 1)

    def test_dlpack_is_enough(self):
        class Foreign:
            def __init__(self, array):
                self.array = array
                self.shape = array.shape

            def __dlpack__(self, **options):
                return self.array.__dlpack__()

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        self.task.submit({name: Foreign(value + 1) for name, value in small().items()}, examples=1)
        np.testing.assert_array_equal(self.counted()["weight"], 1)

    def test_dlpack_on_another_device_is_refused(self):
        class Far:
            shape = (2,)

            def __dlpack_device__(self):
                return 2, 0  # CUDA

            def __dlpack__(self, **options):
                raise AssertionError("the memory of a device was asked for")

        self.refused(r"tensor bias: bring it to the CPU first \(DLPack's device 2\)",
                     {**small(), "bias": Far()})
        Far.__array__ = lambda array, *dtype, **options: np.full(2, 3, np.float32)
        self.task.submit({**small(), "bias": Far()}, examples=1)  # it knows how to come over
        np.testing.assert_array_equal(self.counted()["bias"], 3)

    def test_wrappers_of_models_are_looked_through(self):
        self.task.submit({f"module.{name}": value + 1 for name, value in small().items()},
                         examples=1)
        np.testing.assert_array_equal(self.counted()["weight"], 1)

    def test_a_missing_tensor_is_named_with_the_nearest_one(self):
        self.refused("the run's model has weight, the one given has not; did you mean wieght",
                     {"bias": np.zeros(2, np.float32), "wieght": np.zeros((2, 3), np.float32)})

    def test_another_shape_is_named(self):
        self.refused(r"tensor weight: shape \[3, 2\], the run's model has \[2, 3\]",
                     {**small(), "weight": np.zeros((3, 2), np.float32)})

    def test_integers_are_refused(self):
        self.refused("tensor bias: dtype int64, the run trains floats",
                     {**small(), "bias": np.zeros(2, np.int64)})

    def test_nan_is_refused_with_the_name_of_its_tensor(self):
        bad = small()
        bad["weight"][1, 1] = np.nan
        self.refused("tensor weight: value 4 is not a finite number", bad)
        bad["weight"][1, 1] = np.inf
        self.refused("tensor weight: value 4 is not a finite number", bad)

    def test_what_is_no_model_is_refused(self):
        self.refused("a model with state_dict", [1, 2], TypeError)

    def test_metrics_and_examples_are_checked(self):
        for arguments, pattern in (
                ({"examples": 0}, "examples must be a whole number"),
                ({"examples": 1.5}, "examples must be a whole number"),
                ({"examples": 2**53 + 1}, "examples must be a whole number"),
                ({"examples": 1, "metrics": {"loss": float("nan")}}, "metric loss is nan"),
                ({"examples": 1, "metrics": {f"m{i}": 1 for i in range(33)}}, "33 in "),
                ({"examples": 1, "metrics": {"m" * 1100: 1}}, "at most 32 in 1024")):
            with self.assertRaisesRegex(trib.InvalidError, pattern):
                self.task.submit(small(), **arguments)
        self.assertEqual(self.run_.version, 0)

    def test_a_model_that_changes_between_tasks_is_refused(self):
        self.task.submit(small(), examples=1)
        task = self.client.next()
        with self.assertRaisesRegex(trib.ModelError, "changed since the last task: extra"):
            task.submit({**small(), "extra": np.zeros(1)}, examples=1)
        task.submit({**small(), "count": np.int64(3)}, examples=1)  # counters may come and go

    def test_a_task_is_answered_once_and_in_kind(self):
        with self.assertRaisesRegex(trib.InvalidError, "is to train"):
            self.task.report({"accuracy": 1}, examples=1)
        self.task.submit(small(), examples=1)
        with self.assertRaisesRegex(trib.InvalidError, "answered already"):
            self.task.submit(small(), examples=1)


class Roles(Daemon):
    def test_frozen_tensors_come_and_are_not_asked_for(self):
        run = self.create(small(), model={"tensors": [{"match": "weight", "role": "freeze"}]})
        with self.join(run) as client:
            task = client.next()
            self.assertEqual(set(task.weights("numpy")), {"bias", "weight"})
            self.assertEqual(task.frozen, {"weight"})
            task.submit({"bias": np.ones(2)}, examples=1)
            wait_for(lambda: run.version == 1)

    def test_local_tensors_stay_at_home(self):
        model = {**small(), "head": np.ones(4, np.float32), "batches": np.int64(7)}
        run = self.create(model, model={"tensors": [{"match": "head", "role": "local"}]})
        with self.join(run) as client:
            task = client.next()
            self.assertEqual(set(task.weights("numpy")), {"bias", "weight"})
            task.submit(model, examples=1)
            wait_for(lambda: run.version == 1)

    def test_evaluators_report(self):
        run = self.create(small(), evaluate={"metric": "score"})
        with self.join(run, "judge", role="evaluator") as judge, self.join(run, "t") as trainer:
            for score in (0.25, 0.75):
                task = trainer.next()
                task.submit(task.weights(), examples=1)
                wait_for(lambda: run.version == task.version + 1)
                verdict = judge.next()
                self.assertEqual((verdict.kind, verdict.version), ("evaluate", run.version))
                self.assertEqual(set(verdict.weights("numpy")), {"bias", "weight"})
                with self.assertRaisesRegex(trib.InvalidError, "at least one"):
                    verdict.report({}, examples=1)
                with self.assertRaisesRegex(trib.InvalidError, "is to evaluate"):
                    verdict.submit(small(), examples=1)
                verdict.report({"score": score}, examples=5)
        wait_for(lambda: run.status()["evaluated"]["version"] == 2)
        self.assertEqual(run.status()["best"]["value"], 0.75)
        self.assertEqual(run.history()[1]["evaluation_score"], 0.25)


class Privacy(Daemon):
    def submit(self, run, **options):
        with self.join(run, **options) as client:
            task = client.next()
            task.submit({name: value + 3 for name, value in task.weights("numpy").items()},
                        examples=1)
            wait_for(lambda: run.version == task.version + 1)
        after = run.model(like="numpy")
        before = run.model(task.version, like="numpy")
        return np.concatenate([(after[name] - before[name]).ravel() for name in sorted(after)])

    def test_an_update_is_clipped_to_a_norm(self):
        run = self.create({"a": np.zeros(8, np.float32), "b": np.zeros(8, np.float32)})
        delta = self.submit(run, clip=2.0)
        self.assertAlmostEqual(float(np.linalg.norm(delta)), 2.0, 5)
        np.testing.assert_allclose(delta, 0.5)
        np.testing.assert_array_equal(self.submit(run, clip=1e6), 3)

    def test_noise_has_its_deviation_and_its_seed(self):
        run = self.create({"a": np.zeros(20000, np.float32)})
        noise = self.submit(run, noise=0.5, seed=7) - 3
        self.assertAlmostEqual(float(noise.std()), 0.5, 1)
        self.assertAlmostEqual(float(noise.mean()), 0.0, 1)
        other = self.create({"a": np.zeros(20000, np.float32)}, name="other")
        np.testing.assert_array_equal(self.submit(other, noise=0.5, seed=7) - 3, noise)
        third = self.create({"a": np.zeros(20000, np.float32)}, name="third")
        self.assertFalse(np.array_equal(self.submit(third, noise=0.5, seed=8) - 3, noise))

    def test_arguments_are_checked(self):
        for options in ({"clip": 0.0}, {"clip": float("nan")}, {"noise": -1.0}):
            with self.assertRaises(trib.InvalidError):
                trib.join("trib://127.0.0.1:1/r", "a", **options)


class Leaving(Daemon):
    def test_an_error_in_training_gives_the_task_back(self):
        run = self.create(small(), strategy={"fraction": 0.5, "quorum": 1})
        clients = [self.join(run, name) for name in ("a", "b")]
        asked = clients[0], clients[1]
        task = []
        threads = [in_background(lambda client=client: task.append((client, client.next())))
                   for client in asked]
        wait_for(lambda: task)
        first, held = task[0]
        with self.assertRaisesRegex(trib.ModelError, "not a finite"), first:
            held.submit({name: value * np.nan for name, value in held.weights("numpy").items()},
                        examples=1)
        wait_for(lambda: len(task) == 2, what="the other is asked")
        self.assertEqual(task[1][1].version, 0)
        for thread in threads:
            thread.join()

    def test_a_task_that_is_forgotten_is_declined_with_a_warning(self):
        run = self.create(small(), lease="1s")
        with self.join(run) as client:
            client.next()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                task = client.next()
            self.assertIn("task 0.0 was not answered", str(caught[0].message))
            task.decline("no data")
            task.decline("once more")

    def test_a_closed_client_says_so(self):
        client = self.join(self.create(small()))
        task = client.next()
        client.close()
        client.close()
        with self.assertRaisesRegex(trib.InvalidError, "the client is closed"):
            task.submit(small(), examples=1)

    def test_a_client_that_is_dropped_ends_its_thread(self):
        client = trib.join(self.create(small()).link, "a")
        thread = client._link._thread
        client.next().submit(small(), examples=1)
        del client
        thread.join(5 * SCALE)
        self.assertFalse(thread.is_alive())


class Lease(Daemon):
    def test_the_lease_is_renewed_while_training_goes_on(self):
        run = self.create(small(), strategy={"fraction": 0.5, "quorum": 1}, lease="1s")
        progress = []

        def watch():
            for event in run.watch():
                if event.get("what") == "training":
                    progress.append(event["done"])

        watcher = in_background(watch)
        tasks = []
        clients = [self.join(run, name) for name in ("a", "b")]
        for client in clients:
            in_background(lambda client=client: tasks.append(client.next()))
        task = wait_for(lambda: tasks)[0]
        until = time.monotonic() + 3.5
        for step in itertools.count():
            task.progress(min(step / 35, 1))
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        self.assertEqual(len(tasks), 1, "the seat was kept through three leases")
        self.assertGreaterEqual(len(progress), 3)
        self.assertEqual(progress, sorted(progress))
        task.submit(small(), examples=1)
        wait_for(lambda: len(tasks) == 2)
        with self.assertRaises(trib.InvalidError):
            task.progress(1.5)
        run.stop()
        watcher.join()


class Interruption(Daemon):
    def interrupt_soon(self, condition):
        def ring():
            wait_for(condition)
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        in_background(ring)

    def test_an_upload_can_be_interrupted_and_repeated(self):
        count = 4 << 20  # 16 MiB: more than the buffers of the road hold
        run = self.create({"w": np.zeros(count, np.float32)})
        road = Road(self.server.url)
        self.addCleanup(road.close)
        trained = {"w": np.ones(count, np.float32)}
        with self.join(road.link(run.link)) as client:
            task = client.next()
            task.weights()
            road.quota = road.carried + (1 << 20)
            self.interrupt_soon(lambda: road.carried >= road.quota)
            began = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                task.submit(trained, examples=1)
            self.assertLess(time.monotonic() - began, 10 * SCALE)
            self.assertFalse(task.is_answered)
            road.quota = None
            task.submit(trained, examples=1)
            wait_for(lambda: run.version == 1)
        self.assertEqual(run.status()["updates"]["counted"], 1)
        np.testing.assert_array_equal(run.model(like="numpy")["w"], 1)

    def test_waiting_for_a_task_can_be_interrupted(self):
        run = self.create(small(), strategy={"quorum": 2})
        with self.join(run) as client:
            self.interrupt_soon(lambda: True)
            with self.assertRaises(KeyboardInterrupt):
                client.next()
            with self.join(run, "b"):
                self.assertEqual(client.next().kind, "train")

    def test_joining_a_daemon_that_is_away_can_be_interrupted(self):
        link = self.create(small()).link
        self.server.stop()
        threads = threading.active_count()
        self.interrupt_soon(lambda: True)
        with self.assertRaises(KeyboardInterrupt):
            trib.join(link, "a")
        wait_for(lambda: threading.active_count() <= threads)

    def test_nobody_there_is_unreachable(self):
        link = self.create(small()).link
        self.server.stop()
        with self.assertRaisesRegex(trib.UnreachableError, "gave up after"):
            trib.join(link, "a", retry_for=0.3)
        with self.assertRaises(ConnectionError):
            trib.join(link, "a", retry_for=0.1)


class Forks(Daemon):
    def test_a_fork_cannot_speak_for_its_parent(self):
        run = self.create(small())
        client = self.join(run)
        task = client.next()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # forking with threads: this is the test
            child = os.fork()
        if child == 0:
            try:
                try:
                    task.submit(small(), examples=1)
                    os._exit(1)
                except trib.ForkedError as error:
                    is_clear = "has to join by itself" in str(error)
                client.close()
                del client, task
                os._exit(0 if is_clear else 2)
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        task.submit(small(), examples=1)
        wait_for(lambda: run.version == 1)

    def test_a_fork_may_join_by_itself(self):
        run = self.create(small(), stop={"versions": 1})
        parent = self.join(run, "parent")
        parent.next().decline()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            try:
                with trib.join(run.link, "child") as client:
                    for task in client:
                        task.submit(small(), examples=1)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertEqual(run.version, 1)


class Links(unittest.TestCase):
    def test_arguments_are_checked_before_anything_is_sent(self):
        for link, options in (("127.0.0.1:1/r", {}), ("trib://127.0.0.1/r", {}),
                              ("ftp://127.0.0.1:1/r", {}), ("trib://127.0.0.1:1/", {}),
                              ("unix:r", {}), ("https://127.0.0.1:1/r?pin=sha256:12", {}),
                              (f"http://127.0.0.1:1/r?pin=sha256:{'0' * 64}", {}), ("trib://127.0.0.1:1/r", {"client": "-a"}),
                              ("trib://127.0.0.1:1/r", {"role": "boss"}),
                              ("trib://127.0.0.1:1/r", {"retry_for": -1})):
            with self.subTest(link=link, **options), self.assertRaises(trib.InvalidError):
                trib.join(link, **{"client": "a", "retry_for": 0.1, **options})


class Roads(unittest.TestCase):
    """Other ways to the daemon than plain TCP."""

    def train_once(self, server, link, **options):
        with trib.join(link, "a", **options) as client:
            for task in client:
                task.submit({"w": task.weights("numpy")["w"] + 1}, examples=1)

    def test_a_unix_socket(self):
        with trib.serve() as scratch:
            path = scratch.data_dir / "s"
            with trib.serve(options=["--listen", f"unix:{path}"]) as server:
                run = server.create({"name": "r", "stop": {"versions": 1}},
                                    {"w": np.zeros(2, np.float32)})
                self.train_once(server, f"unix:{path}/r#{run.link.partition('#')[2]}")
                self.assertEqual(run.version, 1)

    def test_memory_is_handed_over_on_a_unix_socket(self):
        import urllib.request

        with trib.serve() as scratch:
            path = scratch.data_dir / "s"
            with trib.serve(options=["--listen", f"unix:{path}"]) as server:
                run = server.create({"name": "r", "stop": {"versions": 1}},
                                    {"w": np.zeros(300000, np.float32)})
                self.train_once(server, f"unix:{path}/r#{run.link.partition('#')[2]}")
                self.assertEqual(run.version, 1)
                self.assertTrue((run.model()["w"] == 1).all())
                with urllib.request.urlopen(f"{server.url}/metrics") as reply:
                    handed = 0 if support.IS_PURE else 1  # pure Python sends the bytes
                    self.assertIn(f"\ntributary_updates_handed_total {handed}\n", reply.read().decode())

    def test_tls_with_a_certificate_of_ones_own(self):
        import subprocess
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([trib.server.find_program(), "cert", "--dir", folder,
                                   "--name", "127.0.0.1"], capture_output=True, text=True)
            self.assertEqual(made.returncode, 0, made.stderr)
            ca_file = str(pathlib.Path(folder, "ca.crt"))
            with trib.serve(options=["--tls-cert", f"{folder}/server.crt",
                                     "--tls-key", f"{folder}/server.key"],
                            ca_file=ca_file) as server:
                run = server.create({"name": "r", "stop": {"versions": 1}},
                                    {"w": np.zeros(2, np.float32)})
                self.assertTrue(run.link.startswith("https://"))
                plain, _, token = run.link.partition("#")
                plain, _, pin = plain.partition("?pin=sha256:")
                with self.assertRaisesRegex(trib.RefusedError, "certificate is not trusted"):
                    trib.join(f"{plain}#{token}", "a", retry_for=0.2)
                with self.assertRaisesRegex(trib.RefusedError, "pin"):
                    trib.join(f"{plain}?pin=sha256:{'0' * 64}#{token}", "a", retry_for=0.2)
                trib.join(f"{plain}#{token}", "a", ca_file=ca_file).close()
                self.assertEqual(len(pin), 64, "a certificate that nobody knows is pinned")
                self.train_once(server, run.link)
                self.assertEqual(run.version, 1)


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
