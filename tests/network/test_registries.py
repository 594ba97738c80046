"""`pip download` and `npm install` from registries on loopback, outside of the session: allowed, and not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator

import pytest

from tests.network.conftest import ENGINES
from tests.support.workshop import Workshop, needs

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("engine", ENGINES)]

WHEEL = "tiny-1.0-py3-none-any.whl"


@contextlib.contextmanager
def registry(files: dict[str, tuple[str, bytes]]) -> Iterator[tuple[int, list[str]]]:
    """Serve files by path, each with its content type; yields the port, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            kind, body = files.get(self.path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def wheel() -> bytes:
    """A package with one module (PEP 427)."""
    data = io.BytesIO()
    about = "tiny-1.0.dist-info"
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("tiny.py", "ANSWER = 42\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return data.getvalue()


def index() -> dict[str, tuple[str, bytes]]:
    """A package index with it (PEP 503)."""
    body = wheel()
    link = f'<!DOCTYPE html><a href="/files/{WHEEL}#sha256={hashlib.sha256(body).hexdigest()}">{WHEEL}</a>'
    return {
        "/simple/tiny/": ("text/html", link.encode()),
        f"/files/{WHEEL}": ("application/octet-stream", body),
    }


def npm_package() -> bytes:
    """A package with one module and a script that runs when it is installed."""
    data = io.BytesIO()
    files = {
        "package.json": json.dumps(
            {"name": "tiny", "version": "1.0.0", "scripts": {"install": "node made.js"}}
        ),
        "index.js": "module.exports = 42;\n",
        "made.js": "require('fs').writeFileSync('made', 'yes');\n",
    }
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def denied(workshop: Workshop, script: str, engine: str, port: int, *options: str) -> str:
    """Run what must fail with one clear event; the rule line that it has."""
    done = workshop.run(script, *options, engine=engine)
    assert done.status not in (0, 125), done.output
    assert len(done.events) == 1, done.events
    (event,) = done.events
    told = (event["access"], event["path"], event["syscall"], event["errno"])
    assert told == ("connect", f"127.0.0.1!{port}", "connect", "EACCES")
    assert event["allow"] == f"allow connect 127.0.0.1!{port}"
    return str(event["allow"])


def test_pip_download(workshop: Workshop, engine: str) -> None:
    """A wheel from an index."""
    with registry(index()) as (port, asked):
        script = f"""
export PIP_CONFIG_FILE=/dev/null PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
{sys.executable} -m pip -q --isolated download --retries 0 --no-cache-dir --no-deps -d out \\
    --index-url http://127.0.0.1:{port}/simple/ tiny
ls out
"""
        rule = denied(workshop, script, engine, port)
        assert asked == []
        done = workshop.run(script, "--rule", rule, engine=engine)
    assert (done.status, done.output, done.events) == (0, f"{WHEEL}\n", [])
    assert asked == ["/simple/tiny/", f"/files/{WHEEL}"]


def test_npm_install(workshop: Workshop, engine: str) -> None:
    """A package with an install script, from a registry that answers as npm's does."""
    needs("npm", "node")
    files: dict[str, tuple[str, bytes]] = {}
    body = npm_package()
    with registry(files) as (port, asked):
        files["/tiny/-/tiny-1.0.0.tgz"] = ("application/octet-stream", body)
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(body).digest()).decode()
        version = {
            "name": "tiny",
            "version": "1.0.0",
            "hasInstallScript": True,
            "scripts": {"install": "node made.js"},
            "dist": {
                "tarball": f"http://127.0.0.1:{port}/tiny/-/tiny-1.0.0.tgz",
                "integrity": integrity,
            },
        }
        about = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        files["/tiny"] = ("application/json", json.dumps(about).encode())
        workshop.write("package.json", '{"name": "user", "version": "1.0.0"}\n')
        script = f"""
export npm_config_cache=$PWD/.npm npm_config_update_notifier=false npm_config_fetch_retries=0
npm install --silent --no-audit --no-fund --registry=http://127.0.0.1:{port}/ tiny
node -p 'require("tiny")'
cat node_modules/tiny/made
"""
        # It lists the interfaces of the machine; it does without where it may not.
        interfaces = ("--rule", "allow net netlink:route")
        rule = denied(workshop, script, engine, port, *interfaces)
        assert asked == []
        done = workshop.run(script, *interfaces, "--rule", rule, engine=engine)
    assert (done.status, done.output, done.events) == (0, "42\nyes", []), done.output
    assert asked == ["/tiny", "/tiny/-/tiny-1.0.0.tgz"]
