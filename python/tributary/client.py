"""client.py - take part in a run: join(), and one Task per assignment.

    import tributary as trib
    with trib.join("trib://host:7700/chest-xray#token") as client:
        for task in client:
            model.load_state_dict(task.weights())
            loss = train(model, loader, steps=task.steps, lr=task.lr)
            task.submit(model, examples=len(loader.dataset), metrics={"loss": loss})
"""
from __future__ import annotations

import itertools
import json
import math
import os
import re
import socket
import time
import types
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from . import _arrays
from ._link import Link, Stopped, open_backend
from ._privacy import Privacy
from .errors import InvalidError, ModelError, TributaryError

EXAMPLES_MAX = 2**53
METRICS_MAX = 32
METRICS_BYTES_MAX = 1024
LEAVING_S = 2.0  # for giving back a task on the way out

_numbers = itertools.count(1)


def join(link: str, client: str | None = None, *,
         role: Literal["trainer", "evaluator"] = "trainer",
         attributes: Mapping[str, str | float] | None = None,
         retry_for: float = 600.0, ca_file: str | None = None,
         cert_file: str | None = None, key_file: str | None = None,
         clip: float | None = None, noise: float = 0.0, seed: int | None = None,
         process_group: Any = None) -> Client:
    """Become a client of the run that `link` names, and wait for its daemon if need be.

    link           trib://host:port/run#token, http(s)://..., or unix:/path/run
    client         name, the same every time this participant joins: 1 to 64 of [A-Za-z0-9._-],
                   the first a letter or digit. None: made of the host's name and the process's id
    role           "trainer", or "evaluator" for evaluate tasks alone
    attributes     up to 16 strings or numbers that the daemon may select clients by
    retry_for      seconds without a useful answer after which a call gives up
    ca_file        PEM file of certificates to trust; None: $TRIB_CA_FILE, or those of the system
    cert_file      PEM file of a certificate to show the daemon; None: $TRIB_CERT, or none
    key_file       its key; None: $TRIB_KEY
    clip           bound on the L2 norm of each update: larger ones are scaled down to it
    noise          standard deviation of the Gaussian noise added to every value of an update
    seed           of that noise; the same seed and task give the same noise. None: from the system
    process_group  of torch.distributed: rank 0 speaks, the others get the same tasks from it

    Raises UnreachableError, RefusedError (a bad token), InvalidError (an argument).
    """
    name = default_name() if client is None else client
    privacy = Privacy(clip, noise, seed) if clip is not None or noise else None
    text = None if attributes is None else json.dumps(dict(attributes))

    def connect() -> Link:
        opened = Link(open_backend(link, name, role, text, float(retry_for), ca_file, cert_file,
                                   key_file))
        try:
            opened.join()
        except BaseException:
            opened.close()
            raise
        return opened

    if process_group is None:
        return Client(name, connect(), privacy)
    from ._group import GroupLink

    return Client(name, GroupLink(process_group, connect), privacy)


def default_name() -> str:
    """host-pid, and a number from the second client of a process on."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:40].lstrip("._-") or "client"
    number = next(_numbers)
    return f"{host}-{os.getpid()}" + (f"-{number}" if number > 1 else "")


class Habits:
    """What all tasks of a client have in common. (A task that knew its client would be a cycle, and
    keep the connection of a client that was dropped.)"""

    def __init__(self, privacy: Privacy | None) -> None:
        self.privacy = privacy
        self.names: frozenset[str] | None = None  # of the floats of the last model submitted


class Client:
    """A participant: iterate over it for tasks. A context manager; close() otherwise."""

    def __init__(self, name: str, link: Any, privacy: Privacy | None = None) -> None:
        self.name = name
        self.stop_reason = ""  # why the run has ended, once it has
        self._link: Link = link
        self._habits = Habits(privacy)
        self._task: Task | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: types.TracebackType | None) -> None:
        """Leave; a task that is not answered is given back, so that nobody waits for it."""
        try:
            if kind is not None and self._task is not None and not self._task.is_answered:
                self._link.decline(f"the client leaves: {kind.__name__}", LEAVING_S)
        except (TributaryError, OSError):
            pass  # the lease will say the same
        self.close()

    def close(self) -> None:
        """Close the connection. The run can be joined again under the same name."""
        self._link.close()

    def __iter__(self) -> Iterator[Task]:
        """One task after the other, until the run has ended."""
        while True:
            task = self.next()
            if task is None:
                return
            yield task

    def next(self) -> Task | None:
        """Wait for the next task; None when the run has ended (stop_reason says why)."""
        if self._task is not None and not self._task.is_answered:
            warnings.warn(f"task {self._task.id} was not answered; it is declined. End each with "
                          "submit(), report() or decline()", stacklevel=3)
            self._task.decline("not answered")
        try:
            self._task = Task(self._link, self._habits, *self._link.next())
        except Stopped as end:
            self._task = None
            self.stop_reason = str(end)
        return self._task


class Task:
    """One assignment: train from a version, or evaluate it.

    kind         "train" or "evaluate"
    id           "12.0": unique among the tasks of this client
    version      number of the version to start from
    global_step  versions made so far
    expected_by  advice: time.monotonic() at which the update is hoped for; None: any time
    settings     the run's `train` settings, as {name: value}
    """

    def __init__(self, link: Link, habits: Habits, kind: str, name: str, version: int,
                 global_step: int, expected_by_s: float, settings: str) -> None:
        self.kind = kind
        self.id = name
        self.version = version
        self.global_step = global_step
        self.expected_by = time.monotonic() + expected_by_s if expected_by_s >= 0 else None
        self.settings: dict[str, Any] = json.loads(settings)
        self.frozen = frozenset(self.settings.pop("frozen", ()))
        self.is_answered = False
        self._link = link
        self._habits = habits
        self._tensors: list[_arrays.Tensor] | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} task {self.id}: version {self.version}, settings {self.settings}>"

    # --- settings ---

    @property
    def steps(self) -> int | None:
        """Batches to train on; None: not said."""
        return self._whole("steps")

    @property
    def epochs(self) -> int | None:
        """Passes over the data; None: not said."""
        return self._whole("epochs")

    @property
    def batch(self) -> int | None:
        """Examples in a batch; None: not said."""
        return self._whole("batch")

    @property
    def lr(self) -> float:
        """Learning rate; InvalidError when the spec says none (settings.get("lr") then)."""
        try:
            return float(self.settings["lr"])
        except KeyError:
            raise InvalidError("the run's spec says no train.lr; see task.settings") from None

    def _whole(self, name: str) -> int | None:
        value = self.settings.get(name)
        return None if value is None else int(value)

    # --- the model ---

    def weights(self, like: Literal["torch", "numpy"] | None = None) -> dict[str, Any]:
        """{name: float32 array} of the task's version, for model.load_state_dict().

        The arrays are views of the memory that the model was received into: change them in place
        if you like, nothing else uses them. like None: PyTorch tensors where torch is imported.
        Tensors that are local to each client (batch counters, personal layers) are not among them.
        """
        memory, self._tensors = self._link.model()
        return _arrays.view(memory, self._tensors, like)

    def load(self, model: Any) -> None:
        """Copy the weights into a PyTorch model in place, wherever it lies; what the run does not
        have (personal layers, a frozen base that is not sent) stays as it is."""
        _arrays.load(model, self.weights("torch"))

    # --- answers ---

    def submit(self, trained: Any, *, examples: int,
               metrics: Mapping[str, Any] | None = None) -> None:
        """Send what training changed, and return when the daemon has it on disk.

        trained   the model (anything with state_dict()), its state_dict, or {name: array}. Names
                  and shapes are checked first. Float32 in row-major order is sent from where it
                  lies; other floats, layouts and devices are converted.
        examples  behind the update: its weight, 1 to 2^53
        metrics   up to 32 finite numbers, as {"loss": 0.3}

        After Ctrl-C or UnreachableError the same call may be repeated; it never counts twice.
        ModelError: names, shapes, dtypes, or a value that is NaN or infinite (a diverged training).
        """
        self._check("train", "report(metrics, examples) answers a task to evaluate")
        text = encode_metrics(metrics) if metrics else None
        count = check_examples(examples)
        if self._tensors is None:
            _, self._tensors = self._link.model()
        state = _arrays.state_of(trained)
        self._check_names(state)
        chosen = _arrays.select(state, self._tensors, self.frozen)
        arrays = {name: _arrays.borrow(name, value) for name, value in chosen.items()}
        if self._habits.privacy is not None:
            memory, tensors = self._link.model()
            before = _arrays.view(memory, tensors, "numpy")
            arrays = self._habits.privacy.apply(self.id, before, arrays)
        try:
            self._link.submit(count, text, tuple(arrays.get(tensor.name)
                                                 for tensor in self._tensors))
        except InvalidError as error:
            raise ModelError(str(error)) from None
        self.is_answered = True

    def report(self, metrics: Mapping[str, Any], examples: int) -> None:
        """Answer a task to evaluate: metrics are averaged over clients, weighted by examples."""
        self._check("evaluate", "submit(model, examples=...) answers a task to train")
        if not metrics:
            raise InvalidError("metrics: at least one is needed")
        self._link.report(check_examples(examples), encode_metrics(metrics))
        self.is_answered = True

    def decline(self, reason: str = "") -> None:
        """Give the task back, so that another client may have it."""
        self.is_answered = True
        try:
            self._link.decline(reason)
        except TributaryError as error:
            if "conflict" not in str(error):  # it is not ours any more: given back already
                raise

    def progress(self, done: float) -> None:
        """Tell those who watch the run which share of the work is done, 0 to 1. Costs nothing:
        the thread that renews the lease says it, at most once a second."""
        if not 0 <= done <= 1:
            raise InvalidError(f"progress is from 0 to 1, not {done}")
        self._link.progress(float(done))

    def _check(self, kind: str, hint: str) -> None:
        self._link.check()
        if self.is_answered:
            raise InvalidError(f"task {self.id} was answered already")
        if self.kind != kind:
            raise InvalidError(f"task {self.id} is to {self.kind}: {hint}")

    def _check_names(self, state: Mapping[str, Any]) -> None:
        """A model that grew or shrank between two tasks is a mistake, also where the run does not
        mind: parts that nobody else has would silently train alone."""
        names = frozenset(name for name, value in state.items() if not is_whole(value))
        last = self._habits.names
        if last is not None and names != last:
            changed = sorted(names ^ last)
            raise ModelError(f"the model has changed since the last task: "
                             f"{_arrays.list_names(changed)}")
        self._habits.names = names


def is_whole(value: Any) -> bool:
    """Does it hold integers (batch counters come and go)?"""
    return "int" in str(getattr(value, "dtype", "")) or "bool" in str(getattr(value, "dtype", ""))


def check_examples(examples: int) -> int:
    count = int(examples)
    if not 1 <= count <= EXAMPLES_MAX or count != examples:
        raise InvalidError(f"examples must be a whole number from 1 to 2^53, not {examples}")
    return count


def encode_metrics(metrics: Mapping[str, Any]) -> str:
    """As JSON; tensors of one element are numbers, too."""
    numbers = {}
    for name, value in metrics.items():
        number = float(value.item() if hasattr(value, "item") else value)
        if not math.isfinite(number):
            raise InvalidError(f"metric {name} is {number}: has training diverged?")
        numbers[str(name)] = number
    text = json.dumps(numbers, ensure_ascii=False)
    if len(numbers) > METRICS_MAX or len(text.encode()) > METRICS_BYTES_MAX:
        raise InvalidError(f"metrics: {len(numbers)} in {len(text.encode())} bytes, at most "
                           f"{METRICS_MAX} in {METRICS_BYTES_MAX}")
    return text
