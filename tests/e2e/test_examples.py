"""test_examples.py - the examples run as their pages say: curl alone, and a device in plain C."""
import os
import pathlib
import subprocess
import unittest

from harness import SCALE, TRIB, Daemon, main, read_safetensors, safetensors, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
DEVICE = os.environ.get("TRIB_DEVICE",
                        str(pathlib.Path(TRIB).resolve().parent / "examples/device/device"))


class Examples(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def trib(self, *arguments):
        done = subprocess.run(
            [TRIB, *arguments], capture_output=True, text=True, timeout=60 * SCALE,
            env={**os.environ, "TRIB_URL": self.daemon.url,
                 "TRIB_ADMIN_TOKEN_FILE": os.path.join(self.daemon.data, "admin.token")})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_curl_alone_moves_a_run_from_one_version_to_the_next(self):
        run = self.daemon.create({"name": "r", "strategy": {"quorum": 1}},
                                 safetensors({"w": ([3], [1.0, 2.0, 3.0])}))
        link = f"{self.daemon.url}/r"
        for version in (1, 2):
            done = subprocess.run(["sh", str(TOP / "examples/curl/join.sh"), link, "curl-1"],
                                  capture_output=True, text=True, timeout=60 * SCALE)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            wait_for(lambda: run.version() == version)
        values = read_safetensors(run.model().body)["w"]
        for value, start in zip(values, (1.0, 2.0, 3.0)):
            self.assertAlmostEqual(value, start + 0.002, places=5)

    def test_two_devices_train_a_model_and_stop_with_the_run(self):
        link = self.trib("run", "create", str(TOP / "examples/device/run.yaml"), "--link-only")
        devices = [subprocess.Popen([DEVICE, link, f"dev-{i}"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True) for i in range(2)]
        for device in devices:
            _, errors = device.communicate(timeout=60 * SCALE)
            self.assertEqual(device.returncode, 0, errors)
        self.assertIn("stopped", self.trib("run", "list"))


if __name__ == "__main__":
    main()
