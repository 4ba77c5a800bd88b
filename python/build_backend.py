"""build_backend.py - makes the wheel of tributary with nothing but Python and a C compiler.

A build backend (PEP 517, PEP 660) of its own, because the extension is one compiler call and
everything else is copying: so `pip install ./python` works without a network and without
setuptools. The extension is made of the device library's own sources (src/client/meson.build has
their list) and CPython's stable ABI, so that one wheel serves every Python from 3.11 on.

Without a compiler or Python.h the wheel is pure: tributary then speaks through the standard
library. Without OpenSSL's headers the extension has no TLS, and links that ask for it go that way,
too. TRIBUTARY_PURE=1 asks for a pure wheel.

    python3 build_backend.py assemble DIR STAMP

puts the package into DIR/tributary, its sources as symbolic links, and touches STAMP: for the tests.
"""
import base64
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# In a source distribution the C sources lie beside this file, in the repository one above.
TOP = HERE if (HERE / "src").exists() else HERE.parent
PACKAGE = HERE / "tributary"
EXTENSION = "_client.abi3.so"
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
NAME, VERSION = PROJECT["name"], PROJECT["version"]
TLS_SOURCES = [TOP / "src" / name for name in ("cli/way.c", "cli/secure.c", "net/certificate.c")]


# --- the extension ---

def client_sources():
    """The device library's .c files, as its own build lists them."""
    listed = re.findall(r"'([\w./]+\.c)'", (TOP / "src/client/meson.build").read_text())
    return [(TOP / "src/client" / name).resolve() for name in listed]


def compiler_call(target, has_tls):
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    tls = ["-DTRIB_WITH_TLS", *TLS_SOURCES, "-lssl", "-lcrypto"] if has_tls else []
    return [*compiler, "-std=c17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden",
            "-ffp-contract=off", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-DNDEBUG",
            *shlex.split(os.environ.get("CFLAGS", "")),
            f"-I{sysconfig.get_path('include')}", f"-I{TOP / 'src'}", f"-I{TOP / 'include'}",
            PACKAGE / "_client.c", *client_sources(), *tls, "-lm", "-o", target]


def compile_extension(target):
    """True when there is an extension at target now."""
    if os.environ.get("TRIBUTARY_PURE"):
        return False
    for has_tls in (True, False):
        try:
            done = subprocess.run(compiler_call(target, has_tls), stderr=subprocess.PIPE, text=True)
        except OSError as error:
            done = subprocess.CompletedProcess([], 1, stderr=f"{error}\n")
        if done.returncode == 0:
            return True
        without = "its TLS" if has_tls else "it, in pure Python"
        print(f"{done.stderr}tributary: no extension; trying without {without}", file=sys.stderr)
    return False


def assemble(directory):
    """The package for the tests of this repository: never stale, because .py files are links."""
    package = pathlib.Path(directory, "tributary")
    for source in package_files():
        link = package / source.relative_to(PACKAGE)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    if not compile_extension(package / EXTENSION):
        (package / EXTENSION).unlink(missing_ok=True)


def package_files():
    kept = (".py", ".typed")
    return [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in kept or
            path.name == "py.typed"]


# --- wheels ---

def metadata():
    lines = ["Metadata-Version: 2.1", f"Name: {NAME}", f"Version: {VERSION}",
             f"Summary: {PROJECT['description']}", f"License: {PROJECT['license']}",
             f"Requires-Python: {PROJECT['requires-python']}",
             "Description-Content-Type: text/markdown", "", (HERE / "README.md").read_text()]
    return "\n".join(lines)


def write_wheel(directory, contents, is_pure):
    """contents: {name in the wheel: bytes}; returns the wheel's file name."""
    platform = re.sub(r"[-. ]", "_", sysconfig.get_platform())
    tag = "py3-none-any" if is_pure else f"cp311-abi3-{platform}"
    information = f"{NAME}-{VERSION}.dist-info"
    contents = {
        **contents,
        f"{information}/METADATA": metadata().encode(),
        f"{information}/WHEEL": (f"Wheel-Version: 1.0\nGenerator: {NAME} {VERSION}\n"
                                 f"Root-Is-Purelib: {str(is_pure).lower()}\nTag: {tag}\n").encode(),
    }
    record = ""
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(content)}\n"
    contents[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n".encode()
    wheel = f"{NAME}-{VERSION}-{tag}.whl"
    with zipfile.ZipFile(pathlib.Path(directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)  # dated 1980: the same sources make the same wheel
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            archive.writestr(entry, content)
    return wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    contents = {path.relative_to(HERE).as_posix(): path.read_bytes() for path in package_files()}
    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch, EXTENSION)
        has_extension = compile_extension(made)
        if has_extension:
            contents[f"tributary/{EXTENSION}"] = made.read_bytes()
    return write_wheel(wheel_directory, contents, not has_extension)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """A path to this folder; the extension is made beside its source."""
    has_extension = compile_extension(PACKAGE / EXTENSION)
    return write_wheel(wheel_directory, {f"{NAME}.pth": f"{HERE}\n".encode()}, not has_extension)


def build_sdist(sdist_directory, config_settings=None):
    """This folder, and the part of the repository that the extension is made of."""
    root = f"{NAME}-{VERSION}"
    sources = [*client_sources(), *TLS_SOURCES]
    files = [HERE / "pyproject.toml", HERE / "build_backend.py", HERE / "README.md",
             PACKAGE / "_client.c", *package_files()]
    shared = [TOP / "src/client/meson.build", *included(sources)]
    archive_name = f"{root}.tar.gz"
    with tarfile.open(pathlib.Path(sdist_directory, archive_name), "w:gz") as archive:
        for path in files:
            archive.add(path, f"{root}/{path.relative_to(HERE)}")
        for path in shared:
            archive.add(path, f"{root}/{path.relative_to(TOP)}")
        with tempfile.NamedTemporaryFile("w", suffix=".PKG-INFO") as information:
            information.write(metadata())
            information.flush()
            archive.add(information.name, f"{root}/PKG-INFO")
    return archive_name


def included(sources):
    """The sources and every header of the repository that they include, by themselves or another."""
    found, todo = set(), [*sources, PACKAGE / "_client.c"]
    while todo:
        path = todo.pop()
        for name in re.findall(r'^#include ["<]([\w/]+\.h)[">]', path.read_text(), re.MULTILINE):
            for folder in ("src", "include"):
                header = TOP / folder / name
                if header.exists() and header not in found:
                    found.add(header)
                    todo.append(header)
    return sorted({*found, *sources})


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "assemble":
        sys.exit(__doc__)
    assemble(sys.argv[2])
    pathlib.Path(sys.argv[3]).touch()
