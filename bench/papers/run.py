#!/usr/bin/env python3
"""run.py - published tables again, in the simulator: the paper's number beside ours.

Usage: run.py [TABLE ...] [--quick] [--seeds N] [--data DIR] [--record FILE] [--minutes N] [--output FILE]
       run.py --list

Without TABLE all of them. Every cell is `trib sim` on MNIST (simulator.py) with the settings of
tables.py. The learning rate is chosen per cell as McMahan et al. did it: a grid with a factor of
10^(1/3), the curve made monotone, and where it crosses the target, between two evaluations by a
straight line. The grid is walked from its middle until the best rate has a worse one on either side.
The rate is chosen with the first seed, and the cell has the median of all.

--quick takes some rows and ends in five minutes on two cores. All the tables are days of work:
--record keeps what was simulated, --minutes says when to stop; what is missing is "not run", and the
same command goes on where it stopped. --minutes 0 prints what there is.
"""
import argparse
import concurrent.futures
import datetime
import math
import os
import pathlib
import platform
import sys
import time

from simulator import OutOfTime, Record, Simulator
from tables import TABLES

HERE = pathlib.Path(__file__).resolve().parent


# --- work ---------------------------------------------------------------------------------------------------

def cells_of(rows):
    """The cells of a table by their keys, the cheapest first."""
    figures = [figure for row in rows for figure in row.figures if figure]
    return {Record.key_of(figure.cell): figure.cell for figure in sorted(figures, key=lambda figure: figure.cell.cost)}


def answer_all(rows, simulator, options, workers):
    """Answers by the keys of their cells. The first seed goes through all cells before the second."""
    def answer(cell, seeds):
        try:
            return simulator.answer(cell, seeds)
        except OutOfTime:
            return None

    cells, answers = cells_of(rows), {}
    for seeds in range(1, options.seeds + 1):
        jobs = {key: workers.submit(answer, cell, seeds) for key, cell in cells.items()}
        answers |= {key: job.result() for key, job in jobs.items() if job.result() is not None}
    return answers


# --- printing -------------------------------------------------------------------------------------------------

def number_text(number, form):
    return "not reached" if math.isinf(number) else format(number, form)


def ratio_text(answer, against, count):
    ours, theirs = answer.counts[count], against.counts[count]
    return "-" if math.isinf(ours) or math.isinf(theirs) else f"{ours / theirs:.1f}"


def figure_text(figure, answers):
    """paper / **ours** (how)"""
    answer = answers.get(Record.key_of(figure.cell)) if figure else None
    if figure is None:
        return ""
    against = answers.get(Record.key_of(figure.against)) if figure.against else None
    how = ""
    if answer is None or (figure.against and against is None):
        ours = "not run"
    elif isinstance(answer, float):
        ours = f"**{answer:.4g}**"
    elif figure.against:
        ours = f"**{ratio_text(answer, against, figure.count)}**"
    else:
        ours = f"**{number_text(answer.counts[figure.count], '.0f')}**"
        how = how_text(answer)
    return (f"{figure.paper} / " if figure.paper else "") + ours + how


def how_text(answer):
    if answer.rate is None:
        return " (at any rate)"
    runs = "" if answer.runs == 1 else f", {answer.runs} runs"
    return f" (lr {answer.rate:g}{runs}{'' if answer.is_best else ', search not finished'})"


def print_table(table, simulator, options, workers, out):
    rows = [row for row in table.rows if row.is_quick or not options.quick]
    print(f"## {table.title}\n\n{table.source}.\n", file=out)
    if not rows:
        print("(left out by --quick)\n", file=out)
        return
    answers = answer_all(rows, simulator, options, workers)
    print("| " + " | ".join(table.columns) + " |", file=out)
    print("| " + " | ".join("---" for _ in table.columns) + " |", file=out)
    for row in rows:
        cells = [figure_text(figure, answers) for figure in row.figures]
        print("| " + " | ".join([*map(str, row.labels), *cells]) + " |", file=out)
    print(f"\n{table.note}\n", file=out, flush=True)


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


# --- the command ----------------------------------------------------------------------------------------------

def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="names of --list; default: all")
    parser.add_argument("--list", action="store_true", help="names and titles of the tables")
    parser.add_argument("--quick", action="store_true", help="some rows: five minutes on two cores")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="a cell is the median of N (default: 1)")
    parser.add_argument("--data", default="../shared/data/mnist", metavar="DIR", help="MNIST as IDX files")
    parser.add_argument("--trib", default=str(HERE.parents[1] / "build" / "trib"), metavar="PROGRAM")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="simulations at one time")
    parser.add_argument("--record", type=pathlib.Path, metavar="FILE",
                        help="keep every simulation here, run none twice")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no simulation after so many")
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="write the tables here, too")
    options = parser.parse_args()
    unknown = [name for name in options.tables if name not in TABLES]
    if unknown:
        parser.error(f"unknown table {unknown[0]}; known: {', '.join(TABLES)}")
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs must be at least 1")
    return options


def main():
    options = parse()
    if options.list:
        print("\n".join(f"{name:18} {make().title}" for name, make in TABLES.items()))
        return
    out = Tee(options.output)
    started = time.monotonic()
    print(f"{datetime.date.today():%d %B %Y}. {machine()}. `bench/papers/run.py {' '.join(sys.argv[1:])}`. "
          f"Paper / **ours**, with the clients' learning rate that was best.\n", file=out)
    simulator = Simulator(options.trib, options.data, Record(options.record), options.minutes)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as workers:
        for name in options.tables or TABLES:
            print_table(TABLES[name](), simulator, options, workers, out)
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; the simulations behind these tables took "
          f"{sum(simulator.cpu_seconds.values()) / 60:.1f} of processor time, recorded ones included.", file=out)


if __name__ == "__main__":
    main()
