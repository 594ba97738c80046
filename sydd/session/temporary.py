"""The session's private temporary directory."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def private_directory() -> Iterator[str]:
    """A new directory of mode 0700 below $TMPDIR or /tmp, canonical; gone afterwards, with all that is in it.

    Raises:
        OSError: it cannot be made.
    """
    path = os.path.realpath(tempfile.mkdtemp(prefix="sydd-"))
    try:
        yield path
    finally:
        remove_tree(path)


def remove_tree(path: str) -> None:
    """Remove *path* and all below it, also directories left without permissions; follows no link."""

    def retry(function: object, name: str, _error: object) -> None:
        parent = os.path.dirname(name)
        for directory in (parent, name):
            try:
                if stat.S_ISDIR(os.lstat(directory).st_mode):
                    os.chmod(directory, 0o700, follow_symlinks=False)
            except (OSError, NotImplementedError):
                pass
        if callable(function):
            try:
                if function is os.open or function is os.scandir or function is os.lstat:
                    shutil.rmtree(name, ignore_errors=True)
                else:
                    function(name)
            except (OSError, TypeError):
                pass

    shutil.rmtree(path, onerror=retry)
    if os.path.lexists(path):
        shutil.rmtree(path, ignore_errors=True)
