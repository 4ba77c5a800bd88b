"""combiner.py - a rule of your own for what becomes of a version's updates."""
from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import _safetensors
from ._pure import (IDLE_S, PAUSE_FIRST_S, PAUSE_MAX_S, POLL_S, RETRY_FOR_S, Failure, Reply, Trust,
                    connection_to, parse_link)
from .errors import InvalidError, RefusedError, UnreachableError

Update = dict[str, Any]  # name -> float32 array
MOVED_ON = ("conflict", "not_found")  # what was offered is offered no more


def combine(link: str, rule: Callable[[list[Update], list[int]], Mapping[str, Any]], *,
            retry_for_s: float = RETRY_FOR_S, ca_file: str | None = None) -> int:
    """Make one version after another of a run whose spec says strategy.combiner: external, until
    the run ends. Returns how many.

        trib.combine(run.merge_link(), lambda updates, weights: {
            name: np.median([update[name] for update in updates], axis=0) for name in updates[0]})

    link         of a token of scope merge: Run.merge_link()
    rule         rule(updates, weights) -> delta. updates: for each a dict of float32 arrays, what its
                 client has added to the model; weights: of each, as the strategy would have them,
                 relative to each other. delta: what the version before changes by, an array for each
                 tensor of the updates. What it raises ends the work, and the offer stays.
    retry_for_s  how long to try again while the daemon cannot be reached

    RefusedError: the token is none for this, or the delta is not finite or breaks model.delta_max;
    UnreachableError; InvalidError: the link, or an update that is not in the codec dense.
    """
    return Combiner(link, retry_for_s, ca_file).work(rule)


class Combiner:
    def __init__(self, link: str, retry_for_s: float, ca_file: str | None) -> None:
        try:
            self._link = parse_link(link)
        except Failure as failure:
            raise InvalidError(str(failure.args[1])) from None
        self._trust = Trust(ca_file)
        self._retry_for_s = retry_for_s

    def work(self, rule: Callable[[list[Update], list[int]], Mapping[str, Any]]) -> int:
        made = 0
        while True:
            reply = self._ask("GET", f"?wait={POLL_S}")
            code, words = reply.error() if reply.status >= 300 else ("", "")
            if code == "ended":
                return made
            if code:
                raise RefusedError(words)
            if reply.status == 200:
                made += self._answer(json.loads(reply.body), rule)

    def _answer(self, offer: dict[str, Any],
                rule: Callable[[list[Update], list[int]], Mapping[str, Any]]) -> bool:
        """False: the offer was withdrawn, or somebody else was faster."""
        updates = []
        for entry in offer["updates"]:
            reply = self._ask("GET", f"/{offer['version']}/{entry['index']}")
            if not is_good(reply):
                return False
            updates.append(decode(entry, reply.body))
        delta = _safetensors.Model(as_floats(rule(updates, [u["weight"] for u in offer["updates"]])))
        reply = self._ask("PUT", f"/{offer['version']}", delta, {
            "Content-Type": "application/safetensors", "Content-Length": str(len(delta)),
            "Tributary-Offer": offer["offer"]})
        return is_good(reply)

    def _ask(self, method: str, rest: str, body: Iterable[Any] | None = None,
             headers: Mapping[str, str] | None = None) -> Reply:
        """Whatever the daemon answers for good. Everything that is asked here may be repeated."""
        target = f"{self._link.prefix}/v1/runs/{self._link.run}/merge{rest}"
        fields = {"Authorization": f"Bearer {self._link.token}", **(headers or {})}
        pause, until = PAUSE_FIRST_S, time.monotonic() + self._retry_for_s
        while True:
            connection = connection_to(self._link, self._trust, IDLE_S)
            try:
                connection.request(method, target, body, fields)
                response = connection.getresponse()
                reply = Reply(response.status, response.headers, response.read())
                if not reply.is_temporary:
                    return reply
                why = reply.error()[1]
            except Failure as failure:
                raise RefusedError(str(failure.args[1])) from None
            except (OSError, http.client.HTTPException) as error:
                why = str(error)
            finally:
                connection.close()
            if time.monotonic() > until:
                raise UnreachableError(f"gave up after {self._retry_for_s:.0f} s: {why}")
            time.sleep(pause * (1 - random.random() / 2))
            pause = min(2 * pause, PAUSE_MAX_S)


def is_good(reply: Reply) -> bool:
    """False: it has moved on. Any other refusal is an error."""
    if reply.status < 300:
        return True
    code, words = reply.error()
    if code in MOVED_ON or code == "ended":
        return False
    raise RefusedError(words)


def decode(entry: Mapping[str, Any], body: bytes) -> Update:
    import numpy

    if entry["codec"] != "dense":
        raise InvalidError(f"update {entry['update']} of {entry['client']} is in the codec "
                           f"{entry['codec']}; a combiner in Python reads dense ones")
    begin, tensors = _safetensors.parse_versions(memoryview(body))
    return {tensor.name: numpy.frombuffer(body, "<f4", tensor.element_count,
                                          begin + tensor.offset).reshape(tensor.shape)
            for tensor in tensors}


def as_floats(delta: Mapping[str, Any]) -> dict[str, Any]:
    """NumPy's functions like to answer in float64."""
    import numpy

    return {name: numpy.asarray(value, "<f4") for name, value in delta.items()}
