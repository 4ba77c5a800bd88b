"""soak_flapping.py - a thousand clients that come and go for an hour: memory stays flat, and each
update that was acknowledged is counted once.

    TRIB=build/trib python3 tests/e2e/soak_flapping.py [SECONDS]

Part of `make soak`; at least 30 seconds. 900 clients with 4 kB and 100 with 2 MiB join, poll, send
an update or half of one, hang up wherever they are, and come back, now and then under a new name,
so that many more join than `clients_max`. Prints what it has measured as a table and ends with 1 if a promise is broken.
The clients are bench/load.c, beside the program under test.
"""
import collections
import json
import os
import subprocess
import sys
import time

from harness import TRIB, Daemon, Run, wait_for
from test_limits import BASE, CHUNKS, LOAD, MIB, Loaded, model

CROWDS = {  # run: clients, bytes, mean pause between two visits in seconds
    "small": (900, 4096, 4),
    "large": (100, 2 * MIB, 20),
}
CLIENTS_MAX = 1500
SAMPLE_SECONDS = 5


def start_crowd(daemon: Daemon, run: Run, seconds: int) -> subprocess.Popen:
    clients, size, pause = CROWDS[run.name]
    return subprocess.Popen(
        [LOAD, "flap", "--url", daemon.url, "--run", run.name, "--clients", str(clients),
         "--bytes", str(size), "--pause", str(pause), "--seconds", str(seconds),
         "--acknowledged", os.path.join(daemon.directory, run.name)], stdout=subprocess.PIPE)


def watch_memory(daemon: Loaded, crowds: dict[str, subprocess.Popen]) -> list[int]:
    samples = []
    while any(crowd.poll() is None for crowd in crowds.values()):
        time.sleep(SAMPLE_SECONDS)
        samples.append(daemon.memory())
    return samples


def read_ledger(run: Run) -> tuple[collections.Counter, set[str]]:
    """How often it accounts for each (client, update), and who has ever joined."""
    times: collections.Counter = collections.Counter()
    names = set()
    first = 0
    while lines := run.get(f"/ledger?from={first}").body.splitlines():
        for line in lines:
            record = json.loads(line)["record"]
            for update in record.get("updates", []) + record.get("dropped", []):
                times[update["client"], update["update"]] += 1
            if record["type"] == "client":
                names.add(record["client"])
        first += len(lines)
    return times, names


def count_again(daemon: Loaded, run: Run) -> dict[str, int]:
    """Compare what clients were told with what the ledger says; 0 and 0 is right."""
    run.control("stop")
    wait_for(lambda: run.status()["state"] == "stopped", 60, "the stop")
    times, names = read_ledger(run)
    with open(os.path.join(daemon.directory, run.name), encoding="ascii") as file:
        told = {tuple(line.split()) for line in file}
    return {"acknowledged": len(told), "lost": len(told - times.keys()),
            "counted twice": sum(count > 1 for count in times.values()),
            "names that joined": len(names)}


def is_flat(samples: list[int]) -> bool:
    """After a sixth of the time to warm up, the later half needs no more than the earlier one."""
    rest = samples[len(samples) // 6:]
    early, late = rest[:len(rest) // 2], rest[len(rest) // 2:]
    return max(late) < max(early) * 1.1 + 4 * MIB


def main(seconds: int) -> int:
    daemon = Loaded("--memory", str(64 * MIB))
    try:
        runs = {name: daemon.create(
            {"name": name, "strategy": {"preset": "fedbuff", "goal": clients // 10},
             "clients_max": CLIENTS_MAX, "lease": "20s"}, model(size // 4))
            for name, (clients, size, _) in CROWDS.items()}
        base = daemon.memory()
        crowds = {name: start_crowd(daemon, run, seconds) for name, run in runs.items()}
        samples = watch_memory(daemon, crowds)
        reports = {name: json.loads(crowd.communicate()[0]) for name, crowd in crowds.items()}
        wait_for(daemon.is_quiet, 60, "budgets back at zero")
        print(f"| | {' | '.join(runs)} |\n| --- |{' ---: |' * len(runs)}")
        is_good = True
        rows: dict[str, list] = {}
        for name, run in runs.items():
            status = run.status()
            counts = count_again(daemon, run)
            is_good &= counts["lost"] == 0 and counts["counted twice"] == 0
            is_good &= counts["acknowledged"] > 0 and reports[name]["lost"] == 0
            for what, value in {**counts, "versions": status["version"],
                                "connections lost": reports[name]["lost"],
                                "refused": reports[name]["refused"]}.items():
                rows.setdefault(what, []).append(value)
        for what, values in rows.items():
            print(f"| {what} | {' | '.join(str(value) for value in values)} |")
        peak, sixths = max(samples), len(samples) // 6
        print(f"\nResident memory: {base // MIB} MiB before; the most in each sixth of "
              f"{seconds} s: " +
              ", ".join(f"{max(samples[i * sixths:(i + 1) * sixths]) // MIB}" for i in range(6)) +
              " MiB")
        is_good &= is_flat(samples) and peak - base < 64 * MIB + CHUNKS + BASE
        print("Every promise kept." if is_good else "A PROMISE IS BROKEN.")
        return 0 if is_good else 1
    finally:
        daemon.close()


if __name__ == "__main__":
    if not os.path.exists(LOAD):
        sys.exit(f"{LOAD} is not built (beside {TRIB})")
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3600))
