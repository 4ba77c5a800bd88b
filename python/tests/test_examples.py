"""test_examples.py - the examples and the pages' code run as they stand."""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from support import SCALE, TOP, Daemon, in_background, main_or_skip

try:
    import numpy as np
    import tributary as trib
except ImportError:
    main_or_skip("numpy", "tributary")

EXAMPLES = TOP / "examples/python"
PAGES = TOP / "docs/python"


def blocks(page):
    return re.findall(r"```python\n(.*?)```\n", (PAGES / page).read_text(), re.DOTALL)


class Pages(unittest.TestCase):
    def play(self, codes):
        """Code cells one after the other in one namespace; what they printed."""
        printed = io.StringIO()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        names = {}
        before = os.getcwd()
        os.chdir(scratch.name)
        try:
            with contextlib.redirect_stdout(printed):
                for code in codes:
                    exec(compile(code, "page", "exec"), names)
        finally:
            os.chdir(before)
        return printed.getvalue(), names

    def test_the_tutorial(self):
        printed, names = self.play(blocks("tutorial.md"))
        self.assertIn("15 3 ", printed)
        self.assertAlmostEqual(float(names["weights"]["a"][0]), 3, 1)
        self.assertAlmostEqual(float(names["weights"]["b"][0]), -1, 1)

    def test_the_page_on_simulations(self):
        _, names = self.play(blocks("../simulation.md"))
        np.testing.assert_allclose(names["state"]["w"], [1, -2, 0.5], atol=0.02)

    def test_the_notebook_is_the_tutorial_and_runs(self):
        sys.path.insert(0, str(EXAMPLES))
        import make_notebook

        text = (EXAMPLES / "tutorial.ipynb").read_text()
        self.assertEqual(text, make_notebook.notebook(), "run examples/python/make_notebook.py")
        if importlib.util.find_spec("nbclient") is None or not importlib.util.find_spec("ipykernel"):
            codes = ["".join(cell["source"]) for cell in json.loads(text)["cells"]
                     if cell["cell_type"] == "code"]
            self.assertIn("15 3 ", self.play(codes)[0])
            return
        import nbclient
        import nbformat

        with tempfile.TemporaryDirectory() as scratch:
            done = nbclient.NotebookClient(
                nbformat.reads(text, 4), timeout=120 * SCALE,
                resources={"metadata": {"path": scratch}}).execute()
        outputs = [output.get("text", "") for cell in done.cells if cell.cell_type == "code"
                   for output in cell.outputs]
        self.assertIn("15 3 ", "".join(outputs))

    def test_links_between_pages_lead_somewhere(self):
        for page in [*PAGES.glob("*.md"), EXAMPLES / "README.md"]:
            for target in re.findall(r"\]\(([^)#:]+)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")

    def test_the_reference_names_everything(self):
        page = (PAGES / "reference.md").read_text()
        for name in trib.__all__:
            self.assertIn(name, page)
        for thing in (trib.Client, trib.Task, trib.Run, trib.Server):
            for name in vars(thing):
                if not name.startswith("_"):
                    self.assertIn(name, page, thing)


class Ported(Daemon):
    def test_the_page_for_flare_users(self):
        script = blocks("from-flare.md")[-1]
        run = self.create({"w": np.zeros(3, np.float32)}, strategy={"quorum": 2},
                          train={"steps": 5, "lr": 0.3}, stop={"versions": 8})
        sites = [in_background(lambda site=site: exec(script, {"link": run.link, "site": site}))
                 for site in ("one", "three")]
        for site in sites:
            site.join(60 * SCALE)
        np.testing.assert_allclose(run.model(like="numpy")["w"], [1, 2, 3], atol=0.05)


class Scripts(unittest.TestCase):
    def run_example(self, name, *arguments, needs="torch"):
        if importlib.util.find_spec(needs) is None:
            self.skipTest(f"{needs} is not installed")
        done = subprocess.run([sys.executable, str(EXAMPLES / name), *arguments],
                              capture_output=True, text=True, timeout=300 * SCALE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def number(self, pattern, text):
        return float(re.search(pattern, text).group(1))

    def test_flower_client(self):
        printed = self.run_example("flower_client.py", needs="numpy")
        self.assertGreater(self.number(r"accuracy ([\d.]+)", printed), 0.95)

    def test_robust(self):
        printed = self.run_example("robust.py", needs="numpy")
        self.assertGreater(self.number(r"mean: +([\d.]+)", printed), 1)
        self.assertLess(self.number(r"median: +([\d.]+)", printed), 0.1)
        self.assertLess(self.number(r"live: +([\d.]+)", printed), 0.5)

    def test_mnist(self):
        printed = self.run_example("mnist.py", "--sites", "4", "--versions", "4")
        self.assertGreater(self.number(r"test accuracy ([\d.]+)", printed), 0.8)

    def test_heart(self):
        printed = self.run_example("heart.py", "--versions", "10")
        self.assertGreater(self.number(r"together: test accuracy ([\d.]+)", printed), 0.8)

    def test_activity(self):
        """With people who name things differently, one model for all cannot work."""
        printed = self.run_example("activity.py", "--versions", "10")
        shared = self.number(r"one for all +([\d.]+)", printed)
        self.assertGreater(self.number(r"personal layers +([\d.]+)", printed), shared + 0.2)

    def test_text(self):
        for kind in ([], ["--lstm"]):
            printed = self.run_example("text.py", "--roles", "2", "--versions", "4", *kind)
            first, last = re.search(r"loss ([\d.]+) -> ([\d.]+)", printed).groups()
            self.assertLess(float(last), float(first))


if __name__ == "__main__":
    main_or_skip("numpy", "tributary")
