#!/usr/bin/env python3
"""run.py - the table of `make bench`: what Tributary does beside a limit or a peer, in one run.

Usage: run.py BUILD [--runs N] [--only WORD ...] [--output FILE]

A measurement is a function that takes one sample of several figures; it is called N times, and the
table has medians. A ratio is the median of the ratios of each sample, whose two sides were taken
one right after the other. Peers that are not installed are left out and named below the table.
Measurements that take minutes are repeated less often, and say so.
"""
import argparse
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import platform
import shutil
import ssl
import statistics
import struct
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


class Measurement(NamedTuple):
    name: str                # for --only
    measure: object          # bench -> {name of a figure: value}
    rows: list
    runs_max: int = 1000     # for those that take minutes


class Bench:
    """Where the programs are, and what starting them takes."""

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.python = shutil.which("python3", path="/usr/bin:" + os.environ["PATH"])
        self.missing = set()
        self.lab = None          # a directory with certificates, made when one is needed
        os.environ["TRIB"] = str(self.build / "trib")
        sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))
        import harness  # needs TRIB
        self.harness = harness

    def samples(self, *command):
        """Figures that a program prints."""
        return figures_of(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE,
                                         text=True).stdout)

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

    def certificate(self):
        """The files of a certificate for loopback and its key, and of who has signed it."""
        if self.lab is None:
            self.lab = tempfile.TemporaryDirectory()
            subprocess.run([self.build / "trib", "cert", "--dir", self.lab.name, "--name", "127.0.0.1"],
                           check=True, stdout=subprocess.DEVNULL)
        return [pathlib.Path(self.lab.name, name) for name in ("server.crt", "server.key", "ca.crt")]

    @contextlib.contextmanager
    def listening(self, program, *arguments):
        """A program that writes its URL into the file {ready} and ends on SIGTERM: process, URL. Its output
        is there when it has ended."""
        with tempfile.TemporaryDirectory() as folder:
            ready = pathlib.Path(folder, "url")
            words = [str(word).format(ready=ready) for word in arguments]
            process = subprocess.Popen([self.build / "bench" / program, *words], stdout=subprocess.PIPE, text=True)
            try:
                self.harness.wait_for(ready.exists)
                yield process, ready.read_text().strip()
            finally:
                process.terminate()
                process.wait()

    def sink(self, tls=False):
        return self.listening("sink", "{ready}", *(self.certificate()[:2] if tls else ()))

    @contextlib.contextmanager
    def daemon(self, size, strategy, durability="spool", options=(), tls=False, **spec):
        """A daemon with one run whose updates have `size` bytes of values."""
        options = ["--connections", "20000", *options]
        if tls:
            certificate, key, _ = self.certificate()
            options += ["--tls-cert", str(certificate), "--tls-key", str(key)]
        daemon = self.harness.Daemon(*options)
        if tls:
            trust = ssl.create_default_context(cafile=self.certificate()[2])
            daemon.connection = lambda timeout: http.client.HTTPSConnection(
                daemon.host, daemon.port, timeout=timeout, context=trust)
        try:
            daemon.create({"name": "bench", "strategy": strategy, "durability": durability, **spec}, zeros(size))
            yield daemon
        finally:
            daemon.close()


def zeros(size):
    """A model of one tensor with `size` bytes of values."""
    head = json.dumps({"w": {"dtype": "F32", "shape": [size // FLOAT_BYTES], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(size)


def figures_of(text):
    """{name: value} of lines of name, value, unit."""
    return {name: float(value) for name, value, _ in (line.split("\t") for line in text.splitlines())}


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

def push(bench, url, process, clients, size, seconds):
    """The report, MB/s and processor seconds per GB of one that is pushed to."""
    before = cpu_seconds(process)
    report = bench.load(url, "push", "bench", clients, size, "--seconds", seconds)
    gigabytes = max(1, report["acknowledged"]) * size / 1e9
    return report, gigabytes * 1e3 / report["seconds"], (cpu_seconds(process) - before) / gigabytes


def measure_push(clients, size, durability, tls=False, seconds=5):
    def measure(bench):
        figures = {}
        with bench.sink(tls) as (process, url):
            _, figures["sink"], figures["sink.cpu"] = push(bench, url, process, clients, size, seconds)
        with bench.daemon(size, {"preset": "fedbuff", "goal": 2 * clients, "divide": "weight"},
                          durability, tls=tls) as daemon:
            _, figures["ours"], figures["cpu"] = push(bench, daemon.url, daemon.process, clients, size, seconds)
        return figures
    return measure


def push_rows(clients, size, durability, tls, target=""):
    what = f"{clients} clients push {size_text(size)}, {durability}{', TLS' if tls else ''}"
    beside = f"bare libuv sink{' with TLS' if tls else ''}"
    return [Row(f"{what}: MB/s", "ours", ((beside, "sink"),), target),
            Row("the same: server CPU s per GB", "cpu", ((beside, "sink.cpu"),))]


def size_text(size):
    return f"{size // 1000000} MB" if size >= 1000000 else f"{size // 1000} kB"


def measure_round_trip(bench):
    figures = {}
    for durability in ("memory", "spool"):
        with bench.daemon(4000, {"preset": "fedbuff", "goal": 1}, durability) as daemon:
            report = bench.load(daemon.url, "push", "bench", 1, 4000, "--seconds", 3)
            figures[f"{durability}.p50"], figures[f"{durability}.p99"] = report["p50_ms"], report["p99_ms"]
    with bench.sink() as (_, url):
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
            figures = {"round": report["p50_ms"] / 1e3,
                       "cpu": (cpu_seconds(daemon.process) - before) / updates * 1e6,
                       "rss": resident_bytes(daemon.process) / 1e6}
        return figures | flower(bench, clients, size // FLOAT_BYTES, max(3, 100 // clients))
    return measure


def measure_memory(size, clients=4, rounds=2):
    """Peak memory of two rounds against the model's size, above that of an idle daemon: held whole, and by ranges
    in an eighth of it. Bodies go by way of the disk. Needs seven times the size of disk."""
    def peak(bench, budget):
        daemon = bench.harness.Daemon("--memory", "16MiB", "--model-memory", str(budget))
        try:
            idle = resident_bytes(daemon.process)
            reply = daemon.request("POST", "/v1/runs", {
                "name": "bench", "model": {"init": {"zeros": {"w": [size // FLOAT_BYTES]}}},
                "keep": {"versions": {"last": 1}},
                "strategy": {"preset": "fedavg", "quorum": clients, "deadline": "1h"}}, daemon.admin, timeout=600)
            assert reply.status == 201, reply.body
            bench.load(daemon.url, "round", "bench", clients, size, "--count", rounds)
            return (resident_bytes(daemon.process) - idle) / size
        finally:
            daemon.close()

    def measure(bench):
        return {"whole": peak(bench, 8 * size), "ranges": peak(bench, size // 8)}
    return measure


FLOWER_CLIENTS_MAX = 100  # with 1,000 no round ended within eight minutes on two cores


def flower(bench, clients, parameters, rounds):
    """Flower's server and clients doing the same; nothing where it is not installed or does not get through."""
    python = os.environ.get("FLOWER_PYTHON")
    if python is None or subprocess.run([python, "-c", "import flwr"], stderr=subprocess.DEVNULL).returncode:
        bench.missing.add("Flower (FLOWER_PYTHON)")
        return {}
    if clients > FLOWER_CLIENTS_MAX:
        return {}
    result = subprocess.run([python, HERE / "peers" / "round_flower.py", *map(str, (clients, parameters, rounds))],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if result.returncode:
        print(f"Flower with {clients} clients: no round within its time", file=sys.stderr)
    return figures_of(result.stdout)


def measure_polls(count, tls, quiet_s=10):
    """Evaluators that hold a long poll while nothing happens."""
    def measure(bench):
        with bench.daemon(4000, {"preset": "fedavg", "quorum": 1}, tls=tls, clients_max=100000) as daemon:
            base = resident_bytes(daemon.process, "VmRSS")
            load = subprocess.Popen([bench.build / "bench" / "load", "poll", "--url", daemon.url, "--run", "bench",
                                     "--clients", str(count), "--role", "evaluator", "--until-version", "1"],
                                    stdout=subprocess.DEVNULL)
            try:
                bench.harness.wait_for(lambda: requests(daemon) >= 2 * count, 600, "polls held")
                figures = {"each": (resident_bytes(daemon.process, "VmRSS") - base) / count}
                before = cpu_seconds(daemon.process)
                time.sleep(quiet_s)
                figures["cpu"] = (cpu_seconds(daemon.process) - before) / quiet_s * 1e3
            finally:
                load.kill()
                load.wait()
        return figures
    return measure


def requests(daemon):
    text = daemon.request("GET", "/metrics").body.decode()
    return float(text.split("\ntributary_requests_total ")[1].split()[0])


# --- many large updates, one version (LIFL, MLSys 2024, section 6) ---------------------------------------------

def gather(bench, url, count, size):
    """Milliseconds from the last byte of `count` updates to the version made of them."""
    lanes = next(lanes for lanes in (8, 5, 4, 1) if count % lanes == 0)
    return bench.load(url, "push", "bench", lanes, size, "--count", count // lanes, "--until-version", 1)["after_ms"]


def measure_gathering(count, megabytes):
    size = megabytes * 10**6

    def of_daemon(bench, durability):
        with bench.daemon(size, {"preset": "fedbuff", "goal": count, "divide": "weight"}, durability) as daemon:
            before = cpu_seconds(daemon.process)
            after = gather(bench, daemon.url, count, size)
            return {f"{durability}.after": after, f"{durability}.cpu": cpu_seconds(daemon.process) - before,
                    f"{durability}.rss": resident_bytes(daemon.process) / 1e6}

    def of_hops(bench, way):
        with bench.listening("hops", way, "{ready}", size, count) as (process, url):
            after = gather(bench, url, count, size)
        return {f"{way}.after": after,
                **{f"{way}.{name}": value for name, value in figures_of(process.stdout.read()).items()}}

    def measure(bench):
        figures = of_daemon(bench, "memory")
        if count * size < shutil.disk_usage(tempfile.gettempdir()).free / 4 and count * size < 6e9:
            figures |= of_daemon(bench, "spool")
        for way in ("copies", "broker"):
            if 1.5 * count * size < available_bytes():  # they hold all updates at once
                figures |= of_hops(bench, way)
        return figures
    return measure


def available_bytes():
    return int(pathlib.Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024


def gathering_rows(count, megabytes):
    def beside(figure):
        return ("copy per hop", f"copies.{figure}"), ("store-and-forward broker", f"broker.{figure}")
    what = f"{count} updates of {megabytes} MB, memory"
    return [Row(f"{what}: last byte to version, ms", "memory.after", beside("after")),
            Row("the same: server CPU s", "memory.cpu", beside("cpu")),
            Row("the same: peak RSS MB", "memory.rss", beside("rss")),
            Row("the same, spool: last byte to version, ms", "spool.after"),
            Row("the same, spool: server CPU s", "spool.cpu"),
            Row("the same, spool: peak RSS MB", "spool.rss")]


# --- two who average what they have (data-parallel training's Allreduce) ------------------------------------------

MPI_WAYS = {"tcp": "self,tcp", "shared": "self,vader"}


def allreduce(bench, size, way, count):
    """Seconds of one MPI_Allreduce of two ranks, and of their processors."""
    if shutil.which("mpicc") is None or shutil.which("mpirun") is None:
        bench.missing.add("OpenMPI")
        return {}
    program = bench.build / "bench" / "allreduce_mpi"
    subprocess.run(["mpicc", "-O2", "-o", program, HERE / "peers" / "allreduce_mpi.c"], check=True)
    found = bench.samples("mpirun", "--allow-run-as-root", "--oversubscribe", "-np", 2, "--mca", "btl", MPI_WAYS[way],
                          program, size, count)
    return {f"{way}.{name}": value for name, value in found.items()}


def rounds_of_two(bench, link, daemon, count):
    """Seconds of a round of two clients of the device library, and of all three processors."""
    before = cpu_seconds(daemon.process)
    clients = [subprocess.Popen([bench.build / "bench" / "bench_submit", link, str(count), name],
                                stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    found = [figures_of(client.communicate()[0]) for client in clients]
    return {"round": found[0]["submit.c"] / 1e3,
            "cpu": sum(one["submit.cpu"] for one in found) + (cpu_seconds(daemon.process) - before) / count}


def copy_seconds(size, count=5):
    """Seconds of one memcpy() from and to memory that has been used before."""
    source, target = bytearray(b"x") * size, bytearray(b"y") * size
    times = []
    for _ in range(count):
        began = time.perf_counter()
        target[:] = source
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure_allreduce(megabytes, count=6):
    size = megabytes * 10**6

    def measure(bench):
        with tempfile.TemporaryDirectory() as folder:
            options = ("--listen", f"unix:{folder}/socket", "--memory", "4GiB")  # else large bodies go by the disk
            with bench.daemon(size, {"preset": "fedavg", "quorum": 2, "deadline": "1h"}, "memory", options) as daemon:
                figures = rounds_of_two(bench, f"{daemon.url}/bench", daemon, count)
                handed = rounds_of_two(bench, f"unix:{folder}/socket/bench", daemon, count)
        figures |= {f"handed.{name}": value for name, value in handed.items()}
        figures["memcpy"] = copy_seconds(size)
        for way in MPI_WAYS:
            figures |= allreduce(bench, size, way, count)
        return figures
    return measure


def allreduce_rows(megabytes):
    target = "faster than OpenMPI, twice memcpy" if megabytes == 256 else ""
    return [Row(f"round of 2 clients, {size_text(megabytes * 10**6)}, memory: s", "round",
                (("OpenMPI Allreduce over TCP", "tcp.allreduce"), ("in shared memory", "shared.allreduce"))),
            Row("the same: CPU s of all", "cpu",
                (("OpenMPI Allreduce over TCP", "tcp.allreduce.cpu"),
                 ("in shared memory", "shared.allreduce.cpu"))),
            Row("the same, updates handed over as memory: s", "handed.round",
                (("over TCP", "round"), ("OpenMPI in shared memory", "shared.allreduce"), ("one memcpy", "memcpy")),
                target),
            Row("the same, handed over: CPU s of all", "handed.cpu",
                (("over TCP", "cpu"), ("OpenMPI in shared memory", "shared.allreduce.cpu"),
                 ("one memcpy", "memcpy")))]


# --- simulated clients that do not train -----------------------------------------------------------------

def simulate(bench, clients, versions):
    """FedBuff with 1,000 clients at a time, a version for ten updates."""
    spec = {"name": "sim", "model": {"init": "upload"}, "lease": "30m", "stop": {"versions": versions},
            "strategy": {"preset": "fedbuff", "goal": 10, "concurrency": 1000, "staleness_max": 1000}}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        json.dump(spec, file)
        file.flush()
        started = time.monotonic()
        process = subprocess.Popen([bench.build / "trib", "sim", file.name, "--no-train", "--clients", str(clients),
                                    "--speed", "lognormal:30s,0.5"], stdout=subprocess.DEVNULL)
        peak = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            with contextlib.suppress(IndexError):  # it has just ended
                peak = resident_bytes(process)
            time.sleep(0.01)
        wall = time.monotonic() - started
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
    return {"per_second": 10 * versions / (usage.ru_utime + usage.ru_stime), "peak": peak, "wall": wall}


def measure_simulation(bench):
    few, many = simulate(bench, 1000, 100000), simulate(bench, 1000000, 100000)
    idle = simulate(bench, 9980000, 1000)["peak"] - simulate(bench, 20000, 1000)["peak"]
    return {"own": few["per_second"], "turns": many["per_second"], "wall": many["wall"], "peak": many["peak"] / 1e6,
            "idle": idle / 9.96e6}


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

MEASUREMENTS = [Measurement(*row) for row in (
    *((f"fold-{updates}-{tensors}-{threads}", measure_fold(updates, tensors, threads),
       fold_rows(updates, tensors, threads) + (merge_rows() if (updates, tensors, threads) == (10, 1, 1) else []))
      for updates, tensors, threads in ((10, 1, 1), (10, 60, 1), (100, 60, 1), (10, 60, 2))),
    *((f"push-{size_text(size).replace(' ', '')}-{durability}{'-tls' if tls else ''}",
       measure_push(clients, size, durability, tls), push_rows(clients, size, durability, tls, target))
      for clients, size, durability, tls, target in (
          (64, 4000, "memory", False, ""), (64, 4000, "spool", False, ""), (64, 4000, "memory", True, ""),
          (32, 4000000, "memory", False, "0.85 of the sink"), (32, 4000000, "spool", False, ""),
          (32, 4000000, "memory", True, "0.85 of the sink"),
          (8, 100000000, "memory", False, "0.85 of the sink"), (8, 100000000, "spool", False, ""),
          (8, 100000000, "memory", True, "0.85 of the sink"))),
    *((f"python-{megabytes}MB", measure_python(megabytes), [
        Row(f"task to acknowledgement, {megabytes} MB, from Python: ms", "submit.python",
            (("the C library", "submit.c"),), "< 1.05")]) for megabytes in (4, 64)),
    ("round-trip", measure_round_trip, [
        Row("round trip of a 4 kB update, memory: p50 ms", "memory.p50", (("bare libuv sink", "sink"),), "< 0.3"),
        Row("the same: p99 ms", "memory.p99"),
        Row("the same, spool: p50 ms", "spool.p50")]),
    *((f"clients-{clients}", measure_clients(clients), [
        Row(f"round of {clients} clients, 10 k parameters: s", "round", (("Flower", "flower.round"),)),
        Row("the same: server CPU us per update", "cpu", (("Flower", "flower.cpu"),)),
        Row("the same: peak RSS MB", "rss", (("Flower", "flower.rss"),))], runs_max)
      for clients, runs_max in ((10, 7), (100, 7), (1000, 3), (10000, 3))),
    *((f"polls-{'tls' if tls else 'plain'}", measure_polls(19900, tls), [
        Row(f"19,900 idle polls{', TLS' if tls else ''}: RSS bytes each", "each"),
        Row("the same: server CPU ms per second", "cpu")], 3) for tls in (False, True)),
    *((f"gather-{count}-{megabytes}MB", measure_gathering(count, megabytes), gathering_rows(count, megabytes), runs_max)
      for count, megabytes, runs_max in (
          (8, 43, 7), (20, 43, 7), (120, 43, 3), (8, 230, 3), (20, 230, 3), (120, 230, 1))),
    *((f"allreduce-{megabytes}MB", measure_allreduce(megabytes), allreduce_rows(megabytes)) for megabytes in (4, 64, 256)),
    *((f"train-{model}-{batch}", measure_training(model, batch, steps), training_rows(model, batch, target))
      for model, batch, steps, target in (
          ("mlp", 10, 3000, "5 of PyTorch"), ("mlp", 50, 800, ""), ("cnn", 10, 60, ""), ("cnn", 50, 15, ""),
          ("lstm", 10, 10, ""))),
    *((f"memory-{size_text(size).replace(' ', '')}", measure_memory(size), [
        Row(f"a model of {size_text(size)}, 4 clients: peak memory in models, held whole", "whole", (), "4.5"),
        Row("the same by ranges, with a budget of 0.125", "ranges", (), "0.375")], 1)
      for size in (1000000000, 4000000000)),
    ("simulation", measure_simulation, [
        Row("simulated FedBuff, 1,000 clients: completions per CPU second", "own", (), "1,000,000"),
        Row("the same, 1,000,000 clients take turns", "turns", (), "1,000,000"),
        Row("the same: a million updates, wall s", "wall"),
        Row("the same: peak RSS MB", "peak"),
        Row("bytes per idle client", "idle", (), "64")]),
)]


def text_of(value):
    return f"{value:.4g}"


def line_of(row, samples, note):
    values = [sample[row.ours] for sample in samples]
    cells = [row.work + note, text_of(statistics.median(values))]
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
    for name, measure, rows, runs_max in MEASUREMENTS:
        if options.only and not any(word in name for word in options.only):
            continue
        started = time.monotonic()
        runs = min(options.runs, runs_max)
        samples = [measure(bench) for _ in range(runs)]
        note = "" if runs == options.runs else f" ({runs} run{'s' if runs > 1 else ''})"
        for row in rows:
            if row.ours in samples[0]:
                lines.append(line_of(row, samples, note))
                print(lines[-1], flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if bench.missing:
        lines += ["", "Not installed here, so left out: " + ", ".join(sorted(bench.missing)) + "."]
        print(lines[-1])
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
