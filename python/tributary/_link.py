"""_link.py - the library's own thread between a client and its connection.

Everything that may wait happens in that thread, for two reasons: the main thread hears Ctrl-C while
the other waits, and while the main thread trains for hours, the other renews the lease.

    Client (client.py) -> Link -> Backend: the extension (_client.c) or the standard library (_pure.py)
"""
from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ._arrays import Tensor
from .errors import ForkedError, InvalidError, RefusedError, TributaryError, UnreachableError

Result = TypeVar("Result")

# enum trib_client_result of include/tributary/client.h
STOPPED, REFUSED, UNREACHABLE, INVALID, MEMORY, INTERRUPTED = 1, 2, 3, 4, 5, 6

EXCEPTIONS: dict[int, type[Exception]] = {
    REFUSED: RefusedError,
    UNREACHABLE: UnreachableError,
    INVALID: InvalidError,
    MEMORY: MemoryError,
}

RENEWALS_PER_LEASE = 3
LEASE_S = 120.0  # the daemon's default, should it not say
PROGRESS_S = 1.0  # no more often is progress told


class Stopped(Exception):
    """The run has ended; its text says why."""


class Backend(Protocol):
    """What both kinds of connection can do; one thread at a time, but for interrupt()."""

    def join(self) -> float: ...
    def next(self) -> tuple[str, str, int, int, float, str]: ...
    def model(self) -> tuple[Any, list[tuple[str, tuple[int, ...], int]]]: ...
    def submit(self, examples: int, metrics: str | None, arrays: tuple[Any, ...]) -> None: ...
    def report(self, examples: int, metrics: str) -> None: ...
    def decline(self, reason: str) -> None: ...
    def renew(self, done: float) -> None: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


class Job:
    """A call for the other thread, and what came of it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.is_cancelled = False  # set before the bell is rung
        self.is_done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            # A ring that was meant for somebody else is not for this call.
            while not self.is_cancelled:
                try:
                    self.result = self.function()
                    break
                except Exception as error:
                    if result_of(error) != INTERRUPTED:
                        raise
        except BaseException as error:
            self.error = error
        finally:
            self.is_done.set()


def result_of(error: BaseException) -> int | None:
    """The code of a Failure of either backend."""
    is_failure = type(error).__name__ == "Failure" and len(error.args) == 2
    return int(error.args[0]) if is_failure else None


def translate(error: BaseException) -> BaseException:
    """A Failure as one of errors.py."""
    result = result_of(error)
    if result is None:
        return error
    if result == STOPPED:
        return Stopped(error.args[1])
    return EXCEPTIONS.get(result, TributaryError)(error.args[1])


class Beat:
    """When the lease is renewed, and with which progress."""

    def __init__(self) -> None:
        self.lease_s = LEASE_S
        self.is_working = False
        self.done = -1.0
        self.spoke_at = 0.0

    def pause(self) -> float | None:
        """Seconds until the next renewal; None: there is no work to keep a lease for."""
        if not self.is_working:
            return None
        due = self.spoke_at + self.lease_s / RENEWALS_PER_LEASE
        return max(due - time.monotonic(), 0.0)


def work(backend: Backend, jobs: queue.SimpleQueue[Job | None], beat: Beat) -> None:
    """The other thread's whole life. It holds no reference to the Link, which may so be collected."""
    while True:
        try:
            job = jobs.get(timeout=beat.pause())
        except queue.Empty:
            job = Job(lambda: backend.renew(beat.done))  # should it fail, the next may not
        if job is None:
            break
        job.run()
        beat.spoke_at = time.monotonic()
        del job  # and with it the arrays that it may have sent
    backend.close()


class Link:
    """A Backend whose calls can be interrupted by Ctrl-C, and whose lease is renewed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._owner = os.getpid()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._beat = Beat()
        self._thread = threading.Thread(target=work, args=(backend, self._jobs, self._beat),
                                        name="tributary", daemon=True)
        self._is_closed = False
        self._thread.start()

    def _call(self, function: Callable[[], Result], patience_s: float | None = None) -> Result:
        """Carry out in the other thread. patience_s: TimeoutError after so long."""
        self.check()
        job = Job(function)
        self._jobs.put(job)
        try:
            if not job.is_done.wait(patience_s):
                raise TimeoutError(f"no answer within {patience_s:.0f} s")
        except BaseException:  # Ctrl-C most of all
            job.is_cancelled = True
            self._backend.interrupt()
            job.is_done.wait()
            raise
        if job.error is not None:
            raise translate(job.error) from None
        result: Result = job.result
        return result

    def check(self) -> None:
        """Can this be used here?"""
        if os.getpid() != self._owner:
            raise ForkedError(f"this client belongs to process {self._owner}; a forked process "
                              "(os.fork, multiprocessing's fork) has to join by itself")
        if self._is_closed:
            raise InvalidError("the client is closed")

    def join(self) -> None:
        lease_s = self._call(self._backend.join)
        self._beat.lease_s = lease_s if lease_s > 0 else LEASE_S

    def next(self) -> tuple[str, str, int, int, float, str]:
        backend, beat = self._backend, self._beat
        beat.is_working = False

        def ask() -> tuple[str, str, int, int, float, str]:
            task = backend.next()
            beat.done = -1.0
            beat.is_working = True
            return task

        return self._call(ask)

    def model(self) -> tuple[Any, list[Tensor]]:
        memory, tensors = self._call(self._backend.model)
        return memory, [Tensor(*tensor) for tensor in tensors]

    def submit(self, examples: int, metrics: str | None, arrays: tuple[Any, ...]) -> None:
        self._call(lambda: self._backend.submit(examples, metrics, arrays))
        self._beat.is_working = False

    def report(self, examples: int, metrics: str) -> None:
        self._call(lambda: self._backend.report(examples, metrics))
        self._beat.is_working = False

    def decline(self, reason: str, patience_s: float | None = None) -> None:
        self._beat.is_working = False
        self._call(lambda: self._backend.decline(reason), patience_s)

    def progress(self, done: float) -> None:
        """For the next renewal, which is now unless one was a moment ago."""
        self.check()
        self._beat.done = done
        if time.monotonic() - self._beat.spoke_at >= PROGRESS_S:
            self._jobs.put(Job(lambda: self._backend.renew(self._beat.done)))

    def close(self) -> None:
        if not self._is_closed and os.getpid() == self._owner:
            self._is_closed = True
            self._jobs.put(None)
            self._backend.interrupt()  # a renewal that may be under way
            self._thread.join()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True) and os.getpid() == self._owner:
            self._jobs.put(None)


def open_backend(link: str, client: str, role: str, attributes: str | None, retry_for_s: float,
                 ca_file: str | None, certificate_file: str | None,
                 key_file: str | None) -> Backend:
    """The extension where it is there and can do what the link asks for; else pure Python.

    TRIBUTARY_PURE=1 asks for the latter."""
    arguments = (link, client, role, attributes, retry_for_s, ca_file, certificate_file, key_file)
    try:
        if not os.environ.get("TRIBUTARY_PURE"):
            from . import _client

            if _client.HAS_TLS or not wants_tls(link):
                return _client.Client(*arguments)
    except ImportError:
        pass
    except Exception as error:
        raise translate(error) from None
    from . import _pure

    try:
        return _pure.Client(*arguments)
    except Exception as error:
        raise translate(error) from None


def wants_tls(link: str) -> bool:
    from ._pure import parse_link

    return parse_link(link).is_tls
