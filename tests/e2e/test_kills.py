"""test_kills.py - acknowledged means counted exactly once, whatever dies and whenever.

One small training (four trainers, a judge, an operator, three versions) is played again and again
while the daemon is killed, at each of its crash points (docs/state.md) and at random times, while
connections are cut and clients are stopped. Everybody repeats what was not answered under the same
id; at the end checker.py counts again. TRIB_KILLS=all tries every passing of every point,
TRIB_SEED=n other random times.
"""
import collections
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import math
import os
import pathlib
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import checker
from harness import SCALE, Daemon, main, replay, safetensors

ALL = os.environ.get("TRIB_KILLS") == "all"
SEED = int(os.environ.get("TRIB_SEED", "1"))
VERSIONS = 3
PATIENCE = 60 * SCALE  # seconds that one request, with all its repetitions, may take

BIG = 66 * 4096  # parameters: a body of 1.03 MiB, which goes to a file of its own
ROUNDS = {"quorum": 3, "deadline": "1s", "first_deadline": "1s"}
# Those that keep their updates are recorded, and played again in the end.
KEPT = {"keep": {"updates": "forever"}}
# Between them: each server optimizer, a version per round, per so many updates and per update.
SPECS = {
    "mean": {"strategy": {"preset": "fedavg", **ROUNDS}},
    "momentum": {
        **KEPT,
        "checkpoint_every": "1h",  # a restart makes the versions again from the spool
        "strategy": {"preset": "fedavgm", **ROUNDS, "staleness": "polynomial", "weight_max": 4096,
                     "server": {"lr": 0.7, "momentum": 0.9}}},
    "mixing": {"strategy": {"preset": "fedasync", "alpha": 0.7, "staleness": "hinge",
                            "staleness_a": 2.5, "staleness_b": 1},
               "stop": {"versions": 9}},
    "mixing-nesterov": {**KEPT, "strategy": {"preset": "fedasync", "server": {"optimizer": "nesterov"}},
                        "stop": {"versions": 9}},
    "adam": {"checkpoint_every": "1h",
             "strategy": {"preset": "fedadam", **ROUNDS, "weight_share_max": 0.4,
                          "server": {"variant": "standard"}}},
    "yogi": {**KEPT, "strategy": {"preset": "fedbuff", "goal": 4, "server": {"optimizer": "yogi"}}},
    "adagrad": {"checkpoint_every": "1h",
                "strategy": {"preset": "fedadagrad", **ROUNDS, "server": {"beta1": 0.5},
                             "weights": "attribute", "weight_attribute": "beds"}},
    "combined": {**KEPT, "checkpoint_every": "1h",
                 "strategy": {"preset": "fedbuff", "goal": 4, "combiner": "external",
                              "server": {"optimizer": "momentum", "momentum": 0.5}}},
}
KINDS = list(SPECS)
THOROUGH = KINDS[:3]  # TRIB_KILLS=all: both ways to die at each passing; else the two take turns


def spec_of(kind):
    return {"name": "kills", "stop": {"versions": VERSIONS}, **SPECS[kind], "lease": "5s",
            "evaluate": {"on": ["evaluators"], "deadline": "5s"},
            "model": {"init": "upload", "tensors": [{"match": "big.*", "group": "big"},
                                                    {"match": "fixed.*", "role": "freeze"}]}}


def numbers(seed, count):
    """Values as training makes them, with the awkward ones among them."""
    draw = random.Random(seed)
    awkward = [0.0, -0.0, 16.0, -16.0, 1e-40, -3e-39, 2.0 ** -49]
    return [draw.choice(awkward) if draw.random() < 0.2 else draw.gauss(0, 0.1)
            for _ in range(count)]


def tensors(seed, has_big):
    chosen = {"layer.weight": ([5, 7], numbers(f"{seed}.w", 35)),
              "layer.bias": ([], numbers(seed, 1)),
              "norm.running_mean": ([3], numbers(f"{seed}.n", 3))}
    if has_big:
        chosen["big.weight"] = ([66, 4096], numbers(f"{seed}.big", 64) * (BIG // 64))
    return chosen


FIRST = safetensors({**tensors("first", True), "fixed.table": ([2], [1.5, -0.0])})


class Proxy:
    """A way to the daemon that cuts connections: `cuts` of them, after a number of bytes in one
    direction, in order or with a reset. Its port stays when the daemon's changes."""

    def __init__(self, cuts=0, seed=0):
        self.cuts, self.draw = cuts, random.Random(seed)
        self.target = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self.listener.accept()[0]
                limits = [math.inf, math.inf]  # bytes from the client, bytes to it
                if self.cuts > 0 and self.draw.random() < 0.4:
                    self.cuts -= 1
                    limits[self.draw.randrange(2)] = int(2 ** self.draw.uniform(0, 20))
                is_reset = self.draw.random() < 0.5
                threading.Thread(target=self.carry, args=(client, limits, is_reset),
                                 daemon=True).start()

    def carry(self, client, limits, is_reset):
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        ends = [client, server]
        with contextlib.suppress(OSError):
            while ends:
                for source in select.select(ends, [], [])[0]:
                    way = int(source is server)
                    piece = source.recv(min(65536, limits[way]))
                    limits[way] -= len(piece)
                    (client if way else server).sendall(piece)
                    if limits[way] == 0 or not piece:
                        ends = []
        for end in (client, server):
            if is_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        self.listener.close()


class Mortal(Daemon):
    """A daemon that is expected to be killed. plans: environments of its lives, one after another;
    the lives after them have no plan."""

    def __init__(self, plans=(), proxy=None):
        self.plans = list(plans)
        self.proxy = proxy
        self.deaths = 0
        self.log = None
        self.is_up = threading.Event()
        super().__init__()

    def start(self):
        while True:
            if self.log:
                self.log.close()
            self.environment = {**os.environ, **(self.plans.pop(0) if self.plans else {})}
            try:
                super().start()
                break
            except AssertionError:
                if self.process.poll() != -signal.SIGKILL:
                    raise
                self.deaths += 1
        if self.proxy:
            self.proxy.target = self.host, self.port
            self.port = self.proxy.port
        self.is_up.set()

    def is_at(self, process, port):
        """Does this process live, and is this its port? One that died with the process before it may be
        another daemon's by now, who does not know us."""
        return self.is_up.is_set() and process.poll() is None and (process, port) == (
            self.process, self.port)

    def watch(self, is_over):
        """Bring it up again each time it was killed, until is_over(); another end is a failure."""
        while not is_over():
            status = self.process.poll()
            if status is None:
                time.sleep(0.002)
                continue
            self.is_up.clear()
            if status != -signal.SIGKILL:
                raise AssertionError(f"daemon ended with {status}: {self.log_text()[-4000:]}")
            self.deaths += 1
            self.start()


class Play:
    """The training. ask() repeats a request until it is answered; notes go to the journal."""

    def __init__(self, daemon, kind, pace=0):
        self.daemon, self.spec, self.pace = daemon, spec_of(kind), pace
        self.path = "/v1/runs/" + self.spec["name"]
        self.is_combined = self.spec["strategy"].get("combiner") == "external"
        self.journal = checker.Journal()
        self.is_over = False
        self.trouble = []
        self.tokens = {}

    # --- asking ---

    def ask(self, method, path, body=None, token=None, headers=None):
        deadline = time.monotonic() + PATIENCE
        while True:
            if time.monotonic() > deadline or self.trouble:
                raise AssertionError(f"no answer to {method} {path}: {self.trouble}")
            process, port = self.daemon.process, self.daemon.port
            try:
                reply = self.daemon.request(method, path, body, token or self.daemon.admin,
                                            headers, timeout=20 * SCALE)
            except (OSError, http.client.HTTPException):
                self.daemon.is_up.wait(0.005)
                continue
            length = reply.headers.get("Content-Length", "")
            if reply.status in (429, 503):
                time.sleep(0.02)
            elif reply.status != 204 and length != str(len(reply.body)):
                pass  # cut within its head, which http.client does not notice
            elif reply.status < 400 or self.daemon.is_at(process, port):
                return reply

    def must(self, *request, **more):
        reply = self.ask(*request, **more)
        checker.require(reply.status // 100 == 2, request[:2], reply.status, reply.body)
        return reply

    def join(self, client, role="trainer"):
        reply = self.must("PUT", f"{self.path}/clients/{client}", {
            "role": role, "attributes": {"beds": 10 * sum(client.encode())}})
        self.tokens[client] = reply.json()["token"]

    def task(self, client):
        task = self.must("GET", f"{self.path}/task?wait=5", token=self.tokens[client]).json()
        if "digest" in task:
            self.journal.saw(task["version"], task["digest"], -1)
        return task

    def look_at_model(self):
        before = self.journal.newest
        reply = self.must("GET", f"{self.path}/versions/latest")
        digest = checker.sha256(reply.body)
        checker.require(reply.headers["ETag"] == f'"{digest}"', "ETag of", reply.headers)
        self.journal.saw(int(reply.headers["Tributary-Model-Version"]), digest, before)

    # --- updates ---

    def put(self, sent, body=None):
        headers = {"Content-Type": "application/safetensors",
                   "Tributary-Base-Version": str(sent.base),
                   "Tributary-Examples": str(sent.examples)}
        return self.ask("PUT", f"{self.path}/updates/{sent.update}", body or sent.body,
                        self.tokens[sent.client], headers)

    def update(self, client, number, base, has_big=False):
        """Send one update until it is answered; false: the run has stopped."""
        body = safetensors(tensors(f"{client}.{number}", has_big), {"note": "of a client"})
        examples = 1 + (7 * number + len(client)) % 90
        sent = self.journal.send(client, f"u{number}", body, base, examples)
        reply = self.put(sent)
        sent.answers.append((reply.status, reply.json()))
        if reply.status != 200:
            checker.require(reply.status == 409 and b"stop" in reply.body, client, sent.update,
                            "refused:", reply.status, reply.body)
            return False
        return sent

    def repeat(self, sent):
        """Once more is the same again; another body under the id is refused."""
        reply = self.put(sent)
        sent.answers.append((reply.status, reply.json()))
        checker.require(reply.status == 200, "repeated:", reply.body)
        other = self.put(sent, safetensors(tensors("another", False)))
        checker.require(other.status == 409, "another body:", other.status, other.body)

    # --- parts of the play ---

    def trainer(self, client, has_big=False, is_eager=False):
        number = 0
        while not self.is_over:
            task = self.task(client)
            if task["kind"] == "stop":
                return
            if task["kind"] != "train":
                continue
            self.look_at_model()
            time.sleep(self.pace)
            for _ in range(2 if is_eager else 1):
                sent = self.update(client, number, task["version"], has_big and number == 0)
                number += 1
                if not sent:
                    return
            if number % 2 == 1:
                self.repeat(sent)

    def judge(self):
        while not self.is_over:
            task = self.task("judge")
            if task["kind"] == "stop":
                return
            if task["kind"] == "evaluate":
                self.evaluate(task["version"])

    def evaluate(self, version):
        document = {"version": version, "examples": 10 + version,
                    "metrics": {"accuracy": 0.5 / version}}
        note = self.journal.evaluate("judge", f"e{version}", document)
        reply = self.ask("PUT", f"{self.path}/evaluations/e{version}", document,
                         self.tokens["judge"])
        is_late = reply.status == 409 and b"stop" in reply.body
        checker.require(reply.status == 200 or is_late, "evaluation:", reply.status, reply.body)
        note[1] = reply.status == 200

    # --- versions that are combined outside ---

    def combine(self, offer):
        """Read what is offered, and send a delta that follows from it. False: it is offered no more."""
        place = f"{self.path}/merge/{offer['version']}"
        for update in offer["updates"]:
            reply = self.ask("GET", f"{place}/{update['index']}", token=self.tokens["combiner"])
            if reply.status == 404:
                return False
            sent = self.journal.updates[update["client"], update["update"]]
            checker.require(reply.body == sent.body, update, "is read as something else")
        has_big = any(update["bytes"] > BIG for update in offer["updates"])
        body = safetensors(tensors(f"combined.{offer['offer']}", has_big))
        note = self.journal.combine(offer["version"], body, offer["updates"])
        reply = self.ask("PUT", place, body, self.tokens["combiner"], {
            "Content-Type": "application/safetensors", "Tributary-Offer": offer["offer"]})
        if reply.status == 200:
            note.answers.append(reply.json()["digest"])
        checker.require(reply.status in (200, 409), "combined:", reply.status, reply.body)
        return reply.status == 200

    def combiner(self):
        while not self.is_over:
            reply = self.ask("GET", f"{self.path}/merge?wait=5", token=self.tokens["combiner"])
            if reply.status == 409:
                checker.require(reply.json()["code"] == "ended", "no offer:", reply.body)
                return
            if reply.status == 200:
                self.combine(reply.json())

    def control(self, what, wanted):
        """Repeated until the state is the wanted one, or the run ends by itself."""
        reply = self.ask("POST", f"{self.path}/{what}")
        is_late = reply.status == 409 and b"stop" in reply.body
        state = self.status()["state"]
        checker.require(is_late or state in (wanted, "stopped"), what, "left it", state)
        return state

    def operator(self):
        while self.status()["version"] < 1:
            time.sleep(0.005)
        if self.control("pause", "paused") == "paused":
            self.control("resume", "running")

    def status(self):
        return self.must("GET", self.path).json()

    # --- the play ---

    def begin(self):
        self.must("POST", "/v1/runs", self.spec)
        reply = self.must("PUT", f"{self.path}/versions/0", FIRST,
                          headers={"Content-Type": "application/safetensors"}).json()
        self.journal.saw(0, reply["digest"], -1)
        for client in ("plain", "big", "eager", "late"):
            self.join(client)
        self.join("judge", "evaluator")
        if self.is_combined:
            self.tokens["combiner"] = self.must("POST", f"{self.path}/tokens",
                                                {"scope": "merge"}).json()["token"]

    def parts(self):
        if self.is_combined:
            yield self.combiner
        yield lambda: self.trainer("plain")
        yield lambda: self.trainer("big", has_big=True)
        yield lambda: self.trainer("eager", is_eager=True)
        yield lambda: self.trainer("late")
        yield self.judge
        yield self.operator

    def guard(self, part):
        try:
            part()
        except Exception as error:  # whichever thread it was: the play fails with it
            self.trouble.append(error)

    def run(self, *others):
        """Play it to the end, next to the others; raises the first trouble of any part."""
        keeper = threading.Thread(target=self.guard,
                                  args=(lambda: self.daemon.watch(lambda: self.is_over),))
        keeper.start()
        self.guard(self.begin)
        threads = [threading.Thread(target=self.guard, args=(part,))
                   for part in (*self.parts(), *others)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not self.trouble:
            self.guard(self.look_back)
        self.is_over = True
        keeper.join()
        if self.trouble:
            raise self.trouble[0]

    def look_back(self):
        """The last answers: fates of all updates, ledger and status."""
        self.fates = {key: self.ask("GET", f"{self.path}/updates/{key[1]}",
                                    token=self.tokens[key[0]])
                      for key in self.journal.updates}
        self.lines = self.must("GET", f"{self.path}/ledger").body
        self.final = self.status()

    def evidence(self):
        """What checker.check() wants to know."""
        folder = pathlib.Path(self.daemon.data, "runs", self.spec["name"])
        files = checker.files_of(folder)
        return {"name": self.spec["name"], "records": checker.ledger_from_lines(self.lines),
                "journal": self.journal, "first": files[0], "files": files}

    def check(self):
        """After run(): count again, and once more after one more restart."""
        checker.require((self.final["state"], self.final["version"]) ==
                        ("stopped", self.spec["stop"]["versions"]), self.final)
        evidence = self.evidence()
        settled = checker.check(**evidence)
        self.check_fates(settled)
        self.daemon.plans.clear()  # of a death that did not come about: nobody watches any more
        self.daemon.restart()
        again = self.status()
        for field in ("state", "version", "model", "updates", "best", "evaluated"):
            checker.require(again.get(field) == self.final.get(field), field, "after a restart:",
                            again.get(field), "and before:", self.final.get(field))
        checker.require(self.must("GET", f"{self.path}/ledger").body == self.lines, "ledger moved")
        checker.require(self.daemon.stop() == 0, "last end:", self.daemon.log_text()[-2000:])
        in_file = checker.ledger_from_file(
            pathlib.Path(self.daemon.data, "runs", self.spec["name"], "ledger"))
        checker.require([r.text for r in in_file] == [r.text for r in evidence["records"]],
                        "the ledger's file and its lines differ")
        if "keep" in self.spec:
            self.check_replay(settled)
        return settled

    def check_replay(self, settled):
        """The heart, told the same, comes to the same; to as many updates as were counted here."""
        report = replay(self.daemon.data, self.spec["name"])
        counted = sum(version is not None for version, _, _ in settled.values())
        found = report["versions"], report["updates"], report["digest"]
        checker.require(found == (self.final["version"], counted, self.final["model"]["digest"]),
                        "replayed:", report, "and was", self.final)

    def check_fates(self, settled):
        """The daemon says of each update what its ledger says."""
        for key, reply in self.fates.items():
            version, _, reason = settled.get(key, (None, None, None))
            expected = None if key not in settled else "dropped" if reason else "counted"
            fate = reply.json()
            told = fate.get("fate"), fate.get("version"), fate.get("reason")
            checker.require(told == (expected, version, reason), key, "is told", fate, "and is",
                            settled.get(key))
        counted = sum(version is not None for version, _, _ in settled.values())
        totals = {"counted": counted, "pending": 0, "dropped": len(settled) - counted}
        checker.require(self.final["updates"] == totals, self.final["updates"], "and", totals)


@contextlib.contextmanager
def stage(plans=(), kind="mean", seed=0, proxy=None, pace=0):
    """A play on a daemon that goes away at the end; a failure says how to have it again."""
    daemon = Mortal(plans, proxy)
    try:
        yield Play(daemon, kind, pace)
    except Exception as error:
        raise AssertionError(f"{error!r}\nplans {list(plans)}, {kind}, seed {seed}\n"
                             f"{daemon.log_text()[-4000:]}") from error
    finally:
        daemon.plans.clear()
        with contextlib.suppress(AssertionError):  # how it ends is told where it matters
            daemon.close()
        if proxy:
            proxy.close()


def play(others=lambda training: (), **arguments):
    """The whole of it, checked. Returns how often the daemon died, and what was settled."""
    with stage(**arguments) as training:
        training.run(*others(training))
        return training.daemon.deaths, training.check()


def points_of(kind, folder):
    """Names of all crash points of an undisturbed play, in the order of their passing."""
    path = pathlib.Path(folder, kind)
    deaths, _ = play(plans=[{"TRIB_CRASH_LIST": str(path)}], kind=kind)
    assert deaths == 0
    return path.read_text().split()


def choose(points):
    """(kind, plans) of the plays in which the daemon dies at a point, now as by a kill, now as by a
    power cut: at the first and the last passing of each name, in one kind of run or another.
    Each third dies again soon after."""
    draw = random.Random(SEED)
    counts = {kind: collections.Counter(points[kind]) for kind in KINDS}
    chosen = []
    for index, name in enumerate(sorted(set().union(*points.values()))):
        with_it = [kind for kind in KINDS if counts[kind][name] > 0]
        for kind in with_it if ALL else [with_it[index % len(with_it)]]:
            last = counts[kind][name]
            for passing in range(1, last + 1) if ALL else sorted({1, last}):
                ways = ["", ":power"]
                if not ALL or kind not in THOROUGH:
                    ways = [ways[(index // 2 + passing) % 2]]
                chosen += [(kind, f"{name}:{passing}{way}") for way in ways]
    return [(kind, [{"TRIB_CRASH": plan}] +
             [{"TRIB_CRASH": f"*:{draw.randrange(1, 60)}"}] * (number % 3 == 0))
            for number, (kind, plan) in enumerate(chosen)]


HALF_AN_UPDATE = """
import json, socket, sys, time
port, patience, head = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
body = sys.stdin.buffer.read()
end = time.monotonic() + patience
answer = None
while not answer and time.monotonic() < end:
    try:
        peer = socket.create_connection(("127.0.0.1", port))
        peer.sendall(head.encode() + body[:len(body) // 2])
        print("half", flush=True)
        peer.sendall(body[len(body) // 2:])
        reply = b""
        while piece := peer.recv(65536):
            reply += piece
        status, text = int(reply.split()[1]), reply.split(b"\\r\\n\\r\\n", 1)[1].decode()
        answer = None if status in (429, 503) else [status, json.loads(text)]
    except (OSError, IndexError):
        pass
print(json.dumps(answer), flush=True)
"""


def stop_half_way(training):
    """The part of a client that is stopped (SIGSTOP) with half of its update sent, and goes on
    when the others have made a version and the daemon has been killed."""
    client, proxy = "stopped", training.daemon.proxy
    training.join(client)
    while (task := training.task(client))["kind"] != "train":
        pass
    body = safetensors(tensors(client, True))
    sent = training.journal.send(client, "u0", body, task["version"], 5)
    head = (f"PUT {training.path}/updates/u0 HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {training.tokens[client]}\r\n"
            "Content-Type: application/safetensors\r\nConnection: close\r\n"
            f"Tributary-Base-Version: {sent.base}\r\nTributary-Examples: {sent.examples}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    with subprocess.Popen([sys.executable, "-c", HALF_AN_UPDATE, str(proxy.port), str(PATIENCE),
                           head], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            process.stdin.write(body)
            process.stdin.close()
            assert process.stdout.readline() == b"half\n"
            process.send_signal(signal.SIGSTOP)
            while training.status()["version"] <= sent.base:
                time.sleep(0.02)
            training.daemon.process.kill()
        finally:
            process.send_signal(signal.SIGCONT)
        answer = json.loads(process.stdout.read().splitlines()[-1])
    checker.require(answer, "no answer to the stopped client")
    sent.answers.append(answer)


def kill_at_random(training, seed):
    draw = random.Random(seed)
    for _ in range(5):
        time.sleep(draw.uniform(0.005, 0.12))
        if not training.is_over:
            training.daemon.process.kill()


class Kills(unittest.TestCase):
    def all_of(self, plays):
        """Play them side by side; what each returned. The first failure ends it."""
        with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 2)) as pool:
            futures = [pool.submit(play, **arguments) for arguments in plays]
            try:
                return [future.result() for future in concurrent.futures.as_completed(futures)]
            finally:
                pool.shutdown(cancel_futures=True)

    def test_a_death_at_any_crash_point(self):
        with tempfile.TemporaryDirectory() as folder:
            points = {kind: points_of(kind, folder) for kind in KINDS}
        plays = choose(points)
        results = self.all_of(dict(kind=kind, plans=plans, seed=number)
                              for number, (kind, plans) in enumerate(plays))
        died = sum(deaths > 0 for deaths, _ in results)
        print(f"# {len(plays)} plays, {died} with deaths, {sum(d for d, _ in results)} deaths")
        # A last passing may not come about when threads take other turns.
        self.assertGreater(died, 0.8 * len(plays))

    def test_deaths_at_random_times(self):
        def killer(seed):
            return lambda training: [lambda: kill_at_random(training, seed)]

        plays = [dict(kind=KINDS[number % len(KINDS)], seed=SEED + number, others=killer(SEED + number))
                 for number in range(200 if ALL else 12)]
        deaths = sum(deaths for deaths, _ in self.all_of(plays))
        print(f"# {len(plays)} plays, {deaths} deaths")
        self.assertGreater(deaths, len(plays))

    def test_connections_cut_after_any_number_of_bytes(self):
        cuts = 40
        proxies = [Proxy(cuts, SEED + number) for number in range(100 if ALL else 6)]
        self.all_of(dict(kind=KINDS[number % len(KINDS)], proxy=proxy, seed=SEED + number,
                         plans=[{"TRIB_CRASH": "segment.sync.after:3"}] * (number % 2))
                    for number, proxy in enumerate(proxies))
        left = sum(proxy.cuts for proxy in proxies)
        print(f"# {cuts * len(proxies) - left} connections cut")
        self.assertLess(left, cuts * len(proxies) / 2)

    def test_a_stopped_client_goes_on_after_the_daemon_has_died(self):
        deaths, settled = play(kind="momentum", proxy=Proxy(), pace=0.5 * SCALE,
                               others=lambda training: [lambda: stop_half_way(training)])
        self.assertEqual(deaths, 1)
        self.assertIn(("stopped", "u0"), settled)


class Lies:
    """Told in an otherwise good ledger, to a checker that is worth something if it notices."""

    KIND = "mean"

    @classmethod
    def setUpClass(cls):
        with stage(kind=cls.KIND) as training:
            training.run()
            training.check()
            cls.evidence = training.evidence()

    def tell(self, lie, is_chained=True):
        """Check the ledger after lie(its documents), with a chain that fits unless told not to."""
        records = self.evidence["records"]
        documents = [json.loads(record.text) for record in records]
        lie([document for document in documents if document["type"] == "version"], documents)
        texts = [json.dumps(document).encode() for document in documents]
        name = self.evidence["name"]
        digest = hashlib.sha256(b"tributary ledger 1\n" + name.encode()).digest()
        told = []
        for text, record in zip(texts, records + records[-1:]):
            digest = hashlib.sha256(digest + text).digest()
            told.append(checker.Record(text, digest.hex() if is_chained else record.digest))
        checker.check(**{**self.evidence, "records": told})

    def check_lies(self, lies):
        for what, lie in lies.items():
            with self.subTest(what=what):
                with self.assertRaisesRegex(checker.Broken, what):
                    def fitting(versions, documents):
                        lie(versions, documents)
                        self.fit(versions)
                    self.tell(fitting)

    def fit(self, versions):
        """Sums that go with the lie, so that it is not betrayed by them."""
        sent = self.evidence["journal"].updates
        for version in versions[1:]:
            version["weight"] = sum(element["weight"] for element in version["updates"])
            version["bytes"] = sum(len(sent[key].body) for element in version["updates"]
                                   if (key := (element["client"], element["update"])) in sent)


class Notices(Lies, unittest.TestCase):
    def test_the_truth_passes(self):
        self.tell(lambda versions, documents: None)

    def test_each_lie_is_noticed(self):
        def first(versions):
            return versions[1]["updates"][0]

        lies = {
            "acknowledged and lost": lambda v, _: v[1]["updates"].pop(),
            "settled twice": lambda v, _: v[1]["updates"].append(first(v)),
            "staleness": lambda v, _: v[2]["updates"].append(v[1]["updates"].pop()),
            "never sent": lambda v, _: first(v).update(update="u99"),
            "another body": lambda v, _: first(v).update(digest="0" * 64),
            "base and examples": lambda v, _: first(v).update(examples=first(v)["examples"] + 1),
            "and not": lambda v, _: first(v).update(weight=first(v)["weight"] + 1),
            "was due": lambda v, _: v[2].update(version=3),
            "its updates make": lambda v, _: v[3].update(model="0" * 64),
            "recorded twice": lambda _, all_: all_.append(
                next(d for d in all_ if d["type"] == "evaluation")),
            "evaluation": lambda _, all_: all_.remove(
                next(d for d in all_ if d["type"] == "evaluation")),
        }
        self.check_lies(lies)

    def test_a_broken_chain_and_a_flipped_bit_are_noticed(self):
        with self.assertRaisesRegex(checker.Broken, "chain"):
            self.tell(lambda versions, _: versions[1].update(seconds=0.0), is_chained=False)
        last = self.evidence["files"][VERSIONS]
        flipped = last[:-1] + bytes([last[-1] ^ 1])
        with self.assertRaisesRegex(checker.Broken, "file of version"):
            checker.check(**{**self.evidence, "files": {VERSIONS: flipped}})


class NoticesOfCombiners(Lies, unittest.TestCase):
    KIND = "combined"

    def test_each_lie_is_noticed(self):
        self.check_lies({
            "nobody sent": lambda v, _: v[2]["combined"].update(digest="0" * 64),
            "combined: None": lambda v, _: v[2].pop("combined"),
            "combined: {": lambda v, _: v[0].update(combined=v[2]["combined"]),
            "was combined of": lambda v, _: v[1]["updates"].append(v[1]["updates"][0]),
            "was answered as": lambda v, _: v[2].update(model="0" * 64),
        })


if __name__ == "__main__":
    main()
