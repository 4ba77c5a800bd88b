"""test_networks.py - difficult networks: proxies on both sides, pins, client certificates, dead addresses.

Names such as fl.test exist for the proxies of these tests only, so whoever reaches such a daemon went
through one. The files in examples/proxy are run as they are but for their addresses and paths.
"""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from harness import SCALE, TRIB, Daemon, main, safetensors, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
SOFTMAX = {"init": {"trainer": "softmax", "features": 2, "classes": 2}}
ROWS = "".join(f"{i % 2},{(i * 7) % 5},{i % 2}\n" for i in range(60))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """An HTTP proxy that makes tunnels, all of them to one port of this machine.

    credentials  "user:password" that it wants
    answer       of another status than 200: it refuses
    cut_after    the first tunnel dies when so many bytes have gone to the daemon
    """

    def __init__(self, port, credentials=None, answer=200, cut_after=None):
        self.target, self.answer, self.cut_after = port, answer, cut_after
        self.wanted = credentials and base64.b64encode(credentials.encode()).decode()
        self.asked = []  # (when, authority, user or "")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, credentials=""):
        return f"http://{credentials and credentials + '@'}127.0.0.1:{self.port}"

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],),
                                 daemon=True).start()

    def close(self):
        # close() alone does not wake the accept() of another thread.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self, peer):
        with peer, contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += peer.recv(1) or exit()
            lines = head.decode().split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines[1:] if line)
            given = fields.get("Proxy-Authorization", "").removeprefix("Basic ")
            user = base64.b64decode(given).decode().split(":")[0]
            self.asked.append((time.monotonic(), lines[0].split()[1], user))
            if self.wanted and given != self.wanted:
                peer.sendall(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
            elif self.answer != 200:
                peer.sendall(f"HTTP/1.1 {self.answer} No\r\nContent-Length: 0\r\n\r\n".encode())
            else:
                self.connect(peer)

    def connect(self, peer):
        try:
            daemon = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            peer.sendall(b"HTTP/1.1 502 Nobody there\r\n\r\n")
            return
        with daemon:
            peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.carry(peer, daemon)

    def carry(self, peer, daemon):
        sent = 0
        while True:
            for source in select.select([peer, daemon], [], [])[0]:
                piece = source.recv(65536)
                if not piece:
                    return
                (daemon if source is peer else peer).sendall(piece)
                sent += len(piece) if source is peer else 0
                if self.cut_after is not None and sent > self.cut_after:
                    self.cut_after = None
                    return


class Networks(unittest.TestCase):
    """A folder with certificates and data; trib in an environment of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="trib-networks-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.data = cls.folder / "rows.csv"
        cls.data.write_text(ROWS)
        cls.lab = cls.make_lab("lab", "--client", "dev-1")

    @classmethod
    def make_lab(cls, name, *more):
        subprocess.run([TRIB, "cert", "--dir", cls.folder / name, "--name", "fl.test", "--name",
                        "localhost", "--name", "127.0.0.1", *more], check=True,
                       stdout=subprocess.DEVNULL)
        return cls.folder / name

    def environment(self, **more):
        inherited = {name: value for name, value in os.environ.items() if name not in PROXIES}
        return {**inherited, **more}

    def begin(self, *words, **environment):
        process = subprocess.Popen([TRIB, *map(str, words)], text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment(**environment))
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def trib(self, *words, expect=0, **environment):
        """Run to the end, which must come within a minute: (stdout, stderr)."""
        process = self.begin(*words, **environment)
        out, err = process.communicate(timeout=60 * SCALE)
        self.assertEqual(process.returncode, expect, out + err)
        return out, err

    def serve(self, *options, tls=False):
        if tls:
            options = ("--tls-cert", self.lab / "server.crt", "--tls-key",
                       self.lab / "server.key", *options)
        port = free_port()  # its URL may say another one, under which nobody is to be found
        daemon = Daemon(*map(str, options), "--listen", f"127.0.0.1:{port}")
        self.addCleanup(daemon.close)
        if "--public-url" in options:
            daemon.host, daemon.port = "127.0.0.1", port
            daemon.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        return daemon

    def token(self, daemon):
        return ["--token-file", f"{daemon.data}/admin.token"]

    def spec(self, **more):
        path = self.folder / "spec.json"
        path.write_text(json.dumps({"name": "r", "model": SOFTMAX, "strategy": {"quorum": 1},
                                    **more}))
        return path

    def create(self, daemon, *words, **environment):
        """A run; its join link."""
        out, _ = self.trib("run", "create", self.spec(), "--link-only", *words,
                           *self.token(daemon), **environment)
        return out.strip()

    def join_once(self, link, *words, client="dev-1", expect=0, **environment):
        return self.trib("join", link, "--client", client, "--data", self.data, "--once", *words,
                         expect=expect, **environment)[1]

    def proxy(self, *arguments, **options):
        proxy = Proxy(*arguments, **options)
        self.addCleanup(proxy.close)
        return proxy


class ClientProxies(Networks):
    """HTTPS_PROXY, HTTP_PROXY: the only way to fl.test."""

    def setUp(self):
        self.daemon = self.serve("--public-url", "https://fl.test:7700", tls=True)
        self.trust = ["--ca-file", self.lab / "ca.crt"]

    def through(self, proxy, credentials=""):
        return {"HTTPS_PROXY": proxy.url(credentials)}

    def test_commands_and_clients_get_through(self):
        proxy = self.proxy(self.daemon.port)
        there = ["--url", "https://fl.test:7700", *self.trust]
        link = self.create(self.daemon, *there, **self.through(proxy))
        self.join_once(link, **self.through(proxy))
        self.trib("status", "r", *there, *self.token(self.daemon), https_proxy=proxy.url())
        self.assertEqual({authority for _, authority, _ in proxy.asked}, {"fl.test:7700"})

    def test_plain_http_goes_by_a_tunnel_too(self):
        daemon = self.serve("--public-url", "http://fl.test:7700")
        proxy = self.proxy(daemon.port)
        link = self.create(daemon, "--url", "http://fl.test:7700", HTTP_PROXY=proxy.url())
        self.assertTrue(link.startswith("http://fl.test:7700/r#"), link)
        self.join_once(link, HTTP_PROXY=proxy.url())
        self.assertEqual({authority for _, authority, _ in proxy.asked}, {"fl.test:7700"})

    def test_the_library_for_devices_finds_it_by_itself(self):
        device = os.environ.get("TRIB_DEVICE", pathlib.Path(TRIB).parent / "examples/device/device")
        if not os.path.exists(device):
            self.skipTest("the example device is not built")
        daemon = self.serve("--public-url", "http://fl.test:7700")
        proxy = self.proxy(daemon.port)
        link = self.create(daemon, "--url", "http://fl.test:7700", HTTP_PROXY=proxy.url())
        process = subprocess.Popen([device, link, "dev-1", self.data], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT,
                                   env=self.environment(http_proxy=proxy.url()))
        self.addCleanup(self.end, process)
        status = "/v1/runs/r"
        wait_for(lambda: daemon.request("GET", status, token=daemon.admin,
                                        headers={"Host": "fl.test"}).json()["version"] >= 1)
        self.assertTrue(proxy.asked)

    def test_credentials_are_sent_and_never_shown(self):
        proxy = self.proxy(self.daemon.port, credentials="dev:s3cret/@")
        there = ["--url", "https://fl.test:7700", *self.trust]
        link = self.create(self.daemon, *there, **self.through(proxy, "dev:s3cret%2F%40"))
        self.join_once(link, **self.through(proxy, "dev:s3cret%2F%40"))
        began = time.monotonic()
        error = self.join_once(link, expect=1, **self.through(proxy, "dev:wr0ng"))
        self.assertLess(time.monotonic() - began, 30 * SCALE)  # no use in trying again
        self.assertIn(f"proxy 127.0.0.1 port {proxy.port} wants another user and password", error)
        self.assertNotIn("wr0ng", error)
        error = self.join_once(link, expect=2, HTTPS_PROXY="socks5://dev:wr0ng@127.0.0.1:1")
        self.assertIn("HTTPS_PROXY: a proxy of socks5:// cannot be used, only http://", error)
        self.assertNotIn("wr0ng", error)

    def test_a_refusal_names_the_proxy(self):
        link = self.create(self.daemon, "--url", self.daemon.url, *self.trust)
        for status, words in ((403, "does not allow this host and port (403)"),
                              (405, "does not make tunnels")):
            proxy = self.proxy(self.daemon.port, answer=status)
            error = self.join_once(link, expect=1, **self.through(proxy))
            self.assertIn(f"proxy 127.0.0.1 port {proxy.port} {words}", error)
        dead = f"http://127.0.0.1:{free_port()}"
        error = self.join_once(link, "--retry-for", "1s", expect=3, HTTPS_PROXY=dead)
        self.assertIn("Connection refused", error)
        self.assertIn("proxy 127.0.0.1 port", error)

    def test_a_tunnel_that_dies_loses_no_update_and_counts_none_twice(self):
        model = {"init": {"trainer": "mlp", "features": 2, "classes": 2, "hidden": [5000]}}
        out, _ = self.trib("run", "create", self.spec(model=model), "--link-only", "--url",
                           self.daemon.url, *self.trust, *self.token(self.daemon))
        proxy = self.proxy(self.daemon.port, cut_after=40_000)  # in the middle of the update
        self.join_once(out.strip(), **self.through(proxy))
        self.assertIsNone(proxy.cut_after)
        self.assertGreaterEqual(len(proxy.asked), 2)
        out, _ = self.trib("status", "r", "--json", "--url", self.daemon.url, *self.trust,
                           *self.token(self.daemon))
        updates = json.loads(out)["updates"]
        self.assertEqual(updates["counted"] + updates["pending"], 1, out)

    def test_clients_come_back_each_in_its_own_time(self):
        daemon = self.daemon
        proxy = self.proxy(daemon.port)
        link = self.create(daemon, "--url", daemon.url, *self.trust)
        names = [f"dev-{i}" for i in range(5)]
        for name in names:
            self.begin("join", link, "--client", name, "--data", self.data,
                       HTTPS_PROXY=proxy.url(name))
        wait_for(lambda: {user for _, _, user in proxy.asked} == set(names), what="five clients")
        daemon.stop(signal.SIGKILL)
        gone = time.monotonic()

        def moments(name):
            return [when for when, _, user in proxy.asked if user == name and when > gone]

        wait_for(lambda: all(len(moments(name)) >= 4 for name in names), 60, "four attempts each")
        gaps = sorted(moments(name)[3] - moments(name)[2] for name in names)  # of 0.5 to 1 s
        self.assertGreater(gaps[-1] - gaps[0], 0.05, gaps)
        daemon.start()


class Pins(Networks):
    def test_a_link_of_a_lab_needs_no_file(self):
        daemon = self.serve(tls=True)
        link = self.create(daemon, "--url", daemon.url, "--cacert", self.lab / "ca.crt")
        key = subprocess.run(["openssl", "x509", "-in", self.lab / "server.crt", "-noout",
                              "-pubkey"], capture_output=True, check=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key,
                             capture_output=True, check=True).stdout
        digest = hashlib.sha256(der).hexdigest()
        self.assertIn(f"/r?pin=sha256:{digest}#", link)
        self.join_once(link)
        unpinned = re.sub(r"\?pin=[^#]*", "", link)
        error = self.join_once(unpinned, expect=1)
        self.assertIn("certificate is not trusted", error)
        self.join_once(unpinned, "--ca-file", self.lab / "ca.crt")

    def test_curl_can_hold_a_daemon_to_its_pin(self):
        daemon = self.serve(tls=True)
        link = self.create(daemon, "--url", daemon.url, "--cacert", self.lab / "ca.crt")
        curl = subprocess.run(["sh", TOP / "examples/curl/join.sh", link, "curl-1"],
                              capture_output=True, text=True, env=self.environment(),
                              timeout=60 * SCALE)
        self.assertEqual(curl.returncode, 0, curl.stderr)
        wrong = re.sub("sha256:.{8}", "sha256:00000000", link)
        curl = subprocess.run(["sh", TOP / "examples/curl/join.sh", wrong, "curl-2"],
                              capture_output=True, text=True, env=self.environment(),
                              timeout=60 * SCALE)
        self.assertNotEqual(curl.returncode, 0, curl.stdout)

    def test_another_key_is_refused_and_both_are_told(self):
        daemon = self.serve(tls=True)
        link = self.create(daemon, "--url", daemon.url, "--cacert", self.lab / "ca.crt")
        right = re.search("sha256:([0-9a-f]{64})", link)[1]
        wrong = "0" * 64
        began = time.monotonic()
        error = self.join_once(link.replace(right, wrong), expect=1)
        self.assertLess(time.monotonic() - began, 30 * SCALE)
        self.assertIn(right, error)
        self.assertIn(wrong, error)
        # A good certificate does not make up for it.
        self.join_once(link.replace(right, wrong), "--ca-file", self.lab / "ca.crt", expect=1)

    def test_a_new_certificate_keeps_the_pin_and_a_new_key_changes_it(self):
        lab = self.make_lab("renewed")
        daemon = self.serve("--tls-cert", lab / "server.crt", "--tls-key", lab / "server.key")
        words = ["--url", daemon.url, "--cacert", lab / "ca.crt"]
        link = self.create(daemon, *words)
        old = (lab / "server.crt").read_bytes()
        self.make_lab("renewed")
        self.assertNotEqual((lab / "server.crt").read_bytes(), old)
        self.reload(daemon, 1)
        self.assertEqual(self.create(daemon, *words), link)
        self.join_once(link)
        (lab / "server.key").unlink()
        self.make_lab("renewed")
        self.reload(daemon, 2)
        self.assertNotEqual(self.create(daemon, *words), link)
        self.join_once(link, client="dev-2", expect=1)

    def reload(self, daemon, times):
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.log_text().count("reloaded") == times, what="new files")

    def test_there_is_no_pin_where_somebody_else_shows_a_certificate(self):
        daemon = self.serve("--public-url", "https://fl.example.org/fl", tls=True)
        link = self.create(daemon, "--url", daemon.url, "--cacert", self.lab / "ca.crt")
        self.assertTrue(link.startswith("https://fl.example.org/fl/r#"), link)


class ClientCertificates(Networks):
    def setUp(self):
        self.daemon = self.serve("--client-ca", self.lab / "ca.crt", tls=True)
        self.own = {"TRIB_CERT": str(self.lab / "client-dev-1.crt"),
                    "TRIB_KEY": str(self.lab / "client-dev-1.key"),
                    "TRIB_CA_FILE": str(self.lab / "ca.crt")}
        self.link = self.create(self.daemon, "--url", self.daemon.url, **self.own)

    def test_by_option_and_by_environment(self):
        self.join_once(self.link, "--cert", self.own["TRIB_CERT"], "--key", self.own["TRIB_KEY"])
        self.trib("status", "r", "--url", self.daemon.url, *self.token(self.daemon), **self.own)
        self.trib("join", self.link, "--check", **self.own)

    def test_without_one_the_reason_is_told(self):
        error = self.join_once(self.link, expect=1)
        self.assertIn("it wants a certificate of ours (--cert, --key)", error)

    def test_half_and_wrong_ones_are_told(self):
        error = self.join_once(self.link, "--cert", self.own["TRIB_CERT"], expect=2)
        self.assertIn("--cert and --key belong together", error)
        error = self.join_once(self.link, "--cert", self.own["TRIB_CERT"], "--key",
                               self.lab / "server.key", expect=1)
        self.assertIn("not the key of", error)
        other = self.make_lab("other", "--client", "dev-1")
        out, _ = self.trib("join", self.link, "--check", "--cert", other / "client-dev-1.crt",
                           "--key", other / "client-dev-1.key", expect=3)
        self.assertIn("does it know our certificate?", out)


class Check(Networks):
    """trib join --check: a line per step, up to the first that fails."""

    def steps(self, out):
        return {line.split()[0]: line.split()[1] for line in out.splitlines()
                if " ms  " in line}

    def check(self, link, *words, expect=0, **environment):
        out, _ = self.trib("join", link, "--check", *words, expect=expect, **environment)
        self.assertEqual("What to do: " in out, expect != 0, out)
        return out

    def test_all_is_well(self):
        daemon = self.serve()
        link = self.create(daemon, "--url", daemon.url)
        out = self.check(link)
        self.assertEqual(self.steps(out), dict.fromkeys(["tcp", "http", "token", "upload"], "ok"))
        self.assertRegex(out, r"10 MB, [0-9.]+ MB/s")
        self.assertEqual(self.steps(self.check(link.replace("127.0.0.1", "localhost")))["dns"],
                         "ok")
        run = daemon.request("GET", "/v1/runs/r").json()
        self.assertEqual(run["clients"]["joined"], 0)  # it has left nothing behind
        self.assertEqual(run["updates"], {"counted": 0, "pending": 0, "dropped": 0})

    def test_each_failure_has_its_step(self):
        daemon = self.serve("--host-name", "fl.test", tls=True)
        link = self.create(daemon, "--url", daemon.url, "--cacert", self.lab / "ca.crt")
        proxy = self.proxy(daemon.port)
        refusing = self.proxy(daemon.port, answer=403)
        named = re.sub("127.0.0.1:[0-9]+", "fl.test:7700", link)
        through = {"HTTPS_PROXY": proxy.url()}
        self.assertEqual(self.steps(self.check(named, **through)),
                         dict.fromkeys(["tcp", "proxy", "tls", "http", "token", "upload"], "ok"))
        elsewhere = re.sub(":[0-9]+/", f":{free_port()}/", link)
        silent = socket.create_server(("127.0.0.1", 0))  # not HTTP, not TLS: closes
        self.addCleanup(silent.close)
        threading.Thread(target=self.hang_up, args=(silent,), daemon=True).start()
        mute = re.sub(":[0-9]+/", f":{silent.getsockname()[1]}/", link)
        plain = re.sub(r"\?pin=[^#]*", "", mute).replace("https://", "http://")
        rows = [
            ("dns", link.replace("127.0.0.1", "no.such.host.invalid"), 3, {}),
            ("tcp", elsewhere, 3, {}),
            ("tcp", named, 3, {"HTTPS_PROXY": f"http://127.0.0.1:{free_port()}"}),
            ("proxy", named, 3, {"HTTPS_PROXY": refusing.url()}),
            ("tls", re.sub("sha256:.{8}", "sha256:00000000", link), 3, {}),
            ("tls", mute, 3, {}),
            ("http", plain, 3, {}),
            ("token", link[:-1] + ("0" if link[-1] != "0" else "1"), 1, {}),
            ("token", link.replace("/r?", "/other?"), 1, {}),
        ]
        for step, tried, expect, environment in rows:
            with self.subTest(step=step, link=tried):
                steps = self.steps(self.check(tried, expect=expect, **environment))
                self.assertEqual(steps.popitem(), (step, "FAILED"))
                self.assertEqual(set(steps.values()) - {"ok"}, set())

    def hang_up(self, listener):
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    def test_a_token_of_one_client_is_tried_for_that_client(self):
        daemon = self.serve("--public-url", "http://fl.test:7700")
        proxy = self.proxy(daemon.port)
        through = {"HTTP_PROXY": proxy.url()}
        self.create(daemon, "--url", "http://fl.test:7700", **through)
        reply = daemon.request("POST", "/v1/runs/r/tokens", {"scope": "join", "subject": "mercy"},
                               daemon.admin)
        link = reply.json()["link"]
        self.assertIn("lets mercy in", self.check(link, **through))
        self.assertIn("forbidden", self.check(link, "--client", "other", expect=1, **through))

    def test_probes_are_bounded_and_need_what_joining_needs(self):
        daemon = self.serve()
        self.create(daemon, "--url", daemon.url)
        octets = {"Content-Type": "application/octet-stream"}
        path = "/v1/runs/r/clients/x/probe"
        reply = daemon.request("PUT", path, b"x" * 100_000, headers=octets)
        self.assertEqual((reply.status, reply.json()), (200, {"bytes": 100_000}))
        reply = daemon.request("PUT", path, b"x" * 9, headers={
            **octets, "X-Forwarded-For": "192.0.2.7"})
        self.assertEqual((reply.status, reply.json()["code"]), (401, "token"))
        head = (f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream"
                f"\r\nContent-Length: {(16 << 20) + 1}\r\nExpect: 100-continue\r\n\r\n")
        self.assertIn(b" 413 ", daemon.raw(head.encode()))

    def test_without_check_client_and_data_are_needed(self):
        for words in ([], ["--client", "a"], ["--data", "x"]):
            _, error = self.trib("join", "http://127.0.0.1:1/r", *words, expect=2)
            self.assertIn("is missing", error)


class Addresses(Networks):
    """two.test is ::1 and 127.0.0.1, by a file of hosts that only the client sees."""

    def setUp(self):
        hosts = self.folder / "hosts"
        hosts.write_text("::1 two.test\n127.0.0.1 two.test\n")
        self.inside = ["unshare", "--map-root-user", "--mount", "sh", "-c",
                       f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
        tried = subprocess.run([*self.inside, "getent", "ahostsv6", "two.test"],
                               capture_output=True, text=True)
        if tried.returncode != 0 or not tried.stdout.startswith("::1") or not socket.has_ipv6:
            self.skipTest("no mount namespaces of one's own here, or no IPv6")
        self.daemon = self.serve("--host-name", "two.test")
        link = self.create(self.daemon, "--url", self.daemon.url)
        self.link = link.replace("127.0.0.1", "two.test")

    def check(self):
        began = time.monotonic()
        done = subprocess.run([*self.inside, TRIB, "join", self.link, "--check"], text=True,
                              capture_output=True, env=self.environment(), timeout=60 * SCALE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("two.test is ::1, 127.0.0.1", done.stdout)
        return time.monotonic() - began

    def test_ipv4_is_taken_where_ipv6_refuses(self):
        self.assertLess(self.check(), 5 * SCALE)

    def test_ipv4_is_taken_where_ipv6_is_a_black_hole(self):
        hole = socket.socket(socket.AF_INET6)
        self.addCleanup(hole.close)
        hole.bind(("::1", self.daemon.port))
        hole.listen(0)
        for _ in range(8):  # until its queue is full: then the kernel drops newcomers
            filler = socket.socket(socket.AF_INET6)
            self.addCleanup(filler.close)
            filler.settimeout(0.3)
            try:
                filler.connect(("::1", self.daemon.port))
            except TimeoutError:
                break
        else:
            self.skipTest("this kernel's queues do not fill")
        self.assertLess(self.check(), 8 * SCALE)  # alone, one address is given 10 s


class Vanishing(Networks):
    """A network of its own, in which an address can go away and take nobody's leave."""

    ADDRESS = "10.9.9.9"

    def setUp(self):
        holder = subprocess.Popen(["unshare", "--map-root-user", "--net", "sh", "-c",
                                   f"ip link set lo up && ip address add {self.ADDRESS}/32 dev lo && "
                                   "echo up && exec sleep 600"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, holder)
        if holder.stdout.readline() != "up\n" or not shutil.which("nsenter"):
            self.skipTest("no network namespaces of one's own here")
        self.inside = ["nsenter", "--user", "--net", "--preserve-credentials", "--target",
                       str(holder.pid)]

    def begin_inside(self, *words):
        process = subprocess.Popen([*self.inside, *map(str, words)], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment())
        self.addCleanup(self.end, process)
        return process

    def run_inside(self, *words):
        return subprocess.run([*self.inside, *map(str, words)], check=True, capture_output=True,
                              text=True, env=self.environment(), timeout=60 * SCALE).stdout

    def is_quiet(self):
        """One connection of the client, and nothing has passed for a second."""
        connections = ["ss", "-Htin", "dst", f"{self.ADDRESS}:7700"]
        before = re.findall(r"bytes_acked:\d+", self.run_inside(*connections))
        time.sleep(1)
        return before and before == re.findall(r"bytes_acked:\d+", self.run_inside(*connections))

    def test_a_long_poll_notices_that_nobody_is_there(self):
        data, ready = self.folder / "vanishing", self.folder / "ready"
        self.begin_inside(TRIB, "serve", "--data-dir", data, "--ready-file", ready, "--insecure",
                          "--listen", f"{self.ADDRESS}:7700")
        wait_for(ready.exists)
        there = ["--url", f"http://{self.ADDRESS}:7700", "--token-file", data / "admin.token"]
        link = self.run_inside(TRIB, "run", "create", self.spec(strategy={"quorum": 2}),
                               "--link-only", *there).strip()
        client = self.begin_inside(TRIB, "join", link, "--client", "dev-1", "--data", self.data,
                                   "--retry-for", "1s")
        wait_for(lambda: json.loads(self.run_inside(TRIB, "status", "r", "--json", *there))
                 ["clients"]["joined"] == 1)  # and waits for another one
        wait_for(self.is_quiet)
        began = time.monotonic()
        self.run_inside("ip", "address", "del", f"{self.ADDRESS}/32", "dev", "lo")
        client.communicate(timeout=55)  # without probes the socket is given up after 60 s
        self.assertEqual(client.returncode, 3)
        self.assertLess(time.monotonic() - began, 45)


class ReverseProxy:
    """A whole run through a proxy in front of the daemon: TLS and the prefix /fl are the proxy's."""

    def setUp(self):
        if not shutil.which(self.program):
            self.skipTest(f"{self.program} is not installed")
        self.port = free_port()
        self.outside = f"https://localhost:{self.port}/fl"
        self.daemon = self.serve("--public-url", self.outside)
        self.start_proxy()
        wait_for(lambda: self.is_there(), what=self.program)
        self.trust = ["--ca-file", self.lab / "ca.crt"]

    def configure(self, *pairs):
        """The file of examples/proxy with other addresses and paths."""
        text = (TOP / "examples/proxy" / self.file).read_text()
        for old, new in (("127.0.0.1:7700", f"127.0.0.1:{self.daemon.port}"), *pairs):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, str(new))
        path = self.folder / self.file
        path.write_text(text)
        return path

    def launch(self, *words):
        with open(self.folder / f"{self.program}.log", "ab") as log:
            process = subprocess.Popen(list(map(str, words)), stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    def is_there(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/healthz").status == 200
        return False

    def connect(self):
        settings = ssl.create_default_context(cafile=self.lab / "ca.crt")
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=90,
                                                 context=settings)
        self.addCleanup(connection.close)
        return connection

    def ask(self, method, path, body=None, token=None, connection=None, **fields):
        connection = connection or self.connect()
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        if token:
            fields["Authorization"] = f"Bearer {token}"
        if isinstance(body, dict):
            body, fields["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection.request(method, "/fl" + path, body, fields)
        return connection.getresponse()

    def join(self, client):
        reply = self.ask("PUT", f"/v1/runs/r/clients/{client}", {}, self.daemon.admin)
        return json.loads(reply.read())["token"]

    def create_with(self, model, **spec):
        """A run with this model, of tests that speak HTTP themselves."""
        reply = self.ask("POST", "/v1/runs", {"name": "r", "model": {"init": "upload"}, **spec},
                         self.daemon.admin)
        self.assertEqual(reply.status, 201, reply.read())
        reply = self.ask("PUT", "/v1/runs/r/versions/0", model, self.daemon.admin,
                         Content_Type="application/safetensors")
        self.assertEqual(reply.status, 201, reply.read())

    def test_a_run_from_its_creation_to_its_end(self):
        spec = self.spec(strategy={"quorum": 2}, stop={"versions": 3})
        out, _ = self.trib("run", "create", spec, "--link-only", "--url", self.outside,
                           *self.trust, *self.token(self.daemon))
        link = out.strip()
        self.assertTrue(link.startswith(self.outside + "/r#"), link)
        out, _ = self.trib("join", link, "--check", *self.trust)
        self.assertIn("10 MB", out)
        clients = [self.begin("join", link, "--client", name, "--data", self.data, *self.trust)
                   for name in ("dev-1", "dev-2")]
        watching = self.begin("watch", "r", "--url", self.outside, *self.trust,
                              *self.token(self.daemon))
        for process in (*clients, watching):
            out, err = process.communicate(timeout=120 * SCALE)
            self.assertEqual(process.returncode, 0, out + err)
        reply = json.loads(self.ask("GET", "/v1/runs/r", token=self.daemon.admin).read())
        self.assertEqual((reply["version"], reply["updates"]["counted"]), (3, 6))
        # What comes through it is not from this machine: no token, no entry.
        self.assertEqual(self.ask("GET", "/v1/runs/r").status, 401)

    def test_polls_wait_and_events_do_not(self):
        self.create_with(safetensors({"w": ([2], [0, 0])}), strategy={"quorum": 2, "deadline": "1h"})
        token = self.join("dev-1")
        events = self.ask("GET", "/v1/runs/r/events", token=self.daemon.admin)
        self.assertEqual(events.status, 200)
        began = time.monotonic()
        poll = self.connect()
        task = json.loads(self.ask("GET", "/v1/runs/r/task?wait=4", token=token,
                                   connection=poll).read())
        if task["kind"] == "wait":
            self.assertGreater(time.monotonic() - began, 3.5)
        self.ask("POST", "/v1/runs/r/pause", b"", token=self.daemon.admin).read()
        told = b""
        began = time.monotonic()
        while b'"paused"' not in told:
            told += events.readline() or self.fail(told)
        self.assertLess(time.monotonic() - began, 5 * SCALE)  # not when a buffer is full

    def test_its_times_are_above_the_longest_poll(self):
        text = (TOP / "examples/proxy" / self.file).read_text()
        (seconds,) = re.findall(self.reading_time, text)
        self.assertGreater(int(seconds), 60)

    def test_large_bodies_go_on_while_they_come(self):
        values = [0.0] * 4_000_000  # 16 MB, above every default limit
        model = safetensors({"w": ([len(values)], values)})
        self.create_with(model, strategy={"quorum": 1})
        token = self.join("dev-1")
        task = json.loads(self.ask("GET", "/v1/runs/r/task?wait=20", token=token).read())
        self.assertEqual(task["kind"], "train")
        before = self.received_bytes()
        connection = self.connect()
        connection.putrequest("PUT", "/fl/v1/runs/r/updates/u1")
        for name, value in (("Authorization", f"Bearer {token}"), ("Content-Length", len(model)),
                            ("Content-Type", "application/safetensors"),
                            ("Tributary-Base-Version", 0), ("Tributary-Examples", 5)):
            connection.putheader(name, str(value))
        connection.endheaders(model[:8 << 20])
        wait_for(lambda: self.received_bytes() - before > 4 << 20,
                 what="half of a body at the daemon")
        connection.send(model[8 << 20:])
        reply = connection.getresponse()
        self.assertEqual(reply.status, 200, reply.read())

    def received_bytes(self):
        metrics = self.ask("GET", "/metrics", token=self.daemon.admin).read()
        return int(re.search(rb"^tributary_received_bytes_total (\d+)", metrics, re.M)[1])

    def test_a_refusal_is_seen_by_who_waits_for_it(self):
        self.create_with(safetensors({"w": ([2], [0, 0])}))
        settings = ssl.create_default_context(cafile=self.lab / "ca.crt")
        with socket.create_connection(("localhost", self.port), 20) as plain, \
                settings.wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall((f"PUT /fl/v1/runs/r/updates/u1 HTTP/1.1\r\nHost: localhost:{self.port}"
                          "\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n"
                          "Content-Type: application/safetensors\r\n\r\n").encode())
            answer = b""
            with contextlib.suppress(OSError):
                while b" 401 " not in answer:
                    if b" 100 " in answer:  # of nginx's own making: the body has to begin
                        peer.sendall(b"x" * 1024)
                    answer += peer.recv(4096) or self.fail(answer)
            self.assertIn(b" 401 ", answer)


class Nginx(ReverseProxy, Networks):
    program, file = "nginx", "nginx.conf"
    reading_time = r"proxy_read_timeout (\d+)s;"

    def start_proxy(self):
        path = self.configure(("listen 443", f"listen 127.0.0.1:{self.port}"),
                              ("/etc/ssl/fl.crt", self.lab / "server.crt"),
                              ("/etc/ssl/fl.key", self.lab / "server.key"),
                              ("/run/nginx.pid", self.folder / "nginx.pid"),
                              ("/var/log/nginx/error.log", self.folder / "nginx-error.log"))
        self.launch("nginx", "-c", path, "-g", "daemon off;")


class Haproxy(ReverseProxy, Networks):
    program, file = "haproxy", "haproxy.cfg"
    reading_time = r"timeout server (\d+)s"

    def start_proxy(self):
        both = self.folder / "fl.pem"
        both.write_bytes((self.lab / "server.crt").read_bytes() +
                         (self.lab / "server.key").read_bytes())
        path = self.configure(("bind :443", f"bind 127.0.0.1:{self.port}"),
                              ("/etc/ssl/fl.pem", both))
        self.launch("haproxy", "-db", "-f", path)


if __name__ == "__main__":
    main()
