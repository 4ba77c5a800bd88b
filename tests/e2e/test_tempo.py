"""test_tempo.py - versions without rounds: FedBuff, FedAsync and FedFix on the real daemon."""
import collections
import json
import math
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import checker
from harness import TRIB, Daemon, main, read_safetensors, replay, safetensors, wait_for

VECTORS = pathlib.Path(__file__).resolve().parents[1] / "vectors"
MODEL = safetensors({"w": ([2], [0, 0])})


def delta(*values):
    return safetensors({"w": ([2], list(values))})


def versions_of(run):
    return [r["record"] for r in run.ledger()
            if r["record"]["type"] == "version" and r["record"]["version"] > 0]


class Tempo(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def create(self, strategy, name="r", **more):
        return self.daemon.create({"name": name, "strategy": strategy, **more}, MODEL)

    def verify(self, run):
        """Everything that is kept is made again and gives the same digests."""
        self.daemon.stop()
        done = subprocess.run([TRIB, "ledger", "verify", self.daemon.data, run.name, "--json"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual({name: replay(self.daemon.data, run.name)[name]
                          for name in ("versions", "updates")},
                         {"versions": report["versions"], "updates": report["updates"]})
        self.daemon.start()

    def test_fedbuff_is_the_published_rule(self):
        divisions = {"divide_by_K": "goal", "divide_by_sum_of_weights": "weight",
                     "weighted_sum_no_normalisation": "none"}
        for case in json.loads((VECTORS / "fedbuff.json").read_text())["cases"]:
            if case["name"] not in divisions:
                continue
            with self.subTest(case=case["name"]):
                run = self.create({"preset": "fedbuff", "goal": case["inputs"]["K"],
                                   "divide": divisions[case["name"]],
                                   "server": {"lr": case["inputs"]["eta_server"]}},
                                  divisions[case["name"]], keep={"updates": "forever"})
                client = run.join("dev")
                for i, (arrival, logged) in enumerate(zip(case["inputs"]["arrivals"],
                                                          case["outputs"]["log"])):
                    reply = client.put(f"u{i}", delta(*arrival["delta"]),
                                       base=arrival["base_version"], examples=arrival["examples"])
                    self.assertEqual(reply.status, 200, reply.body)
                    self.assertEqual(reply.json()["staleness"], logged["staleness"])
                    if logged["flushed"]:
                        wait_for(lambda: run.version() == logged["version"])
                        got = read_safetensors(run.model().body)["w"]
                        for value, expected in zip(got, logged["x"]):
                            self.assertAlmostEqual(value, expected, delta=1e-5)
                self.verify(run)

    def test_a_slow_client_holds_up_nobody_and_one_client_fills_a_buffer(self):
        run = self.create({"preset": "fedbuff", "goal": 2})
        slow, fast = run.join("slow"), run.join("fast")
        begun = slow.train_task()
        for version in range(3):
            for number in range(2):
                task = fast.train_task()
                self.assertEqual(task["task"], f"{version}.{number}")
                fast.put(task["task"], delta(1, 1), base=version, examples=1)
            wait_for(lambda: run.version() == version + 1)
        late = slow.put(begun["task"], delta(1, 1), base=begun["version"], examples=1)
        self.assertEqual(late.status, 200, late.body)
        self.assertEqual(late.json()["staleness"], 3)
        self.assertEqual(late.json()["weight"], 65536 // 2)  # 1 / sqrt(1 + 3)
        self.assertEqual(slow.train_task()["version"], 3)

    def test_too_stale_is_refused_and_says_so(self):
        run = self.create({"preset": "fedbuff", "goal": 1, "staleness_max": 1})
        client = run.join("dev")
        for version in range(2):
            client.put(f"u{version}", delta(1, 1), base=version, examples=1)
            wait_for(lambda: run.version() == version + 1)
        reply = client.put("old", delta(1, 1), base=0, examples=1)
        self.assertEqual(reply.status, 409)
        self.assertEqual(reply.json()["code"], "stale")

    def test_concurrency_is_kept(self):
        run = self.create({"preset": "fedbuff", "goal": 2, "concurrency": 2})
        clients = [run.join(f"dev-{i}") for i in range(4)]
        tasks = {client: client.task() for client in clients}
        seated = [client for client in clients if tasks[client]["kind"] == "train"]
        self.assertEqual(len(seated), 2)
        waits = next(task for task in tasks.values() if task["kind"] == "wait")
        self.assertIn("2 clients are training", waits["reason"])
        self.assertEqual(run.status()["clients"]["training"], 2)
        seated[0].put("u", delta(1, 1), base=0, examples=1)
        wait_for(lambda: sum(c.task()["kind"] == "train" for c in clients) == 2)
        self.assertEqual(run.status()["clients"]["training"], 2)

    def test_a_fleet_of_threads_goes_on_through_kills(self):
        goal = 3
        run = self.create({"preset": "fedbuff", "goal": goal}, stop={"versions": 25},
                          evaluate={"every": 0}, keep={"updates": "forever"})
        clients = [run.join(f"dev-{i}") for i in range(5)]
        first, journal = run.model(0).body, checker.Journal()

        def work(client, seed):
            dice = random.Random(seed)
            while True:
                try:
                    task = client.task(1)
                    if task["kind"] == "stop":
                        return
                    if task["kind"] != "train":
                        continue
                    time.sleep(dice.choice([0, 0.01, 0.05]))
                    sent = journal.updates.get((client.name, task["task"])) or journal.send(
                        client.name, task["task"], delta(dice.random(), dice.random()),
                        task["version"], 1)
                    reply = client.put(sent.update, sent.body, base=sent.base, examples=1)
                    sent.answers.append((reply.status, reply.json()))
                except (OSError, AssertionError, ValueError):
                    time.sleep(0.05)  # the daemon is being restarted

        threads = [threading.Thread(target=work, args=(c, i), daemon=True)
                   for i, c in enumerate(clients)]
        for thread in threads:
            thread.start()
        for version in (6, 14):
            wait_for(lambda: run.version() >= version, 60, f"version {version}")
            self.daemon.restart(signal.SIGKILL)
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        versions = versions_of(run)
        self.assertEqual([v["version"] for v in versions], list(range(1, 26)))
        counted = collections.Counter()
        for version in versions:
            self.assertGreaterEqual(len(version["updates"]), goal)
            for update in version["updates"]:
                counted[update["client"], update["update"]] += 1
                self.assertEqual(update["staleness"], version["version"] - 1 - update["base"])
                weight = 65536 / math.sqrt(1 + update["staleness"])
                self.assertAlmostEqual(update["weight"], weight, delta=0.5)
        self.assertEqual(set(counted.values()), {1})
        kept = {25: run.model(25).body}
        checker.check("r", checker.ledger_from_lines(run.get("/ledger").body), journal, first, kept)
        self.verify(run)

    def test_a_deadline_closes_a_buffer_with_its_quorum(self):
        run = self.create({"preset": "fedbuff", "goal": 10, "quorum": 2, "deadline": "500ms"})
        client = run.join("dev")
        for i in range(2):
            client.put(f"u{i}", delta(5, 5), base=0, examples=1)
        wait_for(lambda: run.version() == 1, 10)
        self.assertEqual(read_safetensors(run.model().body)["w"], [1.0, 1.0])  # 2 * 5 / 10

    def test_fedasync_mixes_models_through_a_kill_before_each_version(self):
        case = json.loads((VECTORS / "fedasync.json").read_text())["cases"][1]
        self.assertEqual(case["name"], "mixing_hinge_a10_b1")
        inputs = case["inputs"]
        run = self.create({"preset": "fedasync", "alpha": inputs["alpha"], "staleness": "hinge",
                           "staleness_a": inputs["a"], "staleness_b": inputs["b"],
                           "staleness_max": 3},
                          keep={"versions": {"last": 1}, "updates": "forever"})
        client = run.join("dev")
        versions = [inputs["x0"]]
        for i, (arrival, step) in enumerate(zip(inputs["arrivals"], case["outputs"]["steps"])):
            self.daemon.restart(signal.SIGKILL)
            base = arrival["base_version"]
            change = [new - old for new, old in zip(arrival["model"], versions[base])]
            reply = client.put(f"u{i}", delta(*change), base=base, examples=100)
            self.assertEqual(reply.status, 200, reply.body)
            self.assertEqual(reply.json()["staleness"], step["staleness"])
            wait_for(lambda: run.version() == step["version"])
            versions.append(step["x"])
            for value, expected in zip(read_safetensors(run.model().body)["w"], step["x"]):
                self.assertAlmostEqual(value, expected, delta=1e-6)
        # Whatever can still be a base can be read; what is older goes.
        for i in range(4, 6):
            client.put(f"u{i}", delta(1, 1), base=i, examples=1)
            wait_for(lambda: run.version() == i + 1)
        kept = [run.get(f"/versions/{n}").status for n in range(7)]
        # 0: updates are kept for ever; 2: one more than needed, should version 6 be lost
        self.assertEqual(kept, [200, 410, 200, 200, 200, 200, 200])
        self.assertEqual(client.put("old", delta(1, 1), base=2, examples=1).status, 409)
        self.assertEqual(client.put("edge", delta(1, 1), base=3, examples=1).status, 200)
        wait_for(lambda: run.version() == 7)
        self.verify(run)

    def test_fedasync_makes_one_version_of_each_update(self):
        run = self.create({"preset": "fedasync", "concurrency": 3, "staleness_max": 100},
                          stop={"versions": 30}, evaluate={"every": 0}, keep={"updates": "forever"})

        def work(client):
            while (task := client.task(1))["kind"] != "stop":
                if task["kind"] == "train":
                    wait_for(lambda: client.put(task["task"], delta(1, 1), base=task["version"],
                                                examples=1).status != 503)

        threads = [threading.Thread(target=work, args=(run.join(f"dev-{i}"),)) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        versions = versions_of(run)
        self.assertEqual([len(v["updates"]) for v in versions], [1] * 30)
        for version in versions:
            update = version["updates"][0]
            self.assertEqual(update["staleness"], version["version"] - 1 - update["base"])
            share = 0.6 / math.sqrt(1 + update["staleness"])
            self.assertAlmostEqual(update["weight"] / 2**24, share, delta=2**-24)
        self.verify(run)

    def test_ticks_make_versions_of_whatever_is_there(self):
        run = self.create({"preset": "fedfix", "tick": "600ms"})
        fast, slow = run.join("fast"), run.join("slow")
        begun = slow.train_task()
        for version in range(2):
            task = fast.train_task()
            self.assertEqual(task["task"], f"{version}.0")
            fast.put(task["task"], delta(1, 1), base=version, examples=1)
            self.assertEqual(run.version(), version)  # not before the tick
            self.assertEqual(fast.task()["kind"], "wait")
            wait_for(lambda: run.version() == version + 1)
        late = slow.put(begun["task"], delta(4, 4), base=0, examples=7).json()
        self.assertEqual((late["staleness"], late["weight"]), (2, 3))
        task = fast.train_task()
        fast.put(task["task"], delta(0, 0), base=2, examples=1)
        wait_for(lambda: run.version() == 3)
        # If the tick fell between the two, the fast one is not in version 3.
        together = {u["client"]: u["weight"] for u in versions_of(run)[2]["updates"]}
        expected = 2 + 4 * together["slow"] / sum(together.values())
        self.assertEqual(read_safetensors(run.model(3).body)["w"], [expected, expected])
        settled = wait_for(lambda: run.status()["updates"]["counted"] == 4 and run.version())
        time.sleep(2)  # three ticks with nothing to count
        self.assertEqual(run.version(), settled)

    def test_a_restart_keeps_what_waits_for_a_tick(self):
        run = self.create({"preset": "fedfix", "tick": "1s"})
        client = run.join("dev")
        self.assertEqual(client.put("u", delta(1, 2), base=0, examples=1).status, 200)
        self.daemon.restart(signal.SIGKILL)
        client.task()
        wait_for(lambda: run.version() == 1)
        self.assertEqual(read_safetensors(run.model().body)["w"], [1.0, 2.0])

    def test_fedasmu_mixes_less_with_every_version(self):
        run = self.create({"preset": "fedasmu"}, keep={"updates": "forever"})
        client = run.join("dev")
        settings = client.train_task()["settings"]
        self.assertEqual(settings["refresh_at"], 0.5)
        versions = [0.0]
        for version, base in ((1, 0), (2, 1), (3, 0)):
            client.put(f"u{version}", delta(1, 1), base=base, examples=9)
            wait_for(lambda: run.version() == version)
            xi = 1 / math.sqrt(version * (version - base)) + 0.1
            share = xi / (1 + xi)
            before = versions[-1]
            versions.append(before + share * (versions[base] + 1 - before))
            for value in read_safetensors(run.model().body)["w"]:
                self.assertAlmostEqual(value, versions[-1], delta=1e-6)
        self.verify(run)

    def test_asyncfedavg_weighs_the_rare_more(self):
        run = self.create({"preset": "asyncfedavg", "clients": 2}, keep={"updates": "forever"})
        often, rare = run.join("often"), run.join("rare")
        for version, client in enumerate([often, often, often, rare]):
            client.put(f"u{version}", delta(1, 1), base=0 if client is rare else version, examples=1)
            wait_for(lambda: run.version() == version + 1)
        weights = [v["updates"][0]["weight"] / 65536 for v in versions_of(run)]
        self.assertEqual(weights, [1, 1, 1, 4])
        self.assertEqual(read_safetensors(run.model().body)["w"], [7 / 2] * 2)
        self.verify(run)

    def test_dbw_stops_waiting_for_whoever_does_not_pay(self):
        run = self.create({"preset": "dbw"})
        run.control("pause")  # so that the first round finds all three
        slow, *fast = [run.join(name) for name in ("slow", "fast-1", "fast-2")]
        run.control("resume")
        for version in range(3):  # nine durations: enough to go by
            tasks = [client.train_task() for client in (slow, *fast)]
            for client, task in zip(fast, tasks[1:]):
                client.put(task["task"], delta(1, 1), base=version, examples=1)
            time.sleep(0.5)
            self.assertEqual(run.version(), version)
            slow.put(tasks[0]["task"], delta(1, 1), base=version, examples=1)
            wait_for(lambda: run.version() == version + 1)
        for client in (slow, *fast):
            client.train_task()
        self.assertEqual(run.status()["round"]["wanted"], 2)
        for client in fast:
            client.put("3.0", delta(1, 1), base=3, examples=1)
        wait_for(lambda: run.version() == 4)
        late = slow.put("3.0", delta(1, 1), base=3, examples=1).json()
        self.assertEqual((late["version"], late["staleness"]), (5, 1))

    def test_fedast_shares_one_population_among_runs(self):
        done = subprocess.run([TRIB, "plan", "requests", "north=1", "south=2", "--total", "6",
                               "--unit", "2"], capture_output=True, text=True, check=True)
        planned = {name: {"goal": int(goal), "concurrency": int(concurrency)}
                   for name, goal, concurrency in re.findall(
                       r"(\w+): .*goal: (\d+), concurrency: (\d+)", done.stdout)}
        self.assertEqual(planned, {"north": {"goal": 1, "concurrency": 2},
                                   "south": {"goal": 2, "concurrency": 4}})
        runs = {name: self.create({"preset": "fedbuff", "staleness": "constant", **strategy}, name,
                                  stop={"versions": 4}, evaluate={"every": 0})
                for name, strategy in planned.items()}

        def work(name, seed):  # one device, which does one task at a time, of any run
            dice = random.Random(seed)
            places = [run.join(name) for run in runs.values()]
            while places:
                place = dice.choice(places)
                task = place.task()
                if task["kind"] == "stop":
                    places.remove(place)
                elif task["kind"] == "train":
                    place.put(task["task"], delta(1, 1), base=task["version"], examples=1)

        threads = [threading.Thread(target=work, args=(f"dev-{i}", i)) for i in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for name, run in runs.items():
                training = run.status()["clients"]["training"]
                self.assertLessEqual(training, planned[name]["concurrency"])
        for name, run in runs.items():
            for version in versions_of(run):
                self.assertGreaterEqual(len(version["updates"]), planned[name]["goal"])
                self.assertEqual({u["weight"] for u in version["updates"]}, {1})

    def test_fedcollab_trains_each_coalition_in_a_run(self):
        sites = {"examples": {"a": 4, "b": 6, "c": 3, "d": 7},
                 "divergence": [[0, .5, 1, 1], [.5, 0, 1, 1], [1, 1, 0, .5], [1, 1, .5, 0]]}
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(json.dumps(sites))
            file.flush()
            done = subprocess.run([TRIB, "plan", "coalitions", file.name, "--complexity", "2"],
                                  capture_output=True, text=True, check=True)
        coalitions = [json.loads(found) for found in re.findall(r"site: (\[.*?\])", done.stdout)]
        self.assertEqual(coalitions, [["a", "b"], ["c", "d"]])
        for number, members in enumerate(coalitions):
            run = self.create({"preset": "fedavg", "quorum": 2}, f"coalition-{number}",
                              select={"require": {"site": members}})
            clients = {site: run.join(site, site=site) for site in sites["examples"]}
            for site, client in clients.items():
                self.assertEqual(client.task()["kind"], "train" if site in members else "wait")

    def test_fedcompass_gives_steps_and_what_waits_for_a_group_survives_a_kill(self):
        # A group's latest time is far away: it closes when its members are there, and only then.
        run = self.create({"preset": "fedcompass", "clients": 2, "steps_min": 1, "slack": 1000,
                           "staleness": "constant"}, train={"lr": 0.5}, keep={"updates": "forever"})
        a, b = run.join("a"), run.join("b")
        for client in (a, b):
            task = client.train_task()
            self.assertEqual(task["settings"], {"lr": 0.5, "steps": 100})
            self.assertNotIn("expected_by_s", task)
        time.sleep(1)  # so a group has at least a second to be joined
        a.put("0.0", delta(1, 1), base=0, examples=3)
        wait_for(lambda: run.version() == 1)
        b.put("0.0", delta(1, 1), base=0, examples=3)
        wait_for(lambda: run.version() == 2)
        opened, joined = a.train_task(), b.train_task()
        self.assertGreater(opened["expected_by_s"], 0.5)
        self.assertLessEqual(joined["expected_by_s"], opened["expected_by_s"])
        self.assertLessEqual(joined["settings"]["steps"], 100)
        held = a.put(opened["task"], delta(2, 2), base=opened["version"], examples=3,
                     headers={"Tributary-Receipt": "yes"})
        self.assertEqual((held.status, held.json()["fate"]), (200, "spooled"))
        for reply in (held, a.fate(opened["task"])):
            self.assertFalse({"version", "weight", "staleness"} & reply.json().keys())
        self.assertEqual(a.task()["reason"], "its group waits for others")
        self.daemon.restart(signal.SIGKILL)

        # Nobody's pace is known any more: two first answers, then some group takes what waited.
        for version, client in ((3, b), (4, a)):
            task = client.train_task()
            client.put(task["task"], delta(1, 1), base=task["version"], examples=3)
            wait_for(lambda: run.version() == version)

        def what_waited_is_counted():
            for client in (a, b):
                task = client.task()
                if task["kind"] == "train":
                    client.put(task["task"], delta(1, 1), base=task["version"], examples=3)
            return a.fate(opened["task"]).json().get("version", math.inf) <= run.version()

        wait_for(what_waited_is_counted)
        counted = [[(u["client"], u["update"]) for u in v["updates"]] for v in versions_of(run)]
        self.assertEqual([len(updates) for updates in counted[:4]], [1, 1, 1, 1])
        where = a.fate(opened["task"]).json()["version"]
        self.assertIn(("a", opened["task"]), counted[where - 1])
        self.assertGreater(len(counted[where - 1]), 1)
        # 0.9 / 2 of each: all of them 1, but for the 2 that waited
        updates = sum(len(updates) for updates in counted)
        for value in read_safetensors(run.model(len(counted)).body)["w"]:
            self.assertAlmostEqual(value, 0.45 * (updates + 1), delta=1e-5 * updates)
        with tempfile.NamedTemporaryFile("w") as receipt, tempfile.NamedTemporaryFile() as ledger:
            receipt.write(held.json()["receipt"])
            receipt.flush()
            ledger.write(run.get("/ledger").body)
            ledger.flush()
            key = pathlib.Path(self.daemon.data, "ledger.pub")
            done = subprocess.run([TRIB, "ledger", "verify", "--receipt", receipt.name, "--key",
                                   key, "--ledger", ledger.name], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.verify(run)

    def test_versions_of_favano_and_s2s_are_means_of_models(self):
        for preset, with_server in (("s2s", 0), ("favano", 1)):
            with self.subTest(preset=preset):
                run = self.create({"preset": preset, "tick": "50ms", "quorum": 2}, preset,
                                  keep={"updates": "forever"})
                often, rare = run.join("often"), run.join("rare")
                for client in (often, rare):
                    task = client.train_task()
                    self.assertTrue(task["settings"]["until_called"])
                    self.assertGreaterEqual(task["expected_by_s"], 0)
                versions = [0.0]
                for version in range(3):  # `often` takes each version, `rare` never left the first
                    often.put(f"u{version}", delta(1, 1), base=version, examples=9)
                    if version == 1:  # what waits for a tick survives, with its base
                        self.daemon.restart(signal.SIGKILL)
                    rare.put(f"u{version}", delta(6, 6), base=0, examples=1)
                    wait_for(lambda: run.version() == version + 1)
                    models = [versions[version] + 1, 6] + [versions[version]] * with_server
                    versions.append(sum(models) / len(models))
                    for value in read_safetensors(run.model().body)["w"]:
                        self.assertAlmostEqual(value, versions[-1], delta=1e-5)
                self.verify(run)

    def test_s2a_is_a_mean_of_a_sample_from_which_all_go_on(self):
        run = self.create({"preset": "s2a", "fraction": 0.5})
        run.control("pause")  # so that the first round finds all four
        clients = [run.join(f"dev-{i}") for i in range(4)]
        run.control("resume")
        tasks = {client: client.task() for client in clients}
        sampled = [client for client in clients if tasks[client]["kind"] == "train"]
        self.assertEqual(len(sampled), 2)
        for number, client in enumerate(sampled):
            client.put("0.0", delta(2 * number, 4), base=0, examples=1 + 8 * number)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(read_safetensors(run.model().body)["w"], [1.0, 4.0])

    def test_cdfl_takes_an_upload_into_each_cluster_by_its_share(self):
        case = next(case for case in json.loads((VECTORS / "semidec.json").read_text())["cases"]
                    if case["name"] == "cdfl_smallest_version")
        inputs, outputs = case["inputs"], case["outputs"]
        self.assertEqual(inputs["staleness"], 3)
        reply = [0.0, 0.0]
        for number, share in enumerate(inputs["mixture"]):
            model = safetensors({"w": ([2], inputs["clusters"][number])})
            run = self.daemon.create(
                {"name": f"cluster-{number}", "keep": {"updates": "forever"},
                 "strategy": {"preset": "cdfl", "alpha": inputs["alpha"]}}, model)
            stranger, client = run.join("stranger"), run.join("dev", share=round(1000 * share))
            self.assertIn("share", stranger.task()["reason"])
            for version in range(3):  # three versions that change nothing
                client.put(f"u{version}", delta(0, 0), base=version, examples=1)
                wait_for(lambda: run.version() == version + 1)
            client.put("upload", delta(*(x - c for x, c in zip(inputs["upload"],
                                                               inputs["clusters"][number]))),
                       base=0, examples=1)
            wait_for(lambda: run.version() == 4)
            values = read_safetensors(run.model().body)["w"]
            for place, (value, expected) in enumerate(zip(values, outputs["clusters"][number])):
                self.assertAlmostEqual(value, expected, delta=1e-6)
                reply[place] += share * value
            self.verify(run)
        for value, expected in zip(reply, outputs["reply"]):
            self.assertAlmostEqual(value, expected, delta=1e-6)

    def test_a_spec_that_makes_no_sense_is_refused_with_one_that_does(self):
        for strategy, hint in (({"preset": "fedbuff", "goal": 9, "concurrency": 4}, "goal 4 works"),
                               ({"preset": "fedbuff", "quorum": 3}, "deadline"),
                               ({"preset": "fedbuff", "weights": "examples"}, "weight works"),
                               ({"preset": "fedcompass", "divide": "goal"}, "weight, none or"),
                               ({"preset": "fedfix", "fraction": 0.5}, "only with")):
            spec = {"name": "bad", "model": {"init": "upload"}, "strategy": strategy}
            reply = self.daemon.request("POST", "/v1/runs", spec, self.daemon.admin)
            self.assertEqual(reply.status // 100, 4, reply.body)
            self.assertIn(hint, reply.json()["message"])


if __name__ == "__main__":
    main()
