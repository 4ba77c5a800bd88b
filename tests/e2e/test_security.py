"""test_security.py - tokens with scopes, an end and a way back; failed attempts; who changed what.

The daemon takes what a proxy forwarded for traffic from outside, also over loopback: so these tests
ask with X-Forwarded-For where a stranger's rights are meant.
"""
import hashlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import TRIB, Daemon, main, safetensors, wait_for

MODEL = safetensors({"w": ([2], [0, 0])})
DELTA = safetensors({"w": ([2], [1, 2])})
OUTSIDE = {"X-Forwarded-For": "192.0.2.7"}
TENSORS = {"Content-Type": "application/safetensors", "Tributary-Base-Version": "0",
           "Tributary-Examples": "1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Secured(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.run_ = self.daemon.create({"name": "r", "strategy": {"quorum": 9}}, MODEL)

    def ask(self, method, path, token=None, body=None, headers=None):
        """A request of somebody who is not on this machine: (status, code or document)."""
        reply = self.daemon.request(method, "/v1/runs" + path, body, token,
                                    {**OUTSIDE, **(headers or {})})
        try:
            document = reply.json()
        except ValueError:
            document = None
        return reply.status, document["code"] if reply.status >= 400 else document

    def make(self, scope, run="r", by=None, **fields):
        def ask():
            return self.ask("POST", f"/{run}/tokens", by or self.daemon.admin, {"scope": scope, **fields})
        status, made = ask()
        while status == 503:  # the run is being opened again
            time.sleep(0.05)
            status, made = ask()
        self.assertEqual(status, 201, made)
        return made

    def join(self, client, token=None):
        return self.ask("PUT", f"/r/clients/{client}", token, {})

    def metrics(self):
        text = self.daemon.request("GET", "/metrics").body.decode()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if line[0] != "#"}

    def records(self, kind):
        return [r["record"] for r in self.run_.ledger() if r["record"]["type"] == kind]


class Tokens(Secured):
    def test_from_outside_nothing_goes_without_a_token(self):
        for method, path in (("GET", ""), ("GET", "/r"), ("GET", "/r/versions/latest"),
                             ("GET", "/r/ledger"), ("PUT", "/r/clients/x"), ("POST", "/r/stop"),
                             ("POST", "/r/tokens"), ("DELETE", "/r/clients/x")):
            with self.subTest(path=path):
                self.assertEqual(self.ask(method, path, body={} if method == "PUT" else None),
                                 (401, "token"))
        self.assertEqual(self.daemon.request("GET", "/healthz", headers=OUTSIDE).status, 200)

    def test_a_scope_allows_what_it_says_and_no_more(self):
        self.daemon.create({"name": "other", "strategy": {"quorum": 9}}, MODEL)
        observe, join = self.make("observe")["token"], self.make("join")["token"]
        admin = self.make("admin", subject="alice")["token"]
        for token in (observe, join, admin):
            self.assertEqual(self.ask("GET", "/r", token)[0], 200)
            self.assertEqual(self.ask("GET", "/other", token), (403, "forbidden"))
            self.assertEqual(self.ask("POST", "", token, {"name": "x"}), (403, "forbidden"))
            self.assertEqual(self.ask("GET", "/r/task", token), (403, "forbidden"))
        for token in (observe, join):
            self.assertEqual(self.ask("POST", "/r/pause", token), (403, "forbidden"))
            self.assertEqual(self.ask("POST", "/r/tokens", token, {"scope": "join"}),
                             (403, "forbidden"))
        self.assertEqual(self.join("dev", observe), (403, "forbidden"))
        status, joined = self.join("dev", join)
        self.assertEqual(status, 200)
        self.assertEqual(self.ask("PUT", "/other/clients/dev", join, {}), (403, "forbidden"))
        self.assertEqual(self.ask("POST", "/other/pause", admin), (403, "forbidden"))
        self.assertEqual(self.ask("POST", "/r/pause", admin)[0], 200)
        self.assertEqual(self.ask("GET", "/r", joined["token"])[0], 200)
        self.assertEqual(self.join("other-dev", joined["token"]), (403, "forbidden"))
        self.assertEqual(self.metrics()['tributary_tokens_refused_total{reason="forbidden"}'], 17)

    def test_a_join_token_can_be_for_one_client(self):
        token = self.make("join", subject="mercy")["token"]
        self.assertEqual(self.join("mercy", token)[0], 200)
        self.assertEqual(self.join("general", token), (403, "forbidden"))

    def test_a_link_holds_the_token(self):
        made = self.make("join", expires="7d")
        self.assertEqual(made["link"], f"{self.daemon.url}/r#{made['token']}")
        self.assertAlmostEqual(made["expires"], time.time() + 7 * 86400, delta=600)
        self.assertTrue(re.fullmatch("[0-9a-f]{16}", made["serial"]))

    def test_bad_requests_for_tokens_are_refused(self):
        for body in ({}, {"scope": "client"}, {"scope": "root"}, {"scope": "join", "expires": 7},
                     {"scope": "join", "expires": "7"}, {"scope": "join", "expires": "0s"},
                     {"scope": "join", "subject": "a/b"}, {"scope": "join", "until": "7d"}):
            with self.subTest(body=body):
                self.assertEqual(self.ask("POST", "/r/tokens", self.daemon.admin, body),
                                 (400, "malformed"))
        self.assertEqual(self.ask("DELETE", "/r/tokens/5f", self.daemon.admin), (400, "name"))

    def test_a_token_expires(self):
        token = self.make("join", expires="1s")["token"]
        wait_for(lambda: self.join("dev", token) == (401, "expired"), what="expiry")
        self.assertGreaterEqual(self.metrics()['tributary_tokens_refused_total{reason="expired"}'],
                                1)

    def test_a_revoked_token_is_dead_also_after_a_restart(self):
        made, other = self.make("join"), self.make("join")
        self.assertEqual(self.join("dev", made["token"])[0], 200)
        self.assertEqual(self.ask("DELETE", f"/r/tokens/{made['serial']}", self.daemon.admin)[0],
                         204)
        for restart in (False, True):
            if restart:
                self.daemon.restart()
            self.assertEqual(self.join("dev-2", made["token"]), (401, "revoked"))
            self.assertEqual(self.join("dev", other["token"])[0], 200)
        self.assertEqual(self.metrics()['tributary_tokens_refused_total{reason="revoked"}'], 1)

    def test_the_link_of_a_run_can_be_revoked(self):
        spec = {"name": "r", "model": {"init": "upload"}, "strategy": {"quorum": 9}}
        _, created = self.ask("POST", "", self.daemon.admin, spec)
        token = created["join"].split("#")[1]
        self.assertEqual(self.join("dev", token)[0], 200)
        self.assertEqual(self.ask("DELETE", "/r/tokens/" + "0" * 16, self.daemon.admin)[0], 204)
        self.assertEqual(self.join("dev", token), (401, "revoked"))
        self.assertNotIn("join", self.ask("POST", "", self.daemon.admin, spec)[1])

    def test_a_bad_token_is_refused_even_where_none_is_needed(self):
        reply = self.daemon.request("GET", "/v1/runs/r", token="admin~~~0~0000000000000000~00")
        self.assertEqual((reply.status, reply.json()["code"]), (401, "token"))
        self.assertEqual(self.daemon.request("GET", "/healthz", token="x").status, 200)


class Clients(Secured):
    def revoke(self, client):
        return self.ask("DELETE", f"/r/clients/{client}", self.daemon.admin)[0]

    def put(self, client_token, update, body=DELTA):
        return self.ask("PUT", f"/r/updates/{update}", client_token, body, TENSORS)

    def test_a_revoked_client_is_out_and_what_it_sent_stays(self):
        join = self.make("join")["token"]
        token = self.join("dev", join)[1]["token"]
        self.assertEqual(self.put(token, "u")[0], 200)
        self.assertEqual(self.revoke("dev"), 204)
        for restart in (False, True):
            if restart:
                self.daemon.restart()
            self.assertEqual(self.put(token, "v"), (401, "revoked"))
            self.assertEqual(self.join("dev", token), (401, "revoked"))
            self.assertEqual(self.join("dev", join), (403, "forbidden"))
            reply = self.daemon.request("PUT", "/v1/runs/r/clients/dev", {})
            self.assertEqual(reply.status, 401, "loopback opens no name that was revoked")
            self.assertEqual(self.run_.status()["updates"]["pending"], 1)

    def test_the_operator_may_let_it_in_again(self):
        old = self.join("dev", self.make("join")["token"])[1]["token"]
        self.assertEqual(self.revoke("dev"), 204)
        new = self.join("dev", self.daemon.admin)[1]["token"]
        for restart in (False, True):
            if restart:
                self.daemon.restart()
            self.assertEqual(self.put(old, "u"), (401, "revoked"))
            self.assertEqual(self.put(new, "u")[0], 200)
            self.assertEqual(self.join("dev", new)[1]["token"], new)
        self.assertEqual(self.revoke("dev"), 204)
        self.assertEqual(self.put(new, "w"), (401, "revoked"))

    def test_whoever_waits_is_told_at_once(self):
        token = self.join("dev", self.make("join")["token"])[1]["token"]
        self.assertEqual(self.run_.control("pause").status, 200)
        answers = []
        poll = threading.Thread(
            target=lambda: answers.append(self.ask("GET", "/r/task?wait=50", token)))
        poll.start()
        wait_for(lambda: self.metrics()["tributary_connections"] == 2, what="the poll to arrive")
        self.assertEqual(self.revoke("dev"), 204)
        poll.join(20)
        self.assertEqual(answers, [(401, "revoked")])

    def test_an_upload_under_way_is_not_taken(self):
        token = self.join("dev", self.make("join")["token"])[1]["token"]
        head = ("PUT /v1/runs/r/updates/u HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {token}\r\nContent-Length: {len(DELTA)}\r\n"
                + "".join(f"{name}: {value}\r\n" for name, value in TENSORS.items()) +
                "Expect: 100-continue\r\nConnection: close\r\n\r\n").encode()
        with socket.create_connection((self.daemon.host, self.daemon.port), 20) as peer:
            peer.sendall(head)
            self.assertTrue(peer.recv(1000).startswith(b"HTTP/1.1 100 "))
            self.assertEqual(self.revoke("dev"), 204)
            peer.sendall(DELTA)
            reply = peer.recv(4000)
        self.assertTrue(reply.startswith(b"HTTP/1.1 401 "), reply[:100])
        self.assertEqual(self.run_.status()["updates"]["pending"], 0)


class Audit(Secured):
    def test_records_say_who_did_it(self):
        alice = self.make("admin", subject="alice")
        join = self.make("join", by=alice["token"], subject="mercy")
        self.join("mercy", join["token"])
        for what in ("pause", "resume"):
            self.assertEqual(self.ask("POST", f"/r/{what}", alice["token"])[0], 200)
        self.assertEqual(self.ask("DELETE", f"/r/tokens/{join['serial']}", alice["token"])[0], 204)
        self.assertEqual(self.ask("DELETE", "/r/clients/mercy", self.daemon.admin)[0], 204)
        who = f"alice (admin {alice['serial']})"
        self.assertEqual([r["by"] for r in self.records("version")], ["admin"])
        self.assertEqual([(r["serial"], r["by"]) for r in self.records("token")],
                         [(alice["serial"], "admin"), (join["serial"], who)])
        self.assertEqual([(r["state"], r["by"]) for r in self.records("state")],
                         [("paused", who), ("running", who)])
        self.assertEqual([r["by"] for r in self.records("client")],
                         [f"mercy (join {join['serial']})"])
        self.assertEqual([(r.get("serial"), r.get("client"), r["by"])
                          for r in self.records("revoked")],
                         [(join["serial"], None, who), (None, "mercy", "admin")])

    def test_the_record_says_who_changed_a_run(self):
        people = {name: self.make("admin", subject=name) for name in ("alice", "bob")}
        tokens = {"": self.daemon.admin, **{name: made["token"] for name, made in people.items()}}
        deeds = [("alice", "pause", "paused"), ("bob", "resume", "running"),
                 ("", "pause", "paused"), ("alice", "resume", "running"),
                 ("bob", "stop", "stopped")]
        change = {"strategy": {"quorum": 8}}
        self.assertEqual(self.ask("PATCH", "/r", self.make("observe")["token"], change)[0], 403)
        self.assertEqual(self.ask("PATCH", "/r", tokens["alice"], change)[0], 200)
        for who, what, _ in deeds:
            # 503 while the run is opened again with its new rules.
            wait_for(lambda: self.ask("POST", f"/r/{what}", tokens[who])[0] == 200, what=what)
            # What changes nothing, and what is refused, is nobody's deed.
            self.assertEqual(self.ask("POST", f"/r/{what}", self.make("join")["token"])[0], 403)
        self.assertEqual(self.ask("POST", "/r/resume", tokens["alice"]), (409, "conflict"))
        expected = [(state, f"{who} (admin {people[who]['serial']})" if who else "admin")
                    for who, _, state in deeds]
        for restart in (False, True):
            if restart:
                self.daemon.restart()
            self.assertEqual([(r["state"], r["by"]) for r in self.records("state")], expected)
            self.assertEqual([r["by"] for r in self.records("revision")], [expected[0][1]])
        self.assertEqual(self.ask("DELETE", "/r?name=r", tokens["bob"])[0], 204)
        self.assertIn(f'delete run=r by="{expected[-1][1]}"', self.daemon.log_text())

    def test_what_a_run_does_by_itself_is_nobodys(self):
        self.daemon.create({"name": "short", "strategy": {"quorum": 1}, "evaluate": {"every": 0},
                            "stop": {"versions": 1}}, MODEL)
        token = self.ask("PUT", "/short/clients/dev", self.daemon.admin, {})[1]["token"]
        self.assertEqual(self.ask("PUT", "/short/updates/u", token, DELTA, TENSORS)[0], 200)
        wait_for(lambda: self.ask("GET", "/short", token)[1]["state"] == "stopped", what="the end")
        lines = self.daemon.request("GET", "/v1/runs/short/ledger").body.splitlines()
        records = [json.loads(line)["record"] for line in lines]
        self.assertEqual([(r["type"], r.get("by")) for r in records[1:]],
                         [("version", "admin"), ("client", "admin"), ("version", None),
                          ("state", None)])

    def test_no_secret_is_in_the_log_or_the_ledger(self):
        made = self.make("join")
        client = self.join("dev", made["token"])[1]["token"]
        for token in (made["token"], client, self.daemon.admin, made["token"][:-1] + "x"):
            self.ask("POST", "/r/pause", token)
            self.ask("GET", "/r/task", token)
            self.ask("PUT", "/r/clients/dev", token, {"role": "nonsense"})
        said = self.daemon.log_text() + json.dumps(self.run_.ledger())
        for token in (made["token"], client, self.daemon.admin):
            self.assertNotIn(token.rsplit("~", 1)[1], said)


class Attempts(Secured):
    def test_guessing_is_slowed_down_and_good_tokens_go_on(self):
        bad = self.daemon.admin[:-4] + "beef"
        answers = [self.ask("POST", "/r/pause", bad) for _ in range(22)]
        self.assertEqual(answers, [(401, "token")] * 20 + [(429, "attempts")] * 2)
        reply = self.daemon.request("POST", "/v1/runs/r/pause", token=bad)
        self.assertEqual(reply.status, 429)
        self.assertIn(int(reply.headers["Retry-After"]), range(1, 61))
        self.assertEqual(self.ask("POST", "/r/pause", self.daemon.admin)[0], 200)
        self.assertEqual(self.daemon.log_text().count("code=attempts"), 0)
        values = self.metrics()
        self.assertEqual(values['tributary_tokens_refused_total{reason="bad"}'], 23)
        self.assertEqual(values['tributary_refusals_total{code="attempts"}'], 3)
        self.assertEqual(values['tributary_refusals_total{code="token"}'], 20)

    def test_a_unix_socket_is_not_limited(self):
        path = f"{self.daemon.directory}/socket"
        daemon = Daemon("--listen", f"unix:{path}")
        self.addCleanup(daemon.close)
        for _ in range(25):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(20)
                peer.connect(path)
                peer.sendall(b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\n"
                             b"Authorization: Bearer rubbish\r\nConnection: close\r\n\r\n")
                self.assertTrue(peer.recv(1000).startswith(b"HTTP/1.1 401 "))

    def test_no_token_is_no_attempt(self):
        answers = [self.ask("POST", "/r/pause") for _ in range(30)]
        self.assertEqual(answers, [(401, "token")] * 30)


class Receipts(Secured):
    """What the daemon has signed can be checked by whoever has its public key."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.daemon.directory)
        self.run_ = self.daemon.create({"name": "s", "strategy": {"quorum": 2}}, MODEL)
        self.client = self.run_.join("dev")
        self.key = f"{self.daemon.data}/ledger.pub"

    def save(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def verify(self, signed, *more, key=None):
        return subprocess.run([TRIB, "ledger", "verify", "--receipt", signed, "--key",
                               key or self.key, *more], capture_output=True, text=True)

    def assert_good(self, checked, *words):
        self.assertEqual(checked.returncode, 0, checked.stderr)
        for word in words:
            self.assertIn(word, checked.stdout)

    def assert_bad(self, checked, word):
        self.assertEqual(checked.returncode, 1, checked.stdout)
        self.assertIn(word, checked.stderr)

    def put(self, wish="yes"):
        return self.client.put("u", DELTA, base=0, examples=7,
                               headers={"Tributary-Receipt": wish} if wish else {})

    def count_two(self):
        """Two updates make version 1; the reply to the first."""
        first = self.put()
        self.assertEqual(first.status, 200, first.body)
        self.run_.join("dev-2").put("v", DELTA, base=0, examples=3)
        wait_for(lambda: self.run_.version() == 1)
        return first

    def ledger_file(self):
        return self.save("ledger.json", self.run_.get("/ledger").body)

    def test_a_receipt_says_what_was_taken(self):
        receipt = self.put().json()["receipt"]
        word, run, client, update, digest, base, weight, version, when, _ = receipt.split("~")
        self.assertEqual((word, run, client, update), ("tributary-receipt-1", "s", "dev", "u"))
        self.assertEqual(digest, hashlib.sha256(DELTA).hexdigest())
        self.assertEqual((base, weight, version), ("0", "7", "1"))
        self.assertAlmostEqual(int(when), time.time(), delta=600)
        for restart in (False, True):
            if restart:
                self.daemon.restart(signal.SIGKILL)
            again = self.put()
            self.assertEqual(again.json()["receipt"], receipt)

    def test_only_who_asks_gets_one(self):
        self.assertEqual(self.put("maybe").json()["code"], "header")
        for wish, is_there in ((None, False), ("no", False), ("yes", True), (None, False)):
            with self.subTest(wish=wish):
                reply = self.put(wish)
                self.assertEqual(reply.status, 200, reply.body)
                self.assertEqual("receipt" in reply.json(), is_there)

    def test_any_program_can_check_it(self):
        receipt = self.put().json()["receipt"]
        text, signature = receipt.rsplit("~", 1)
        words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", self.key, "-rawin", "-in",
                 self.save("text", text.encode()), "-sigfile",
                 self.save("signature", bytes.fromhex(signature))]
        checked = subprocess.run(words, capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_a_counted_update_is_found_in_the_ledger(self):
        reply = self.count_two()
        signed = self.save("receipt", reply.json()["receipt"].encode())
        self.assert_good(self.verify(signed), "update u of client dev in run s")
        self.assert_good(self.verify(signed, "--ledger", self.ledger_file()),
                         "counted once, in version 1")
        self.assert_good(self.verify(self.save("reply", reply.body)), "update u of client dev")
        self.daemon.stop()
        self.assert_good(self.verify(signed, self.daemon.data, "s"), "counted once, in version 1")
        self.assert_bad(self.verify(signed, self.daemon.data, "r"), "signed for run s")
        self.daemon.start()

    def test_a_dropped_update_is_found_in_the_ledger(self):
        signed = self.save("receipt", self.put().body)
        self.assert_bad(self.verify(signed, "--ledger", self.ledger_file()),
                        "neither counts nor drops it")
        self.assertEqual(self.run_.control("stop").status, 200)
        self.assert_good(self.verify(signed, "--ledger", self.ledger_file()), "dropped: ")

    def test_what_was_changed_is_noticed(self):
        receipt = self.count_two().json()["receipt"]
        self.assert_bad(self.verify(self.save("a", receipt.replace("~7~", "~8~").encode())),
                        "not signed with this key")
        self.assert_bad(self.verify(self.save("b", b"rubbish")), "no receipt")
        other = Daemon()
        self.addCleanup(other.close)
        signed = self.save("receipt", receipt.encode())
        self.assert_bad(self.verify(signed, key=f"{other.data}/ledger.pub"),
                        "not signed with this key")
        lines = pathlib.Path(self.ledger_file()).read_bytes().splitlines(keepends=True)
        for name, ledger in (("less", lines[1:]), ("order", lines[1::-1] + lines[2:]),
                             ("weight", [line.replace(b'"weight":7', b'"weight":9')
                                         for line in lines])):
            with self.subTest(ledger=name):
                self.assert_bad(self.verify(signed, "--ledger", self.save(name, b"".join(ledger))),
                                "does not follow from those before it")

    def test_the_head_of_a_ledger_is_signed(self):
        self.count_two()
        reply = self.run_.get("/ledger/head")
        head, last = reply.json(), self.run_.ledger()[-1]
        self.assertEqual((head["index"], head["digest"]), (last["index"], last["digest"]))
        self.assertEqual(head["head"].rsplit("~", 1)[1], head["signature"])
        signed = self.save("head", reply.body)
        self.assert_good(self.verify(signed), f"record {last['index']} of run s")
        self.run_.control("pause")  # more records do not matter, fewer do
        self.assert_good(self.verify(signed, "--ledger", self.ledger_file()), "is this one")
        lines = pathlib.Path(self.ledger_file()).read_bytes().splitlines(keepends=True)
        self.assert_bad(self.verify(signed, "--ledger",
                                    self.save("short", b"".join(lines[:last["index"]]))),
                        "cut short")

    def test_the_keys_are_kept_and_the_private_one_is_private(self):
        path = pathlib.Path(self.daemon.data, "ledger.key")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        before = path.read_bytes(), pathlib.Path(self.key).read_bytes()
        self.daemon.restart()
        self.assertEqual((path.read_bytes(), pathlib.Path(self.key).read_bytes()), before)


class Quotas(Secured):
    def test_a_client_may_send_its_share_of_an_hour(self):
        run = self.daemon.create({"name": "q", "strategy": {"quorum": 9},
                                  "limits": {"client_updates_per_hour": 2}}, MODEL)
        client = run.join("dev")
        answers = [client.put("u", DELTA, base=0, examples=1) for _ in range(3)]
        self.assertEqual([reply.status for reply in answers], [200, 200, 429])
        self.assertEqual(answers[2].json()["code"], "rate")
        self.assertIn(int(answers[2].headers["Retry-After"]), range(3000, 3601))
        self.assertEqual(run.join("dev-2").put("u", DELTA, base=0, examples=1).status, 200)
        self.assertEqual(self.metrics()['tributary_refusals_total{code="rate"}'], 1)

    def test_bytes_count_announced_or_not(self):
        run = self.daemon.create({"name": "q", "strategy": {"quorum": 9},
                                  "limits": {"client_bytes_per_hour": len(DELTA) + 10}}, MODEL)
        announced, chunked = run.join("a"), run.join("b")
        for client, body in ((announced, lambda: DELTA),
                             (chunked, lambda: iter([b"%x\r\n" % len(DELTA) + DELTA + b"\r\n",
                                                     b"0\r\n\r\n"]))):
            fields = {} if client is announced else {"Transfer-Encoding": "chunked"}
            with self.subTest(client=client.name):
                first = client.put("u", body(), base=0, examples=1, headers=fields)
                self.assertEqual(first.status, 200, first.body)
                self.assertEqual(client.put("u", DELTA, base=0, examples=1).status, 429)


class Rotation(Secured):
    def test_a_new_key_voids_every_token(self):
        old = self.daemon.admin
        client = self.join("dev", self.make("join")["token"])[1]["token"]
        self.daemon.stop()
        path = pathlib.Path(self.daemon.data, "key")
        path.write_bytes(bytes(range(32)))
        self.daemon.start()
        self.assertNotEqual(self.daemon.admin, old)
        self.assertEqual(self.ask("POST", "/r/pause", old), (401, "token"))
        self.assertEqual(self.ask("GET", "/r/task", client), (401, "token"))
        self.assertEqual(self.ask("POST", "/r/pause", self.daemon.admin)[0], 200)


class Loopback(unittest.TestCase):
    def test_under_a_public_url_loopback_is_not_trusted(self):
        port = free_port()
        daemon = Daemon("--listen", f"127.0.0.1:{port}",
                        "--public-url", f"http://127.0.0.1:{port}")
        self.addCleanup(daemon.close)
        run = daemon.create({"name": "r", "strategy": {"quorum": 9}}, MODEL)
        self.assertEqual(run.get().status, 401)
        self.assertEqual(run.get(token=daemon.admin).status, 200)

    def test_no_host_is_not_ours(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        self.assertIn(daemon.request("GET", "/healthz", headers={"Host": ":80"}).status,
                      (400, 403))

    def test_the_host_of_the_public_url_is_ours(self):
        port = free_port()
        daemon = Daemon("--listen", f"127.0.0.1:{port}",
                        "--public-url", f"https://fl.example:{port}")
        self.addCleanup(daemon.close)
        daemon.host = "127.0.0.1"
        for host, status in (("fl.example", 200), ("FL.example:443", 200), ("evil.example", 403),
                             ("fl.example.evil", 403), (":80", 403)):
            with self.subTest(host=host):
                reply = daemon.request("GET", "/healthz", headers={"Host": host})
                self.assertEqual(reply.status, status, reply.body)


class Program(Secured):
    """trib token create, list and revoke."""

    def trib(self, *words, expect=0):
        done = subprocess.run(
            [TRIB, "token", *words, "--url", self.daemon.url, "--token-file",
             f"{self.daemon.data}/admin.token"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def create(self, *words):
        """What was printed, and the serial."""
        done = self.trib("create", "r", *words)
        return done.stdout.strip(), re.match("serial ([0-9a-f]{16}), ", done.stderr)[1]

    def join_with(self, token, client):
        return self.ask("PUT", f"/r/clients/{client}", token, {})

    def states(self):
        lines = self.trib("list", "r").stdout.splitlines()[1:]
        return {line.split()[0]: tuple(line.split()[1:3]) for line in lines}

    def test_a_link_for_one_client_and_back(self):
        link, serial = self.create("--client", "mercy", "--expires", "7d")
        self.assertTrue(link.startswith(f"{self.daemon.url}/r#join~"), link)
        token = link.split("#")[1]
        self.assertEqual(self.join_with(token, "other"), (403, "forbidden"))
        status, answer = self.join_with(token, "mercy")
        self.assertEqual(status, 200)
        self.assertEqual(self.states()[serial], ("join", "good"))
        self.trib("revoke", "r", serial)
        self.assertEqual(self.join_with(token, "mercy"), (401, "revoked"))
        self.assertEqual(self.states()[serial], ("join", "revoked"))
        # The client goes on with what joining gave it, until that is taken back, too.
        self.assertEqual(self.ask("GET", "/r/task?wait=0", answer["token"])[0], 200)
        self.trib("revoke", "r", "--client", "mercy")
        self.assertEqual(self.ask("GET", "/r/task?wait=0", answer["token"]), (401, "revoked"))

    def test_other_scopes_are_printed_as_tokens(self):
        token, serial = self.create("--scope", "observe", "--label", "press", "--expires", "1500ms")
        self.assertEqual(self.ask("GET", "/r", token)[0], 200)
        self.assertEqual(self.ask("POST", "/r/pause", token), (403, "forbidden"))
        wait_for(lambda: self.states()[serial] == ("observe", "expired"), what="its end")
        self.assertEqual(self.ask("GET", "/r", token), (401, "expired"))
        token, serial = self.create("--scope", "admin", "--label", "alice")
        self.assertEqual(self.ask("POST", "/r/pause", token)[0], 200)
        self.assertIn("alice", self.trib("list", "r").stdout)

    def test_the_runs_own_link_can_be_taken_back(self):
        self.assertEqual(self.states(), {"0" * 16: ("join", "good")})
        self.trib("revoke", "r", "0" * 16)
        self.assertEqual(self.states(), {"0" * 16: ("join", "revoked")})

    def test_what_makes_no_sense_is_told(self):
        for words, status in ((["create", "r", "--scope", "client"], 1),
                              (["create", "r", "--scope", "observe", "--client", "a"], 2),
                              (["create", "r", "--label", "a"], 2),
                              (["create", "r", "--expires", "soon"], 2),
                              (["create", "../r"], 2), (["create", "other"], 1),
                              (["list", "other"], 1), (["revoke", "r"], 2),
                              (["revoke", "r", "5f0c", "--client", "a"], 2),
                              (["revoke", "r", "5f0c"], 1), (["revoke", "r", "../x"], 2)):
            with self.subTest(words=words):
                self.trib(*words, expect=status)

    def test_no_token_is_written_anywhere(self):
        link, _ = self.create()
        secret = link.split("~")[-1]
        self.assertNotIn(secret, self.daemon.log_text())
        for path in pathlib.Path(self.daemon.data).rglob("*"):
            if path.is_file():
                self.assertNotIn(secret.encode(), path.read_bytes(), path)


if __name__ == "__main__":
    main()
