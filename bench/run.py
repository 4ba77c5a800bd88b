#!/usr/bin/env python3
"""run.py - the table of `make bench`: what Tributary does beside a limit or a peer, in one run.

Usage: run.py BUILD [--runs N] [--only WORD ...] [--output FILE]

A measurement is a function that takes one sample of several figures; it is called N times, and the
table has medians. A ratio is the median of the ratios of each sample, whose two sides were taken
one right after the other. Peers that are not installed are left out and named below the table.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
FLOAT_BYTES = 4


class Row(NamedTuple):
    work: str
    ours: str                # name of a figure
    against: tuple = ()      # (what it is, name of its figure), ...
    target: str = ""         # for people


class Missing(Exception):
    """A peer is not installed here."""


class Bench:
    """Where the programs are, and what starting them takes."""

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.python = shutil.which("python3", path="/usr/bin:" + os.environ["PATH"])
        self.missing = set()
        os.environ["TRIB"] = str(self.build / "trib")
        sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))
        import harness  # needs TRIB
        self.harness = harness

    def samples(self, *command):
        """Figures that a program prints as name, value, unit."""
        lines = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE,
                               text=True).stdout.splitlines()
        return {name: float(value) for name, value, _ in (line.split("\t") for line in lines)}

    def peer(self, script, *arguments):
        """The same of a peer's script; nothing when what it needs is not there."""
        needs = {"fold_numpy.py": "numpy", "train_numpy.py": "numpy", "train_torch.py": "torch"}[script]
        # With Debian's reference BLAS both would be measured at a tenth of what they can do.
        check = f"import {needs}" + ("; assert 'openblas' in open('/proc/self/maps').read()"
                                     if script.startswith("train") else "")
        if subprocess.run([self.python, "-c", check], stderr=subprocess.DEVNULL).returncode:
            self.missing.add(needs + (" with OpenBLAS" if script.startswith("train") else ""))
            return {}
        return self.samples(self.python, HERE / "peers" / script, *arguments)

    def load(self, url, mode, run, clients, size, *options):
        """One report of bench/load.c."""
        command = [self.build / "bench" / "load", mode, "--url", url, "--run", run, "--clients", clients,
                   "--bytes", size, *options]
        result = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(result.stdout)

    @contextlib.contextmanager
    def sink(self):
        with tempfile.TemporaryDirectory() as folder:
            ready = pathlib.Path(folder, "url")
            process = subprocess.Popen([self.build / "bench" / "sink", ready])
            try:
                self.harness.wait_for(ready.exists)
                yield ready.read_text().strip()
            finally:
                process.terminate()
                process.wait()

    @contextlib.contextmanager
    def daemon(self, size, strategy, durability="spool", **spec):
        """A daemon with one run whose updates have `size` bytes of values."""
        daemon = self.harness.Daemon("--connections", "20000")
        try:
            zeros = [0.0] * (size // FLOAT_BYTES)
            daemon.create({"name": "bench", "strategy": strategy, "durability": durability, **spec},
                          self.harness.safetensors({"w": ([len(zeros)], zeros)}))
            yield daemon
        finally:
            daemon.close()


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process, what="VmHWM"):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split(what + ":")[1].split()[0]) * 1024


# --- the fold: updates in memory -> sums ------------------------------------------------------------------

def measure_fold(updates, tensors, threads, millions=25):
    def measure(bench):
        figures = bench.samples(bench.build / "bench" / "bench_aggregate", "--updates", updates,
                                "--tensors", tensors, "--threads", threads, "--millions", millions)
        if threads == 1:
            figures |= bench.peer("fold_numpy.py", updates, tensors, millions)
        return figures
    return measure


def fold_rows(updates, tensors, threads):
    what = f"fold {updates} x 25 M fp32, {tensors} tensor{'s' if tensors > 1 else ''}, {threads} thread{'s' if threads > 1 else ''}"
    peers = (("NumPy by hand", "numpy.blocked"), ("NumPy as Flower", "numpy.flower")) if threads == 1 else ()
    targets = {"scalar": "", "avx2": "0.40 of read", "avx512": "0.60 of read"}
    return [Row(f"{what}, {tier}", f"fold.{tier}", (("memory read", "read"), *peers), target)
            for tier, target in targets.items()]


def merge_rows():
    return [Row(f"merge 25 M, {preset}, 1 thread", f"merge.{preset}", (("memory read", "read"),))
            for preset in ("fedavg", "fedadam")]


# --- end to end over TCP loopback -----------------------------------------------------------------------------

def measure_push(clients, size, durability, seconds=5):
    def measure(bench):
        with bench.sink() as url:
            report = bench.load(url, "push", "bench", clients, size, "--seconds", seconds)
            figures = {"sink": report["acknowledged"] * size / report["seconds"] / 1e6}
        with bench.daemon(size, {"preset": "fedbuff", "goal": 2 * clients, "divide": "weight"},
                          durability) as daemon:
            started = cpu_seconds(daemon.process)
            report = bench.load(daemon.url, "push", "bench", clients, size, "--seconds", seconds)
            figures["ours"] = report["acknowledged"] * size / report["seconds"] / 1e6
            figures["cpu"] = (cpu_seconds(daemon.process) - started) / max(1, report["acknowledged"])
            figures["p50"], figures["p99"] = report["p50_ms"], report["p99_ms"]
            figures["updates"] = report["per_second"]
        return figures
    return measure


def push_rows(clients, size, durability, target=""):
    what = f"{clients} clients push {size_text(size)}, {durability}"
    return [Row(f"{what}: MB/s", "ours", (("bare libuv sink", "sink"),), target)]


def size_text(size):
    return f"{size // 1000000} MB" if size >= 1000000 else f"{size // 1000} kB"


def measure_round_trip(bench):
    figures = {}
    for durability in ("memory", "spool"):
        with bench.daemon(4000, {"preset": "fedbuff", "goal": 1}, durability) as daemon:
            report = bench.load(daemon.url, "push", "bench", 1, 4000, "--seconds", 3)
            figures[f"{durability}.p50"], figures[f"{durability}.p99"] = report["p50_ms"], report["p99_ms"]
    with bench.sink() as url:
        figures["sink"] = bench.load(url, "push", "bench", 1, 4000, "--seconds", 1)["p50_ms"]
    return figures


def measure_clients(clients):
    def measure(bench):
        size = 40000
        with bench.daemon(size, {"preset": "fedavg", "quorum": clients, "deadline": "1h"}, "memory",
                          updates_pending_max=20000, clients_max=20000) as daemon:
            before = cpu_seconds(daemon.process)
            report = bench.load(daemon.url, "round", "bench", clients, size, "--count", max(3, 3000 // clients))
            updates = max(1, report["acknowledged"])
            return {"round": report["p50_ms"] / 1e3,
                    "cpu": (cpu_seconds(daemon.process) - before) / updates * 1e6,
                    "rss": resident_bytes(daemon.process) / 1e6}
    return measure


# --- simulated clients that do not train -----------------------------------------------------------------

def simulate(bench, clients, versions):
    """Completions per second of processor time, and peak bytes, of FedBuff with 1,000 clients at a time."""
    spec = {"name": "sim", "model": {"init": "upload"}, "lease": "30m", "stop": {"versions": versions},
            "strategy": {"preset": "fedbuff", "goal": 10, "concurrency": 1000, "staleness_max": 1000}}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        json.dump(spec, file)
        file.flush()
        process = subprocess.Popen([bench.build / "trib", "sim", file.name, "--no-train", "--clients", str(clients),
                                    "--speed", "lognormal:30s,0.5"], stdout=subprocess.DEVNULL)
        peak = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            with contextlib.suppress(IndexError):  # it has just ended
                peak = resident_bytes(process)
            time.sleep(0.01)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
    return 10 * versions / (usage.ru_utime + usage.ru_stime), peak


def measure_simulation(bench):
    figures = {"own": simulate(bench, 1000, 100000)[0]}
    figures["turns"], many = simulate(bench, 1010000, 100000)
    figures["idle"] = (simulate(bench, 9980000, 1000)[1] - simulate(bench, 20000, 1000)[1]) / 9.96e6
    figures["peak"] = many / 1e6
    return figures


def measure_python(megabytes, count=8):
    def measure(bench):
        folder = bench.build / "python"
        if not list(folder.glob("tributary/_client*.so")):
            bench.missing.add("the Python package's extension")
            return {}
        os.environ["PYTHONPATH"] = str(folder)
        with bench.daemon(megabytes * 10**6, {"preset": "fedbuff", "goal": 1}) as daemon:
            link = f"{daemon.url}/bench"
            return {**bench.samples(bench.build / "bench" / "bench_submit", link, count),
                    **bench.samples(bench.python, HERE / "bench_python.py", link, count)}
    return measure


# --- training: one step of SGD, one thread -------------------------------------------------------------------------

def measure_training(model, batch, steps):
    def measure(bench):
        figures = bench.samples(bench.build / "bench" / "bench_train", model, batch, steps)
        figures |= bench.peer("train_torch.py", model, batch, max(3, steps // 5))
        if model == "mlp":
            figures |= bench.peer("train_numpy.py", batch, max(3, steps // 5))
        return figures
    return measure


def training_rows(model, batch, target=""):
    name = {"mlp": "2NN", "cnn": "CNN", "lstm": "character LSTM"}[model]
    return [Row(f"{name}, batch of {batch}: steps per CPU second", "steps",
                (("products alone", "limit"), ("PyTorch", "torch"), ("NumPy", "numpy")), target)]


# --- the table --------------------------------------------------------------------------------------------------

# (name for --only, measurement, rows)
MEASUREMENTS = [
    *((f"fold-{updates}-{tensors}-{threads}", measure_fold(updates, tensors, threads),
       fold_rows(updates, tensors, threads) + (merge_rows() if (updates, tensors, threads) == (10, 1, 1) else []))
      for updates, tensors, threads in ((10, 1, 1), (10, 60, 1), (100, 60, 1), (10, 60, 2))),
    *((f"push-{size_text(size).replace(' ', '')}-{durability}", measure_push(clients, size, durability),
       push_rows(clients, size, durability, target))
      for clients, size, durability, target in (
          (64, 4000, "memory", ""), (64, 4000, "spool", ""),
          (32, 4000000, "memory", "0.85 of the sink"), (32, 4000000, "spool", ""),
          (8, 100000000, "memory", "0.85 of the sink"), (8, 100000000, "spool", ""))),
    *((f"python-{megabytes}MB", measure_python(megabytes), [
        Row(f"task to acknowledgement, {megabytes} MB, from Python: ms", "submit.python",
            (("the C library", "submit.c"),), "< 1.05")]) for megabytes in (4, 64)),
    ("round-trip", measure_round_trip, [
        Row("round trip of a 4 kB update, memory: p50 ms", "memory.p50", (("bare libuv sink", "sink"),), "< 0.3"),
        Row("the same: p99 ms", "memory.p99"),
        Row("the same, spool: p50 ms", "spool.p50")]),
    *((f"clients-{clients}", measure_clients(clients), [
        Row(f"round of {clients} clients, 10 k parameters: s", "round"),
        Row("the same: server CPU us per update", "cpu"),
        Row("the same: peak RSS MB", "rss")]) for clients in (10, 100, 1000, 10000)),
    *((f"train-{model}-{batch}", measure_training(model, batch, steps), training_rows(model, batch, target))
      for model, batch, steps, target in (
          ("mlp", 10, 3000, "5 of PyTorch"), ("mlp", 50, 800, ""), ("cnn", 10, 60, ""), ("cnn", 50, 15, ""),
          ("lstm", 10, 10, ""))),
    ("simulation", measure_simulation, [
        Row("simulated FedBuff, 1,000 clients: completions per CPU second", "own", (), "1,000,000"),
        Row("the same, 1,010,000 clients take turns", "turns", (), "1,000,000"),
        Row("the same: peak RSS MB", "peak"),
        Row("bytes per idle client", "idle", (), "64")]),
]


def text_of(value):
    return f"{value:.4g}"


def line_of(row, samples):
    values = [sample[row.ours] for sample in samples]
    cells = [row.work, text_of(statistics.median(values))]
    sides = []
    for name, figure in row.against:
        if all(figure in sample for sample in samples):
            other = statistics.median(sample[figure] for sample in samples)
            ratio = statistics.median(sample[row.ours] / sample[figure] for sample in samples)
            sides.append(f"{name} {text_of(other)}: **{ratio:.2f}**")
    cells += ["; ".join(sides), row.target]
    return "| " + " | ".join(cells) + " |"


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="measurements whose name has one of these words")
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    bench = Bench(options.build)
    lines = [f"{datetime.date.today():%d %B %Y}. {machine()}. Load average at the start {os.getloadavg()[0]:.1f}. "
             f"Medians of {options.runs} runs; bold: ours divided by theirs, in the same run.", "",
             "| work | ours | beside it | target |", "| --- | ---: | --- | --- |"]
    for line in lines:
        print(line)
    for name, measure, rows in MEASUREMENTS:
        if options.only and not any(word in name for word in options.only):
            continue
        started = time.monotonic()
        samples = [measure(bench) for _ in range(options.runs)]
        for row in rows:
            if row.ours in samples[0]:
                lines.append(line_of(row, samples))
                print(lines[-1], flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if bench.missing:
        lines += ["", "Not installed here, so left out: " + ", ".join(sorted(bench.missing)) + "."]
        print(lines[-1])
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
