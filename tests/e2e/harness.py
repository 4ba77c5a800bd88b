"""harness.py - the real daemon on loopback for end-to-end tests, in plain Python.

A test talks HTTP by hand, so that it checks the wire and not a client library. Ports are chosen by the
kernel; nothing sleeps for luck: tests wait for a condition with a deadline.
"""
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

TRIB = os.environ.get("TRIB", str(pathlib.Path(__file__).resolve().parents[2] / "build/trib"))
SCALE = float(os.environ.get("TRIB_TEST_SCALE", "1"))  # slower under sanitizers
# For a daemon whose memory is measured: Meson has malloc fill what it gives, which touches every page.
UNFILLED = {"MALLOC_PERTURB_": "0"}


def wait_for(condition, seconds=20, what="condition"):
    """The first true value of condition(), or a failure after so many seconds."""
    deadline = time.monotonic() + seconds * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds * SCALE:.0f} s")
        time.sleep(0.02)


PACKED = {"F32": "f", "F16": "e", "BF16": "H", "I8": "b", "I32": "i", "I64": "q", "U32": "I",
          "U64": "Q"}  # BF16 as the upper halves of F32


def safetensors(tensors, metadata=None):
    """Bytes of a file from {name: (shape, [numbers])} or (shape, [numbers], dtype), in the order given."""
    head, data = {}, b""
    for name, (shape, values, *dtype) in tensors.items():
        dtype = dtype[0] if dtype else "F32"
        piece = struct.pack(f"<{len(values)}{PACKED[dtype]}", *values)
        head[name] = {"dtype": dtype, "shape": shape,
                      "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    if metadata:
        head["__metadata__"] = metadata
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def read_safetensors(blob):
    """{name: [floats]} of an fp32 file."""
    (size,) = struct.unpack_from("<Q", blob)
    head = json.loads(blob[8:8 + size])
    tensors = {}
    for name, entry in head.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            piece = blob[8 + size + first:8 + size + last]
            tensors[name] = list(struct.unpack(f"<{len(piece) // 4}f", piece))
    return tensors


def replay(data, run):
    """What `trib replay` says of a run in a data directory that no daemon uses: all the same, or a
    failure."""
    done = subprocess.run([TRIB, "replay", data, run, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"replay ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Daemon:
    """trib serve in a directory of its own; restart() keeps the directory."""

    def __init__(self, *options, environment=None):
        self.directory = tempfile.mkdtemp(prefix="trib-e2e-")
        self.data = os.path.join(self.directory, "data")
        self.options = options
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.start()

    def start(self):
        ready = os.path.join(self.directory, "url")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ready)
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen(
            [TRIB, "serve", "--data-dir", self.data, "--listen", "127.0.0.1:0",
             "--ready-file", ready, *self.options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment)
        wait_for(lambda: self.process.poll() is not None or os.path.exists(ready), 30, "start")
        if self.process.poll() is not None:
            raise AssertionError("daemon ended: " + self.log_text())
        self.url = pathlib.Path(ready).read_text().strip()
        address = urllib.parse.urlsplit(self.url)
        self.host, self.port = address.hostname, address.port
        self.admin = pathlib.Path(self.data, "admin.token").read_text().strip()

    def log_text(self):
        return pathlib.Path(self.directory, "log").read_text(errors="replace")

    def stop(self, how=signal.SIGTERM):
        """End the process; its exit status (0 after SIGTERM, -9 after SIGKILL)."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(timeout=30 * SCALE)
        self.log.close()
        return status

    def restart(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def close(self):
        """Stop in order; a sanitizer's report or a bad exit fails the test."""
        try:
            status = self.stop()
            if status != 0:
                raise AssertionError(f"daemon ended with {status}:\n{self.log_text()[-4000:]}")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    # --- HTTP ---

    def connection(self, timeout):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def request(self, method, path, body=None, token=None, headers=None, timeout=60):
        connection = self.connection(timeout)
        try:
            fields = dict(headers or {})
            if token:
                fields["Authorization"] = f"Bearer {token}"
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
                fields.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            return Reply(response, response.read())
        finally:
            connection.close()

    def create(self, spec, model=None):
        spec = {"model": {"init": "upload"}, **spec}
        reply = self.request("POST", "/v1/runs", spec, self.admin)
        assert reply.status in (200, 201), reply.body
        if model is not None:
            reply = self.request("PUT", f"/v1/runs/{spec['name']}/versions/0", model, self.admin,
                                 {"Content-Type": "application/safetensors"})
            assert reply.status in (200, 201), reply.body
        return Run(self, spec["name"])

    def raw(self, data, timeout=10):
        """Send bytes as they are, then read until the daemon closes."""
        with socket.create_connection((self.host, self.port), timeout=timeout * SCALE) as peer:
            peer.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionResetError, socket.timeout):
                while piece := peer.recv(65536):
                    received += piece
            return received


class Run:
    def __init__(self, daemon, name):
        self.daemon = daemon
        self.path = f"/v1/runs/{name}"
        self.name = name

    def get(self, path="", **options):
        return self.daemon.request("GET", self.path + path, **options)

    def status(self):
        return self.get().json()

    def version(self):
        return self.status()["version"]

    def control(self, what):
        return self.daemon.request("POST", f"{self.path}/{what}", token=self.daemon.admin)

    def join(self, client, role="trainer", **attributes):
        body = {"role": role}
        if attributes:
            body["attributes"] = attributes
        reply = self.daemon.request("PUT", f"{self.path}/clients/{client}", body)
        assert reply.status == 200, reply.body
        return Client(self, client, reply.json()["token"])

    def model(self, which="latest"):
        reply = self.get(f"/versions/{which}")
        assert reply.status == 200, reply.body
        assert reply.headers["ETag"] == f'"{hashlib.sha256(reply.body).hexdigest()}"'
        return reply

    def ledger(self):
        return [json.loads(line) for line in self.get("/ledger").body.splitlines()]


class Client:
    def __init__(self, run, name, token):
        self.run = run
        self.name = name
        self.token = token

    def task(self, wait=0):
        reply = self.run.get(f"/task?wait={wait}", token=self.token)
        assert reply.status == 200, reply.body
        return reply.json()

    def train_task(self, seconds=20):
        """Poll until there is something to train."""
        return wait_for(lambda: (lambda t: t if t["kind"] == "train" else None)(self.task(1)),
                        seconds, f"train task for {self.name}")

    def put(self, update, body, base=None, examples=None, headers=None, **options):
        fields = {"Content-Type": "application/safetensors", **(headers or {})}
        if base is not None:
            fields["Tributary-Base-Version"] = str(base)
        if examples is not None:
            fields["Tributary-Examples"] = str(examples)
        return self.run.daemon.request("PUT", f"{self.run.path}/updates/{update}", body,
                                       self.token, fields, **options)

    def fate(self, update):
        return self.run.get(f"/updates/{update}", token=self.token)

    def evaluate(self, evaluation, version, examples, metrics):
        return self.run.daemon.request(
            "PUT", f"{self.run.path}/evaluations/{evaluation}",
            {"version": version, "examples": examples, "metrics": metrics}, self.token)


class TapResult(unittest.TestResult):
    """One line per test, as TAP wants it, with the reason below a failure."""

    def addSuccess(self, test):
        print(f"ok - {test.id()}", flush=True)

    def addSkip(self, test, reason):
        print(f"ok - {test.id()} # skip {reason}", flush=True)

    def _bad(self, test, error):
        print(f"not ok - {test.id()}", flush=True)
        for line in self._exc_info_to_string(error, test).splitlines():
            print(f"# {line}", flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._bad(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self._bad(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self._bad(subtest, error)


def main():
    """Run the tests of the calling file."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:],
                                                              sys.modules["__main__"])
    result = TapResult()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
