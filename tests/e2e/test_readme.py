"""test_readme.py - the README's own lines run as they stand, and twice give the same model."""
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import SCALE, TRIB, main

TOP = pathlib.Path(__file__).resolve().parents[2]


def write_rows(path, seed=5):
    """Three classes around three corners of a plane, 150 rows, the label last."""
    draw = random.Random(seed)
    with open(path, "w") as file:
        for i in range(150):
            x, y = [(0, 0), (4, 0), (0, 4)][i % 3]
            file.write(f"{x + draw.gauss(0, 0.5):.4f},{y + draw.gauss(0, 0.5):.4f},{i % 3}\n")


class Readme(unittest.TestCase):
    def run_lines(self):
        """The model that the README's lines leave behind, and what they printed."""
        text = (TOP / "README.md").read_text()
        (lines,) = re.findall(r"## Your own data.*?```sh\n(.*?)```", text, re.S)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="trib-readme-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        write_rows(folder / "mine.csv")
        (folder / "bin").mkdir()
        (folder / "bin/trib").symlink_to(TRIB)
        process = subprocess.Popen(
            ["sh", "-eu"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"})
        try:
            # The daemon outlives the lines: whatever they have started is ended here.
            output, _ = process.communicate(lines + "\ntrap '' TERM; kill 0; wait\n",
                                            timeout=60 * SCALE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            self.fail(process.communicate()[0])
        finally:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self.assertEqual(process.returncode, 0, output)
        return (folder / "model.safetensors").read_bytes(), output

    def test_the_lines_train_a_model_and_twice_the_same_one(self):
        first, output = self.run_lines()
        self.assertIn("site-a", output)
        second, _ = self.run_lines()
        self.assertEqual(hashlib.sha256(first).hexdigest(), hashlib.sha256(second).hexdigest())


if __name__ == "__main__":
    main()
