"""test_replay.py - a recorded live run comes to the same bits again: with the updates that were kept
(trib replay), and with clients that train once more in the recorded order (trib sim --order).

The clients are `trib join` with the native trainer; the daemon is killed in the middle."""
import hashlib
import json
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest
import zlib

from harness import TRIB, Daemon, Run, main, replay, wait_for
from test_kills import Proxy

CLIENTS = 4
ROWS, FEATURES, CLASSES = 240, 6, 3
STRATEGIES = {  # and how many versions there are to be before the daemon is killed, and in the end
    "fedavg": ({"preset": "fedavg", "quorum": 2, "fraction": 0.5, "deadline": "3s"}, 3, 8),
    "fedbuff": ({"preset": "fedbuff", "goal": 3}, 4, 12),
    "fedasync": ({"preset": "fedasync"}, 10, 30),
    "fedfix": ({"preset": "fedfix", "tick": "200ms"}, 3, 8),
    "fedcompass": ({"preset": "fedcompass", "clients": CLIENTS, "steps_min": 2, "steps_max": 60},
                   6, 16),
    "scaffold": ({"preset": "scaffold", "population": CLIENTS, "quorum": 2, "deadline": "3s"}, 3, 6),
    "favano": ({"preset": "favano", "tick": "150ms"}, 3, 8),
}
STEPS = "fedcompass", "favano"  # count steps, not epochs


def write_rows(path):
    draw = random.Random(4)
    path.write_text("".join(
        ",".join(map(str, [*(round(draw.gauss(2.0 if i == row % CLASSES else 0.0, 0.6), 4)
                             for i in range(FEATURES)), row % CLASSES])) + "\n"
        for row in range(ROWS)), encoding="utf-8")


class Recordings(unittest.TestCase):
    """One recording of each strategy; the tests look at copies."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.rows = cls.folder / "rows.csv"
        write_rows(cls.rows)
        cls.ledgers = {}
        daemon = Daemon()
        try:
            for name in STRATEGIES:
                cls.ledgers[name] = cls.record(daemon, name)
        finally:
            daemon.stop()
            cls.data = cls.folder / "data"
            shutil.move(daemon.data, cls.data)
            shutil.rmtree(daemon.directory)

    @classmethod
    def spec(cls, name):
        return {"name": name, "strategy": STRATEGIES[name][0],
                "model": {"init": {"trainer": "mlp", "seed": 3, "hidden": [8],
                                   "features": FEATURES, "classes": CLASSES}},
                "train": {"batch": 5, "lr": 0.1, **({} if name in STEPS else {"epochs": 1})},
                "evaluate": {"every": 4},
                "keep": {"updates": "forever"}, "lease": "20s"}

    @classmethod
    def record(cls, daemon, name):
        """Play it live, with a kill in the middle; its ledger."""
        _, first, last = STRATEGIES[name]
        spec = cls.spec(name)
        proxy = Proxy()  # its port stays
        proxy.target = daemon.host, daemon.port
        created = daemon.request("POST", "/v1/runs", spec, daemon.admin)
        assert created.status == 201, created.body
        link = created.json()["join"].replace(f":{daemon.port}/", f":{proxy.port}/")
        people = [subprocess.Popen(
            [TRIB, "join", link, "--client", f"c{i}", "--data", str(cls.rows), "--part",
             f"{i}/{CLIENTS}", "--partition", "dirichlet:1", "--state", cls.folder / f"{name}-{i}"],
            stderr=subprocess.DEVNULL)
            for i in range(CLIENTS)]
        try:
            run = Run(daemon, name)
            wait_for(lambda: run.version() >= first, 60, name)
            daemon.restart(signal.SIGKILL)
            proxy.target = daemon.host, daemon.port
            wait_for(lambda: run.version() >= last, 60, name + " after the kill")
            run.control("stop")
            wait_for(lambda: run.status()["state"] == "stopped", 60, name + " stopped")
            return [line["record"] for line in run.ledger()]
        finally:
            for person in people:
                person.kill()
                person.wait()
            proxy.close()

    def versions(self, name):
        return [record for record in self.ledgers[name] if record["type"] == "version"]

    def copy(self, name):
        """A copy of the run's files that may be spoilt."""
        data = self.folder / f"copy-{self.id()}"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self.data, data)
        return data, data / "runs" / name

    def fails(self, data, name):
        done = subprocess.run([TRIB, "replay", data, name], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return done.stderr

    # --- the same ---

    def test_the_updates_that_were_kept_make_the_same_versions(self):
        for name in STRATEGIES:
            with self.subTest(name=name):
                first, *versions = self.versions(name)
                report = replay(self.data, name)
                self.assertEqual(report["versions"], len(versions))
                self.assertEqual(report["updates"], sum(len(v["updates"]) for v in versions))
                self.assertEqual(report["digest"], versions[-1]["model"])
                self.assertEqual(report["openings"], 2)
                self.assertNotEqual(first["model"], versions[-1]["model"])
        shown = subprocess.run([TRIB, "replay", self.data, "fedbuff"], capture_output=True, text=True)
        self.assertIn("versions, ", shown.stdout)
        self.assertIn("updates: same bits", shown.stdout)

    def order(self, name, *options, spec=None, code=0):
        path = self.folder / "order.yaml"
        path.write_text(json.dumps(spec or self.spec(name)), encoding="utf-8")
        done = subprocess.run([TRIB, "sim", path, "--data", self.rows, "--clients", str(CLIENTS),
                               "--partition", "dirichlet:1", "--order", self.data, "--json", "-",
                               *options], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr

    def test_clients_that_train_again_make_the_same_versions(self):
        self.assertIn("do not train again", self.order("scaffold", code=1))
        for name in STRATEGIES.keys() - {"scaffold"}:
            with self.subTest(name=name):
                *points, end = self.order(name)
                self.assertEqual([point["digest"] for point in points],
                                 [version["model"] for version in self.versions(name)])
                self.assertTrue(end["complete"])
                self.assertGreater(max(p.get("accuracy", 0) for p in points), 0.5)

    def test_another_order_or_other_training_is_another_model(self):
        """What the two above show is the order's doing and the training's."""
        spec = self.spec("fedasync")
        length = len(self.versions("fedasync"))
        path = self.folder / "free.yaml"
        path.write_text(json.dumps({**spec, "stop": {"versions": length - 1}}), encoding="utf-8")
        done = subprocess.run([TRIB, "sim", path, "--data", self.rows, "--clients", str(CLIENTS),
                               "--partition", "dirichlet:1", "--speed", "lognormal:1s,1", "--json",
                               "-"], capture_output=True, text=True, check=True)
        free = [json.loads(line).get("digest") for line in done.stdout.splitlines()]
        self.assertNotEqual(free[length - 1], self.versions("fedasync")[-1]["model"])
        self.assertRegex(self.order("fedasync", "--seed", "2", code=1), "update c..0.0 of c. on version 0")
        changed = {**spec, "train": {**spec["train"], "lr": 0.2}}
        self.assertIn("train.lr is not as it was", self.order("fedasync", spec=changed, code=2))

    # --- not the same ---

    def test_a_changed_body_is_named(self):
        data, folder = self.copy("fedbuff")
        element = self.versions("fedbuff")[3]["updates"][0]
        name = element["client"].encode(), element["update"].encode()
        key = b"".join(struct.pack("<H", len(text)) + text for text in name)
        for path in sorted((folder / "spool").iterdir()):
            journal = Journal(path)
            for record in journal.records:
                if key in record.payload:
                    record.payload[-1] ^= 1  # the highest byte of the last value
            journal.write()
        self.assertIn(f"update {element['update']} of {element['client']}", self.fails(data, "fedbuff"))

    def spoil_ledger(self, name, change):
        """What replay says of a ledger whose chain fits its changed records."""
        data, folder = self.copy(name)
        journal = Journal(folder / "ledger")
        digest = hashlib.sha256(b"tributary ledger 1\n" + name.encode()).digest()
        for record in journal.records:
            document = json.loads(bytes(record.payload[:-32]))
            change(document)
            text = json.dumps(document, separators=(",", ":")).encode()
            digest = hashlib.sha256(digest + text).digest()
            record.payload = bytearray(text + digest)
        journal.write()
        return self.fails(data, name)

    def test_a_changed_ledger_is_named(self):
        def of_version(number, change):
            return lambda document: (document["type"], document.get("version")) == (
                "version", number) and change(document)

        def bump(field):
            return of_version(2, lambda document: document["updates"][0].update(
                {field: document["updates"][0][field] + 1}))

        for words, change in (
                ("version 2: expected 0000", of_version(2, lambda d: d.update(model="0" * 64))),
                ("expected weight", bump("weight")),
                ("expected staleness", bump("staleness")),
                ("expected base", bump("base")),
                ("expected examples", bump("examples")),
                ("version 3: expected", of_version(3, lambda d: d["updates"].pop())),
                ("version 0: ", of_version(0, lambda d: d.update(model="0" * 64))),
                ("version 999 is on record", of_version(4, lambda d: d.update(version=999))),
                ("expected stopped (enough)",
                 lambda d: d["type"] == "state" and d.update(reason="enough"))):
            with self.subTest(words=words):
                self.assertIn(words, self.spoil_ledger("fedbuff", change))

    def test_a_lost_or_changed_telling_is_noticed_and_stops_no_program(self):
        data, folder = self.copy("fedcompass")
        first = folder / "tape" / "1"
        whole = first.read_bytes()
        journal = Journal(first)
        del journal.records[len(journal.records) // 2]
        journal.write()
        self.fails(data, "fedcompass")
        draw = random.Random(1)
        ends = set()
        for _ in range(150):
            first.write_bytes(whole)
            journal = Journal(first)
            record = draw.choice(journal.records)
            record.payload[draw.randrange(len(record.payload))] ^= 1 << draw.randrange(8)
            journal.write()
            done = subprocess.run([TRIB, "replay", data, "fedcompass"], capture_output=True, text=True)
            self.assertIn(done.returncode, (0, 1), done.stderr)  # 0: a number of a request, say
            ends.add(done.returncode)
        self.assertIn(1, ends)
        first.unlink()
        self.assertIn("tape 2 does not come to it", self.fails(data, "fedcompass"))

    def test_what_cannot_be_played_says_why(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        created = daemon.request("POST", "/v1/runs", {**self.spec("fedavg"), "keep": {}}, daemon.admin)
        self.assertEqual(created.status, 201)
        self.assertIn("another process", self.fails(daemon.data, "fedavg"))
        daemon.stop()
        self.assertIn("keep.updates must be forever", self.fails(daemon.data, "fedavg"))
        self.assertIn("nobody", self.fails(daemon.data, "nobody"))
        daemon.start()


class JournalRecord:
    def __init__(self, kind, payload):
        self.kind, self.payload = kind, bytearray(payload)


class Journal:
    """A file of framed records (docs/state.md, section 1) that can be written again."""

    def __init__(self, path):
        self.path = path
        data = path.read_bytes()
        (about,) = struct.unpack_from("<I", data, 12)
        (self.salt,) = struct.unpack_from("<Q", data, 16)
        self.header = data[:28 + about]
        self.records = []
        at = len(self.header)
        while at < len(data):
            salt, kind, count, *_ = struct.unpack_from("<QIIQII", data, at)
            assert salt == self.salt
            self.records.append(JournalRecord(kind, data[at + 32:at + 32 + count]))
            at += 32 + count

    def write(self):
        data = self.header
        for record in self.records:
            head = struct.pack("<QIIQI", self.salt, record.kind, len(record.payload), len(data),
                               zlib.crc32(record.payload))
            data += head + struct.pack("<I", zlib.crc32(head)) + record.payload
        self.path.write_bytes(data)


if __name__ == "__main__":
    main()
