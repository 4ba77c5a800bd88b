"""test_tls.py - TLS 1.3 with certificates of `trib cert`: who gets in, and new files without a restart."""
import http.client
import json
import pathlib
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import unittest

from harness import SCALE, TRIB, Daemon, main, safetensors, wait_for

MODEL = safetensors({"w": ([2], [0, 0])})


def trib(*words):
    return subprocess.run([TRIB, *words], capture_output=True, text=True, timeout=60 * SCALE)


class Certificates(unittest.TestCase):
    """A directory with certificates for localhost, and a daemon that uses them."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trib-tls-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.lab = self.make_lab("lab", "--client", "dev-1")

    def make_lab(self, name, *more):
        made = trib("cert", "--dir", str(self.folder / name), "--name", "localhost",
                    "--name", "127.0.0.1", *more)
        self.assertEqual(made.returncode, 0, made.stderr)
        return self.folder / name

    def serve(self, *more):
        daemon = Daemon("--tls-cert", str(self.lab / "server.crt"),
                        "--tls-key", str(self.lab / "server.key"), *more)
        self.addCleanup(daemon.close)
        return daemon

    def settings(self, lab=None, client=None):
        settings = ssl.create_default_context(cafile=str((lab or self.lab) / "ca.crt"))
        if client:
            settings.load_cert_chain(f"{client}.crt", f"{client}.key")
        return settings

    def connect(self, daemon, settings=None):
        connection = http.client.HTTPSConnection("localhost", daemon.port, timeout=20,
                                                 context=settings or self.settings())
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection, path="/healthz", method="GET", token=None, body=None):
        fields = {"Authorization": f"Bearer {token}"} if token else {}
        if isinstance(body, bytes):
            fields["Content-Type"] = "application/safetensors"
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        response.read()
        return response.status

    def serial(self, connection):
        return connection.sock.getpeercert()["serialNumber"]


class Files(Certificates):
    def test_only_the_owner_can_read_them(self):
        for path in self.lab.iterdir():
            with self.subTest(path=path.name):
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(sorted(path.name for path in self.lab.iterdir()),
                         ["ca.crt", "ca.key", "client-dev-1.crt", "client-dev-1.key",
                          "server.crt", "server.key"])

    def test_the_ca_is_used_again(self):
        before = (self.lab / "ca.crt").read_bytes(), (self.lab / "ca.key").read_bytes()
        old = (self.lab / "server.crt").read_bytes()
        self.make_lab("lab")
        self.assertEqual(((self.lab / "ca.crt").read_bytes(), (self.lab / "ca.key").read_bytes()),
                         before)
        self.assertNotEqual((self.lab / "server.crt").read_bytes(), old)

    def test_a_ca_that_is_not_whole_is_not_replaced(self):
        (self.lab / "ca.key").unlink()
        made = trib("cert", "--dir", str(self.lab), "--name", "localhost")
        self.assertEqual(made.returncode, 1)
        self.assertIn("are not a CA with its key", made.stderr)
        self.assertFalse((self.lab / "ca.key").exists())

    def test_names_are_checked(self):
        for words in (["--name", "a,DNS:b"], ["--name", "a b"], ["--name", "-a"], ["--name", "*"],
                      ["--client", "../x"], []):
            with self.subTest(words=words):
                self.assertEqual(trib("cert", "--dir", str(self.folder / "x"), *words).returncode,
                                 2)


class Handshake(Certificates):
    def test_requests_over_tls(self):
        daemon = self.serve()
        self.assertTrue(daemon.url.startswith("https://"))
        connection = self.connect(daemon)
        self.assertEqual(self.ask(connection), 200)
        self.assertEqual(connection.sock.version(), "TLSv1.3")
        self.assertEqual(self.ask(connection, "/v1/runs", "POST", "x"), 401)

    def test_older_versions_are_refused(self):
        daemon = self.serve()
        settings = self.settings()
        settings.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.ask(self.connect(daemon, settings))

    def test_plain_text_is_closed_without_an_answer(self):
        reply = self.serve().raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertNotIn(b"HTTP/", reply)

    def test_a_client_that_trusts_another_ca_stops(self):
        daemon = self.serve()
        other = self.make_lab("other")
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.ask(self.connect(daemon, self.settings(other)))

    def test_another_name_is_not_believed(self):
        daemon = self.serve()
        settings = self.settings()
        with socket.create_connection((daemon.host, daemon.port), 20) as plain:
            with self.assertRaises(ssl.SSLCertVerificationError):
                settings.wrap_socket(plain, server_hostname="evil.example")

    def test_beyond_loopback_plain_text_must_be_asked_for(self):
        for words in ([], ["--insecure"]):
            folder = tempfile.mkdtemp(prefix="trib-tls-")
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
            # 203.0.113.1 is nobody's address (RFC 5737): nothing is opened to the world.
            made = trib("serve", "--data-dir", f"{folder}/data", "--listen", "203.0.113.1:0",
                        *words)
            self.assertEqual(made.returncode, 1)
            self.assertEqual("--insecure" in made.stderr, not words, made.stderr)


class Mutual(Certificates):
    """With --client-ca nobody speaks HTTP who has no certificate of that CA."""

    def setUp(self):
        super().setUp()
        self.daemon = self.serve("--client-ca", str(self.lab / "ca.crt"))

    def test_a_certificate_of_the_ca_is_let_in(self):
        connection = self.connect(self.daemon, self.settings(client=self.lab / "client-dev-1"))
        self.assertEqual(self.ask(connection), 200)

    def test_none_and_one_of_another_ca_are_refused(self):
        other = self.make_lab("other", "--client", "dev-1")
        server = self.lab / "server"  # of the right CA, but not for clients
        for client in (None, other / "client-dev-1", server):
            with self.subTest(client=client):
                with self.assertRaises((ssl.SSLError, ConnectionResetError,
                                        http.client.RemoteDisconnected)):
                    self.ask(self.connect(self.daemon, self.settings(client=client)))

    def test_a_certificate_is_no_token(self):
        connection = self.connect(self.daemon, self.settings(client=self.lab / "client-dev-1"))
        self.assertEqual(self.ask(connection, "/v1/runs", "POST", body=b""), 401)


class Reload(Certificates):
    def test_new_connections_get_the_new_certificate_and_old_ones_go_on(self):
        daemon = self.serve()
        old = self.connect(daemon)
        self.assertEqual(self.ask(old), 200)
        before = self.serial(old)
        self.make_lab("lab")
        daemon.process.send_signal(signal.SIGHUP)

        def is_new():
            fresh = self.connect(daemon)
            self.assertEqual(self.ask(fresh), 200)
            return self.serial(fresh) != before

        wait_for(is_new, what="the new certificate")
        self.assertEqual(self.ask(old), 200)
        self.assertEqual(self.serial(old), before)

    def test_bad_files_change_nothing(self):
        daemon = self.serve()
        (self.lab / "server.key").write_text("rubbish")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload_failed" in daemon.log_text(), what="a word in the log")
        self.assertEqual(self.ask(self.connect(daemon)), 200)

    def test_without_tls_the_signal_is_no_harm(self):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload" in daemon.log_text(), what="a word in the log")
        self.assertEqual(daemon.request("GET", "/healthz").status, 200)


class Program(Certificates):
    """The program's own client side."""

    def test_status_and_join_over_tls(self):
        daemon = self.serve()
        spec = self.folder / "spec.json"
        spec.write_text('{"name": "r", "model": {"init": {"trainer": "softmax", "features": 2, '
                        '"classes": 2}}, "strategy": {"quorum": 1}}')
        token = ["--token-file", f"{daemon.data}/admin.token"]
        trust = ["--ca-file", str(self.lab / "ca.crt")]
        url = ["--url", f"https://localhost:{daemon.port}"]
        made = trib("run", "create", str(spec), *url, *token, *trust)
        self.assertEqual(made.returncode, 0, made.stderr)
        link = next(word for word in made.stdout.split() if "#join~" in word)
        self.assertTrue(link.startswith("https://"), link)
        data = self.folder / "rows.csv"
        data.write_text("".join(f"{i % 2},{(i * 7) % 5},{i % 2}\n" for i in range(60)))
        joined = trib("join", link, "--client", "dev-1", "--data", str(data), "--once",
                      *trust)
        self.assertEqual(joined.returncode, 0, joined.stderr)
        told = trib("status", "r", "--json", *url, *token, *trust)
        updates = json.loads(told.stdout)["updates"]  # acknowledged, and perhaps counted already
        self.assertEqual(updates["counted"] + updates["pending"], 1, told.stderr)

    def test_it_does_not_talk_to_a_daemon_that_it_does_not_trust(self):
        daemon = self.serve()
        other = self.make_lab("other")
        told = trib("status", "--url", daemon.url, "--ca-file", str(other / "ca.crt"))
        self.assertNotEqual(told.returncode, 0)
        self.assertIn("certificate", told.stderr)


if __name__ == "__main__":
    main()
