"""support.py - what the tests of the package share: a daemon, a road to it that can be blocked, TAP.

Each file runs twice, against the extension and (TRIBUTARY_PURE=1) against pure Python: the same
rules hold for both. Without NumPy, or what else a file needs, it is skipped with a word.
"""
from __future__ import annotations

import importlib.util
import os
import pathlib
import socket
import sys
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))

from harness import SCALE, main, wait_for  # noqa: E402

__all__ = ["SCALE", "Daemon", "Road", "TOP", "in_background", "main_or_skip", "wait_for"]


def main_or_skip(*modules: str) -> None:
    """Run the tests of the calling file, or skip it when a module is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            print(f"1..0 # skip {module} is not installed")
            sys.exit(0)
    main()


class Daemon(unittest.TestCase):
    """A test with a daemon of its own: self.server."""

    def setUp(self) -> None:
        import tributary

        self.server = tributary.serve()
        self.addCleanup(self.server.__exit__, None, None, None)

    def create(self, model: Any, /, **spec: Any) -> Any:
        """A run "r" of one client per version and learning rate 0.5."""
        return self.server.create({"name": "r", "train": {"lr": 0.5, "steps": 3}, **spec}, model)

    def join(self, run: Any, name: str = "a", **options: Any) -> Any:
        import tributary

        client = tributary.join(run if isinstance(run, str) else run.link, name, **options)
        self.addCleanup(client.close)
        return client


def in_background(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


class Road:
    """A TCP relay to a daemon. After `quota` bytes towards it (None: never) it stands still."""

    def __init__(self, url: str) -> None:
        host, port = url.partition("//")[2].split(":")
        self.target = (host, int(port))
        self.quota: int | None = None
        self.carried = 0  # bytes towards the daemon
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        in_background(self._listen)

    def link(self, link: str) -> str:
        """The same link along this road."""
        return link.replace(f":{self.target[1]}/", f":{self.port}/")

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            in_background(lambda near=near, far=far: self._carry(near, far, True))
            in_background(lambda near=near, far=far: self._carry(far, near, False))

    def _carry(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while piece := source.recv(65536):
                while counts and self.quota is not None and self.carried >= self.quota:
                    time.sleep(0.01)
                target.sendall(piece)
                self.carried += len(piece) if counts else 0
        except OSError:
            pass
        finally:
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        self._listener.close()


def resident_peak_bytes() -> int:
    """The most memory since the last reset."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


def reset_resident_peak() -> None:
    pathlib.Path("/proc/self/clear_refs").write_text("5")


IS_PURE = bool(os.environ.get("TRIBUTARY_PURE"))
