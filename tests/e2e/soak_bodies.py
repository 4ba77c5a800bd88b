"""soak_bodies.py - a thousand clients push 100 MB each at once against a budget of 512 MiB and a
quota of 12 GiB, while small clients of another run go on: nobody starves, nothing is lost.

    TRIB=build-release/trib python3 tests/e2e/soak_bodies.py [CLIENTS [BYTES]]

Needs 20 GB of disk, which also decides how long it takes (three minutes where it is quick). The
spool is emptied between versions, so that 100 GB go through it. Prints what it has measured and ends with 1 if a promise is broken. The clients are
bench/load.c, beside the program under test.
"""
import sys
import time

from harness import wait_for
from test_limits import BASE, CHUNKS, MIB, Loaded, load_report, model

MEMORY = 512 * MIB
QUOTA = 12 * 1024 * MIB
GOAL = 40  # updates to a version


def settled(updates: dict[str, int], clients: int, goal: int) -> dict[str, int] | None:
    """The same, once nothing is left to be merged and nobody is missing."""
    is_settled = updates["counted"] + updates["pending"] == clients and updates["pending"] < goal
    return updates if is_settled else None


def main(clients: int, size: int) -> int:
    daemon = Loaded("--memory", str(MEMORY))
    loads = []
    size -= size % 4
    goal = min(GOAL, clients)
    try:
        big = daemon.create(
            {"name": "big", "strategy": {"preset": "fedbuff", "goal": goal, "staleness_max": 1000},
             "keep": {"versions": {"last": 1, "best": False}, "disk": QUOTA}}, model(size // 4))
        small = daemon.create({"name": "small", "strategy": {"quorum": 4}}, model(1024))
        alone = load_report(daemon.load("round", small, 4, bytes=4096, seconds=10))
        base = peak = daemon.memory()
        flood = daemon.load("push", big, clients, bytes=size, count=1)
        rounds = daemon.load("round", small, 4, bytes=4096, seconds=7200)
        loads += flood, rounds
        while flood.poll() is None:
            peak = max(peak, daemon.memory())
            time.sleep(0.5)
        rounds.terminate()
        pushed, beside = load_report(flood), load_report(rounds)
        updates = wait_for(lambda: settled(big.status()["updates"], clients, goal), 600,
                           "every body in a version, but for less than one version's")
        print(f"bodies: {clients} of {size} bytes, acknowledged {pushed['acknowledged']}, lost "
              f"{pushed['lost']}, refused and sent again {pushed['refused']}, "
              f"{pushed['seconds']:.0f} s")
        print(f"updates: {updates}, version {big.version()}")
        print(f"resident: {base // MIB} MiB before, at most {(peak - base) // MIB} MiB above")
        for name, report in (("alone", alone), ("beside the flood", beside)):
            print(f"rounds of four small clients {name}: {report['acknowledged']}, p50 "
                  f"{report['p50_ms']:.0f} ms, p99 {report['p99_ms']:.0f} ms, longest "
                  f"{report['max_ms']:.0f} ms, lost {report['lost']}, refused {report['refused']}")
        sums = 6 * size  # two of 8 bytes and a next version of 4, first touched now, per 4 bytes
        is_good = (pushed["acknowledged"] == clients and pushed["lost"] + beside["lost"] == 0 and
                   beside["acknowledged"] > 0 and beside["max_ms"] < 10000 and
                   peak - base < MEMORY + CHUNKS + BASE + sums)
        print("Every promise kept." if is_good else "A PROMISE IS BROKEN.")
        return 0 if is_good else 1
    finally:
        for load in loads:
            load.kill()
            load.wait()
        daemon.close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000,
                  int(sys.argv[2]) if len(sys.argv) > 2 else 100_000_000))
