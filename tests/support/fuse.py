"""A file system that answers when a test lets it: FUSE's own protocol, without a library.

Two files, `page` and `data`, whose content is given. It runs as a process of its own, so that whoever waits
for it never waits for itself. Source: <linux/fuse.h>, protocol 7.31.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MNT_DETACH = 2
_PATIENCE = 20

_IN = struct.Struct("=IIQQIIII")
_OUT = struct.Struct("=IiQ")
_ATTR = struct.Struct("=QQQQQQIIIIIIIIII")
_NAMES = {1: "LOOKUP", 3: "GETATTR", 14: "OPEN", 15: "READ", 17: "STATFS", 25: "FLUSH", 27: "OPENDIR"}
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
_FILES = {b"page": 2, b"data": 3}


class Fuse:
    """A mounted file system, from the test's side.

    Attributes:
        path: where it is mounted.
    """

    def __init__(self, path: str, process: subprocess.Popen[str]) -> None:
        self.path = path
        self._process = process

    def hold(self, *operations: str) -> None:
        """From now on keep the answers to some operations, such as LOOKUP, GETATTR, OPEN, READ."""
        self._say("hold " + " ".join(operations))
        assert self._hear() == "holds"

    def held(self) -> str:
        """Wait until an answer is kept: to which operation."""
        word, _, operation = self._hear().partition(" ")
        assert word == "held"
        return operation

    def answer(self) -> None:
        """Answer everything that was kept, and keep nothing any more."""
        self._say("answer")

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _PATIENCE)
        assert ready, "the file system was not asked"
        return self._process.stdout.readline().rstrip("\n")


@contextlib.contextmanager
def mounted(path: str, page: bytes, data: bytes) -> Iterator[Fuse]:
    """Mount one at *path*; needs CAP_SYS_ADMIN and /dev/fuse, without which the test is skipped.

    Args:
        path: a directory.
        page: content of the file `page`,
        data: and of `data`.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.support.fuse", path, page.hex(), data.hex()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        word = process.stdout.readline().rstrip("\n")
        try:
            if word != "mounted":
                pytest.skip(f"needs to mount FUSE: {word}")
            yield Fuse(path, process)
        finally:
            # With the end of its input it takes the mount away, and with its own end it lets go of who waits.
            assert process.stdin is not None
            process.stdin.close()
            process.wait(_PATIENCE)


def _say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


class _Server:
    def __init__(self, device: int, page: bytes, data: bytes) -> None:
        self._device = device
        self._content = {2: page, 3: data}
        self._holds: set[str] = set()
        self._held: list[bytes] = []

    def serve(self) -> None:
        while True:
            ready, _, _ = select.select([0, self._device], [], [])
            if 0 in ready:
                line = os.read(0, 4096).decode()
                if not line:
                    return
                word, *operations = line.split()
                self._holds = set(operations)
                if word == "hold":
                    _say("holds")
                for request in self._held if word == "answer" else ():
                    self._answer(request)
                if word == "answer":
                    self._held.clear()
            if self._device in ready:
                try:
                    request = os.read(self._device, 1 << 17)
                except BlockingIOError:  # who asked was killed meanwhile
                    continue
                name = _NAMES.get(_IN.unpack_from(request)[1], "")
                if name in self._holds:
                    self._held.append(request)
                    _say(f"held {name}")
                else:
                    self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, operation, unique, node, *_ = _IN.unpack_from(request)
        if operation in (_FORGET, _BATCH_FORGET, _INTERRUPT):
            return
        result = self._result(operation, node, request[_IN.size :])
        number, body = (-result, b"") if isinstance(result, int) else (0, result)
        with contextlib.suppress(FileNotFoundError):  # who asked has been killed
            os.write(self._device, _OUT.pack(_OUT.size + len(body), number, unique) + body)

    def _result(self, operation: int, node: int, body: bytes) -> bytes | int:
        if operation == _INIT:
            # FUSE_ASYNC_READ: who waits for a page can be killed.
            return struct.pack("=IIIIHHIIHHI", 7, 31, 1 << 17, 1, 16, 12, 4096, 1, 0, 0, 0) + bytes(28)
        if operation == _LOOKUP:
            found = _FILES.get(body.rstrip(b"\0")) if node == 1 else None
            # Nothing is valid for any time: every look is asked about.
            return (
                struct.pack("=QQQQII", found, 0, 0, 0, 0, 0) + self._about(found) if found else errno.ENOENT
            )
        if operation == _GETATTR:
            return struct.pack("=QII", 0, 0, 0) + self._about(node)
        if operation in (_OPEN, _OPENDIR):
            return bytes(16)
        if operation == _READ:
            _, offset, size = struct.unpack_from("=QQI", body)
            return self._content[node][offset : offset + size]
        if operation == _STATFS:
            return struct.pack("=QQQQQIIII", 1, 0, 0, 2, 0, 4096, 255, 4096, 0) + bytes(24)
        if operation in (_RELEASE, _RELEASEDIR, _FLUSH, _READDIR):
            return b""
        return errno.ENOSYS

    def _about(self, node: int) -> bytes:
        mode, size = (
            (stat.S_IFDIR | 0o755, 0) if node == 1 else (stat.S_IFREG | 0o644, len(self._content[node]))
        )
        return _ATTR.pack(node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)


_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Mount, say so, and serve until standard input ends: PATH PAGE DATA, contents in hexadecimal."""
    path, page, data = sys.argv[1:]
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _say(f"/dev/fuse: {error.strerror}")
        return
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    if _libc.mount(b"test", path.encode(), b"fuse.test", 0, options.encode()):
        _say(f"mount: {os.strerror(ctypes.get_errno())}")
        return
    _say("mounted")
    try:
        _Server(device, bytes.fromhex(page), bytes.fromhex(data)).serve()
    finally:
        _libc.umount2(path.encode(), MNT_DETACH)


if __name__ == "__main__":
    main()
