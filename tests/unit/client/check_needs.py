"""check_needs.py - the device library and its example need libc (and libm) and nothing else.

Usage: check_needs.py LIBRARY.a PROGRAM; prints TAP.
"""
import re
import subprocess
import sys

LIBC = re.compile(r"^(linux-vdso|linux-gate|libc|libm|ld-[\w-]+|libc\.musl-\w+)\.so|^/.*/ld-[\w.-]+$")


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def needs_of_program(program):
    """What ldd lists besides libc."""
    names = [line.split()[0] for line in output_of("ldd", program).splitlines() if line.strip()]
    return [name for name in names if not LIBC.match(name)]


def needs_of_library(library):
    """Symbols of ours that the archive uses and does not have: it must link alone."""
    used, defined = set(), set()
    for line in output_of("nm", "-g", library).splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[0] == "U":
            used.add(fields[1])
        elif len(fields) == 3:
            defined.add(fields[2])
    foreign = re.compile(r"^(trib_|EVP_|SHA|HMAC|SSL_|json_|uv_|http_parser|yaml_|sqlite3_|crc32|"
                         r"inflate|deflate|dnnl_|pthread_create)")
    return sorted(name for name in used - defined if foreign.match(name))


def strays(library):
    """Global names of the archive outside of our prefix."""
    lines = [line.split() for line in output_of("nm", "-g", "--defined-only", library).splitlines()]
    return sorted({fields[2] for fields in lines
                   if len(fields) == 3 and not fields[2].startswith(("trib_", "__"))})


def main(library, program):
    print("1..3")
    for number, (what, found) in enumerate([
            ("the example needs libc only", needs_of_program(program)),
            ("the library has all that it uses of ours", needs_of_library(library)),
            ("all its names begin with trib_", strays(library))], 1):
        print("not ok" if found else "ok", number, "-", what)
        for name in found:
            print("#", name)


if __name__ == "__main__":
    main(*sys.argv[1:])
