#!/usr/bin/env python3
"""run.py - published tables again, in the simulator: the paper's number beside ours.

Usage: run.py TABLE ... [--quick] [--seeds N] [--data DIR] [--trib PROGRAM] [--output FILE]
       run.py --list

Every cell is `trib sim` on MNIST. The learning rate is chosen per cell as McMahan et al. did it: a
grid with a factor of 10^(1/3), the curve made monotone, and where it crosses the target, between
two rounds by a straight line. With N seeds the rate is chosen with the first one, and the cell has
the median of all. --quick leaves out the expensive cells and takes every second rate.
"""
import argparse
import concurrent.futures
import datetime
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
RATES = [round(10 ** (k / 3), 4) for k in range(-6, 1)]  # 0.01 ... 1
PARTITIONS = {"IID": "iid", "non-IID": "shards:2"}


class Cell(NamedTuple):
    """One run of the simulator, to a target accuracy, with every rate of the grid."""
    spec: dict
    fleet: list
    target: float
    versions: int            # at most; what does not get there by then is "not reached"
    count: str = "version"   # what is counted up to the target: version, updates_sent, time, bytes_up
    rates: tuple = tuple(RATES)


class Row(NamedTuple):
    labels: tuple
    cells: tuple             # (paper's number or None, Cell)
    is_quick: bool = False


class Table(NamedTuple):
    title: str
    source: str
    columns: tuple           # names of labels, then of cells
    rows: tuple
    note: str = ""


# --- one simulation ---------------------------------------------------------------------------------------

def crossing(points, target):
    """Where the best value so far first reaches the target; points are (count, accuracy)."""
    before, best = 0.0, 0.0
    for count, accuracy in points:
        if accuracy >= target:
            return before + (count - before) * (target - best) / (accuracy - best)
        before, best = count, max(best, accuracy)
    return math.inf


class Simulator:
    def __init__(self, program, data):
        self.program, self.data = program, data

    def run(self, spec, fleet, seed, threads=1):
        """The lines of --json, one per version, and the last one about the run."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "spec.json")
            lines = pathlib.Path(folder, "lines")
            path.write_text(json.dumps({"name": "cell", "seed": seed, **spec}))
            subprocess.run([self.program, "sim", path, "--data", self.data, "--seed", str(seed), "--threads",
                            str(threads), "--json", lines, *fleet], check=True, stdout=subprocess.DEVNULL)
            return [json.loads(line) for line in lines.read_text().splitlines()]

    def reach(self, cell, rate, seed, limit):
        spec = json.loads(json.dumps(cell.spec))
        spec["train"]["lr"] = rate
        spec["stop"] = {"versions": limit, "target": cell.target}
        spec.setdefault("evaluate", {"every": 1})
        lines = self.run(spec, cell.fleet, seed)
        points = [(line[cell.count], line["accuracy"]) for line in lines if "accuracy" in line and "ending" not in line]
        return crossing(points, cell.target)

    def best(self, cell, seeds, rates):
        """(median over seeds at the best rate, that rate). A rate that is behind is not followed further."""
        best, best_rate = math.inf, None
        limit = cell.versions
        for rate in rates:
            count = self.reach(cell, rate, 1, limit)
            if count < best:
                best, best_rate = count, rate
                if cell.count == "version":
                    limit = min(limit, math.ceil(best) + 1)
        if best_rate is None:
            return math.inf, None
        counts = [best, *(self.reach(cell, best_rate, seed, cell.versions) for seed in range(2, seeds + 1))]
        return statistics.median(counts), best_rate


# --- the tables --------------------------------------------------------------------------------------------

def two_nn(fraction, epochs, batch, clients=100, **strategy):
    asked = max(1, round(clients * fraction))
    return {"model": {"init": {"trainer": "mlp", "seed": 1, "hidden": [200, 200]}},
            "strategy": {"preset": "fedavg", "fraction": max(fraction, 1 / clients), "quorum": asked, **strategy},
            "train": {"epochs": epochs, "batch": batch}}


def fleet(partition, *more, clients=100):
    return ["--clients", str(clients), "--partition", PARTITIONS[partition], *more]


def fedavg_fractions():
    """McMahan et al. 2017, Table 1, the 2NN with E = 1: rounds to 97 %."""
    paper = {  # (C, B): (IID, non-IID)
        (0.0, 0): (1455, 4278), (0.0, 10): (316, 3275), (0.1, 0): (1474, 1796), (0.1, 10): (87, 664),
        (0.2, 0): (1658, 1528), (0.2, 10): (77, 619), (0.5, 0): (None, None), (0.5, 10): (75, 443),
        (1.0, 0): (None, None), (1.0, 10): (70, 380)}
    rows = []
    for (fraction, batch), numbers in paper.items():
        cells = tuple((number, Cell(two_nn(fraction, 1, batch), fleet(partition), 0.97,
                                    min(5000, 2 * (number or 2000))))
                      for number, partition in zip(numbers, PARTITIONS))
        rows.append(Row((fraction, batch or "all"), cells, is_quick=(fraction, batch) == (0.1, 10)))
    return Table("FedAvg: rounds to 97 % by fraction of clients (2NN, E = 1)", "McMahan et al. 2017, Table 1",
                 ("C", "B", *PARTITIONS), tuple(rows),
                 "C = 0 is one client per round. B = all: one step per round on all local data, at the grid's rates.")


def fedavg_work():
    """McMahan et al. 2017, Table 4, the 2NN with C = 0.1: rounds to 97 %."""
    paper = {  # (E, B): (u, IID, non-IID)
        (1, 0): (1, 1468, 1817), (10, 0): (10, 156, 1100), (1, 50): (12, 144, 1183), (20, 0): (20, 92, 957),
        (1, 10): (60, 92, 831), (10, 50): (120, 45, 497), (20, 50): (240, 39, 396), (10, 10): (600, 34, 350),
        (20, 10): (1200, 32, 351)}
    rows = [Row((epochs, batch or "all", u),
                tuple((number, Cell(two_nn(0.1, epochs, batch), fleet(partition), 0.97, min(4000, 2 * number)))
                      for number, partition in zip(numbers, PARTITIONS)),
                is_quick=(epochs, batch) in ((1, 50), (10, 50)))
            for (epochs, batch), (u, *numbers) in paper.items()]
    return Table("FedAvg: rounds to 97 % by local work (2NN, C = 0.1)", "McMahan et al. 2017, Table 4",
                 ("E", "B", "u", *PARTITIONS), tuple(rows))


def fedavg_cnn():
    """McMahan et al. 2017, Table 2, the CNN with C = 0.1: rounds to 99 %."""
    paper = {  # (E, B): (u, IID, non-IID)
        (1, 0): (1, 626, 483), (5, 0): (5, 179, 1000), (1, 50): (12, 65, 600), (20, 0): (20, 234, 672),
        (1, 10): (60, 34, 350), (5, 50): (60, 29, 334), (20, 50): (240, 32, 426), (5, 10): (300, 20, 229)}
    rows = []
    for (epochs, batch), (u, *numbers) in paper.items():
        spec = two_nn(0.1, epochs, batch)
        spec["model"] = {"init": {"trainer": "cnn", "seed": 1}}
        rows.append(Row((epochs, batch or "all", u),
                        tuple((number, Cell(spec, fleet(partition), 0.99, 2 * number))
                              for number, partition in zip(numbers, PARTITIONS))))
    return Table("FedAvg: rounds to 99 % by local work (CNN, C = 0.1)", "McMahan et al. 2017, Table 2",
                 ("E", "B", "u", *PARTITIONS), tuple(rows), "Days of work on two cores; --quick leaves all of it out.")


CROWD = ("--speed", "halfnormal:10s", "--per", "task")


def asynchronous(count, what):
    """FedBuff beside FedAvgM with over-selection and FedAsync: the same clients, half-normal durations."""
    clients, concurrency = 1000, 100
    base = {"model": {"init": {"trainer": "mlp", "seed": 1, "hidden": [200, 200]}},
            "train": {"epochs": 1, "batch": 10}, "evaluate": {"every": 1}}
    strategies = {
        "fedbuff, K = 10": ({"preset": "fedbuff", "goal": 10, "concurrency": concurrency}, 1),
        "fedavgm, over-selection 1.3": ({"preset": "fedavgm", "fraction": 1.0, "quorum": 77}, 1),
        "fedasync": ({"preset": "fedasync", "concurrency": concurrency}, 10)}
    rows = []
    for name, (strategy, every) in strategies.items():
        spec = {**base, "strategy": strategy, "evaluate": {"every": every}}
        present = "100" if strategy["preset"] == "fedavgm" else str(2 * concurrency)
        cells = tuple((None, Cell(spec, fleet(partition, *CROWD, "--present", present, clients=clients), 0.95,
                                  6000 if every == 10 else 1000, count, tuple(RATES[2:6])))
                      for partition in PARTITIONS)
        rows.append(Row((name,), cells, is_quick=True))
    return Table(f"Buffered asynchrony: {what} to 95 % ({clients} clients, {concurrency} at one time, half-normal durations)",
                 "Nguyen et al. 2022, section 6: FedBuff needs up to 3.3 times less than FedAvgM with over-selection "
                 "and 2.5 times less than FedAsync, on CelebA, Sent140 and CIFAR-10",
                 ("strategy", *PARTITIONS), tuple(rows))


TABLES = {
    "fedavg-fractions": fedavg_fractions,
    "fedavg-work": fedavg_work,
    "fedavg-cnn": fedavg_cnn,
    "fedbuff-updates": lambda: asynchronous("updates_sent", "client updates"),
    "fedbuff-time": lambda: asynchronous("time", "virtual seconds"),
}


# --- printing ------------------------------------------------------------------------------------------------

def text_of(count):
    return "not reached" if math.isinf(count) else f"{count:.0f}"


def cell_text(paper, result):
    count, rate = result
    ours = f"**{text_of(count)}**" + (f" (lr {rate:g})" if rate else "")
    return ours if paper is None else f"{paper} / {ours}"


def print_table(table, simulator, options, workers, out):
    rows = [row for row in table.rows if row.is_quick or not options.quick]
    rates = lambda cell: cell.rates[1::2] if options.quick else cell.rates
    print(f"## {table.title}\n\n{table.source}. Paper / **ours**, with the rate that was best.\n", file=out)
    if not rows:
        print("(left out by --quick)\n", file=out)
        return
    print("| " + " | ".join(table.columns) + " |", file=out)
    print("| " + " | ".join("---" for _ in table.columns) + " |", file=out)
    jobs = [[workers.submit(simulator.best, cell, options.seeds, rates(cell)) for _, cell in row.cells]
            for row in rows]
    for row, row_jobs in zip(rows, jobs):
        cells = [cell_text(paper, job.result()) for (paper, _), job in zip(row.cells, row_jobs)]
        print("| " + " | ".join([*map(str, row.labels), *cells]) + " |", file=out, flush=True)
    print(f"\n{table.note}\n" if table.note else "", file=out)


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


class Tee:
    """Where lines go: the screen, and a file when there is one."""

    def __init__(self, path):
        self.files = [sys.stdout] + ([open(path, "w", encoding="utf-8")] if path else [])

    def write(self, text):
        for file in self.files:
            file.write(text)

    def flush(self):
        for file in self.files:
            file.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data", default="../shared/data/mnist")
    parser.add_argument("--trib", default=str(HERE.parents[1] / "build" / "trib"))
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    if options.list or not options.tables:
        print("\n".join(f"{name:18} {make().title}" for name, make in TABLES.items()))
        return
    out = Tee(options.output)
    started = time.monotonic()
    print(f"{datetime.date.today():%d %B %Y}. {machine()}. `bench/papers/run.py {' '.join(sys.argv[1:])}`, "
          f"{options.seeds} seed{'s' if options.seeds > 1 else ''}.\n", file=out)
    simulator = Simulator(options.trib, options.data)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        for name in options.tables:
            print_table(TABLES[name](), simulator, options, workers, out)
    print(f"{(time.monotonic() - started) / 60:.0f} minutes.", file=out)


if __name__ == "__main__":
    main()
