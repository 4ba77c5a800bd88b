"""test_rounds.py - nothing waits for the slowest: quorum, deadlines, leases, late and lost clients."""
import signal
import socket
import subprocess
import sys
import time
import unittest

from harness import Daemon, main, read_safetensors, safetensors, wait_for

MODEL = safetensors({"w": ([4], [0, 0, 0, 0])})


def delta(value):
    return safetensors({"w": ([4], [value] * 4)})


class Rounds(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def create(self, strategy, **more):
        return self.daemon.create({"name": "r", "strategy": strategy, **more}, MODEL)

    def test_a_round_waits_for_its_cohort_and_takes_the_weighted_mean(self):
        run = self.create({"quorum": 3})
        clients = [run.join(f"dev-{i}") for i in range(2)]
        self.assertEqual(clients[0].task()["kind"], "wait")
        self.assertIn("1 more trainer", run.status()["waiting_for"])
        clients.append(run.join("dev-2"))
        for i, client in enumerate(clients):
            self.assertEqual(client.train_task()["version"], 0)
            client.put(f"u{i}", delta(float(i)), base=0, examples=i + 1)
        wait_for(lambda: run.version() == 1)
        mean = (0 * 1 + 1 * 2 + 2 * 3) / 6
        self.assertAlmostEqual(read_safetensors(run.model().body)["w"][0], mean, places=6)

    def test_the_deadline_closes_a_round_with_its_quorum(self):
        run = self.create({"quorum": 2, "first_deadline": "1s", "deadline": "1s"})
        clients = [run.join(f"dev-{i}") for i in range(3)]
        for client in clients:
            client.task()
        tasks = [client.train_task() for client in clients[:2]]
        start = time.monotonic()
        for client, task in zip(clients, tasks):
            client.put(client.name + "." + task["task"], delta(1.0), base=0, examples=1)
        wait_for(lambda: run.version() == 1, 10, "the quorum's version")
        self.assertLess(time.monotonic() - start, 8)

    def test_a_client_killed_in_mid_upload_costs_only_its_own_contribution(self):
        run = self.create({"quorum": 2, "first_deadline": "2s", "deadline": "2s"})
        clients = [run.join(f"dev-{i}") for i in range(3)]
        for client in clients:
            client.task()
        body = delta(5.0)
        peer = socket.create_connection((self.daemon.host, self.daemon.port))
        head = (f"PUT {run.path}/updates/u HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {clients[2].token}\r\n"
                "Content-Type: application/safetensors\r\nTributary-Base-Version: 0\r\n"
                f"Tributary-Examples: 1\r\nContent-Length: {len(body)}\r\n\r\n")
        peer.sendall(head.encode() + body[:-4])
        for client in clients[:2]:
            client.put("u", delta(1.0), base=0, examples=1)
        peer.close()
        wait_for(lambda: run.version() == 1, 10, "version 1 by quorum")
        self.assertEqual(read_safetensors(run.model().body)["w"], [1.0] * 4)
        self.assertEqual(clients[2].fate("u").status, 404)

    def test_a_stopped_process_costs_at_most_one_deadline(self):
        run = self.create({"quorum": 2, "first_deadline": "2s", "deadline": "2s"})
        clients = [run.join(f"dev-{i}") for i in range(2)]
        script = (
            "import http.client,sys\n"
            "c=http.client.HTTPConnection(sys.argv[1],int(sys.argv[2]))\n"
            "c.putrequest('PUT',sys.argv[3]);c.putheader('Authorization','Bearer '+sys.argv[4])\n"
            "c.putheader('Content-Type','application/safetensors')\n"
            "c.putheader('Tributary-Base-Version','0');c.putheader('Tributary-Examples','1')\n"
            "c.putheader('Content-Length','1000');c.endheaders();c.send(b'x'*10)\n"
            "print('sent',flush=True);c.getresponse()\n")
        stopped = run.join("stopped")
        for client in clients + [stopped]:
            client.task()
        process = subprocess.Popen(
            [sys.executable, "-c", script, self.daemon.host, str(self.daemon.port),
             run.path + "/updates/u", stopped.token], stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"sent\n")
        process.send_signal(signal.SIGSTOP)
        try:
            for client in clients:
                client.put("u", delta(1.0), base=0, examples=1)
            wait_for(lambda: run.version() == 1, 10, "version 1 by quorum")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def test_a_lease_frees_the_seat_and_never_refuses_a_finished_update(self):
        run = self.create({"fraction": 0.5, "quorum": 1}, lease="1s")
        first = run.join("dev-0")
        second = run.join("dev-1")
        seated, other = first, second
        if seated.task()["kind"] != "train":
            seated, other = other, seated
        self.assertEqual(seated.task()["kind"], "train")
        self.assertEqual(other.task()["kind"], "wait")
        other.train_task(15)  # the silent one's seat is given to the other
        reply = seated.put("late", delta(1.0), base=0, examples=1)
        self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: seated.fate("late").json()["fate"] == "counted")

    def test_late_updates_are_stale_or_refused_by_rule(self):
        for rule, status in (("count", 200), ("refuse", 409)):
            with self.subTest(rule=rule):
                run = self.daemon.create(
                    {"name": rule, "strategy": {"quorum": 1, "late": rule,
                                                "staleness": "polynomial", "staleness_a": 1.0}},
                    MODEL)
                client = run.join("dev")
                client.put("u0", delta(1.0), base=0, examples=100)
                wait_for(lambda: run.version() == 1)
                reply = client.put("u1", delta(1.0), base=0, examples=100)
                self.assertEqual(reply.status, status, reply.body)
                if status == 200:
                    self.assertEqual(reply.json()["staleness"], 1)
                    fresh = client.put("u2", delta(1.0), base=run.version(), examples=100).json()
                    wait_for(lambda: client.fate("u2").json()["fate"] == "counted")
                    records = {u["update"]: u for r in run.ledger()
                               for u in r["record"].get("updates", [])}
                    self.assertEqual(records["u1"]["weight"] * 2, records["u0"]["weight"])
                    self.assertEqual(fresh["update"], "u2")
                else:
                    self.assertEqual(reply.json()["code"], "stale")

    def test_decline_gives_the_task_to_another(self):
        run = self.create({"fraction": 0.5, "quorum": 1})
        clients = [run.join("dev-0"), run.join("dev-1")]
        kinds = [client.task()["kind"] for client in clients]
        self.assertEqual(sorted(kinds), ["train", "wait"])
        seated, other = clients if kinds[0] == "train" else clients[::-1]
        task = seated.task()["task"]
        reply = self.daemon.request("POST", run.path + "/task/decline",
                                    {"task": task, "reason": "on battery"}, seated.token)
        self.assertEqual(reply.status, 204, reply.body)
        other.train_task()
        reply = self.daemon.request("POST", run.path + "/task/decline", {"task": "9.9"},
                                    seated.token)
        self.assertEqual(reply.status, 409)

    def test_short_of_the_quorum_a_run_can_pause(self):
        run = self.create({"quorum": 2, "first_deadline": "1s", "short": "pause"})
        clients = [run.join("dev-0"), run.join("dev-1")]
        for client in clients:
            client.task()
        clients[0].train_task()
        clients[0].put("u", delta(1.0), base=0, examples=1)
        wait_for(lambda: run.status()["state"] == "paused", 10, "pause at the deadline")
        self.assertEqual(run.control("resume").status, 200)
        clients[1].put("u", delta(3.0), base=0, examples=1)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(read_safetensors(run.model().body)["w"], [2.0] * 4)

    def test_stop_drops_what_is_not_counted_and_says_so(self):
        run = self.create({"quorum": 2})
        clients = [run.join("dev-0"), run.join("dev-1")]
        for client in clients:
            client.task()
        self.assertEqual(clients[0].put("u", delta(1.0), base=0, examples=1).status, 200)
        self.assertEqual(run.control("stop").json()["state"], "stopped")
        fate = clients[0].fate("u").json()
        self.assertEqual(fate["fate"], "dropped")
        self.assertTrue(fate["reason"])
        self.assertEqual(clients[1].task()["kind"], "stop")
        self.daemon.restart()
        self.assertEqual(clients[0].fate("u").json()["fate"], "dropped")
        self.assertEqual(run.status()["updates"], {"counted": 0, "pending": 0, "dropped": 1})

    def test_evaluation_best_target_and_final_version(self):
        run = self.create({"quorum": 1}, stop={"versions": 3}, evaluate={
            "metric": "accuracy", "on": ["evaluators"]})
        trainer, judge = run.join("dev"), run.join("judge", "evaluator")
        scores = {1: 0.7, 2: 0.9, 3: 0.8}
        for version in (1, 2, 3):
            trainer.train_task()
            trainer.put(f"u{version}", delta(1.0), base=version - 1, examples=1)
            task = wait_for(lambda: (lambda t: t if t["kind"] == "evaluate" else None)(judge.task(1)))
            self.assertEqual(task["version"], version)
            reply = judge.evaluate(f"e{version}", version, 10, {"accuracy": scores[version]})
            self.assertEqual(reply.status, 200, reply.body)
            again = judge.evaluate(f"e{version}", version, 10, {"accuracy": scores[version]})
            self.assertEqual(again.status, 200)
        wait_for(lambda: run.status()["state"] == "stopped")
        self.assertEqual(run.status()["best"], {"version": 2, "metric": "accuracy", "value": 0.9})
        self.assertEqual(run.model("best").headers["Tributary-Model-Version"], "2")
        self.assertEqual(trainer.task()["kind"], "stop")
        history = run.get("/history").json()["versions"]
        self.assertEqual([v["evaluation"].get("accuracy") for v in history], [None, 0.7, 0.9, 0.8])

    def test_target_stops_a_run(self):
        run = self.create({"quorum": 1}, stop={"target": 0.5})
        trainer, judge = run.join("dev"), run.join("judge", "evaluator")
        trainer.put("u", delta(1.0), base=0, examples=1)
        wait_for(lambda: run.version() == 1)
        judge.evaluate("e", 1, 10, {"accuracy": 0.6})
        wait_for(lambda: run.status()["state"] == "stopped")

    def test_federated_evaluation_averages_by_examples_and_keeps_each_client(self):
        run = self.create({"quorum": 2}, evaluate={"on": ["clients"], "min_clients": 2,
                                                   "metric": "loss", "mode": "min"})
        clients = [run.join("dev-0"), run.join("dev-1")]
        for client in clients:
            client.put("u", delta(1.0), base=0, examples=1)
        wait_for(lambda: run.version() == 1)
        clients[0].evaluate("e", 1, 10, {"loss": 1.0})
        self.assertNotIn("best", run.status())
        clients[1].evaluate("e", 1, 30, {"loss": 2.0})
        wait_for(lambda: "best" in run.status())
        self.assertEqual(run.status()["best"]["value"], 1.75)
        self.assertEqual(run.status()["evaluated"], {
            "version": 1, "examples": 40, "metrics": {"loss": 1.75}, "best": True})
        reports = [r["record"] for r in run.ledger() if r["record"]["type"] == "evaluation"]
        self.assertEqual([(r["client"], r["metrics"]) for r in reports],
                         [("dev-0", {"loss": 1.0}), ("dev-1", {"loss": 2.0})])


if __name__ == "__main__":
    main()
