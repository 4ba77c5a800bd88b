"""server.py - a daemon for notebooks and tests: with trib.serve() as server."""
from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import TributaryError
from .run import Run

START_S = 30.0
STOP_S = 30.0


def find_program() -> str:
    """trib: $TRIB, else on PATH, else built in this repository or the one worked in."""
    if named := os.environ.get("TRIB"):
        return named
    if installed := shutil.which("trib"):
        return installed
    for start in (pathlib.Path(__file__).resolve(), pathlib.Path.cwd()):
        for folder in start.parents if start.is_file() else (start, *start.parents):
            if (built := folder / "build" / "trib").is_file():
                return str(built)
    raise TributaryError("there is no program trib: build it (./scripts/test), and put it on PATH "
                         "or its path into $TRIB")


class Server:
    """A daemon as a child process. A context manager; stop() otherwise.

    url        "http://127.0.0.1:41234"
    data_dir   where its runs are
    admin      the token that may do everything
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None, listen: str,
                 options: Sequence[str], program: str | None, ca_file: str | None) -> None:
        self._scratch = tempfile.mkdtemp(prefix="tributary-")
        self.data_dir = pathlib.Path(data_dir or pathlib.Path(self._scratch, "data"))
        self.log = pathlib.Path(self._scratch, "log")
        self.url = ""
        self._listen = listen
        self._options = list(options)
        self._program = program or find_program()
        self._ca_file = ca_file
        self._process: subprocess.Popen[bytes] | None = None
        self._end = weakref.finalize(self, clean_up, [], self._scratch, os.getpid())
        self.start()

    def start(self) -> None:
        """Start the process again, after stop() or kill(), at the same address."""
        ready = pathlib.Path(self._scratch, "url")
        ready.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [self._program, "serve", "--data-dir", str(self.data_dir), "--listen",
                 self._listen, "--ready-file", str(ready), *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._process = process
        self._end.detach()
        self._end = weakref.finalize(self, clean_up, [process], self._scratch, os.getpid())
        deadline = time.monotonic() + START_S
        while not (ready.exists() and ready.read_text().endswith("\n")):
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise TributaryError("the daemon does not start: " + last_line(self.log))
            time.sleep(0.01)
        self.url = ready.read_text().strip()
        if self._listen.endswith(":0"):  # links name the port: keep it
            self._listen = self.url.rpartition("/")[2]

    @property
    def admin(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def create(self, spec: Mapping[str, Any], model: Any = None) -> Run:
        """Run.create() on this daemon."""
        return Run.create(spec, model, url=self.url, token=self.admin, ca_file=self._ca_file)

    def run(self, name: str) -> Run:
        """A run of this daemon."""
        return Run(name, url=self.url, token=self.admin, ca_file=self._ca_file)

    def runs(self) -> list[str]:
        """The names of its runs."""
        return Run.names(url=self.url, token=self.admin, ca_file=self._ca_file)

    def stop(self) -> None:
        """End the process in order; its runs are kept for start()."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, number)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: types.TracebackType | None) -> None:
        """Stop, and delete the data directory unless it was given."""
        self.stop()
        self._end()

    def __iter__(self) -> Iterator[Run]:
        return (self.run(name) for name in self.runs())


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def clean_up(processes: list[subprocess.Popen[bytes]], scratch: str, owner: int) -> None:
    """Also at exit, and when a notebook's cell replaces the server; never in a forked child."""
    if os.getpid() == owner:
        for process in processes:
            end(process, signal.SIGTERM)
        shutil.rmtree(scratch, ignore_errors=True)


def last_line(log: pathlib.Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it says nothing"


def serve(data_dir: str | os.PathLike[str] | None = None, *, listen: str = "127.0.0.1:0",
          options: Sequence[str] = (), ca_file: str | None = None,
          program: str | None = None) -> Server:
    """Start a daemon on a free port of this machine.

        with trib.serve() as server:
            run = server.create({"name": "digits"}, model)

    data_dir  where its runs are kept; None: a temporary folder that goes with the server
    listen    HOST:PORT, port 0 for any that is free
    options   further ones of `trib serve`
    ca_file   PEM file to trust, when the options give the daemon a certificate
    program   trib itself; None: $TRIB, PATH, or this repository's build
    """
    return Server(data_dir, listen, options, program, ca_file)
