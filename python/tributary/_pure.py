"""_pure.py - the client in the standard library and NumPy, where the extension is not there.

It says and does what src/client does (machine.c has the picture): an errand is carried to its end
over as many requests and pauses as that takes.
"""
from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import re
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import _safetensors
from ._arrays import FLOAT_BYTES, Tensor
from ._link import INTERRUPTED, INVALID, MEMORY, REFUSED, STOPPED, UNREACHABLE

HAS_TLS = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 30.0
WAIT_MIN_S = 0.1  # a daemon that says "wait 0 s" must not be asked in a loop
POLL_S = 30
IDLE_S = 60.0  # a daemon that is silent for so long is lost
RETRY_FOR_S = 600.0
REPLY_BYTES_MAX = 2 << 20
PIECE = 1 << 16  # elements of a delta that are in memory at one time


class Failure(Exception):
    """(result, text), as of the extension."""


# --- join links ---

class JoinLink(NamedTuple):
    host: str  # or the path of a socket, when port is 0
    port: int
    prefix: str = ""
    run: str = ""
    token: str = ""
    is_tls: bool = False
    pin: str = ""  # SHA-256 of the key that the daemon must have


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) is not None


def parse_link(text: str) -> JoinLink:
    """src/wire/link.h has the forms."""
    head, _, token = text.partition("#")
    head, _, parameter = head.partition("?")
    path, _, run = head.rpartition("/")
    pin = parameter.removeprefix("pin=sha256:").lower()
    if parameter and (pin == parameter or not re.fullmatch("[0-9a-f]{64}", pin)):
        raise Failure(INVALID, "join link: after ? only pin=sha256: and 64 hex digits may come")
    if not NAME.fullmatch(run):
        raise Failure(INVALID, "join link: the last part must be the name of a run")
    if path.startswith("unix:/"):
        return JoinLink(path.removeprefix("unix:"), 0, "", run, token)
    try:
        parts = urllib.parse.urlsplit(path)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Failure(INVALID, f"join link: {error}") from None
    if parts.scheme not in ("trib", "http", "https") or not host or (
            parts.scheme == "trib" and (not port or parts.path)):
        raise Failure(INVALID, "join link: trib://host:port/run#token, http(s)://host/run#token or "
                               "unix:/path/run is needed")
    is_tls = parts.scheme == "https" or (
        parts.scheme == "trib" and (pin != "" or not is_loopback(host)))
    if pin and not is_tls:
        raise Failure(INVALID, "join link: a pin needs TLS; use https:// or trib://")
    return JoinLink(host, port or (443 if is_tls else 80), parts.path.rstrip("/"), run, token,
                    is_tls, pin)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Probing:
    """A peer that is gone without a word is noticed within 20 s of a long poll."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 9), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):  # not everywhere, and not under this name
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class PlainConnection(Probing, http.client.HTTPConnection):
    pass


class TlsConnection(Probing, http.client.HTTPSConnection):
    pass


class PinnedConnection(TlsConnection):
    """TLS with whoever has the key of the pin, which no name, date or CA adds to."""

    pin = ""

    def connect(self) -> None:
        super().connect()
        certificate = self.sock.getpeercert(True)
        if certificate is None or hashlib.sha256(public_key(certificate)).hexdigest() != self.pin:
            self.close()
            raise Failure(REFUSED, "its key is not the one of the link's pin")


def public_key(certificate: bytes) -> bytes:
    """SubjectPublicKeyInfo of an X.509 certificate in DER (RFC 5280, section 4.1): inside of the
    first member, behind version (if there), serial, algorithm, issuer, validity and subject."""
    begin, _ = contents(certificate, 0)
    begin, _ = contents(certificate, begin)
    if certificate[begin] == 0xA0:
        _, begin = contents(certificate, begin)
    for _ in range(5):
        _, begin = contents(certificate, begin)
    return certificate[begin:contents(certificate, begin)[1]]


def contents(der: bytes, start: int) -> tuple[int, int]:
    """Where the contents of the element at start begin and end."""
    length, begin = der[start + 1], start + 2
    if length >= 0x80:
        count = length & 0x7F
        length, begin = int.from_bytes(der[begin:begin + count], "big"), begin + count
    return begin, begin + length


class Trust(NamedTuple):
    """PEM files; None: as the environment says."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


def trust_of(pin: str, trust: Trust) -> ssl.SSLContext:
    """May raise OSError: a file cannot be read."""
    context = ssl.create_default_context(cafile=trust.ca_file or os.environ.get("TRIB_CA_FILE"))
    if pin:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate_file = trust.certificate_file or os.environ.get("TRIB_CERT")
    if certificate_file:
        context.load_cert_chain(certificate_file, trust.key_file or os.environ.get("TRIB_KEY"))
    return context


def connection_to(link: JoinLink, trust: Trust,
                  timeout: float = IDLE_S) -> http.client.HTTPConnection:
    """Not connected yet. Through HTTPS_PROXY or HTTP_PROXY, always by CONNECT, unless NO_PROXY names
    the host or it is this machine."""
    if link.port == 0:
        return UnixConnection(link.host, timeout)
    host, port = link.host, link.port
    proxy = None
    if not is_loopback(host) and not urllib.request.proxy_bypass(host):
        proxy = urllib.request.getproxies_environment().get("https" if link.is_tls else "http")
    parts = urllib.parse.urlsplit(proxy if proxy and "//" in proxy else f"//{proxy or host}")
    if proxy:
        if parts.scheme not in ("", "http"):
            raise Failure(INVALID, f"{'HTTPS' if link.is_tls else 'HTTP'}_PROXY: a proxy of "
                          f"{parts.scheme}:// cannot be used, only "
                          "http://[user:password@]host[:port]")
        host, port = parts.hostname or "", parts.port or 80
    connection: http.client.HTTPConnection
    if not link.is_tls:
        connection = PlainConnection(host, port, timeout=timeout)
    elif not link.pin:
        connection = TlsConnection(host, port, timeout=timeout, context=trust_of("", trust))
    else:
        connection = PinnedConnection(host, port, timeout=timeout,
                                      context=trust_of(link.pin, trust))
        connection.pin = link.pin
    if proxy:
        user = urllib.parse.unquote(f"{parts.username or ''}:{parts.password or ''}")
        secret = base64.b64encode(user.encode()).decode()
        connection.set_tunnel(link.host, link.port,
                              {"Proxy-Authorization": f"Basic {secret}"} if user != ":" else {})
    return connection


# --- requests ---

class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def is_temporary(self) -> bool:
        """A refusal that passes by itself. 507 is among them: someone may make room."""
        return self.status in (408, 429) or (self.status >= 500 and self.status not in (501, 505))

    def error(self) -> tuple[str, str]:
        """code, and words for people."""
        try:
            document = json.loads(self.body)
            code, message = str(document["code"]), str(document["message"])
        except (ValueError, KeyError, TypeError):
            return "", f"the daemon refuses ({self.status})"
        return code, f"{message} ({self.status} {code})"


class Download:
    """A version on its way. What has arrived is kept over a lost connection."""

    def __init__(self) -> None:
        self.file = bytearray()
        self.count = 0


class Client:
    """tributary._client.Client in Python."""

    def __init__(self, link: str, client: str, role: str, attributes: str | None,
                 retry_for_s: float, ca_file: str | None, certificate_file: str | None,
                 key_file: str | None) -> None:
        self._link = parse_link(link)
        if not NAME.fullmatch(client):
            raise Failure(INVALID, "a link is needed, and a client id of 1 to 64 of [A-Za-z0-9._-]")
        if role not in ("trainer", "evaluator"):
            raise Failure(INVALID, "the role is trainer or evaluator")
        if not 0 <= retry_for_s <= 1e9:
            raise Failure(INVALID, "retry_for_s must be from 0 to 1e9")
        self._name = client
        self._join_body = {"role": role}
        if attributes is not None:
            self._join_body["attributes"] = json.loads(attributes)
        self._retry_for_s = retry_for_s or RETRY_FOR_S
        try:
            self._connection = connection_to(self._link,
                                             Trust(ca_file, certificate_file, key_file))
        except (OSError, ValueError) as error:
            raise Failure(INVALID, f"certificates: {error}") from None
        self._bell = threading.Event()
        self._token: str | None = None
        self._lease_s = 0.0
        self._task: dict[str, Any] = {}
        self._file = memoryview(b"")  # the version held, or nothing
        self._data = 0
        self._held: int | None = None
        self._tensors: list[Tensor] = []

    # --- interruption ---

    def interrupt(self) -> None:
        self._bell.set()
        sock = self._connection.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was not connected

    def _check_bell(self) -> None:
        if self._bell.is_set():
            self._bell.clear()
            raise Failure(INTERRUPTED, "interrupted")

    # --- carrying an errand ---

    def _send(self, method: str, rest: str, token: str | None, body: Any,
              headers: dict[str, str]) -> http.client.HTTPResponse:
        target = f"{self._link.prefix}/v1/runs/{self._link.run}{rest}"
        headers = dict(headers)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        was_open = self._connection.sock is not None
        try:
            self._connection.request(method, target, body() if callable(body) else body, headers)
            return self._connection.getresponse()
        except (BrokenPipeError, ConnectionResetError) as error:
            reply = self._early_reply()
            if reply is not None:
                return reply
            self._connection.close()
            if not was_open or self._bell.is_set():
                raise error
        except http.client.RemoteDisconnected:
            self._connection.close()
            if not was_open or self._bell.is_set():
                raise
        # A kept connection that turns out to be closed is replaced once, silently.
        self._connection.request(method, target, body() if callable(body) else body, headers)
        return self._connection.getresponse()

    def _early_reply(self) -> http.client.HTTPResponse | None:
        """The refusal that ended the sending, if there is one."""
        sock = self._connection.sock
        if sock is None:
            return None
        reply = http.client.HTTPResponse(sock)
        try:
            reply.begin()
            return reply
        except (OSError, http.client.HTTPException):
            return None

    def _exchange(self, method: str, rest: str, token: str | None, body: Any,
                  headers: dict[str, str], take: Callable[[Any], bytes] | None) -> Reply:
        """One request and its reply; take reads the body of a success."""
        try:
            response = self._send(method, rest, token, body, headers)
            content = (take(response) if take is not None and response.status < 300
                       else response.read(REPLY_BYTES_MAX))
            if response.will_close:
                self._connection.close()
            return Reply(response.status, response.headers, content)
        except BaseException:
            self._connection.close()
            raise

    def _carry(self, method: str, rest: str, body: Any = None,
               headers: dict[str, str] | None = None, is_join: bool = False,
               is_tried_once: bool = False,
               take: Callable[[Any], bytes] | None = None) -> Reply:
        """Carry one errand to its end; a success, or Failure."""
        failures, silent_since, has_rejoined = 0, 0.0, False
        while True:
            self._check_bell()
            retry_after_s = 0.0
            try:
                if self._token is None and not is_join:
                    self.join()
                token = (self._link.token or self._token) if is_join else self._token
                reply = self._exchange(method, rest, token, body, headers or {}, take)
            except ssl.SSLCertVerificationError as error:
                raise Failure(REFUSED, f"its certificate is not trusted: {error.verify_message}"
                              ) from None
            except (OSError, http.client.HTTPException) as error:
                self._check_bell()
                why = str(error) or type(error).__name__
            else:
                code, why = reply.error() if reply.status >= 300 else ("", "")
                if reply.status < 300:
                    return reply
                if reply.status == 401 or (reply.status == 403 and code == "forbidden"):
                    if is_join or has_rejoined:
                        raise Failure(REFUSED, why)
                    self._token, has_rejoined = None, True
                    continue
                if not reply.is_temporary:
                    if reply.status == 409 and code in ("stale", "base_unknown", "ended"):
                        return reply  # the run has moved on, and nothing is wrong
                    raise Failure(REFUSED, why)
                seconds = reply.headers.get("Retry-After", "")
                retry_after_s = float(seconds) if seconds.isdigit() else 0.0
            if is_tried_once:
                raise Failure(UNREACHABLE, why)
            now = time.monotonic()
            silent_since = now if failures == 0 else silent_since
            left = silent_since + self._retry_for_s - now
            if left <= 0 or retry_after_s > left:
                raise Failure(UNREACHABLE, f"gave up after {now - silent_since:.0f} s: {why}")
            pause = min(PAUSE_FIRST_S * 2**min(failures, 10), PAUSE_MAX_S)
            pause *= 1 - random.random() / 2  # a fleet must not come back at one moment
            failures += 1
            self._bell.wait(max(min(pause, left), retry_after_s))

    def _post(self, method: str, rest: str, document: Any, **options: Any) -> Reply:
        return self._carry(method, rest, json.dumps(document).encode(),
                           {"Content-Type": "application/json"}, **options)

    # --- errands ---

    def join(self) -> float:
        reply = self._post("PUT", f"/clients/{self._name}", self._join_body, is_join=True)
        try:
            document = json.loads(reply.body)
            self._token = str(document["token"])
            self._lease_s = float(document.get("lease_s", 0))
        except (ValueError, KeyError, TypeError):
            raise Failure(INVALID, "the daemon's reply to joining has no token") from None
        return self._lease_s

    def next(self) -> tuple[str, str, int, int, float, str]:
        while True:
            reply = self._carry("GET", f"/task?wait={POLL_S}")
            try:
                task = json.loads(reply.body)
                kind = task["kind"]
                if kind in ("train", "evaluate"):
                    self._task = task
                    return (kind, str(task["task"]), int(task["version"]),
                            int(task.get("global_step", 0)), float(task.get("expected_by_s", -1)),
                            json.dumps(task.get("settings", {})))
                if kind == "stop":
                    raise Failure(STOPPED, task.get("reason") or "the run has ended")
                if kind != "wait":
                    raise ValueError
                self._bell.wait(max(float(task.get("after_s", 0)), WAIT_MIN_S))
            except (ValueError, KeyError, TypeError):
                raise Failure(INVALID, "the daemon's reply is not a task") from None

    def model(self) -> tuple[Any, list[tuple[str, tuple[int, ...], int]]]:
        version = self._task["version"]
        if self._held != version:
            self._file, self._held = memoryview(b""), None  # two models in memory, not three
            self._file = memoryview(self._fetch(version))
            try:
                self._data, self._tensors = _safetensors.parse_versions(self._file)
            except ValueError as error:
                raise Failure(INVALID, str(error)) from None
            self._held = version
        import numpy

        values = numpy.array(numpy.frombuffer(self._file, numpy.uint8, offset=self._data))
        return memoryview(values), [(name, shape, offset) for name, shape, offset in self._tensors]

    def _fetch(self, version: int) -> bytearray:
        download = Download()

        def take(response: http.client.HTTPResponse) -> bytes:
            expected = self._task.get("digest")
            if expected and response.headers.get("ETag") != f'"{expected}"':
                raise Failure(INVALID, f"version {version} of the daemon is not the one of the task")
            length = response.length
            if length is None:
                raise Failure(INVALID, "the daemon sends a model without its length")
            if response.status != 206:
                try:
                    download.file, download.count = bytearray(length), 0
                except MemoryError:
                    raise Failure(MEMORY, f"no memory for a model of {length} bytes") from None
            elif length != len(download.file) - download.count:
                raise Failure(INVALID, "the daemon sends another part of the model")
            room = memoryview(download.file)
            while download.count < len(download.file):
                count = response.readinto(room[download.count:])
                if count == 0:
                    raise ConnectionResetError("the model ends too early")
                download.count += count
                headers["Range"] = f"bytes={download.count}-"
            response.read()  # its end
            return b""

        headers: dict[str, str] = {}
        self._carry("GET", f"/versions/{version}", headers=headers, take=take)
        return download.file

    def submit(self, examples: int, metrics: str | None, arrays: tuple[Any, ...]) -> None:
        if self._task.get("kind") != "train" or self._held != self._task["version"]:
            raise Failure(INVALID, "only a train task whose model was fetched last can be submitted")
        sent = [(tensor, array) for tensor, array in zip(self._tensors, arrays, strict=True)
                if array is not None and
                tensor.name not in self._task.get("settings", {}).get("frozen", ())]
        if not sent:
            raise Failure(INVALID, "no tensor is left to send")
        for tensor, array in sent:
            check_finite(tensor, array)
        head = _safetensors.head([(tensor.name, "F32", tensor.shape, tensor.element_count * FLOAT_BYTES)
                                  for tensor, _ in sent])
        count = len(head) + sum(tensor.element_count for tensor, _ in sent) * FLOAT_BYTES
        headers = {"Content-Type": "application/safetensors", "Content-Length": str(count),
                   "Tributary-Base-Version": str(self._task["version"]),
                   "Tributary-Examples": str(examples)}
        if metrics is not None:
            headers["Tributary-Metrics"] = metrics
        self._carry("PUT", f"/updates/{self._id()}", lambda: self._update(head, sent), headers)

    def _update(self, head: bytes, sent: list[tuple[Tensor, Any]]) -> Iterator[bytes]:
        """The body, a delta computed piece by piece."""
        import numpy

        yield head
        for tensor, array in sent:
            after = numpy.frombuffer(array, numpy.float32, tensor.element_count)
            before = numpy.frombuffer(self._file, numpy.dtype("<f4"), tensor.element_count,
                                      self._data + tensor.offset)
            for first in range(0, tensor.element_count, PIECE):
                yield (after[first:first + PIECE] - before[first:first + PIECE]).tobytes()

    def report(self, examples: int, metrics: str) -> None:
        self._post("PUT", f"/evaluations/{self._id()}",
                   {"version": self._task["version"], "examples": examples,
                    "metrics": json.loads(metrics)})

    def decline(self, reason: str) -> None:
        plain = re.sub(r'[^ -~]|["\\]', "?", reason)[:95]
        self._post("POST", "/task/decline", {"task": self._task["task"], "reason": plain})

    def renew(self, done: float) -> None:
        document = {"task": self._task["task"], **({"done": done} if done >= 0 else {})}
        self._post("POST", "/task/renew", document, is_tried_once=True)

    def close(self) -> None:
        self._connection.close()

    def _id(self) -> str:
        """ "client.task"; ids belong to their client, so a long name may be cut."""
        task = self._task["task"]
        return f"{self._name[:62 - len(task)]}.{task}"


def check_finite(tensor: Tensor, array: Any) -> None:
    import numpy

    values = numpy.frombuffer(array, numpy.float32, tensor.element_count)
    is_finite = numpy.isfinite(values)
    if not is_finite.all():
        index = int(numpy.argmin(is_finite))
        raise Failure(INVALID, f"tensor {tensor.name}: value {index} is not a finite number")
