"""test_select.py - attributes decide who is asked and with which settings, also after a restart."""
import os
import signal
import subprocess
import unittest

from harness import TRIB, Daemon, main, read_safetensors, safetensors, wait_for

MODEL = safetensors({"w": ([4], [0, 0, 0, 0])})
DELTA = safetensors({"w": ([4], [1, 1, 1, 1])})


class Select(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def create(self, **spec):
        return self.daemon.create({"name": "r", **spec}, MODEL)

    def test_who_does_not_fit_is_told_why_and_not_asked(self):
        run = self.create(select={"require": {"gpu": True}, "never": {"site": ["gray", "west"]}})
        run.join("plain")
        gray = run.join("gray", gpu=True, site="gray")
        task = gray.task()
        self.assertEqual(task["kind"], "wait")
        self.assertIn("select.never", task["reason"])
        self.assertIn("site", task["reason"])
        self.assertIn("select leaves out 2", run.status()["waiting_for"])
        self.assertEqual(run.status()["clients"]["unselected"], 2)
        # The number 1 is not true.
        self.assertEqual(run.join("one", gpu=1).task()["kind"], "wait")
        fit = run.join("fit", gpu=True, site="mercy")
        self.assertEqual(fit.train_task()["version"], 0)
        # Nobody asked for it, and it counts like any.
        reply = gray.put("u", DELTA, base=0, examples=1)
        self.assertEqual(reply.json()["fate"], "spooled", reply.body)

    def test_attributes_outlive_a_kill_and_change_with_the_next_join(self):
        run = self.create(select={"require": {"site": ["mercy", "gray"]}},
                          sites=[{"match": {"site": "mercy"}, "train": {"batch": 4}}],
                          train={"batch": 10, "lr": 0.5})
        mercy, other = run.join("a", site="mercy", beds=350), run.join("b", site="west")
        settings = {"batch": 4, "lr": 0.5}
        self.assertEqual(mercy.train_task()["settings"], settings)
        self.daemon.restart(signal.SIGKILL)
        self.assertEqual(mercy.train_task()["settings"], settings)
        self.assertEqual(other.task()["kind"], "wait")
        joins = [record["record"] for record in run.ledger()
                 if record["record"]["type"] == "client"]
        self.assertEqual([join["attributes"] for join in joins],
                         [{"site": "mercy", "beds": 350}, {"site": "west"}])
        self.assertEqual(run.join("a", site="gray").train_task()["settings"],
                         {"batch": 10, "lr": 0.5})

    def test_the_list_of_clients_has_attributes_and_pages(self):
        run = self.create(select={"never": {"site": "west"}})
        run.join("a", site="mercy", gpu=True, cores=8)
        run.join("b", site="west")
        run.join("c", role="evaluator")
        clients = run.get("/clients").json()["clients"]
        self.assertEqual([client["client"] for client in clients], ["a", "b", "c"])
        self.assertEqual(clients[0]["attributes"], {"site": "mercy", "gpu": True, "cores": 8})
        self.assertEqual([client["selected"] for client in clients], [True, False, True])
        self.assertTrue(all(client["present"] for client in clients))
        self.assertEqual([client["role"] for client in clients],
                         ["trainer", "trainer", "evaluator"])
        rest = run.get("/clients?after=a").json()["clients"]
        self.assertEqual([client["client"] for client in rest], ["b", "c"])
        self.assertEqual(run.get("/clients?after=../a").status, 400)
        shown = subprocess.run([TRIB, "run", "clients", "r", "--url", self.daemon.url],
                               capture_output=True, text=True, check=True).stdout
        self.assertIn("a", shown)
        self.assertIn("site=mercy", shown)

    def test_a_quota_bounds_what_a_round_asks_of_one_site(self):
        run = self.create(select={"quota": {"site": 1}}, strategy={"quorum": 2})
        clients = [run.join(f"dev-{i}", site="mercy") for i in range(3)]
        self.assertIn("select.quota allows 1", run.status()["waiting_for"])
        clients.append(run.join("dev-3", site="gray"))
        wait_for(lambda: run.status()["clients"]["training"] == 2)
        tasks = [client.task() for client in clients]
        self.assertEqual(sum(task["kind"] == "train" for task in tasks), 2)
        self.assertEqual(tasks[3]["kind"], "train")
        self.assertIn("select.quota", next(t["reason"] for t in tasks if t["kind"] == "wait"))
        asked = [client for client, task in zip(clients, tasks) if task["kind"] == "train"]
        for client in asked:
            client.put(client.name, DELTA, base=0, examples=1)
        wait_for(lambda: run.version() == 1)

    def test_what_cannot_be_matched_is_refused_with_the_field(self):
        for select, words in (
                ({"require": {"gpu": None}}, "select.require: must be"),
                ({"require": {"../gpu": 1}}, "select.require: must be"),
                ({"quota": {"site": 0}}, "select.quota: must be"),
                ({"requires": {}}, "did you mean require?")):
            reply = self.daemon.request("POST", "/v1/runs",
                                        {"name": "x", "model": {}, "select": select},
                                        self.daemon.admin)
            self.assertEqual(reply.status, 400)
            self.assertIn(words, reply.json()["message"])
        reply = self.daemon.request(
            "POST", "/v1/runs", {"name": "x", "model": {}, "sites": [
                {"match": {}}, {"match": {"a": 1}, "train": {"batch": -1}}]}, self.daemon.admin)
        self.assertIn("sites[1]", reply.json()["message"])
        self.assertIn("train.batch", reply.json()["message"])

    def weigh(self, strategy, updates, attributes):
        """{client: weight} and the version's mean, of one version made of {client: (examples, value)}."""
        run = self.create(strategy=strategy)
        clients = [run.join(name, **attributes.get(name, {})) for name in updates]
        answers = []
        for client, (examples, value) in zip(clients, updates.values()):
            body = safetensors({"w": ([4], [value] * 4)})
            answers.append(client.put(client.name, body, base=0, examples=examples).json())
            if len(answers) == 1:
                self.daemon.restart(signal.SIGKILL)  # the cap is made of what was acknowledged
                for each in clients:
                    each.task()
        wait_for(lambda: run.version() == 1)
        record = next(r["record"] for r in run.ledger()
                      if r["record"]["type"] == "version" and r["record"]["version"] == 1)
        weights = {u["client"]: u["weight"] for u in record["updates"]}
        total = sum(weights.values())
        self.assertEqual(record["weight"], total)
        mean = sum(weights[client] * value for client, (_, value) in updates.items()) / total
        self.assertAlmostEqual(read_safetensors(run.model().body)["w"][0], mean, places=6)
        return weights, answers

    def test_nobody_has_more_than_the_largest_share(self):
        updates = {"a": (10000, 1.0), "b": (100, 2.0), "c": (120, 3.0), "d": (80, 4.0)}
        weights, answers = self.weigh({"quorum": 4, "weight_share_max": 0.3}, updates, {})
        self.assertEqual(weights, {"a": 128, "b": 100, "c": 120, "d": 80})
        self.assertLessEqual(128 / sum(weights.values()), 0.3)
        self.assertNotIn("weight", answers[0])  # it was not known then
        self.assertEqual((answers[0]["version"], answers[0]["staleness"]), (1, 0))
        self.daemon.stop()
        shown = subprocess.run([TRIB, "ledger", "verify", self.daemon.data, "r"],
                               capture_output=True, text=True)
        self.assertEqual(shown.returncode, 0, shown.stderr)

    def test_an_attribute_can_be_the_weight(self):
        updates = {"a": (1, 1.0), "b": (1000, 2.0)}
        strategy = {"quorum": 2, "weights": "attribute", "weight_attribute": "beds"}
        weights, answers = self.weigh(strategy, updates, {"a": {"beds": 350}, "b": {"beds": 50}})
        self.assertEqual(weights, {"a": 350, "b": 50})
        self.assertEqual([answer["weight"] for answer in answers], [350, 50])

    def test_trib_join_says_what_it_is(self):
        run = self.daemon.create({
            "name": "p", "model": {"init": {"trainer": "softmax", "features": 2, "classes": 2}},
            "select": {"require": {"gpu": True, "site": "mercy"}}, "stop": {"versions": 1}})
        data = os.path.join(self.daemon.directory, "train.csv")
        with open(data, "w", encoding="ascii") as file:
            file.write("a,b,label\n" + "".join(f"{i % 3},{i % 5},{i % 2}\n" for i in range(40)))
        link = f"http://{self.daemon.host}:{self.daemon.port}/p"
        subprocess.run([TRIB, "join", link, "--client", "a", "--data", data, "--once",
                        "--attribute", "gpu=true", "--attribute", "site=mercy"],
                       check=True, capture_output=True, timeout=60)
        self.assertEqual(run.get("/clients").json()["clients"][0]["attributes"],
                         {"gpu": True, "site": "mercy"})


if __name__ == "__main__":
    main()
