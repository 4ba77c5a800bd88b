"""test_combiner.py - strategy.combiner external: a program of the user's makes each version's delta."""
import hashlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import unittest

import checker
from harness import SCALE, TRIB, Daemon, main, read_safetensors, replay, safetensors, wait_for

MEDIAN = pathlib.Path(__file__).resolve().parents[2] / "examples/combiner/median.py"
TENSORS = {"model": {"tensors": [{"match": "fixed.*", "role": "freeze"}], "init": "upload"}}
START = {"w": ([2], [1.0, 2.0]), "norm.running_mean": ([1], [0.5])}
FIRST = safetensors({**START, "fixed.t": ([1], [7.0])})


def delta(first, second, mean=0.0):
    return safetensors({"w": ([2], [first, second]), "norm.running_mean": ([1], [mean])})


def sha256(body):
    return hashlib.sha256(body).hexdigest()


class Combiner(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def create(self, count=2, name="r", more=None, **strategy):
        """A run whose versions are made of so many updates, its clients, and a merge token."""
        spec = {"name": name, **TENSORS, "strategy": {
            "preset": "fedbuff", "goal": count, "combiner": "external", **strategy}, **(more or {})}
        self.run_ = self.daemon.create(spec, FIRST)
        self.clients = [self.run_.join(f"c{i}") for i in range(count)]
        self.token = self.token_of("merge")
        return self.run_

    def token_of(self, scope, **more):
        reply = self.daemon.request("POST", f"{self.run_.path}/tokens", {"scope": scope, **more},
                                    self.daemon.admin)
        self.assertEqual(reply.status, 201, reply.body)
        return reply.json()["token"]

    def send(self, *values, update="u0", examples=1):
        """One update of each client."""
        for client, value in zip(self.clients, values):
            reply = client.put(update, delta(*value), client.task()["version"], examples,
                               headers={"Tributary-Metrics": '{"loss": 0.25}'})
            self.assertEqual(reply.status, 200, reply.body)

    def get(self, path="", token=None):
        return self.run_.get("/merge" + path, token=token or self.token)

    def offer(self):
        reply = self.get("?wait=20")
        self.assertEqual(reply.status, 200, reply.body)
        return reply.json()

    def put(self, version, body, offer, token=None):
        return self.daemon.request(
            "PUT", f"{self.run_.path}/merge/{version}", body, token or self.token,
            {"Content-Type": "application/safetensors", "Tributary-Offer": offer})

    def records(self):
        return [line["record"] for line in self.run_.ledger()
                if line["record"]["type"] == "version" and line["record"]["version"] > 0]

    def verify(self):
        self.daemon.stop()
        done = subprocess.run([TRIB, "ledger", "verify", self.daemon.data, self.run_.name, "--json"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if "forever" in (pathlib.Path(self.daemon.data, "runs", self.run_.name, "spec.json")).read_text():
            self.assertEqual(replay(self.daemon.data, self.run_.name)["versions"],
                             json.loads(done.stdout)["versions"])
        self.daemon.start()
        return json.loads(done.stdout)

    # --- the way it goes ---

    def test_what_is_put_is_the_version_and_the_ledger_says_so(self):
        run = self.create(more={"keep": {"updates": "forever"}})
        self.assertEqual(self.get().status, 204)  # nothing to combine yet
        self.send((1, 2), (3, -4), examples=5)
        offer = self.offer()
        self.assertEqual((offer["version"], offer["current"]["version"]), (1, 0))
        self.assertEqual(offer["current"]["digest"], sha256(run.model(0).body))
        bodies = [delta(1, 2), delta(3, -4)]
        for index, (update, body) in enumerate(zip(offer["updates"], bodies)):
            self.assertEqual(update, {
                "index": index, "client": f"c{index}", "update": "u0", "base": 0, "staleness": 0,
                "weight": update["weight"], "examples": 5, "bytes": len(body), "codec": "dense",
                "digest": sha256(body), "metrics": {"loss": 0.25}})
            reply = self.get(f"/1/{index}")
            self.assertEqual((reply.status, reply.body), (200, body))
            self.assertEqual(reply.headers["Tributary-Codec"], "dense")
        status = run.status()
        self.assertRegex(status["waiting_for"], r"a combiner to merge version 1 \(2 updates, for ")
        self.assertEqual((status["offer"]["version"], status["offer"]["updates"]), (1, 2))
        self.assertIn('tributary_run_offer_seconds{run="r"} ',
                      self.daemon.request("GET", "/metrics").body.decode())
        combined = delta(0.1, 1e-7, -0.25)
        reply = self.put(1, combined, offer["offer"])
        self.assertEqual(reply.status, 200, reply.body)
        values = read_safetensors(run.model().body)
        self.assertEqual(values["fixed.t"], [7.0])
        self.assertEqual(values["norm.running_mean"], [0.25])
        self.assertAlmostEqual(values["w"][0], 1.1, 6)
        self.assertEqual(reply.json(), {"version": 1, "digest": sha256(run.model().body)})
        (record,) = self.records()
        self.assertEqual(record["combined"]["digest"], sha256(combined))
        self.assertRegex(record["combined"]["by"], r"\(?merge ")
        self.assertEqual([(e["client"], e["update"]) for e in record["updates"]],
                         [("c0", "u0"), ("c1", "u0")])
        self.assertEqual(self.clients[0].fate("u0").json()["fate"], "counted")
        self.assertEqual(self.verify()["recomputed"], 1)

    def test_a_small_change_is_kept_to_the_last_bit(self):
        tiny = 1.2345e-7
        self.run_ = self.daemon.create({"name": "tiny", "strategy": {
            "preset": "fedbuff", "goal": 1, "combiner": "external"}},
            safetensors({"w": ([1], [0.0])}))
        self.token = self.token_of("merge")
        client = self.run_.join("c")
        client.put("u", safetensors({"w": ([1], [1.0])}), client.train_task()["version"], 1)
        body = safetensors({"w": ([1], [tiny])})
        self.assertEqual(self.put(1, body, self.offer()["offer"]).status, 200)
        self.assertAlmostEqual(read_safetensors(self.run_.model().body)["w"][0] / tiny, 1, 6)

    def test_large_updates_are_read_and_written_through_files(self):
        count = 400_000  # 1.6 MB
        run = self.daemon.create({"name": "r", "strategy": {
            "preset": "fedbuff", "goal": 2, "combiner": "external"}},
            safetensors({"w": ([count], [0.0] * count)}))
        self.run_, self.clients = run, [run.join(f"c{i}") for i in range(2)]
        self.token = self.token_of("merge")
        bodies = [safetensors({"w": ([count], [float(i + 1)] * count)}) for i in range(2)]
        for client, body in zip(self.clients, bodies):
            self.assertEqual(client.put("u", body, 0, 1).status, 200)
        offer = self.offer()
        self.assertEqual([self.get(f"/1/{i}").body for i in range(2)], bodies)
        self.assertEqual(self.put(1, bodies[1], offer["offer"]).status, 200)
        self.assertEqual(set(read_safetensors(run.model().body)["w"]), {2.0})

    def test_the_example_takes_the_median_until_the_run_stops(self):
        run = self.create(3, more={"stop": {"versions": 2}, "evaluate": {"every": 0}})
        process = subprocess.Popen(
            [sys.executable, MEDIAN, self.daemon.url + run.path], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "TRIB_TOKEN": self.token})
        try:
            self.send((0.5, 1), (0.25, 3), (16, -16))
            wait_for(lambda: run.version() == 1)
            self.send((0.5, 1), (0.25, 3), (16, -16), update="u1")
            out, errors = process.communicate(timeout=60 * SCALE)
        finally:
            process.kill()
        self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(out.splitlines()[:2],
                         ["version 1 of 3 updates", "version 2 of 3 updates"])
        self.assertEqual(read_safetensors(run.model().body)["w"], [2.0, 4.0])

    # --- answers to the wrong things ---

    def test_the_same_again_is_answered_the_same_and_another_delta_is_refused(self):
        self.create()
        self.send((1, 2), (3, 4))
        name = self.offer()["offer"]
        made = self.put(1, delta(1, 1), name)
        for _ in range(2):
            again = self.put(1, delta(1, 1), name)
            self.assertEqual((again.status, again.json()), (200, made.json()))
            other = self.put(1, delta(1, 2), name)
            self.assertEqual((other.status, other.json()["code"]), (409, "conflict"))
            self.daemon.restart()
        self.send((1, 2), (3, 4), update="u1")
        offer = self.offer()
        self.assertEqual(offer["version"], 2)
        for version, told in ((3, offer), (7, offer)):
            wrong = self.put(version, delta(1, 1), offer["offer"])
            self.assertEqual((wrong.status, wrong.json()["offer"]), (409, told))

    def test_a_bad_delta_is_refused_and_the_offer_stays(self):
        self.create()
        self.send((1, 2), (3, 4))
        offer = self.offer()
        bad = {
            422: [safetensors({"w": ([2], [1, 1])}), delta(float("nan"), 1), delta(1, 17),
                  safetensors({"w": ([3], [1, 1, 1]), "norm.running_mean": ([1], [0])}),
                  safetensors({**{k: (s, [0] * len(v)) for k, (s, v) in START.items()},
                               "fixed.t": ([1], [0])})],
            413: [b"nonsense of more than eight bytes"],
        }
        for status, bodies in bad.items():
            for body in bodies:
                reply = self.put(1, body, offer["offer"])
                self.assertEqual(reply.status, status, reply.body)
                self.assertEqual(self.offer(), offer)
        for name, status in (("", 400), ("0" * 64, 409)):
            self.assertEqual(self.put(1, delta(1, 1), name).status, status)
        self.assertEqual(self.get("/1/2").status, 404)
        self.assertEqual(self.get("/2/0").status, 404)
        self.assertEqual(self.put(1, delta(1, 1), offer["offer"]).status, 200)

    def test_only_a_merge_token_of_the_run_and_admin_see_an_update(self):
        self.create()
        self.send((1, 2), (3, 4))
        own = self.token
        self.offer()
        other = self.daemon.create({"name": "other"})
        here, self.run_ = self.run_, other
        foreign = self.token_of("merge")
        self.run_ = here
        refused = [None, self.token_of("join"), self.token_of("observe"), self.clients[0].token,
                   foreign]
        for token in refused:
            for method, path in (("GET", ""), ("GET", "/1/0"), ("PUT", "/1")):
                reply = self.daemon.request(
                    method, f"{here.path}/merge{path}", b"" if method == "PUT" else None, token,
                    {"Content-Type": "application/safetensors"} if method == "PUT" else None)
                self.assertEqual(reply.status, 403 if token else 401, reply.body)
        for token in (own, self.daemon.admin):
            self.assertEqual(self.get("/1/0", token).status, 200)
        self.assertEqual(here.get("", token=own).status, 200)  # it may observe, and no more
        for method, path in (("POST", "/stop"), ("GET", "/task"), ("DELETE", "/clients/c0")):
            reply = self.daemon.request(method, here.path + path, token=own)
            self.assertEqual(reply.status, 403, path)

    def test_a_revoked_token_ends_its_poll(self):
        self.create()
        answer = []
        poll = threading.Thread(target=lambda: answer.append(self.get("?wait=60")))
        poll.start()
        serial = self.token.split("~")[4]
        wait_for(lambda: self.daemon.request(
            "DELETE", f"{self.run_.path}/tokens/{serial}", token=self.daemon.admin).status == 204)
        poll.join(20 * SCALE)
        self.assertEqual((answer[0].status, answer[0].json()["code"]), (401, "revoked"))

    def test_a_run_that_sums_offers_nothing(self):
        self.run_ = self.daemon.create({"name": "sum"}, FIRST)
        self.token = self.token_of("merge")
        self.assertEqual(self.get().status, 409)
        self.assertEqual(self.put(1, delta(1, 1), "0" * 64).status, 409)

    def test_specs_that_do_not_fit_are_refused_with_one_that_does(self):
        cases = [
            ({"preset": "fedasync"}, {}, "preset fedbuff with goal 1 works"),
            ({"preset": "fedasmu"}, {}, "preset fedbuff with goal 1 works"),
            ({"preset": "sum"}, {}, "preset fedavg works"),
            ({"preset": "fedcm"}, {}, "preset fedavg works"),
            ({}, {"durability": "memory"}, "durability spool works"),
            ({"quorum": 5, "weight_share_max": 0.5}, {}, "leave it out"),
        ]
        for strategy, more, why in cases:
            spec = {"name": "r", "model": {"init": "upload"},
                    "strategy": {"combiner": "external", **strategy}, **more}
            reply = self.daemon.request("POST", "/v1/runs", spec, self.daemon.admin)
            self.assertEqual(reply.status, 400, reply.body)
            self.assertIn(why, reply.json()["message"])

    def test_a_live_run_takes_a_combiner_and_leaves_it(self):
        run = self.create(combiner="sum", divide="weight", more={"keep": {"updates": "forever"}})

        def change(combiner):
            wait_for(lambda: self.daemon.request(
                "PATCH", run.path, {"strategy": {"combiner": combiner}},
                self.daemon.admin).status == 200)
            wait_for(lambda: run.get("/spec").json().get("strategy", {}).get("combiner") == combiner)

        self.send((1, 1), (3, 3))
        wait_for(lambda: run.version() == 1)
        change("external")
        self.send((1, 1), (3, 3), update="u1")
        self.assertEqual(self.put(2, delta(8, 8), self.offer()["offer"]).status, 200)
        change("sum")
        self.send((1, 1), (3, 3), update="u2")
        wait_for(lambda: run.version() == 3)
        self.assertEqual(read_safetensors(run.model().body)["w"], [1 + 2 + 8 + 2, 2 + 2 + 8 + 2])
        self.assertEqual(["combined" in record for record in self.records()], [False, True, False])
        self.assertEqual(self.verify()["recomputed"], 3)
        self.assertEqual(read_safetensors(run.model().body)["w"], [13.0, 14.0])

    # --- ends ---

    def test_a_stop_does_not_wait_for_a_combiner(self):
        run = self.create(3)
        self.send((1, 2), (3, 4), (5, 6))
        name = self.offer()["offer"]
        self.assertEqual(run.control("stop").status, 200)
        self.assertEqual(run.status()["updates"], {"counted": 0, "pending": 0, "dropped": 3})
        fate = self.clients[0].fate("u0").json()
        self.assertEqual(fate["fate"], "dropped")
        for reply in (self.get(), self.get("?wait=5"), self.put(1, delta(1, 1), name)):
            self.assertEqual(reply.status, 409)

    def test_a_stop_answers_whoever_waits_for_an_offer(self):
        run = self.create()
        answer = []
        poll = threading.Thread(target=lambda: answer.append(self.get("?wait=60")))
        poll.start()
        run.control("stop")
        poll.join(20 * SCALE)
        self.assertEqual((answer[0].status, answer[0].json()["code"]), (409, "ended"))

    def test_an_offer_and_a_version_outlive_a_kill(self):
        self.create(more={"checkpoint_every": "1h"})
        self.send((1, 2), (3, 4))
        before = self.offer()
        self.daemon.restart(signal.SIGKILL)
        self.clients[0].task()  # a version closes when somebody is there, as always
        after = self.offer()
        self.assertEqual(after, before)
        self.assertEqual(self.get("/1/0").body, delta(1, 2))
        made = self.put(1, delta(0.5, 0.5, 0.5), before["offer"]).json()
        self.daemon.restart(signal.SIGKILL)  # version 1 is made again of the combined body
        self.assertEqual(sha256(self.run_.model().body), made["digest"])
        self.assertEqual(self.put(1, delta(0.5, 0.5, 0.5), before["offer"]).json(), made)

    def test_what_was_spooled_twice_is_released_once(self):
        """Whoever combined sends the same again after a crash; one of the two bodies has no use."""
        body = delta(0.5, 0.5)
        self.daemon.stop()
        self.daemon.environment["TRIB_CRASH"] = "segment.sync.after:4"  # its body is in the spool
        self.daemon.start()
        self.create(more={"checkpoint_every": "1h"})
        self.send((1, 2), (3, 4))
        with self.assertRaises((ConnectionError, http.client.HTTPException)):
            self.put(1, body, self.offer()["offer"])
        del self.daemon.environment["TRIB_CRASH"]
        self.daemon.process.wait(30 * SCALE)
        self.daemon.restart()
        self.clients[0].task()
        self.assertEqual(self.put(1, body, self.offer()["offer"]).status, 200)
        quota = {"keep": {"disk": "4kB"}}  # nearly used up, so the next version has its checkpoint
        reply = self.daemon.request("PATCH", self.run_.path, quota, self.daemon.admin)
        self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: self.run_.get("/spec").json().get("keep", {}).get("disk") == 4000)
        for version in (2, 3):
            self.send((1, 2), (3, 4), update=f"u{version}")
            self.assertEqual(self.put(version, body, self.offer()["offer"]).status, 200)
        self.verify()
        self.assertEqual([record["version"] for record in self.records()], [1, 2, 3])


if __name__ == "__main__":
    main()
