#!/usr/bin/env python3
"""round_flower.py - rounds of Flower's own server and clients over loopback, FedAvg, without training.

Usage: round_flower.py CLIENTS PARAMETERS ROUNDS      prints name, value, unit
       round_flower.py --join ADDRESS CLIENTS         what it starts itself, for up to 25 clients

The server is start_server() and a client start_client(), which Flower keeps beside its newer
processes-per-client deployment: one gRPC stream per client and no process, so the fastest it has.
A round is from one configure_fit() to the next: the model to all, their updates back, the mean.
Processor time and memory are the server's alone. It ends with 3 when no round was finished.
"""
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

import numpy

CLIENTS_PER_PROCESS = 25
PATIENCE_S = 240


def join(address, clients):
    import flwr.client

    class Client(flwr.client.NumPyClient):
        def fit(self, parameters, config):
            return parameters, 1, {}

    def run():
        flwr.client.start_client(server_address=address, client=Client().to_client(), insecure=True)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def processor_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve(address, clients, parameters, rounds):
    """[(when, processor time)] of the starts of rounds, and the end of the last one."""
    import flwr.common
    import flwr.server
    marks = []

    class Strategy(flwr.server.strategy.FedAvg):
        def configure_fit(self, server_round, parameters, client_manager):
            client_manager.wait_for(clients, PATIENCE_S)
            if not marks:
                threading.Timer(PATIENCE_S, lambda: report(marks, clients)).start()
            marks.append((time.monotonic(), processor_s()))
            return super().configure_fit(server_round, parameters, client_manager)

        def aggregate_fit(self, server_round, results, failures):
            if failures or len(results) != clients:
                raise SystemExit(3)
            return super().aggregate_fit(server_round, results, failures)

        def evaluate(self, server_round, parameters):
            if server_round == rounds:
                marks.append((time.monotonic(), processor_s()))
                report(marks, clients)

    strategy = Strategy(fraction_fit=1.0, fraction_evaluate=0.0, min_fit_clients=clients,
                        min_available_clients=clients,
                        initial_parameters=flwr.common.ndarrays_to_parameters([numpy.zeros(parameters, "f4")]))
    threading.Timer(2 * PATIENCE_S, lambda: report(marks, clients)).start()
    flwr.server.start_server(server_address=address, strategy=strategy,
                             config=flwr.server.ServerConfig(num_rounds=rounds))


def report(marks, clients):
    """Print what there is and end everything: Flower's threads would go on."""
    import os
    for process in children:
        process.kill()
    times = [later[0] - earlier[0] for earlier, later in zip(marks, marks[1:])]
    if times:
        updates = clients * len(times)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"flower.round\t{statistics.median(times):.6f}\ts")
        print(f"flower.cpu\t{(marks[-1][1] - marks[0][1]) / updates * 1e6:.1f}\tus")
        print(f"flower.rss\t{peak / 1e6:.1f}\tMB", flush=True)
    os._exit(0 if times else 3)


children = []


def main():
    if sys.argv[1] == "--join":
        join(sys.argv[2], int(sys.argv[3]))
        return
    clients, parameters, rounds = map(int, sys.argv[1:])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    for first in range(0, clients, CLIENTS_PER_PROCESS):
        children.append(subprocess.Popen(
            [sys.executable, __file__, "--join", address, str(min(CLIENTS_PER_PROCESS, clients - first))],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    serve(address, clients, parameters, rounds)


if __name__ == "__main__":
    main()
