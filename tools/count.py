#!/usr/bin/env python3
"""count.py - runs the tests of a build directory and ends with `N passed, N failed`.

Counts TAP lines where a test prints them, one per program elsewhere. A program which dies counts
as a failure even when every line it printed was ok. Usage: count.py build [meson test options]
"""
import json
import pathlib
import re
import subprocess
import sys

TAP_LINE = re.compile(r"^(not )?ok\b(?:.*#\s*(skip|todo))?", re.MULTILINE | re.IGNORECASE)


def count(test):
    """(passed, failed) of one entry of Meson's test log."""
    if test["result"] == "SKIP":
        return 0, 0
    lines = [line for line in TAP_LINE.finditer(test.get("stdout") or "") if not line.group(2)]
    failed = sum(1 for line in lines if line.group(1))
    passed = len(lines) - failed
    if test["result"] in ("OK", "EXPECTEDFAIL"):
        return max(passed, 1), failed
    return passed, max(failed, 1)


def main(build, options):
    log = pathlib.Path(build, "meson-logs", "testlog.json")
    log.unlink(missing_ok=True)
    # A test that hangs shall end the run, not one on a slow or busy machine: thrice its own limit.
    command = ["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs",
               "--timeout-multiplier", "3", *options]
    code = subprocess.call(command)
    tests = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    passed = sum(count(test)[0] for test in tests)
    failed = sum(count(test)[1] for test in tests)
    if code and not failed:
        failed = 1  # Meson itself could not run the tests.
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
