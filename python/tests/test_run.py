"""test_run.py - the operator's side: a daemon in a notebook, runs, their rows and models."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

from support import TOP, Daemon, in_background, main_or_skip, wait_for

try:
    import numpy as np
    import tributary as trib
except ImportError:
    main_or_skip("numpy", "tributary")


def train(link, name="a"):
    with trib.join(link, name) as client:
        for task in client:
            weights = task.weights("numpy")
            weights["w"] += 1
            task.submit(weights, examples=4, metrics={"loss": 1 / (1 + task.version)})


class Servers(unittest.TestCase):
    def test_a_server_prints_nothing_and_leaves_nothing(self):
        script = ("import tributary as trib\n"
                  "with trib.serve() as server:\n"
                  "    scratch = server.data_dir.parent\n"
                  "    assert server.runs() == []\n"
                  "assert not scratch.exists()\n"
                  "forgotten = trib.serve()\n"
                  "open(sys.argv[1], 'w').write(f'{forgotten.pid} {forgotten.data_dir}')\n")
        with tempfile.NamedTemporaryFile("w+") as told:
            done = subprocess.run([sys.executable, "-c", "import sys\n" + script, told.name],
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            told.seek(0)
            pid, data_dir = told.read().split()
        self.assertFalse(pathlib.Path(data_dir).exists())
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid), 0)

    def test_a_data_directory_of_ones_own_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            with trib.serve(folder) as server:
                server.create({"name": "kept"}, {"w": np.ones(2, np.float32)})
            with trib.serve(folder) as server:
                self.assertEqual(server.runs(), ["kept"])
                self.assertEqual([run.name for run in server], ["kept"])
                np.testing.assert_array_equal(server.run("kept").model(like="numpy")["w"], 1)

    def test_a_daemon_that_does_not_start_says_why(self):
        with self.assertRaisesRegex(trib.TributaryError, "does not start: .*unknown option"):
            trib.serve(options=["--no-such-option"])
        with unittest.mock.patch.dict(os.environ, {"TRIB": "", "PATH": ""}):
            with unittest.mock.patch("pathlib.Path.is_file", lambda self: False):
                with self.assertRaisesRegex(trib.TributaryError, "there is no program trib"):
                    trib.serve()


class Runs(Daemon):
    def test_history_is_flat_rows_and_wait_ends_with_the_run(self):
        run = self.create({"w": np.zeros(3, np.float32)}, stop={"versions": 3})
        in_background(lambda: train(run.link))
        status = run.wait(timeout=30)
        self.assertEqual((status["state"], status["version"], run.state), ("stopped", 3, "stopped"))
        rows = run.history()
        self.assertEqual([row["version"] for row in rows], [0, 1, 2, 3])
        self.assertEqual([row.get("train_loss") for row in rows], [None, 1, 0.5, 1 / 3])
        self.assertEqual(rows[3]["weight"], 4)
        for row in rows:
            self.assertTrue(all(isinstance(value, (int, float, str)) for value in row.values()))

    def test_watching_goes_on_over_a_restart_until_the_end(self):
        run = self.create({"w": np.zeros(3, np.float32)}, stop={"versions": 30})
        events = []
        watcher = in_background(lambda: events.extend(run.watch()))
        trainer = in_background(lambda: train(run.link))
        wait_for(lambda: run.version >= 5)
        self.server.kill()
        self.server.start()
        watcher.join(30)
        trainer.join(30)
        self.assertEqual(events[0]["event"], "state")
        self.assertTrue({"version", "update", "state"} <= {event["event"] for event in events})
        self.assertEqual(run.state, "stopped")

    def test_pause_resume_stop(self):
        run = self.create({"w": np.zeros(3, np.float32)})
        in_background(lambda: train(run.link))
        run.wait(versions=2, timeout=30)
        run.pause()
        wait_for(lambda: run.state == "paused")
        version = run.version
        with self.assertRaisesRegex(TimeoutError, "r: "):
            run.wait(versions=version + 5, timeout=0.5)  # what was on its way may still count
        run.resume()
        run.wait(versions=version + 5, timeout=30)
        run.stop()
        wait_for(lambda: run.state == "stopped")

    def test_links_are_for_one_client_each(self):
        run = self.create({"w": np.zeros(3, np.float32)})
        links = run.links(["mercy", "county"], expires="1h")
        self.assertEqual(set(links), {"mercy", "county"})
        self.assertNotEqual(links["mercy"], links["county"])
        with self.join(links["mercy"], "mercy") as client:
            self.assertEqual(client.next().kind, "train")
        self.assertEqual(trib.Run("r", url=self.server.url, token=self.server.admin).link, run.link)

    def test_models_go_out_as_they_came_in(self):
        model = {"b": np.float16(1.5), "a": np.arange(6.0).reshape(3, 2).T, "n": np.int32(3)}
        run = self.create(model)
        back = run.model(like="numpy")
        self.assertEqual(list(back), ["a", "b"])
        np.testing.assert_array_equal(back["a"], model["a"])
        self.assertEqual((back["b"].shape, float(back["b"])), ((), 1.5))
        self.create(model)  # the same again changes nothing
        with self.assertRaisesRegex(trib.RefusedError, "409"):
            self.create({**model, "b": np.float16(2)})
        with self.assertRaisesRegex(trib.ModelError, "tensor c: dtype complex128"):
            self.create({"c": np.zeros(2, complex)}, name="other")

    def test_the_best_version_is_exported_as_a_file(self):
        run = self.create({"w": np.zeros(3, np.float32)}, stop={"versions": 3},
                          evaluate={"metric": "score"})

        def judge():
            with trib.join(run.link, "judge", role="evaluator") as client:
                for task in client:
                    task.report({"score": {1: 0.2, 2: 0.9}.get(task.version, 0.1)}, examples=1)

        threads = [in_background(judge), in_background(lambda: train(run.link))]
        run.wait(timeout=30)
        for thread in threads:
            thread.join(30)
        best = run.status().get("best", {})
        if best.get("version") == 2:  # else it was passed over before it was judged
            path = pathlib.Path(self.server.log.parent, "best.safetensors")
            np.testing.assert_array_equal(trib.export(run, "best", path)["w"], 2)
            inspected = subprocess.run([trib.server.find_program(), "model", "inspect", str(path)],
                                       capture_output=True, text=True)
            self.assertEqual(inspected.returncode, 0, inspected.stderr)
            self.assertIn(run.history()[2]["digest"], inspected.stdout)

    def test_errors_are_in_the_daemons_words(self):
        with self.assertRaisesRegex(trib.RefusedError, "did you mean fraction"):
            self.create({"w": np.zeros(1)}, strategy={"fractoin": 1})
        with self.assertRaisesRegex(trib.RefusedError, "404 not_found"):
            self.server.run("nobody").status()
        with self.assertRaisesRegex(trib.InvalidError, "name is required"):
            self.server.create({})
        with self.assertRaisesRegex(trib.InvalidError, "tokens travel over https"):
            trib.Run("r", url="http://far.example", token="secret")
        with self.assertRaisesRegex(trib.RefusedError, "40[13]"):
            trib.Run("r", url=self.server.url, token="guess").stop()

    def test_the_environment_says_where_and_with_what(self):
        run = self.create({"w": np.zeros(1)})
        file = str(self.server.data_dir / "admin.token")
        with unittest.mock.patch.dict(os.environ, {"TRIB_URL": self.server.url,
                                                   "TRIB_ADMIN_TOKEN_FILE": file}):
            trib.Run(run.name).stop()
        wait_for(lambda: run.state == "stopped")

    def test_a_bar_is_shown_when_there_is_tqdm(self):
        run = self.create({"w": np.zeros(1)}, stop={"versions": 2})
        shown = []

        class Bar:
            n = 0

            def __init__(self, **options):
                shown.append(options)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def update(self, count):
                self.n += count
                shown.append(self.n)

        in_background(lambda: train(run.link))
        module = unittest.mock.Mock(tqdm=Bar)
        with unittest.mock.patch.dict(sys.modules, {"tqdm": module, "tqdm.auto": module}):
            run.wait(progress=True, timeout=30)
        self.assertEqual(shown[0], {"total": 2, "desc": "r", "unit": "version"})
        self.assertEqual(shown[1:], sorted(set(shown[1:])))  # not drawn again for nothing
        self.assertEqual(shown[-1], 2)
        with unittest.mock.patch.dict(sys.modules, {"tqdm": None, "tqdm.auto": None}):
            run.wait(progress=True, timeout=30)


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
