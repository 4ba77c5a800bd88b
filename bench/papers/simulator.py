"""simulator.py - what `trib sim` measures for the tables, each simulation once.

A Reach is a search: the learning rate that needs the fewest versions to a target accuracy, and
what had been spent by then. A Staleness is one run in which nobody trains. Both are described by
plain data; a Record keeps every simulation that was ever run for it, by all that decides its result,
so that a table can be filled over several evenings and a table of what there is costs nothing.
"""
import hashlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple

RATES = tuple(round(10 ** (k / 3), 4) for k in range(-6, 4))  # 0.01 ... 10
MNIST_TEST_ROWS = 10000
COUNTS = ("version", "updates_sent", "time", "bytes")


class OutOfTime(Exception):
    """No new simulation may begin."""


class Reach(NamedTuple):
    """Training to a target accuracy, at the rate of the grid that needs the fewest versions."""
    spec: dict
    fleet: tuple             # options of `trib sim`
    target: float
    versions: int            # at most; what does not get there by then is "not reached"
    rows_per_version: int    # that clients train on, about: which cells are cheap
    rates: tuple = RATES[:7]
    every: int = 1           # versions from one evaluation to the next

    @property
    def cost(self):
        return self.versions * (MNIST_TEST_ROWS / self.every + 3 * self.rows_per_version)


class Staleness(NamedTuple):
    """Mean staleness in the second half of a run in which nobody trains."""
    spec: dict
    fleet: tuple

    @property
    def cost(self):
        return 0


class Reached(NamedTuple):
    """Medians over the seeds; infinite where the target was not reached."""
    counts: dict             # by name in COUNTS
    rate: float              # None: no rate reached it
    runs: int
    is_best: bool            # false: there was no time to look at the rates on both sides


# --- curves -----------------------------------------------------------------------------------------------

def counts_of(line):
    return {**{name: line[name] for name in COUNTS[:3]}, "bytes": line["bytes_down"] + line["bytes_up"]}


def crossing(lines, target):
    """The counts where the best accuracy so far first reaches the target, between two evaluations by
    a straight line (McMahan et al. 2017, section 3). None: nowhere."""
    before, best = dict.fromkeys(COUNTS, 0.0), 0.0
    for line in lines:
        if "accuracy" not in line:
            continue
        counts, accuracy = counts_of(line), line["accuracy"]
        if accuracy >= target:
            share = (target - best) / (accuracy - best)
            return {name: before[name] + (counts[name] - before[name]) * share for name in COUNTS}
        before, best = counts, max(best, accuracy)
    return None


def late_staleness(lines):
    """Mean over the updates of the second half of the versions: the first ones find nobody ahead."""
    late = lines[len(lines) // 2:]
    return sum(line["staleness"] * line["updates"] for line in late) / sum(line["updates"] for line in late)


# --- simulations ------------------------------------------------------------------------------------------

class Record:
    """Results by what they are results of, kept in a file of JSON lines. path: None, only in memory."""

    def __init__(self, path):
        self.path, self.known, self.lock = path, {}, threading.Lock()
        if path and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self.known[entry["key"]] = (entry["result"], entry["cpu_seconds"])

    @staticmethod
    def key_of(question):
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]

    def put(self, question, result, seconds):
        key = self.key_of(question)
        entry = {"key": key, "result": result, "cpu_seconds": round(seconds, 1), "question": question}
        with self.lock:
            self.known[key] = (result, seconds)
            if self.path:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")


class Simulator:
    """minutes: how long new simulations may begin; None: as long as it takes."""

    def __init__(self, program, data, record, minutes=None):
        self.program, self.data, self.record = program, data, record
        self.until = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self.cpu_seconds = {}  # of every simulation that was asked for, by its key; recorded ones, too

    def ask(self, spec, fleet, answer, *more):
        """answer(lines of --json, *more) for this run; the result must depend on nothing else."""
        question = [spec, fleet, answer.__name__, *more]
        key = Record.key_of(question)
        if key in self.record.known:
            result, self.cpu_seconds[key] = self.record.known[key]
            return result
        if time.monotonic() >= self.until:
            raise OutOfTime
        lines, seconds = self.run(spec, fleet)
        result = answer([line for line in lines if "ending" not in line], *more)
        self.record.put(question, result, seconds)
        self.cpu_seconds[key] = seconds
        return result

    def run(self, spec, fleet):
        """(lines of --json, seconds of processor time)"""
        with tempfile.TemporaryDirectory() as folder:
            path, lines = pathlib.Path(folder, "spec.json"), pathlib.Path(folder, "lines")
            path.write_text(json.dumps({"name": "cell", **spec}), encoding="utf-8")
            data = [] if "--no-train" in fleet else ["--data", self.data]
            process = subprocess.Popen([self.program, "sim", path, *data, "--threads", "1", "--json", lines, *fleet],
                                       stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise SystemExit(f"trib sim failed on {json.dumps(spec)} {' '.join(fleet)}")
            told = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
            return told, usage.ru_utime + usage.ru_stime

    # --- a cell

    def reach(self, cell, rate, seed, limit):
        """Counts at the target with this rate; None: not within `limit` versions."""
        spec = {**cell.spec, "seed": seed, "train": {**cell.spec["train"], "lr": rate},
                "stop": {"versions": limit, "target": cell.target}, "evaluate": {"every": cell.every}}
        return self.ask(spec, [*cell.fleet, "--seed", str(seed)], crossing, cell.target)

    def best_rate(self, cell):
        """(rate, counts, is_best) with the first seed: from the middle of the grid to smaller rates as long
        as they are better; if the first is not, to larger ones. So the best has a worse one on either
        side, or is the last of the grid. A run ends when it is behind the best."""
        middle = len(cell.rates) // 2
        best, best_rate, limit = None, None, cell.versions
        for way in cell.rates[middle::-1], cell.rates[middle + 1:]:
            if best_rate not in (None, cell.rates[middle]):
                break
            for rate in way:
                try:
                    counts = self.reach(cell, rate, 1, limit)
                except OutOfTime:
                    if best is None:
                        raise
                    return best_rate, best, False
                if counts and (best is None or counts["version"] < best["version"]):
                    best, best_rate = counts, rate
                    limit = math.ceil(counts["version"] / cell.every) * cell.every
                elif best:
                    break
        return best_rate, best, True

    def reached(self, cell, seeds):
        rate, counts, is_best = self.best_rate(cell)
        if rate is None:
            return Reached(dict.fromkeys(COUNTS, math.inf), None, 1, True)
        more = range(2, seeds + 1) if is_best else ()
        runs = [counts, *(self.reach(cell, rate, seed, 2 * cell.versions) for seed in more)]
        medians = {name: statistics.median(run[name] if run else math.inf for run in runs) for name in COUNTS}
        return Reached(medians, rate, len(runs), is_best)

    def staleness(self, cell):
        return self.ask(cell.spec, list(cell.fleet), late_staleness)

    def answer(self, cell, seeds):
        return self.staleness(cell) if isinstance(cell, Staleness) else self.reached(cell, seeds)
