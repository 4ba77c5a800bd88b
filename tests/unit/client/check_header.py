"""check_header.py - tributary/client.h as a stranger meets it: alone, as C++, and its example compiled.

Usage: check_header.py HEADER C-COMPILER [C++-COMPILER ...]; prints TAP.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
AROUND = """#include <tributary/client.h>
uint64_t my_training(const struct trib_client_tensor *tensors, size_t count);
int take_part(const char *link);
int take_part(const char *link) {
%s
}
"""


def example(header):
    """The indented code of the comment "A whole participant"."""
    comment = re.search(r"/\* A whole participant.*?\*/", header, re.DOTALL).group()
    lines = re.findall(r"^ \*     (.*)$", comment, re.MULTILINE)
    assert 10 <= len(lines) <= 20, f"the example has {len(lines)} lines"
    return AROUND % "\n".join(lines)


def compiles(command, text, name, include):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, name)
        path.write_text(text)
        result = subprocess.run([*command, *STRICT, "-I", include, path],
                                stderr=subprocess.PIPE, text=True)
        for line in result.stderr.splitlines():
            print("#", line)
        return result.returncode == 0


def main(header, c_compiler, *cxx_compilers):
    include = pathlib.Path(header).resolve().parents[1]
    text = pathlib.Path(header).read_text(encoding="utf-8")
    alone = "#include <tributary/client.h>\n"
    checks = [("the header alone is C17", [c_compiler, "-std=c17"], alone, "alone.c"),
              ("its example is C17", [c_compiler, "-std=c17"], example(text), "example.c")]
    for cxx in cxx_compilers:
        checks.append((f"the header is C++11 ({pathlib.Path(cxx).name})", [cxx, "-std=c++11"],
                       alone, "alone.cc"))
        checks.append((f"its example is C++20 ({pathlib.Path(cxx).name})",
                       [cxx, "-std=c++20", "-Wno-missing-field-initializers"],
                       example(text), "example.cc"))
    print(f"1..{max(len(checks), 3)}")
    for number, (what, command, source, name) in enumerate(checks, 1):
        print("ok" if compiles(command, source, name, include) else "not ok", number, "-", what)
    if not cxx_compilers:
        print("ok 3 - the header is C++ # SKIP no C++ compiler here")


if __name__ == "__main__":
    main(*sys.argv[1:])
