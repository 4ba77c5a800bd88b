#!/usr/bin/env python3
"""rooms.py - keeps the rooms of src/ on their floors.

Fails when a room includes one it may not look into, when a header has a name that says nothing,
when anything but base reads a clock or draws randomness from the system, and when the heart
(run) learns of sockets, threads, files or time. Usage: rooms.py [source root]
"""
import pathlib
import re
import sys

ALL_BELOW_TRAIN = "base tensor wire codec store learn run net"
MAY_INCLUDE = {  # docs/architecture.md draws this table
    "base": "",
    "tensor": "base",
    "wire": "base",
    "codec": "base tensor",
    "store": "base tensor",
    "learn": "base tensor codec",
    "run": "base tensor learn",
    "net": "base wire",
    "train": "base tensor",
    "client": "base tensor wire/link.h",  # one header: the rest of wire needs more than libc
    "node": ALL_BELOW_TRAIN,
    "sim": ALL_BELOW_TRAIN + " train client node",
    "cli": ALL_BELOW_TRAIN + " train client node sim",
}

EMPTY_NAME = re.compile(r"^(common|utils?|internal|private)$")
SYSTEM_STATE = re.compile(
    r"(?<![.>])\b(clock_gettime|time|gettimeofday|s?rand|s?random|getrandom|arc4random\w*)\s*\(")
NOT_IN_RUN = re.compile(
    r"^(sys/(socket|stat|mman|epoll|time)|netinet/.*|pthread|threads|stdio|fcntl|unistd|uv|time)\.h$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.MULTILINE)
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def line_of(match):
    return match.string.count("\n", 0, match.start()) + 1


def without_comments(text):
    """The code alone, on the lines it was on; strings vanish as well."""
    return NOT_CODE.sub(lambda match: "\n" * match.group().count("\n"), text)


def complaints(room, path, text):
    """Yield (line, what is wrong) for one source file."""
    if path.suffix == ".h" and EMPTY_NAME.match(path.stem):
        yield 1, f"a header named {path.name} says nothing about its contents"
    for include in INCLUDE.finditer(text):
        header = include.group(1)
        target = header.split("/")[0]
        allowed = (room, *MAY_INCLUDE[room].split())
        if target in MAY_INCLUDE and target not in allowed and header not in allowed:
            yield line_of(include), f"{room} may not include {header}"
        if room == "run" and NOT_IN_RUN.match(header):
            yield line_of(include), f"run is pure and may not include {header}"
    if room != "base":
        for call in SYSTEM_STATE.finditer(without_comments(text)):
            yield line_of(call), f"{call.group(1)}() belongs to base (trib_env, trib_random)"


def main(root):
    count = 0
    for path in sorted((root / "src").rglob("*.[ch]")):
        name = path.relative_to(root)
        room = name.parts[1]
        if room not in MAY_INCLUDE:
            found = [(1, f"{room} is not a room")]
        else:
            found = complaints(room, path, path.read_text(encoding="utf-8"))
        for line, what in found:
            print(f"{name}:{line}: {what}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
