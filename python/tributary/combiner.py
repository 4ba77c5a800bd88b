"""combiner.py - a rule of your own for what becomes of a version's updates."""
from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import _safetensors, _updates
from ._pure import (IDLE_S, PAUSE_FIRST_S, PAUSE_MAX_S, POLL_S, RETRY_FOR_S, Failure, Reply, Trust,
                    connection_to, parse_link)
from ._updates import Shape, Update
from .errors import InvalidError, RefusedError, UnreachableError

Rule = Callable[[list[Update], list[int]], Mapping[str, Any]]
MOVED_ON = ("conflict", "not_found", "pruned")  # what was offered is offered no more


def combine(link: str, rule: Rule, *,
            retry_for_s: float = RETRY_FOR_S, ca_file: str | None = None) -> int:
    """Make one version after another of a run whose spec says strategy.combiner: external, until
    the run ends. Returns how many.

        trib.combine(run.merge_link(), lambda updates, weights: {
            name: np.median([update[name] for update in updates], axis=0) for name in updates[0]})

    link         of a token of scope merge: Run.merge_link()
    rule         rule(updates, weights) -> delta. updates: for each a dict of float32 arrays of NumPy,
                 what its client has added to the model, whatever the codec was; weights: of each, as
                 the strategy would have them, relative to each other. delta: what the version before
                 changes by, an array for each tensor of the updates. What it raises ends the work, and
                 the offer stays.
    retry_for_s  how long to try again while the daemon cannot be reached

    RefusedError: the token is none for this, or the delta is not finite or breaks model.delta_max;
    UnreachableError; InvalidError: the link; ModelError: a delta of other names or shapes.
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
        self._shapes: dict[str, Shape] | None = None

    def work(self, rule: Rule) -> int:
        made = 0
        while True:
            reply = self._ask("GET", f"/merge?wait={POLL_S}")
            code, words = reply.error() if reply.status >= 300 else ("", "")
            if code == "ended":
                return made
            if code:
                raise RefusedError(words)
            if reply.status == 200:
                made += self._answer(json.loads(reply.body), rule)

    def _answer(self, offer: dict[str, Any], rule: Rule) -> bool:
        """False: the offer was withdrawn, or somebody else was faster."""
        if any(entry["codec"] != "dense" for entry in offer["updates"]) and self._shapes is None:
            self._shapes = self._ask_shapes(offer["current"]["version"])
            if self._shapes is None:
                return False
        updates = []
        for entry in offer["updates"]:
            reply = self._ask("GET", f"/merge/{offer['version']}/{entry['index']}")
            if not is_good(reply):
                return False
            updates.append(_updates.decode(
                bytearray(reply.body), None if entry["codec"] == "dense" else self._shapes))
        delta = _updates.encode(rule(updates, [u["weight"] for u in offer["updates"]]), updates)
        reply = self._ask("PUT", f"/merge/{offer['version']}", delta, {
            "Content-Type": "application/safetensors", "Content-Length": str(len(delta)),
            "Tributary-Offer": offer["offer"]})
        return is_good(reply)

    def _ask_shapes(self, version: int) -> dict[str, Shape] | None:
        """Of the model's tensors, from the head of a version; None: it is gone already."""
        known = b""
        for count in (8, 0):  # the length of the head, then the head
            end = count or _safetensors.head_bytes(memoryview(known))
            reply = self._ask("GET", f"/versions/{version}", None,
                              {"Range": f"bytes={len(known)}-{end - 1}"})
            if not is_good(reply):
                return None
            known += reply.body
        data_bytes = int(reply.headers["Content-Range"].rpartition("/")[2]) - len(known)
        _, entries = _safetensors.parse(memoryview(known), data_bytes)
        return {entry.name: entry.shape for entry in entries}

    def _ask(self, method: str, rest: str, body: Iterable[Any] | None = None,
             headers: Mapping[str, str] | None = None) -> Reply:
        """Whatever the daemon answers for good. Everything that is asked here may be repeated."""
        target = f"{self._link.prefix}/v1/runs/{self._link.run}{rest}"
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

