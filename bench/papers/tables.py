"""tables.py - the published tables as data: settings, the paper's numbers, what ours are compared with.

Settings that a paper leaves open are said in the note of its table.
"""
from typing import NamedTuple

from simulator import RATES, Reach, Staleness

PARTITIONS = {"IID": "iid", "non-IID": "shards:2"}


class Figure(NamedTuple):
    """One number of a table: a count of a cell, or how many times as large it is as another cell's."""
    cell: Reach | Staleness
    count: str = "version"
    paper: str = None
    against: Reach = None


class Row(NamedTuple):
    labels: tuple
    figures: tuple           # None: an empty place
    is_quick: bool = False


class Table(NamedTuple):
    title: str
    source: str
    columns: tuple           # names of labels, then of figures
    rows: tuple
    note: str = ""


# --- McMahan et al. 2017 --------------------------------------------------------------------------------

CLIENTS, ROWS_PER_CLIENT = 100, 600  # MNIST's 60,000 rows dealt to 100 clients


def fedavg(fraction, epochs, batch, init):
    asked = max(1, round(CLIENTS * fraction))
    return {"model": {"init": {"seed": 1, **init}},
            "strategy": {"preset": "fedavg", "fraction": asked / CLIENTS, "quorum": asked},
            "train": {"epochs": epochs, "batch": batch}}


def rounds_to(target, spec, partition, paper):
    """paper: its number of rounds, or None. Twice as many are tried."""
    asked = spec["strategy"]["quorum"]
    cell = Reach(spec, ("--clients", str(CLIENTS), "--partition", PARTITIONS[partition]), target,
                 2 * (paper or 1000), asked * ROWS_PER_CLIENT * spec["train"]["epochs"])
    return Figure(cell, paper=str(paper) if paper else "-")


TWO_NN = {"trainer": "mlp", "hidden": [200, 200]}


def fedavg_fractions():
    paper = {  # (C, B): (IID, non-IID)
        (0.0, 0): (1455, 4278), (0.0, 10): (316, 3275), (0.1, 0): (1474, 1796), (0.1, 10): (87, 664),
        (0.2, 0): (1658, 1528), (0.2, 10): (77, 619), (0.5, 0): (None, None), (0.5, 10): (75, 443),
        (1.0, 0): (None, None), (1.0, 10): (70, 380)}
    rows = [Row((fraction, batch or "all"),
                tuple(rounds_to(0.97, fedavg(fraction, 1, batch, TWO_NN), partition, number)
                      for number, partition in zip(numbers, PARTITIONS)),
                is_quick=(fraction, batch) == (0.1, 10))
            for (fraction, batch), numbers in paper.items()]
    return Table("FedAvg: rounds to 97 % by fraction of clients (2NN, E = 1)", "McMahan et al. 2017, Table 1",
                 ("C", "B", *PARTITIONS), tuple(rows),
                 "C = 0 is one client per round. B = all: one step per round on all local data.")


def fedavg_work():
    paper = {  # (E, B): (u, IID, non-IID)
        (1, 0): (1, 1468, 1817), (10, 0): (10, 156, 1100), (1, 50): (12, 144, 1183), (20, 0): (20, 92, 957),
        (1, 10): (60, 92, 831), (10, 50): (120, 45, 497), (20, 50): (240, 39, 396), (10, 10): (600, 34, 350),
        (20, 10): (1200, 32, 351)}
    rows = [Row((epochs, batch or "all", steps),
                tuple(rounds_to(0.97, fedavg(0.1, epochs, batch, TWO_NN), partition, number)
                      for number, partition in zip(numbers, PARTITIONS)))
            for (epochs, batch), (steps, *numbers) in paper.items()]
    return Table("FedAvg: rounds to 97 % by local work (2NN, C = 0.1)", "McMahan et al. 2017, Table 4",
                 ("E", "B", "u", *PARTITIONS), tuple(rows), "u: steps of a client in a round.")


def fedavg_cnn():
    paper = {  # (E, B): (u, IID, non-IID)
        (1, 0): (1, 626, 483), (5, 0): (5, 179, 1000), (1, 50): (12, 65, 600), (20, 0): (20, 234, 672),
        (1, 10): (60, 34, 350), (5, 50): (60, 29, 334), (20, 50): (240, 32, 426), (5, 10): (300, 20, 229)}
    rows = [Row((epochs, batch or "all", steps),
                tuple(rounds_to(0.99, fedavg(0.1, epochs, batch, {"trainer": "cnn"}), partition, number)
                      for number, partition in zip(numbers, PARTITIONS)))
            for (epochs, batch), (steps, *numbers) in paper.items()]
    return Table("FedAvg: rounds to 99 % by local work (CNN, C = 0.1)", "McMahan et al. 2017, Table 2, CNN",
                 ("E", "B", "u", *PARTITIONS), tuple(rows),
                 "u: steps of a client in a round. Days of work on two cores.")


# --- asynchronous beside synchronous ---------------------------------------------------------------------

OVER_SELECTION = 0.3


def over_selected(preset, clients, concurrency, server):
    """Rounds that ask `concurrency` clients, end with the first 1 / 1.3 of them and refuse the others."""
    wanted = round(concurrency / (1 + OVER_SELECTION))
    return {"preset": preset, "fraction": wanted / clients, "quorum": wanted, "over_selection": OVER_SELECTION,
            "late": "refuse", "deadline": "none", **server}


def trained(strategy, hidden, clients, **more):
    return {"model": {"init": {"trainer": "mlp", "seed": 1, "hidden": hidden}}, "strategy": strategy,
            "train": {"epochs": 1, "batch": 10}, "clients_max": clients + 1, **more}


FEDBUFF_NOTE = """\
2NN on MNIST, 1,000 clients of 60 images, 130 train at one time, E = 1, B = 10; durations half-normal, drawn for each
task. Rounds end with the first 100 of 130. FedAsync: alpha 0.6, (1 + staleness)^-0.5. Server learning rates are the
presets'; the clients' is chosen per cell. Updates that came too late for their round count: they were sent."""


def fedbuff():
    clients, concurrency, rows_per_client = 1000, 130, 60
    first = "FedBuff, K = 10"
    strategies = {  # name: (strategy, updates of a version, versions at most, versions per evaluation)
        first: ({"preset": "fedbuff", "goal": 10, "concurrency": concurrency}, 10, 1500, 5),
        "FedAvgM, over-selection 1.3": (over_selected("fedavgm", clients, concurrency, {}), 130, 300, 1),
        "FedAsync": ({"preset": "fedasync", "concurrency": concurrency, "staleness_max": 1024}, 1, 10000, 50)}
    claims = {"FedAvgM, over-selection 1.3": "up to 3.3", "FedAsync": "up to 2.5"}
    rows = []
    for partition, how in PARTITIONS.items():
        options = ("--clients", str(clients), "--partition", how, "--speed", "10s", "--jitter", "halfnormal:1")
        cells = {name: Reach(trained(strategy, [200, 200], clients, lease="10m"), options, 0.95, versions,
                             updates * rows_per_client, RATES, every)
                 for name, (strategy, updates, versions, every) in strategies.items()}
        for name, cell in cells.items():
            ratios = (Figure(cell, count, claims.get(name), cells[first]) for count in ("updates_sent", "time"))
            rows.append(Row((partition, name), (
                Figure(cell, "updates_sent"), Figure(cell, "time"), *((None, None) if name == first else ratios)),
                is_quick=partition == "IID"))
    return Table(
        "FedBuff: client updates and virtual seconds to 95 % beside synchronous rounds and FedAsync",
        "Nguyen et al. 2022, section 5; the paper's figures are the largest of CelebA, Sent140 and CIFAR-10",
        ("data", "strategy", "client updates", "seconds", "updates, times FedBuff's", "time, times FedBuff's"),
        tuple(rows), FEDBUFF_NOTE)


PAPAYA_NOTE = """\
MNIST, one hidden layer of 64, 10,000 clients that share 1,000 parts of 60 images, E = 1, B = 10; durations 30 s x
log-normal(sigma 1), two orders of magnitude, drawn for each task; seats are freed after 4 minutes. The server of rounds
has momentum 0.9, that of buffers has none, which is faster for each; the clients' rate is chosen per cell."""


def papaya():
    clients, rows_per_client, goal = 10000, 60, 100
    momentum = {"server": {"optimizer": "momentum"}}
    options = ("--clients", str(clients), "--parts", str(60000 // rows_per_client),
               "--speed", "30s", "--jitter", "lognormal:1,1")

    def reach(strategy, updates, versions):
        return Reach(trained(strategy, [64], clients, lease="4m"), options, 0.9, versions,
                     updates * rows_per_client, RATES[1:8])

    claims = {2600: {"time": "5", "updates_sent": "8"}}
    counts = ("time", "updates_sent")
    rows = []
    for concurrency in (130, 650, 2600):
        strategy = over_selected("fedavg", clients, concurrency, momentum)
        rounds = reach(strategy, concurrency, 120)
        buffers = reach({"preset": "fedbuff", "goal": goal, "concurrency": concurrency}, goal, 300)
        claim = claims.get(concurrency, {})
        rows.append(Row((concurrency, strategy["quorum"]), (
            *(Figure(cell, count) for count in counts for cell in (rounds, buffers)),
            *(Figure(rounds, count, claim.get(count), buffers) for count in counts)),
            is_quick=concurrency == 2600))
    return Table(
        "Papaya: rounds with over-selection beside buffered asynchrony, by concurrency",
        "Huba et al. 2022, abstract: at high concurrency asynchronous training is 5 times faster and needs 8 times "
        "less communication",
        ("concurrency", "updates of a round", "rounds: seconds to 90 %", f"buffers of {goal}: seconds",
         "rounds: client updates", "buffers: client updates", "time, rounds / buffers", "updates, rounds / buffers"),
        tuple(rows), PAPAYA_NOTE)


# --- staleness ---------------------------------------------------------------------------------------------

DURATIONS = {"constant": "1", "half-normal": "halfnormal:1", "exponential": "exponential:1",
             "log-normal": "lognormal:1,1"}

STALENESS_NOTE = """\
200,000 updates each, the mean over the second half of the versions; one run each, nothing trained. Updates older than
1024 versions are refused, which cuts the tail of log-normal durations where the mean is near 100."""


def staleness():
    rows = []
    for concurrency, goal in ((10, 1), (100, 1), (100, 10), (1000, 10), (1000, 100), (10000, 1000)):
        spec = {"model": {"init": "upload"}, "lease": "1d", "clients_max": concurrency + 1,
                "stop": {"versions": 200000 // goal},
                "strategy": {"preset": "fedbuff", "goal": goal, "concurrency": concurrency, "staleness_max": 1024}}
        figures = tuple(
            Figure(Staleness(spec, ("--no-train", "--clients", str(concurrency), "--jitter", jitter)))
            for jitter in DURATIONS.values())
        rows.append(Row((concurrency, goal, f"{(concurrency - 1) / goal:g}"), figures, is_quick=True))
    return Table("Mean staleness by concurrency C and goal K",
                 "(C - 1) / K, whatever the durations, if every seat is taken again at once",
                 ("C", "K", "(C - 1) / K", *DURATIONS), tuple(rows), STALENESS_NOTE)


TABLES = {
    "staleness": staleness,
    "papaya": papaya,
    "fedbuff": fedbuff,
    "fedavg-fractions": fedavg_fractions,
    "fedavg-work": fedavg_work,
    "fedavg-cnn": fedavg_cnn,
}
