"""simulate.py - a whole fleet in virtual time that trains with a Python function.

The program trib simulates the server and when clients come and go (docs/simulation.md). Whenever
one of them has trained, it asks over a pipe what came of that; the lines are described in
src/sim/work_pipe.h.
"""
from __future__ import annotations

import json
import math
import os
import pathlib
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Literal

from . import _arrays, _safetensors, _updates
from ._pure import Failure, check_finite
from .client import check_examples
from .combiner import Rule
from .errors import InvalidError, ModelError, TributaryError
from .server import end, find_program, last_line

Metrics = Mapping[str, Any]
State = dict[str, Any]
TrainFunction = Callable[[int, State, dict[str, Any]], tuple[Any, int, Metrics | None]]
EvaluateFunction = Callable[[State], Metrics]

USAGE = 2  # how the program ends when it does not like what it is given

# What a row of a simulation is called in those of Run.history().
ROW_NAMES = {"time": "seconds", "accuracy": "evaluation_accuracy", "loss": "evaluation_loss"}


class Delta(dict[str, Any]):
    """{name: array} of what training changed, for a train_fn that has no new state at hand."""


def simulate(spec: Mapping[str, Any] | str | os.PathLike[str], train_fn: TrainFunction, *,
             model: Any, clients: int = 100, evaluate: EvaluateFunction | None = None,
             combine: Rule | None = None,
             like: Literal["torch", "numpy"] | None = None, program: str | None = None,
             **fleet_options: str | float) -> tuple[list[dict[str, Any]], State]:
    """Run a spec with clients that a function trains, in virtual time.

        def train(client, state, settings):
            w = state["w"] - settings["lr"] * gradient(client, state["w"])
            return {"w": w}, len(rows[client]), {"loss": loss}

        rows, state = trib.simulate({"name": "lines", "train": {"lr": 0.1}, "stop": {"versions": 50}},
                                    train, model={"w": np.zeros(3)}, clients=20, speed="lognormal:30s,1")

    spec           fields of `trib help spec`, or the path of a YAML file, with a stop rule
    train_fn       (client, state, settings) -> (trained, examples, metrics or None). client is 0 to
                   clients - 1; state is {name: array} of its own, to be changed at will; trained is
                   a model, its state_dict, {name: array}, or a Delta. metrics["loss"] is shown
    model          version 0: a PyTorch model, a state_dict or {name: array}
    evaluate       state -> metrics, every evaluate.every versions: "accuracy" and "loss" are kept
    combine        with strategy.combiner: external, the rule that makes a version of its updates, as
                   for combine(): (updates, weights) -> delta
    like           "torch" or "numpy": what state is made of. None: torch where it is imported
    program        trib itself; None: as for serve()
    fleet_options  speed, jitter, dropout, upload ...: those of `trib sim`, as there

    Returns a flat row for each version, as Run.history() does, and the weights of the last one.
    The same functions, options and seed give the same digests. An exception in a function ends the
    simulation and is raised here.
    """
    with tempfile.TemporaryDirectory(prefix="tributary-") as folder:
        scratch = pathlib.Path(folder)
        command = [program or find_program(), "sim",
                   str(write_spec(spec, scratch / "spec.json")),
                   "--init", str(write_model(model, scratch / "init.safetensors")),
                   "--fleet", str(write_fleet(clients, fleet_options, scratch / "fleet.json")),
                   "--json", str(scratch / "rows"), "--save", str(scratch / "last.safetensors")]
        run(command, Fleet(train_fn, evaluate, combine, like), scratch / "log")
        rows, report = read_rows(scratch / "rows")
        if not report["complete"]:
            warnings.warn(f"the run has not come to its end: {report['ending']}", stacklevel=2)
        last = memoryview(bytearray((scratch / "last.safetensors").read_bytes()))
        start, tensors = _safetensors.parse_versions(last)
        return rows, _arrays.view(last[start:], tensors, like)


# --- files for the program ---

def write_spec(spec: Mapping[str, Any] | str | os.PathLike[str],
               path: pathlib.Path) -> pathlib.Path:
    if not isinstance(spec, Mapping):
        return pathlib.Path(spec)
    path.write_text(json.dumps(dict(spec)))
    return path


def write_model(model: Any, path: pathlib.Path) -> pathlib.Path:
    with open(path, "wb") as file:
        for piece in _safetensors.Model(_arrays.state_of(model)):
            file.write(piece)
    return path


def write_fleet(clients: int, options: Mapping[str, Any], path: pathlib.Path) -> pathlib.Path:
    """As JSON, which is YAML; the program knows which options there are."""
    path.write_text(json.dumps({"clients": clients, **options}))
    return path


def read_rows(path: pathlib.Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row for each version, and the report of the run."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [{ROW_NAMES.get(name, name): value for name, value in line.items() if name != "run"}
            for line in lines[:-1]]
    return rows, lines[-1]


# --- the conversation ---

class Fleet:
    """Answers the program's questions with the caller's functions."""

    def __init__(self, train_fn: TrainFunction, evaluate: EvaluateFunction | None,
                 combine: Rule | None, like: Literal["torch", "numpy"] | None) -> None:
        self.greeting = {"evaluates": evaluate is not None, "combines": combine is not None}
        self._train = train_fn
        self._evaluate = evaluate
        self._combine = combine
        self._like = like

    def answer(self, question: dict[str, Any], body: bytearray) -> tuple[dict[str, Any], bytes]:
        """The line and the body."""
        if question["kind"] == "combine":
            return self._answer_offer(question["updates"], memoryview(body))
        return self._answer_task(question, body)

    def _answer_offer(self, offered: list[dict[str, Any]],
                      bodies: memoryview) -> tuple[dict[str, Any], bytes]:
        assert self._combine is not None  # else nothing is offered
        updates, begin = [], 0
        for update in offered:
            updates.append(_updates.decode(bodies[begin:begin + update["bytes"]]))
            begin += update["bytes"]
        delta = b"".join(_updates.encode(
            self._combine(updates, [update["weight"] for update in offered]), updates))
        return {"bytes": len(delta)}, delta

    def _answer_task(self, question: dict[str, Any],
                     model: bytearray) -> tuple[dict[str, Any], bytes]:
        start, tensors = _safetensors.parse_versions(memoryview(model))
        base = memoryview(model)[start:]
        state = _arrays.view(memoryview(bytearray(base)), tensors, self._like)
        if question["kind"] == "evaluate":
            assert self._evaluate is not None  # else it is not asked
            return {"examples": 1, "metrics": numbers(self._evaluate(state))}, b""
        settings = question["settings"]
        frozen = frozenset(settings.pop("frozen", ()))
        result = self._train(question["client"], state, settings)
        if not isinstance(result, tuple) or len(result) != 3:
            raise InvalidError("train_fn must return (trained, examples, metrics), "
                               f"not {type(result).__name__}")
        trained, examples, metrics = result
        body = encode(trained, base, [tensor for tensor in tensors if tensor.name not in frozen],
                      question)
        return {"examples": check_examples(examples), "metrics": numbers(metrics or {}),
                "bytes": len(body)}, body


def encode(trained: Any, base: memoryview, tensors: list[_arrays.Tensor],
           question: Mapping[str, Any]) -> bytes:
    """The update as safetensors: trained - base in float32, or the delta itself."""
    import numpy

    chosen = _arrays.select(_arrays.state_of(trained), tensors, frozenset())
    pieces = [_safetensors.head([(tensor.name, "F32", tensor.shape, tensor.element_count * 4)
                                 for tensor in tensors])]
    for tensor in tensors:
        array = _arrays.borrow(tensor.name, chosen[tensor.name])
        try:
            check_finite(tensor, array)
        except Failure as error:
            raise ModelError(f"client {question['client']} on version {question['version']}: "
                             f"{error.args[1]}: has training diverged?") from None
        values = numpy.frombuffer(array, numpy.float32, tensor.element_count)
        if not isinstance(trained, Delta):
            values = values - numpy.frombuffer(base, numpy.dtype("<f4"), tensor.element_count,
                                               tensor.offset)
        pieces.append(values.astype("<f4", copy=False).tobytes())
    return b"".join(pieces)


def numbers(metrics: Metrics) -> dict[str, float]:
    """Finite ones; tensors of one element are numbers, too. (JSON has no NaN, and a loss that is
    one is as good as unknown.)"""
    plain = {name: float(value.item() if hasattr(value, "item") else value)
             for name, value in metrics.items()}
    return {name: value for name, value in plain.items() if math.isfinite(value)}


def converse(fleet: Fleet, questions: BinaryIO, answers: int) -> None:
    """Until the program has no more questions. What it says when it ends early is in its log."""
    is_there = send(answers, fleet.greeting, b"")
    while is_there and (line := questions.readline()):
        question = json.loads(line)
        byte_count = question.get("model_bytes", 0) + sum(
            update["bytes"] for update in question.get("updates", ()))
        body = bytearray(questions.read(byte_count))
        if len(body) < byte_count:
            return
        is_there = send(answers, *fleet.answer(question, body))


def send(answers: int, line: Mapping[str, Any], body: bytes) -> bool:
    """False: nobody reads it."""
    left = memoryview(json.dumps(line).encode() + b"\n" + body)
    try:
        while left:
            left = left[os.write(answers, left):]
    except BrokenPipeError:
        return False
    return True


def run(command: list[str], fleet: Fleet, log: pathlib.Path) -> None:
    """Start the program, answer it, wait for it. InvalidError: it does not like the options."""
    answers_in, answers = os.pipe()
    questions, questions_out = os.pipe()
    with os.fdopen(questions, "rb") as stream, os.fdopen(answers, "wb", buffering=0) as sink:
        try:
            with open(log, "wb") as words:
                process = subprocess.Popen(
                    [*command, "--work-fds", f"{answers_in},{questions_out}"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words,
                    pass_fds=(answers_in, questions_out), start_new_session=True)
        finally:
            os.close(answers_in)
            os.close(questions_out)
        try:
            converse(fleet, stream, answers)
            process.wait()
        except BaseException:  # of a function, or Ctrl-C
            sink.close()  # a signal alone would not wake it if it came just before it waits
            end(process, signal.SIGTERM)
            raise
    if process.returncode != 0:
        told = last_line(log).removeprefix("trib: ").replace(f"{log.parent}{os.sep}", "")
        raise (InvalidError if process.returncode == USAGE else TributaryError)(told)
