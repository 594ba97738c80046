"""Debian's libpython3.11-testsuite: each test has the outcome that it has natively, under both engines.

python -m pytest -m slow tests/neutral
"""

from __future__ import annotations

import pytest

from tests.neutral.runner import SECONDS, Runner, check, needs_suite
from tests.support.unprivileged import Unprivileged

MODULES = (
    "test_os",
    "test_posix",
    "test_posixpath",
    "test_genericpath",
    "test_shutil",
    "test_pathlib",
    "test_tarfile",
    "test_tempfile",
    "test_subprocess",
    "test_signal",
    "test_threadsignals",
    "test_threading",
    "test_socketserver",
    "test_socket",
    "test_glob",
    "test_stat",
    "test_zipfile",
    "test_fileio",
    "test_io",
    "test_mmap",
    "test_fcntl",
    "test_file",
    "test_largefile",
    "test_pty",
    "test_openpty",
    "test_ioctl",
    "test_popen",
    "test_fork1",
    "test_wait3",
    "test_wait4",
    "test_poll",
    "test_select",
    "test_selectors",
    "test_epoll",
    "test_resource",
    "test_fileinput",
    "test_filecmp",
    "test_file_eintr",
    "test_eintr",
    "test_mailbox",
    "test_gzip",
    "test_bz2",
    "test_lzma",
    "test_dbm_dumb",
    "test_shelve",
    "test_unicode_file",
    "test_unicode_file_functions",
    "test_univnewlines",
    "test_bufio",
    "test_compileall",
    "test_py_compile",
    "test_logging",
    "test_httpservers",
    "test_urllib2_localnet",
    "test_ftplib",
    "test_pipes",
)

PROFILE = """
name = "cpython"
description = "What CPython's own tests need: their directory, sockets of this machine, what a build has"
extends = "build"
rules = ["allow net any"]

[environment]
set = { TMPDIR = "${cwd}/tmp" }
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(8 * SECONDS)]


@pytest.mark.parametrize("module", MODULES)
def test_each_outcome_is_as_natively(unprivileged: Unprivileged, module: str) -> None:
    """Modules that are about files and processes, or about sockets that nobody judges."""
    needs_suite()
    check(Runner(unprivileged, PROFILE), module)
