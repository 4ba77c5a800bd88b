"""run.py - create a run, watch it, take its models out: for whoever holds the admin token."""
from __future__ import annotations

import hashlib
import http.client
import json
import os
import pathlib
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from . import _arrays, _safetensors
from ._pure import IDLE_S, JoinLink, Reply, Trust, connection_to, is_loopback
from .errors import InvalidError, RefusedError, TributaryError, UnreachableError

ENDED = ("stopped", "failed")
POLL_S = 0.1  # between two looks at a run
TRIES = 3  # of a request whose connection is lost; all of them may be repeated


class Control:
    """A daemon's address and the token to control it."""

    def __init__(self, url: str | None, token: str | None, ca_file: str | None) -> None:
        url = url or os.environ.get("TRIB_URL", "http://127.0.0.1:7700")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidError(f"a daemon's URL begins with http:// or https://: {url}")
        is_tls = parts.scheme == "https"
        if token and not is_tls and not is_loopback(parts.hostname):
            raise InvalidError(f"{url}: tokens travel over https, or on this machine")
        self._place = JoinLink(parts.hostname, parts.port or (443 if is_tls else 80),
                               parts.path.rstrip("/"), is_tls=is_tls)
        self._token = token or token_of_environment()
        self._trust = Trust(ca_file)

    def request(self, method: str, path: str, body: Any = None,
                headers: Mapping[str, str] | None = None) -> Reply:
        """A success, or an exception. body: None, a document, or chunks with their length."""
        fields = dict(headers or {})
        if self._token:
            fields["Authorization"] = f"Bearer {self._token}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        for attempt in range(1, TRIES + 1):
            connection = connection_to(self._place, self._trust, IDLE_S)
            try:
                connection.request(method, self._place.prefix + path, body, fields)
                response = connection.getresponse()
                reply = Reply(response.status, response.headers, response.read())
                break
            except (OSError, http.client.HTTPException) as error:
                if attempt == TRIES:
                    raise UnreachableError(f"{method} {path}: {error}") from None
            finally:
                connection.close()
        if reply.status >= 300:
            raise RefusedError(reply.error()[1])
        return reply

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path).body)

    def stream(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(event, data) of server-sent events, until the connection ends."""
        connection = connection_to(self._place, self._trust, IDLE_S)
        fields = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request("GET", self._place.prefix + path, headers=fields)
            response = connection.getresponse()
            if response.status >= 300:
                raise RefusedError(Reply(response.status, response.headers,
                                         response.read()).error()[1])
            event = ""
            for line in response:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    yield event, json.loads(value)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"GET {path}: {error}") from None
        finally:
            connection.close()


def token_of_environment() -> str | None:
    """TRIB_ADMIN_TOKEN, or what is in TRIB_ADMIN_TOKEN_FILE: as the program trib has it."""
    if file := os.environ.get("TRIB_ADMIN_TOKEN_FILE"):
        return pathlib.Path(file).read_text().strip()
    return os.environ.get("TRIB_ADMIN_TOKEN")


class Run:
    """One run of a daemon.

        run = trib.Run("digits")                              # of TRIB_URL, or this machine's
        run = trib.Run.create({"name": "digits", "train": {"lr": 0.1}}, model)

    url    of the daemon; None: $TRIB_URL, or http://127.0.0.1:7700
    token  admin token; None: $TRIB_ADMIN_TOKEN or the file $TRIB_ADMIN_TOKEN_FILE
    """

    def __init__(self, name: str, *, url: str | None = None, token: str | None = None,
                 ca_file: str | None = None) -> None:
        self.name = name
        self._control = Control(url, token, ca_file)
        self._path = f"/v1/runs/{urllib.parse.quote(name, safe='')}"
        self._link: str | None = None

    def __repr__(self) -> str:
        return f"<run {self.name}>"

    @classmethod
    def create(cls, spec: Mapping[str, Any], model: Any = None, *, url: str | None = None,
               token: str | None = None, ca_file: str | None = None) -> Run:
        """Create a run; the same spec and model again change nothing.

        spec   fields of `trib help spec`; name is needed, the rest has defaults
        model  version 0: a PyTorch model, a state_dict or {name: array}. None: as spec says

        Tensors of integers stay with the clients, running statistics are averaged and the rest is
        trained, unless spec's model.tensors says otherwise.
        """
        document = {key: value for key, value in spec.items()}
        if model is not None:
            document["model"] = {"init": "upload", **document.get("model", {})}
        if "name" not in document:
            raise InvalidError("spec: name is required")
        run = cls(document["name"], url=url, token=token, ca_file=ca_file)
        body = _safetensors.Model(_arrays.state_of(model)) if model is not None else None
        reply = run._control.request("POST", "/v1/runs", document)
        run._link = json.loads(reply.body).get("join")
        if body is not None:
            run._control.request("PUT", f"{run._path}/versions/0", body,
                                 {"Content-Type": "application/safetensors",
                                  "Content-Length": str(len(body))})
        return run

    @staticmethod
    def names(*, url: str | None = None, token: str | None = None,
              ca_file: str | None = None) -> list[str]:
        """The names of all runs of a daemon."""
        rows = Control(url, token, ca_file).get("/v1/runs")["runs"]
        return [str(row["run"]) for row in rows]

    # --- letting clients in ---

    @property
    def link(self) -> str:
        """What a client joins with, under any name."""
        if self._link is None:
            reply = self._control.request("POST", "/v1/runs", self.spec())
            self._link = json.loads(reply.body).get("join")
        if self._link is None:
            raise TributaryError("the run's join link has been revoked; see links()")
        return self._link

    def links(self, clients: Sequence[str], expires: str | None = None) -> dict[str, str]:
        """{client: a link that lets in this client only}. expires: "7d"; None: never."""
        made = {}
        for client in clients:
            wish = {"scope": "join", "subject": client}
            if expires is not None:
                wish["expires"] = expires
            reply = self._control.request("POST", f"{self._path}/tokens", wish)
            made[client] = str(json.loads(reply.body)["link"])
        return made

    def merge_link(self, label: str | None = None, expires: str | None = None) -> str:
        """What trib.combine() needs. Whoever has it reads each update. label: whose it is, for the record."""
        wish = {"scope": "merge", "subject": label, "expires": expires}
        reply = self._control.request("POST", f"{self._path}/tokens",
                                      {key: value for key, value in wish.items() if value})
        return str(json.loads(reply.body)["link"])

    # --- watching ---

    def status(self) -> dict[str, Any]:
        """What the run is doing and waiting for (docs/protocol.md, section 5)."""
        status: dict[str, Any] = self._control.get(self._path)
        return status

    @property
    def state(self) -> str:
        """"awaiting model", "running", "paused", "stopped" or "failed"."""
        return str(self.status()["state"])

    @property
    def version(self) -> int:
        """The number of the newest version."""
        return int(self.status()["version"])

    def spec(self) -> dict[str, Any]:
        """The spec with every default filled in."""
        spec: dict[str, Any] = self._control.get(f"{self._path}/spec")
        return spec

    def history(self) -> list[dict[str, Any]]:
        """One flat row per version, ready for pandas.DataFrame:

        version, updates, weight (examples), bytes, seconds, digest, and as far as they are known
        train_<metric> (mean of the updates' metrics) and evaluation_<metric>.
        """
        return [flatten(row) for row in self._control.get(f"{self._path}/history")["versions"]]

    def watch(self) -> Iterator[dict[str, Any]]:
        """Events as they come, as {"event": "version", ...}, until the run has ended: version,
        evaluation, update, client, refused, state. While the daemon is away, it is waited for."""
        state = self.state
        yield {"event": "state", "state": state}
        while state not in ENDED:
            try:
                for event, data in self._control.stream(f"{self._path}/events"):
                    yield {"event": event, **data}
                    if event == "state" and data.get("state") in ENDED:
                        return
                state = self.state
            except UnreachableError:
                time.sleep(POLL_S)

    def wait(self, versions: int | None = None, timeout: float | None = None,
             progress: bool = False) -> dict[str, Any]:
        """Wait until the run has ended or has so many versions; returns its status.

        timeout   seconds after which TimeoutError is raised; None: never
        progress  show a bar, when tqdm is installed
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        total = versions or self.spec().get("stop", {}).get("versions") or None
        with bar(self.name, total, progress) as shown:
            while True:
                status = self.status()
                if status["version"] > shown.n:  # a bar that is told nothing is drawn all the same
                    shown.update(status["version"] - shown.n)
                if status["state"] in ENDED or (versions and status["version"] >= versions):
                    return status
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{self.name}: {status.get('waiting_for') or status['state']}")
                time.sleep(POLL_S)

    # --- control ---

    def pause(self) -> None:
        """Hand out no more work."""
        self._control.request("POST", f"{self._path}/pause")

    def resume(self) -> None:
        """Go on."""
        self._control.request("POST", f"{self._path}/resume")

    def stop(self) -> None:
        """End the run for good; its versions stay."""
        self._control.request("POST", f"{self._path}/stop")

    # --- models ---

    def model(self, version: int | Literal["latest", "best"] = "latest",
              like: Literal["torch", "numpy"] | None = None) -> dict[str, Any]:
        """{name: float32 array} of a version, checked against its digest."""
        file = memoryview(bytearray(self._download(version)))
        start, tensors = _safetensors.parse_versions(file)
        return _arrays.view(file[start:], tensors, like)

    def _download(self, version: int | str) -> bytes:
        reply = self._control.request("GET", f"{self._path}/versions/{version}")
        digest = hashlib.sha256(reply.body).hexdigest()
        if reply.headers.get("ETag") != f'"{digest}"':
            raise TributaryError(f"version {version} arrived damaged: its SHA-256 is {digest}")
        return reply.body


def export(run: Run, version: int | Literal["latest", "best"] = "best",
           path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """A version's weights, and with path also a safetensors file of them (written whole or not at
    all), which every other tool can open."""
    if path is not None:
        target = pathlib.Path(path)
        partial = target.with_name(target.name + ".part")
        partial.write_bytes(run._download(version))
        partial.replace(target)
    return run.model(version)


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """{"train": {"loss": 1}} becomes {"train_loss": 1}."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}_{inner}": number for inner, number in value.items()})
        else:
            flat[name] = value
    return flat


class NoBar:
    """Where no bar is wanted, or no tqdm is there."""

    n = 0

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int) -> None:
        self.n += count


def bar(name: str, total: int | None, is_wanted: bool) -> Any:
    if is_wanted:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return NoBar()
        return tqdm(total=total, desc=name, unit="version")
    return NoBar()
