"""test_change.py - a live run changes its strategy at a version boundary, and a restart honours it."""
import pathlib
import signal
import subprocess
import threading
import unittest

import checker
from harness import TRIB, Daemon, main, read_safetensors, replay, safetensors, wait_for

MODEL = safetensors({"w": ([4], [0, 0, 0, 0])})


def body(value):
    return safetensors({"w": ([4], [value] * 4)})


class Change(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.journal = checker.Journal()

    def create(self, strategy, **spec):
        return self.daemon.create({"name": "r", "strategy": strategy, "keep": {
            "updates": "forever", "versions": {"last": 100}}, **spec}, MODEL)

    def change(self, run, change, status=200):
        reply = self.daemon.request("PATCH", run.path, change, self.daemon.admin)
        self.assertEqual(reply.status, status, reply.body)
        return reply.json()

    def put(self, client, update, value, base, examples=1):
        """Until it is taken: while a run is opened again it is told to come back."""
        sent = self.journal.send(client.name, update, body(value), base, examples)

        def attempt():
            try:
                reply = client.put(update, sent.body, base=base, examples=examples)
            except (ConnectionError, OSError):
                return None
            return reply if reply.status not in (404, 503) else None
        reply = wait_for(attempt, 20, f"update {update}")
        sent.answers.append((reply.status, reply.json()))
        self.assertEqual(reply.status, 200, reply.body)
        return reply.json()

    def look(self, run, path=""):
        """A document of the run; {} while it is opened again."""
        reply = run.get(path)
        return reply.json() if reply.status == 200 else {}

    def version(self, run):
        return self.look(run).get("version", -1)

    def server(self, run):
        return self.look(run, "/spec").get("strategy", {}).get("server", {})

    def wait_version(self, run, version):
        wait_for(lambda: self.version(run) == version, 20, f"version {version}")

    def wait_preset(self, run, preset):
        wait_for(lambda: self.look(run).get("strategy") == preset, 20, preset)

    def settled(self, run):
        """Stop, verify with the program, and count again with the checker."""
        run.control("stop")
        wait_for(lambda: self.look(run).get("state") == "stopped")
        lines = run.get("/ledger").body
        self.daemon.stop()
        folder = pathlib.Path(self.daemon.data, "runs", "r")
        files = checker.files_of(folder)
        checker.check("r", checker.ledger_from_lines(lines), self.journal, files[0], files)
        shown = subprocess.run([TRIB, "ledger", "verify", self.daemon.data, "r"],
                               capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
        self.assertGreater(replay(self.daemon.data, "r")["openings"], 1)
        return shown.stdout

    def records(self, run):
        return [line["record"] for line in run.ledger()]

    def test_the_next_buffer_is_made_by_the_new_strategy(self):
        run = self.create({"preset": "fedavg", "quorum": 2})
        a, b = run.join("a"), run.join("b")
        a.train_task(), b.train_task()
        self.put(a, "1", 1.0, 0, 3)
        # The buffer that is open is finished by the rules that it was opened by.
        answer = self.change(run, {"strategy": {"preset": "fedbuff", "goal": 2}})
        self.assertEqual(answer["version"], 2)
        self.assertEqual(answer["spec"]["strategy"]["preset"], "fedbuff")
        self.assertEqual(answer["spec"]["strategy"]["staleness_max"], 100)  # its own default
        self.assertEqual(run.status()["strategy"], "fedavg")
        self.put(b, "1", 4.0, 0, 1)
        self.wait_preset(run, "fedbuff")
        self.assertEqual(read_safetensors(run.model(1).body)["w"][0], (3 * 1.0 + 4.0) / 4)
        # fedbuff: equal weights, divided by the goal, the same client twice.
        self.put(a, "2", 1.0, 1, 100)
        self.put(a, "3", 2.0, 1, 1)
        self.wait_version(run, 2)
        self.assertEqual(read_safetensors(run.model(2).body)["w"][0], 1.75 + 1.5)
        revision = next(r for r in self.records(run) if r["type"] == "revision")
        self.assertEqual((revision["version"], revision["by"]), (2, "admin"))
        self.assertEqual(revision["spec"]["strategy"]["goal"], 2)
        self.assertIn("2", self.settled(run))

    def test_an_empty_buffer_changes_at_once_and_a_kill_forgets_nothing(self):
        run = self.create({"quorum": 1}, checkpoint_every="1h")
        a = run.join("a")
        self.put(a, "0", 1.0, 0)
        self.wait_version(run, 1)
        self.assertEqual(self.change(run, {"strategy": {"server": {"lr": 0.5}}})["version"], 2)
        self.daemon.restart(signal.SIGKILL)
        self.wait_version(run, 1)
        a.train_task()
        self.put(a, "1", 1.0, 1)
        self.wait_version(run, 2)
        self.assertEqual(read_safetensors(run.model().body)["w"][0], 1.5)
        # Momentum starts anew, and stays when only its numbers change.
        self.change(run, {"strategy": {"server": {"optimizer": "momentum", "momentum": 0.5}}})
        for update, expected in (("2", 2.5), ("3", 4.0)):
            self.wait_preset(run, "fedavg")
            wait_for(lambda: self.server(run).get("momentum") == 0.5)
            a.train_task()
            self.put(a, update, 1.0, int(update))
            self.wait_version(run, int(update) + 1)
            self.assertEqual(read_safetensors(run.model().body)["w"][0], expected)
        self.change(run, {"strategy": {"server": {"lr": 2.0}}})
        wait_for(lambda: self.server(run).get("lr") == 2.0)
        self.daemon.restart(signal.SIGKILL)  # makes versions again from the first checkpoint on
        a.train_task()
        self.put(a, "4", 1.0, 4)
        self.wait_version(run, 5)
        self.assertEqual(read_safetensors(run.model().body)["w"][0], 4.0 + 2.0 * (0.5 * 1.5 + 1.0))
        digests = [r["model"] for r in self.records(run) if r["type"] == "version"]
        self.daemon.restart(signal.SIGKILL)
        self.wait_version(run, 5)
        self.assertEqual([r["model"] for r in self.records(run) if r["type"] == "version"], digests)
        self.settled(run)

    def test_a_change_that_waits_is_replaced_by_the_next(self):
        run = self.create({"quorum": 2})
        a, b = run.join("a"), run.join("b")
        a.train_task()
        self.put(a, "1", 1.0, 0)
        self.change(run, {"strategy": {"preset": "fedbuff"}})
        self.daemon.restart(signal.SIGKILL)
        answer = self.change(run, {"strategy": {"goal": 1}})
        self.assertEqual((answer["version"], answer["spec"]["strategy"]["goal"]), (2, 1))
        a.task(), b.task()
        self.put(b, "1", 1.0, 0)
        self.wait_preset(run, "fedbuff")
        self.assertEqual(run.get("/spec").json()["strategy"]["goal"], 1)
        self.settled(run)

    def test_selection_and_settings_change_too(self):
        run = self.create({"quorum": 1})
        a, b = run.join("a", site="mercy"), run.join("b", site="gray")
        a.train_task()
        self.change(run, {"select": {"require": {"site": "mercy"}}, "train": {"lr": 0.25},
                          "sites": [{"match": {"site": "mercy"}, "train": {"batch": 2}}],
                          "stop": {"versions": 1}})
        wait_for(lambda: self.look(run, "/spec").get("train") == {"lr": 0.25}, 20, "selection")
        self.assertIn("select.require", b.task()["reason"])
        self.assertEqual(a.train_task()["settings"], {"lr": 0.25, "batch": 2})
        self.put(a, "1", 1.0, 0)
        wait_for(lambda: self.look(run).get("state") == "stopped")

    def test_what_cannot_change_is_refused_with_the_reason(self):
        run = self.create({"preset": "fedbuff"})
        for change, words in (
                ({"model": {"delta_max": 3}}, "model: cannot change"),
                ({"name": "x"}, "name: cannot change"),
                ({"strategy": {"gaol": 3}}, "did you mean goal?"),
                ({"strategy": {"tick": "1m"}}, "strategy.tick: only with"),
                ({"strategy": {"preset": "sum"}}, "make another run"),
                ({"strategy": {"preset": "fedasync"}}, "needs the last"),
                ({"evaluate": {"metric": "auc"}}, "evaluate: metric")):
            with self.subTest(change):
                self.assertIn(words, self.change(run, change, 400)["message"])
        self.assertEqual(self.daemon.request("PATCH", run.path, {"stop": {"versions": 9}}).status, 401)
        self.assertEqual(self.records(run)[-1]["type"], "version")
        run.control("stop")
        self.change(run, {"strategy": {"goal": 3}}, 409)

    def test_updates_that_stream_in_all_count_once_through_many_changes(self):
        run = self.create({"preset": "fedbuff", "goal": 3})
        clients = [run.join(f"dev-{i}") for i in range(3)]
        is_over = threading.Event()

        def send(client):
            count = 0
            while not is_over.is_set():
                version = self.version(run)
                if version >= 0:
                    self.put(client, f"u{count}", 1.0, version)
                    count += 1
        threads = [threading.Thread(target=send, args=[client]) for client in clients]
        for thread in threads:
            thread.start()
        presets = [{"preset": "fedbuff", "goal": 2}, {"preset": "fedbuff", "goal": 5,
                   "divide": "weight", "staleness": "hinge"}, {"preset": "fedfix", "tick": "50ms"},
                   {"preset": "fedavg", "server": {"optimizer": "adam"}}]
        for strategy in presets:
            change = {"strategy": strategy}
            wait_for(lambda: self.daemon.request("PATCH", run.path, change,
                                                 self.daemon.admin).status == 200)
            goal = self.version(run) + 3
            wait_for(lambda: self.version(run) >= goal, 30, "three more versions")
            self.wait_preset(run, strategy["preset"])
        is_over.set()
        for thread in threads:
            thread.join()
        run.control("stop")
        wait_for(lambda: self.look(run).get("state") == "stopped")
        counted = [(u["client"], u["update"]) for r in self.records(run)
                   for u in r.get("updates", []) + r.get("dropped", [])]
        self.assertEqual(len(counted), len(set(counted)))
        acknowledged = {key for key, sent in self.journal.updates.items() if sent.answers}
        self.assertEqual(acknowledged - set(counted), set())
        self.settled(run)

    def test_trib_run_set_changes_it(self):
        run = self.create({"quorum": 1})
        shown = subprocess.run([TRIB, "run", "set", "r", "strategy.preset=fedbuff", "goal=5",
                                "--url", self.daemon.url, "--token", self.daemon.admin],
                               capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("version 1", shown.stdout)
        self.wait_preset(run, "fedbuff")
        self.assertEqual(run.get("/spec").json()["strategy"]["goal"], 5)


if __name__ == "__main__":
    main()
