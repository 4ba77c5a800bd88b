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
    "client": "base tensor",
    "node": ALL_BELOW_TRAIN,
    "sim": ALL_BELOW_TRAIN + " train client node",
    "cli": ALL_BELOW_TRAIN + " train client node sim",
}

EMPTY_NAME = re.compile(r"^(common|utils?|internal|private)$")
SYSTEM_STATE = re.compile(
    r"\b(clock_gettime|time|gettimeofday|s?rand|s?random|getrandom|arc4random\w*)\s*\(")
NOT_IN_RUN = re.compile(
    r"^(sys/(socket|stat|mman|epoll|time)|netinet/.*|pthread|threads|stdio|fcntl|unistd|uv|time)\.h$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.MULTILINE)
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def blank(match):
    """Comments and strings vanish, their line breaks stay."""
    return "\n" * match.group().count("\n")


def complaints(room, path, text):
    """Yield (offset in text, what is wrong) for one source file."""
    if path.suffix == ".h" and EMPTY_NAME.match(path.stem):
        yield 0, f"a header named {path.name} says nothing about its contents"
    for include in INCLUDE.finditer(text):
        header = include.group(1)
        target = header.split("/")[0]
        if target in MAY_INCLUDE and target not in (room, *MAY_INCLUDE[room].split()):
            yield include.start(), f"{room} may not include {header}"
        if room == "run" and NOT_IN_RUN.match(header):
            yield include.start(), f"run is pure and may not include {header}"
    if room != "base":
        code = NOT_CODE.sub(blank, text)
        for number, line in enumerate(code.split("\n")):
            for call in SYSTEM_STATE.finditer(line):
                offset = sum(len(l) + 1 for l in text.split("\n")[:number])
                yield offset, f"{call.group(1)}() belongs to base (use trib_env or trib_random)"


def main(root):
    count = 0
    for path in sorted((root / "src").rglob("*.[ch]")):
        room = path.relative_to(root / "src").parts[0]
        if room not in MAY_INCLUDE:
            print(f"{path.relative_to(root)}: {room} is not a room")
            count += 1
            continue
        text = path.read_text(encoding="utf-8")
        for offset, what in complaints(room, path, text):
            print(f"{path.relative_to(root)}:{text.count(chr(10), 0, offset) + 1}: {what}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
