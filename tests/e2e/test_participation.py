"""test_participation.py - any HTTP client can take part; what is acknowledged is counted once."""
import json
import signal
import time
import unittest

from harness import Daemon, main, read_safetensors, safetensors, wait_for

MODEL = {"layer.weight": ([2, 3], [0.5, -1.0, 2.0, 0.0, 1.0, -0.25]), "layer.bias": ([2], [0, 1])}
DELTA = {"layer.weight": ([2, 3], [0.5, 0.25, 0, 0, -1, 1]), "layer.bias": ([2], [1, -1])}


def delta(**changes):
    return safetensors({**DELTA, **changes})


class Participation(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.run_ = self.daemon.create({"name": "r", "strategy": {"quorum": 1}},
                                       safetensors(MODEL))
        self.client = self.run_.join("dev-1")

    def test_one_update_makes_the_next_version(self):
        task = self.client.train_task()
        self.assertEqual((task["version"], task["task"]), (0, "0.0"))
        reply = self.client.put("dev-1.0.0", delta(), base=0, examples=7)
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(reply.json()["durability"], "spool")
        wait_for(lambda: self.run_.version() == 1)
        values = read_safetensors(self.run_.model().body)
        self.assertEqual(values["layer.weight"], [1.0, -0.75, 2.0, 0.0, 0.0, 0.75])
        self.assertEqual(values["layer.bias"], [1.0, 0.0])

    def test_a_repeat_gets_the_same_answer_and_counts_once(self):
        first = self.client.put("u", delta(), base=0, examples=7)
        again = self.client.put("u", delta(), base=0, examples=7)
        self.assertEqual((first.status, again.status), (200, 200))
        wait_for(lambda: self.client.fate("u").json()["fate"] == "counted")
        later = self.client.put("u", delta(), base=0, examples=7)
        self.assertEqual((later.status, later.json()["fate"]), (200, "counted"))
        self.assertEqual(self.run_.status()["updates"]["counted"], 1)
        records = [r["record"] for r in self.run_.ledger() if r["record"]["type"] == "version"]
        self.assertEqual([len(r["updates"]) for r in records], [0, 1])

    def test_the_same_id_with_another_body_is_a_conflict(self):
        self.assertEqual(self.client.put("u", delta(), base=0, examples=7).status, 200)
        other = delta(**{"layer.bias": ([2], [2, 2])})
        for _ in range(2):
            reply = self.client.put("u", other, base=0, examples=7)
            self.assertEqual((reply.status, reply.json()["code"]), (409, "conflict"))
        wait_for(lambda: self.run_.version() == 1)
        self.assertEqual(self.run_.status()["updates"]["counted"], 1)

    def test_ids_belong_to_the_client(self):
        other = self.run_.join("dev-2")
        self.assertEqual(self.client.put("u", delta(), base=0, examples=7).status, 200)
        reply = other.put("u", delta(**{"layer.bias": ([2], [2, 2])}), base=0, examples=7)
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(other.fate("u").json()["fate"] in ("spooled", "counted"), True)

    def test_base_and_examples_may_come_from_the_body(self):
        body = safetensors(DELTA, {"base_version": "0", "examples": "7"})
        self.assertEqual(self.client.put("u", body).status, 200)
        self.assertEqual(self.client.put("v", body, base=0, examples=7).status, 200)
        reply = self.client.put("w", body, base=0, examples=8)
        self.assertEqual((reply.status, reply.json()["code"]), (400, "header"), reply.body)
        reply = self.client.put("x", safetensors(DELTA), base=0)
        self.assertEqual((reply.status, reply.json()["code"]), (400, "header"), reply.body)

    def test_an_update_may_be_chunked(self):
        body = delta()
        pieces = [body[:5], body[5:100], body[100:], b""]
        framed = (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        reply = self.client.put("u", framed, base=0, examples=7,
                                headers={"Transfer-Encoding": "chunked"})
        self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: self.run_.version() == 1)

    def test_codecs_mix_in_one_version_exactly(self):
        run = self.daemon.create({"name": "codecs", "strategy": {"quorum": 3}}, safetensors(MODEL))
        dense, blocks, sparse = (run.join(f"dev-{i}") for i in range(3))
        bias = {"layer.bias": ([2], [3, 0])}
        quantized = safetensors({
            "layer.weight": ([2, 3], [1, -2, 3, 127, -128, 0], "I8"),
            "layer.weight.scale": ([2], [0.75, 0.0625]), **bias})
        chosen = safetensors({  # names its codec in the body only
            "layer.weight.index": ([2], [1, 5], "I64"),
            "layer.weight.value": ([2], [1.5, -0.5], "F16"), **bias},
            {"base_version": "0", "examples": "1", "codec": "sparse"})
        for reply in (dense.put("u", delta(), base=0, examples=1),
                      blocks.put("u", quantized, base=0, examples=1,
                                 headers={"Tributary-Codec": "int8"}),
                      sparse.put("u", chosen)):
            self.assertEqual(reply.status, 200, reply.body)
        wait_for(lambda: run.version() == 1)
        terms = (DELTA["layer.weight"][1],
                 [0.75, -1.5, 2.25, 127 / 16, -8, 0],
                 [0, 1.5, 0, 0, 0, -0.5])
        expected = [x + sum(column) / 3 for x, *column in zip(MODEL["layer.weight"][1], *terms)]
        values = read_safetensors(run.model().body)
        for value, wanted in zip(values["layer.weight"], expected, strict=True):
            self.assertAlmostEqual(value, wanted, delta=1e-6)
        reply = dense.put("v", quantized, base=1, examples=1)
        self.assertEqual((reply.status, reply.json()["code"]), (422, "dtype"), reply.body)
        self.assertIn("layer.weight", reply.json()["message"])

    def test_bad_updates_are_refused_with_tensor_field_and_limit(self):
        nan, infinity = float("nan"), float("inf")
        cases = [
            (delta(**{"layer.bias": ([2], [nan, 0])}), {}, 422, "nonfinite", "layer.bias"),
            (delta(**{"layer.bias": ([2], [0, infinity])}), {}, 422, "nonfinite", "layer.bias"),
            (delta(**{"layer.bias": ([2], [0, 17])}), {}, 422, "bound", "16"),
            (delta(**{"layer.bias": ([1], [0])}), {}, 422, "shape", "[1]"),
            (delta(**{"other": ([1], [0])}), {}, 422, "tensor", "other"),
            (safetensors({"layer.bias": ([2], [1, -1])}), {}, 422, "tensor", "layer.weight"),
            (b"\x10\x00\x00\x00\x00\x00\x00\x00{bad", {}, 400, "malformed", ""),
            (b"", {}, 400, "malformed", ""),
            (b"\xff" * 100, {}, 413, "too_large", "head"),
            (delta(), {"examples": 0}, 422, "weight", "0"),
            (delta(), {"examples": 10 ** 9}, 422, "weight", "1048576"),
            (delta(), {"examples": -1}, 400, "header", "-1"),
            (delta(), {"examples": "many"}, 400, "header", "many"),
            (delta(), {"base": 5}, 409, "base_unknown", "5"),
            (delta(), {"headers": {"Tributary-Codec": "zip"}}, 501, "unsupported", "zip"),
            (delta(), {"headers": {"Tributary-Metrics": '{"loss": "low"}'}}, 400, "header", "loss"),
            (delta(), {"headers": {"Content-Type": "text/plain"}}, 415, "content_type", ""),
            (b"x" * (4 << 20), {}, 413, "too_large", ""),
        ]
        before = self.run_.model().body
        for number, (body, changes, status, code, word) in enumerate(cases):
            with self.subTest(number=number, code=code):
                client = self.run_.join(f"bad-{number}")  # three in a row set a client aside
                options = {"base": 0, "examples": 7, **changes}
                reply = client.put("u", body, **options)
                self.assertEqual((reply.status, reply.json()["code"]), (status, code), reply.body)
                self.assertIn(word, reply.json()["message"])
        self.assertEqual(self.run_.model().body, before)
        self.assertEqual(self.run_.status()["updates"], {"counted": 0, "pending": 0, "dropped": 0})
        self.assertIn("refused code=nonfinite run=r client=bad-0", self.daemon.log_text())

    def test_refusals_are_counted_by_reason_wherever_they_are_made(self):
        """By the heart, the codec, the gate; in the status of the run and in /metrics; and logged
        with run, client and update."""
        bad = delta(**{"layer.bias": ([2], [float("nan"), 0])})
        self.client.put("u0", bad, base=0, examples=7)
        self.client.put("u1", delta(), base=9, examples=7)
        self.client.put("u2", delta(), base=0, examples=7, headers={"Content-Type": "text/plain"})
        self.run_.get("/task", token=self.client.token[:-1] + "~")
        self.assertEqual(self.run_.get("/versions/7").status, 404)
        expected = {"nonfinite": 1, "base_unknown": 1, "content_type": 1, "token": 1,
                    "not_found": 1}
        status = self.run_.status()
        self.assertEqual(status["refused"], expected)
        self.assertAlmostEqual(status["since"], time.time(), delta=60)
        lines = [line for line in self.daemon.request("GET", "/metrics").body.decode().splitlines()
                 if not line.startswith("#")]
        names = [line.rsplit(" ", 1)[0] for line in lines]
        self.assertEqual(len(names), len(set(names)))  # a name twice and Prometheus takes none
        for code in expected:
            self.assertIn(f'tributary_run_refused_total{{run="r",reason="{code}"}} 1', lines)
        for code, update in (("nonfinite", "u0"), ("base_unknown", "u1"), ("content_type", "u2")):
            self.assertIn(f"refused code={code} run=r client=dev-1 update={update} peer=",
                          self.daemon.log_text())

    def test_the_time_of_turns_is_told(self):
        def buckets():
            lines = self.daemon.request("GET", "/metrics").body.decode().splitlines()
            return [int(line.split()[1]) for line in lines
                    if line.startswith("tributary_loop_turn_seconds_bucket")]

        first, second = buckets(), buckets()
        self.assertEqual(first, sorted(first))  # each counts the shorter ones too
        self.assertEqual(len(first), 8)
        self.assertGreater(second[-1], first[-1])

    def test_three_refusals_in_a_row_set_a_client_aside_visibly(self):
        bad = delta(**{"layer.bias": ([2], [float("nan"), 0])})
        for i in range(3):
            self.assertEqual(self.client.put(f"u{i}", bad, base=0, examples=7).status, 422)
        reply = self.client.put("u3", delta(), base=0, examples=7)
        self.assertEqual((reply.status, reply.json()["code"]), (403, "set_aside"))
        for how in (None, signal.SIGTERM, signal.SIGKILL):  # no restart forgives it
            if how:
                wait_for(lambda: any(line["record"]["type"] == "set_aside"
                                     for line in self.run_.ledger()), what="its record")
                self.daemon.restart(how)
            self.assertEqual(self.run_.status()["clients"]["set_aside"], ["dev-1"])
            reply = self.client.put("u3", delta(), base=0, examples=7)
            self.assertEqual((reply.status, reply.json()["code"]), (403, "set_aside"))
        self.assertEqual(self.run_.control("resume").status, 200)
        self.daemon.restart()
        self.assertEqual(self.run_.status()["clients"]["set_aside"], [])
        self.assertEqual(self.client.put("u4", delta(), base=0, examples=7).status, 200)

    def test_who_comes_before_the_model_waits_for_it(self):
        run = self.daemon.create({"name": "empty"})
        task = run.join("dev-1").task()
        self.assertEqual((task["kind"], task["reason"]), ("wait", "the run has no model yet"))

    def test_a_full_run_forgets_the_absent_and_counts_nothing_twice(self):
        run = self.daemon.create({"name": "full", "strategy": {"quorum": 1}, "clients_max": 1,
                                  "lease": "1s", "evaluate": {"on": ["clients"]}},
                                 safetensors(MODEL))
        path = f"{run.path}/clients/"
        first = run.join("dev-1")
        self.assertEqual(first.put("u", delta(), base=0, examples=7).status, 200)
        wait_for(lambda: run.version() == 1)
        self.assertEqual(first.evaluate("e1", 1, 10, {"accuracy": 0.5}).status, 200)
        self.assertEqual(self.daemon.request("PUT", path + "dev-2", {}).status, 503)
        wait_for(lambda: self.daemon.request("PUT", path + "dev-2", {}).status == 200)
        reply = first.put("u", delta(), base=0, examples=7)
        self.assertEqual((reply.status, reply.json()["code"]), (403, "forbidden"))
        self.assertEqual(first.fate("u").json()["fate"], "counted")
        self.daemon.restart()
        wait_for(lambda: self.daemon.request("PUT", path + "dev-1", {}, first.token).status == 200)
        reply = first.put("u", delta(), base=0, examples=7)
        self.assertEqual((reply.status, reply.json()["fate"]), (200, "counted"))
        self.assertEqual(first.evaluate("e1", 1, 10, {"accuracy": 0.5}).status, 200)
        self.assertEqual(run.status()["updates"]["counted"], 1)
        self.assertEqual([r["record"]["client"] for r in run.ledger()
                          if r["record"]["type"] == "evaluation"], ["dev-1"])

    def test_tokens(self):
        reply = self.run_.get("/task")
        self.assertEqual((reply.status, reply.json()["code"]), (401, "token"))
        broken = self.client.token[:-1] + ("0" if self.client.token[-1] != "0" else "1")
        self.assertEqual(self.run_.get("/task", token=broken).status, 401)
        other = self.daemon.create({"name": "other", "strategy": {"quorum": 1}},
                                   safetensors(MODEL))
        self.assertEqual(other.get("/task", token=self.client.token).status, 403)
        self.assertEqual(self.daemon.request("POST", "/v1/runs", {"name": "x"}).status, 401)
        self.assertEqual(
            self.daemon.request("POST", "/v1/runs", {"name": "x"}, self.client.token).status, 403)
        self.assertEqual(self.daemon.request("GET", "/v1/runs/none").status, 404)

    def test_versions_have_etags_ranges_and_an_end(self):
        whole = self.run_.model(0).body
        part = self.run_.get("/versions/0", headers={"Range": "bytes=8-15"})
        self.assertEqual((part.status, part.body), (206, whole[8:16]))
        self.assertEqual(part.headers["Content-Range"], f"bytes 8-15/{len(whole)}")
        moving = self.run_.get("/versions/latest", headers={"Range": "bytes=8-15"})
        self.assertEqual(moving.status, 200)
        same = self.run_.get("/versions/latest", headers={"If-None-Match": part.headers["ETag"]})
        self.assertEqual((same.status, same.body), (304, b""))
        far = self.run_.get("/versions/0", headers={"Range": "bytes=9999-"})
        self.assertEqual(far.status, 416)
        self.assertEqual(self.run_.get("/versions/1").status, 404)
        head = self.daemon.request("HEAD", self.run_.path + "/versions/0")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]),
                         (200, b"", str(len(whole))))
        for version in range(8):
            self.client.put(f"u{version}", delta(), base=version, examples=1)
            wait_for(lambda: self.run_.version() == version + 1)
        self.assertEqual(self.run_.get("/versions/0").status, 410)
        self.assertEqual(self.run_.model(7).headers["Tributary-Model-Version"], "7")

    def test_a_second_model_is_a_conflict_and_the_same_one_is_not(self):
        path, fields = self.run_.path + "/versions/0", {
            "Content-Type": "application/safetensors"}
        same = self.daemon.request("PUT", path, safetensors(MODEL), self.daemon.admin, fields)
        self.assertEqual(same.status, 200)
        other = safetensors({**MODEL, "layer.bias": ([2], [5, 5])})
        reply = self.daemon.request("PUT", path, other, self.daemon.admin, fields)
        self.assertEqual((reply.status, reply.json()["code"]), (409, "conflict"))

    def test_bad_models_are_refused(self):
        run = self.daemon.create({"name": "empty", "strategy": {"quorum": 1}})
        for body, code in [(b"junk", "malformed"), (safetensors({}), "malformed"),
                           (safetensors({"w": ([1], [float("nan")])}), "nonfinite")]:
            reply = self.daemon.request("PUT", run.path + "/versions/0", body, self.daemon.admin,
                                        {"Content-Type": "application/safetensors"})
            self.assertIn(reply.status, (400, 422), reply.body)
            with self.subTest(code=code):
                self.assertIn(reply.json()["code"], (code, "spec", "tensor", "header"))
        self.assertEqual(run.status()["state"], "awaiting_model")

    def test_bad_specs_name_the_field(self):
        cases = [
            ({"name": "x", "model": {}, "strategy": {"quorm": 2}}, "quorum"),
            ({"name": "x y", "model": {}}, "name"),
            ({"name": "x", "model": {}, "strategy": {"fraction": 2}}, "fraction"),
            ({"name": "x", "model": {}, "strategy": {"preset": "fedavgg"}}, "fedavg"),
            ({"name": "x", "model": {}, "stop": {"versions": "many"}}, "versions"),
            ({}, "name"),
        ]
        for spec, word in cases:
            with self.subTest(word=word):
                reply = self.daemon.request("POST", "/v1/runs", spec, self.daemon.admin)
                self.assertEqual((reply.status, reply.json()["code"]), (400, "spec"), reply.body)
                self.assertIn(word, reply.json()["message"])

    def test_events_tell_what_happens(self):
        import http.client
        connection = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=20)
        connection.request("GET", self.run_.path + "/events")
        stream = connection.getresponse()
        self.assertEqual(stream.headers["Content-Type"], "text/event-stream")
        self.client.put("u", delta(), base=0, examples=7, headers={
            "Tributary-Metrics": json.dumps({"loss": 0.5})})
        seen = []
        while "event: version" not in seen:
            seen.append(stream.readline().decode().strip())
        data = json.loads(stream.readline().decode().removeprefix("data: "))
        self.assertEqual((data["version"], data["updates"], data["weight"]), (1, 1, 7))
        self.assertEqual(data["train"], {"loss": 0.5})
        self.assertIn("event: update", seen)
        connection.close()

    def test_delete_needs_the_name_again(self):
        path = self.run_.path
        self.assertEqual(
            self.daemon.request("DELETE", path, token=self.daemon.admin).status, 400)
        self.assertEqual(
            self.daemon.request("DELETE", path + "?name=r", token=self.daemon.admin).status, 204)
        self.assertEqual(self.run_.get().status, 404)
        self.daemon.restart()
        self.assertEqual(self.daemon.request("GET", "/v1/runs").json(), {"runs": []})


if __name__ == "__main__":
    main()
