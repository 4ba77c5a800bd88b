"""test_install.py - pip install ./python in a fresh virtual environment, without any network."""
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import unittest

from support import TOP, main_or_skip

PACKAGE = TOP / "python"
CHECK = "import tributary, tributary._link; print(tributary._link.open_backend('trib://localhost:1/r', 'a', 'trainer', None, 1.0, None, None, None).__class__.__module__)"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}:\n{done.stdout}\n{done.stderr}")
    return done.stdout.strip()


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.python = str(cls.folder / "venv/bin/python")
        try:
            run(sys.executable, "-m", "venv", str(cls.folder / "venv"))
        except AssertionError as error:
            raise unittest.SkipTest(f"no venv module: {str(error).splitlines()[-1]}") from None

    def setUp(self):
        self.addCleanup(self.pip, "uninstall", "-y", "tributary")

    def pip(self, *arguments, **environment):
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *arguments,
                   cwd=self.folder, env={**os.environ, "PIP_NO_INDEX": "1", **environment})

    def say(self, script):
        """What the script prints for a user of the environment."""
        return run(self.python, "-c", script, cwd=self.folder,
                   env={key: value for key, value in os.environ.items()
                        if key not in ("TRIBUTARY_PURE", "PYTHONPATH")})

    def has_headers(self):
        include = pathlib.Path(sysconfig.get_path("include"), "Python.h")
        if not include.exists() or not (shutil.which("cc") or shutil.which("gcc")):
            self.skipTest("no compiler or no Python.h")

    def test_with_a_compiler_there_is_the_extension(self):
        self.has_headers()
        self.pip("install", str(PACKAGE), TRIBUTARY_PURE="")
        self.assertEqual(self.say(CHECK), "tributary._client")
        self.assertIn("0.1.0", self.pip("show", "tributary"))
        self.pip("check")

    def test_one_wheel_serves_every_python_from_3_11_on(self):
        self.has_headers()
        self.pip("wheel", "--no-deps", "--wheel-dir", "wheels", str(PACKAGE), TRIBUTARY_PURE="")
        (wheel,) = (self.folder / "wheels").iterdir()
        self.assertRegex(wheel.name, r"^tributary-[0-9.]+-cp311-abi3-linux_\w+\.whl$")
        self.pip("install", str(wheel))
        self.assertEqual(self.say(CHECK), "tributary._client")

    def test_without_one_it_is_pure_python(self):
        self.pip("install", str(PACKAGE), TRIBUTARY_PURE="", CC="no-such-compiler")
        self.assertEqual(self.say(CHECK), "tributary._pure")

    def test_a_source_distribution_is_enough(self):
        self.has_headers()
        made = run(sys.executable, "-c", f"import build_backend; "
                   f"print(build_backend.build_sdist({str(self.folder)!r}))", cwd=PACKAGE)
        self.pip("install", str(self.folder / made), TRIBUTARY_PURE="")
        self.assertEqual(self.say(CHECK), "tributary._client")

    def test_editable_installs_import_this_folder(self):
        self.pip("install", "--editable", str(PACKAGE), TRIBUTARY_PURE="1")
        self.assertEqual(self.say("import tributary; print(tributary.__file__)"),
                         str(PACKAGE / "tributary/__init__.py"))


class Package(unittest.TestCase):
    def test_one_version_everywhere(self):
        project = re.search(r"version: '([\d.]+)'", (TOP / "meson.build").read_text()).group(1)
        package = (PACKAGE / "tributary/__init__.py").read_text()
        self.assertIn(f'__version__ = "{project}"', package)
        self.assertIn(f'version = "{project}"', (PACKAGE / "pyproject.toml").read_text())

    def test_types_hold(self):
        """mypy, as strict as pyproject.toml says, of the package and of the examples."""
        if importlib.util.find_spec("mypy") is None:
            self.skipTest("mypy is not installed")
        examples = sorted(str(path) for path in (*(TOP / "examples/python").glob("*.py"),
                                                 *(TOP / "examples/combiner").glob("*.py")))
        self.assertGreater(len(examples), 5)
        with tempfile.TemporaryDirectory() as cache:
            mypy = (sys.executable, "-m", "mypy", "--cache-dir", cache)
            run(*mypy, cwd=PACKAGE)
            run(*mypy, *examples, cwd=PACKAGE, env={**os.environ, "MYPYPATH": str(PACKAGE)})


if __name__ == "__main__":
    main_or_skip()
