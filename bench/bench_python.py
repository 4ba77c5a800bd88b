"""bench_python.py - what bench_submit.c does, through the Python package.

    bench_python.py LINK COUNT
"""
import statistics
import sys
import time

import tributary as trib


def main(link: str, count: int) -> None:
    seconds = []
    with trib.join(link, "bench-python") as client:
        for _ in range(count):
            began = time.perf_counter()
            task = client.next()
            weights = task.weights("numpy")
            for value in weights.values():
                value.reshape(-1)[0] += 0.001
            task.submit(weights, examples=1)
            seconds.append(time.perf_counter() - began)
    print(f"submit.python\t{statistics.median(seconds[1:]) * 1e3:.6f}\tms")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
