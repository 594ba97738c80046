"""Three real builds under `build`: the same result as natively, and nothing for those who planted something.

Sources come from the Debian archive and PyPI, through benchmarks.sources, into a cache directory
(SYDD_TEST_CACHE, else ~/.cache/sydd-tests). Each test takes some ten seconds.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import zipfile
from typing import Any

import pytest

from tests.builds.conftest import Builder, snapshot

pytestmark = [pytest.mark.timeout(300)]

MAKE = "./configure --quiet && make --silent && make --silent install DESTDIR=$PWD/out"

LOG_OF_CONFIGURE = re.compile(r"^config\.log$")
"""Holds the time, and names of temporary files."""

PLANTED_SHELL = """
echo planted >> "$HOME/.bashrc" || :
cp "$HOME/.ssh/id_ed25519" stolen || :
rm -f "$HOME/x" || :
"""

PLANTED_PYTHON = """
import os, shutil
for planted in (
    lambda: open(os.path.expanduser("~/.bashrc"), "a").write("planted"),
    lambda: shutil.copyfile(os.path.expanduser("~/.ssh/id_ed25519"), "stolen"),
    lambda: os.unlink(os.path.expanduser("~/x")),
):
    try:
        planted()
    except OSError:
        pass
"""

PLANTED_NODE = """
const files = require("fs"), home = require("os").homedir();
for (const planted of [
  () => files.appendFileSync(home + "/.bashrc", "planted"),
  () => files.copyFileSync(home + "/.ssh/id_ed25519", "stolen"),
  () => files.unlinkSync(home + "/x"),
]) {
  try { planted(); } catch (error) { if (!error.code) throw error; }
}
"""


def wheel_command(backend: str) -> str:
    """Build a wheel of the current directory; nothing is fetched."""
    options = "--no-index --no-build-isolation --no-deps --no-cache-dir --disable-pip-version-check"
    python = f"PYTHONPATH={shlex.quote(backend)} {shlex.quote(sys.executable)}"
    return f"{python} -m pip wheel -q {options} --wheel-dir out ."


def check_planted(builder: Builder, events: list[dict[str, Any]], program: str) -> None:
    """Each of the three is told, with path, rule, process and the line that would allow it."""
    builder.assert_untouched()
    found = {(event["access"], event["path"]): event for event in events}
    for access, name, rule in (
        ("modify", ".bashrc", "no rule: default"),
        ("read", ".ssh/id_ed25519", "deny read,write ${home}/.{ssh,gnupg,pki,password-store}/**"),
        ("delete", "x", "no rule: default"),
    ):
        event = found[access, f"{builder.home}/{name}"]
        assert event["action"] == "deny"
        assert event["errno"] == "EACCES"
        assert event["rule"] == rule
        assert event["allow"] == f"allow {access} ${{home}}/{name}"
        assert event["process"]["pid"] > 0
        assert program in " ".join(event["process"]["argv"]) or any(
            program in parent["command"] for parent in event["process"]["parents"]
        )
        assert event["process"]["cwd"].startswith(builder.work)


# ---- GNU hello


def test_hello_is_built_as_natively(builder: Builder, hello: str) -> None:
    """configure, make and make install: the whole tree has equal names, modes, owners, links and content."""
    builder.unpack(hello)
    builder.natively(MAKE)
    expected = snapshot(builder.work, LOG_OF_CONFIGURE)
    builder.unpack(hello)
    done, events = builder.confined(MAKE)
    assert (done.returncode, events) == (0, []), done.stderr[-2000:]
    assert snapshot(builder.work, LOG_OF_CONFIGURE) == expected
    assert "out/usr/local/bin/hello" in expected


def test_hello_with_something_planted(builder: Builder, hello: str) -> None:
    """A line in configure that writes, reads and deletes in the home directory gets nothing of it."""
    builder.unpack(hello)
    path = os.path.join(builder.work, "configure")
    with open(path, encoding="latin-1") as file:
        first, rest = file.read().split("\n", 1)
    with open(path, "w", encoding="latin-1") as file:
        file.write(first + PLANTED_SHELL + rest)
    done, events = builder.confined(MAKE)
    assert done.returncode == 0, done.stderr[-2000:]
    check_planted(builder, events, "configure")
    assert os.path.exists(f"{builder.work}/out/usr/local/bin/hello")


# ---- psutil


def wheel_of(builder: Builder) -> list[tuple[str, int, bytes]]:
    """What is in the wheel: names, modes and content."""
    (name,) = os.listdir(f"{builder.work}/out")
    with zipfile.ZipFile(f"{builder.work}/out/{name}") as wheel:
        return [(item.filename, item.external_attr >> 16, wheel.read(item)) for item in wheel.infolist()]


def test_a_wheel_is_built_as_natively(builder: Builder, psutil: str, backend: str) -> None:
    """A C extension, through pip and setuptools: the same wheel, file by file."""
    command = wheel_command(backend)
    builder.unpack(psutil)
    builder.natively(command)
    expected = wheel_of(builder)
    builder.unpack(psutil)
    done, _ = builder.confined(command)
    assert done.returncode == 0, done.stderr[-2000:]
    assert wheel_of(builder) == expected
    assert any(name.endswith(".so") for name, _, _ in expected)


def test_a_wheel_with_something_planted(builder: Builder, psutil: str, backend: str) -> None:
    """Lines in setup.py get nothing of what they reach for, and the wheel is built."""
    command = wheel_command(backend)
    builder.unpack(psutil)
    path = os.path.join(builder.work, "setup.py")
    with open(path, "a", encoding="utf-8") as file:
        file.write(PLANTED_PYTHON)
    done, events = builder.confined(command)
    assert done.returncode == 0, done.stderr[-2000:]
    check_planted(builder, events, "python")
    assert wheel_of(builder)


# ---- npm

NPM = 'npm install --offline --no-audit --no-fund --install-links --cache "$TMPDIR/npm" ./package'
PACKAGE = """{
  "name": "greeter", "version": "1.0.0", "license": "MIT", "main": "index.js",
  "scripts": {"install": "node install.js"}, "bin": {"greet": "index.js"}
}
"""
INSTALL = """
const fs = require("fs");
fs.mkdirSync("built", {recursive: true});
fs.writeFileSync("built/greeting", "hello\\n", {mode: 0o640});
fs.chmodSync("built/greeting", 0o750);
fs.symlinkSync("greeting", "built/link");
"""


def npm_project(builder: Builder, install: str) -> None:
    """A project, and beside it a package with an install script."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    shutil.rmtree(builder.work, ignore_errors=True)
    os.makedirs(f"{builder.work}/package")
    for name, text in (
        ("package.json", '{"name": "project", "version": "1.0.0", "private": true}\n'),
        ("package/package.json", PACKAGE),
        ("package/install.js", install),
        ("package/index.js", '#!/usr/bin/env node\nconsole.log("hello");\n'),
    ):
        with open(f"{builder.work}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    builder.user.give(builder.work)


def test_npm_installs_as_natively(builder: Builder) -> None:
    """A local package whose install script makes files, a mode and a link."""
    npm_project(builder, INSTALL)
    builder.natively(NPM)
    expected = snapshot(builder.work)
    npm_project(builder, INSTALL)
    done, _ = builder.confined(NPM)
    assert done.returncode == 0, done.stderr[-2000:]
    assert snapshot(builder.work) == expected
    assert "node_modules/greeter/built/link" in expected


def test_npm_with_something_planted(builder: Builder) -> None:
    """The install script of a package gets nothing of what it reaches for."""
    npm_project(builder, PLANTED_NODE + INSTALL)
    done, events = builder.confined(NPM)
    assert done.returncode == 0, done.stderr[-2000:]
    check_planted(builder, events, "node")
    assert os.path.exists(f"{builder.work}/node_modules/greeter/built/greeting")
