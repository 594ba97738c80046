"""As root: sessions in which single threads and processes change who they are."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import threading

from tests.transparency.acts.tell import LIBC, attempt, child, ended, raw, say, tried, write

SETFSUID, SETFSGID, SETRESUID, SETGROUPS = 122, 123, 117, 116


def another_user() -> None:
    """A child that has become somebody creates as that, and may do no more than that."""
    write("of-root")
    os.chmod("of-root", 0o600)
    os.mkdir("open-to-all")
    os.chmod("open-to-all", 0o1777)
    write("open-to-all/of-root")
    os.chmod(".", 0o755)

    def somebody() -> None:
        os.setgroups([7, 8])
        os.setresgid(1002, 1003, 1002)
        os.setresuid(1001, 1004, 1001)
        say(
            tried("of-root", os.O_RDONLY),
            tried("new", os.O_CREAT | os.O_WRONLY),
            tried("open-to-all/new", os.O_CREAT | os.O_RDWR),
        )
        attempt("sticky", os.unlink, "open-to-all/of-root")
        attempt("sticky rename", os.rename, "open-to-all/of-root", "open-to-all/taken")
        attempt("mkdir", os.mkdir, "open-to-all/d")
        attempt("chmod", os.chmod, "of-root", 0o666)
        attempt("chown", os.chown, "open-to-all/new", 0, 0)
        attempt("to a group", os.chown, "open-to-all/new", -1, 7)
        attempt("to another group", os.chown, "open-to-all/new", -1, 9)
        attempt("own", os.chmod, "open-to-all/new", 0o6755)
        attempt("truncate", os.truncate, "of-root", 0)
        attempt("utime", os.utime, "open-to-all/of-root", (1, 2))
        attempt("link", os.link, "of-root", "open-to-all/linked")

    ended(child(somebody))


def one_thread_alone() -> None:
    """fsuid, groups and capabilities of one thread: files of that thread go by them, of others not."""
    os.chmod(".", 0o777)

    def other() -> None:
        raw("groups", "syscall", SETGROUPS, 0, None)
        raw("fsgid", "syscall", SETFSGID, 1005)
        raw("fsuid", "syscall", SETFSUID, 1006)
        write("of-the-thread")
        os.mkdir("directory-of-the-thread")
        attempt("chown", os.chown, "of-the-thread", 0, 0)
        say(tried("/etc/shadow", os.O_RDONLY))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    write("of-root")
    say(tried("/etc/shadow", os.O_RDONLY))


def groups_of_directories() -> None:
    """A set-group-id directory gives its group on; a file of who is not of the group loses the bit."""
    os.mkdir("d")
    os.chown("d", 0, 1010)
    os.chmod("d", 0o2777)
    os.chmod(".", 0o777)
    write("d/of-root")
    os.mkdir("d/below")

    def somebody() -> None:
        os.umask(0)
        os.setgroups([])
        os.setresgid(1011, 1011, 1011)
        os.setresuid(1012, 1012, 1012)
        os.close(os.open("d/executable", os.O_CREAT | os.O_WRONLY, 0o2775))
        os.close(os.open("d/file", os.O_CREAT | os.O_WRONLY, 0o664))
        os.mkdir("d/directory", 0o775)
        os.mkfifo("d/fifo", 0o664)

    ended(child(somebody))


def owners() -> None:
    """To anybody, by path, link and descriptor; bits and capabilities fall."""
    write("file")
    os.chmod("file", 0o6755)
    attempt(
        "capability",
        os.setxattr,
        "file",
        "security.capability",
        bytes.fromhex("0100000200040000000000000000000000000000"),
    )
    say(sorted(os.listxattr("file")))
    os.chown("file", 1020, 1021)
    say(f"{os.stat('file').st_mode:o}", sorted(os.listxattr("file")))
    os.symlink("file", "link")
    os.lchown("link", 1022, 1023)
    fd = os.open("file", os.O_RDONLY)
    os.fchown(fd, 1024, -1)
    attempt("nobody's id", os.chown, "file", 4294967294, 4294967294)


def without_a_capability() -> None:
    """Root without CAP_DAC_OVERRIDE, CAP_CHOWN and CAP_FOWNER is held by modes."""
    write("mine")
    os.chmod("mine", 0)
    write("other")
    os.chown("other", 1030, 1030)
    os.chmod("other", 0o600)

    def drop() -> None:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)()
        LIBC.capget(header, data)
        for word in (0, 1):
            data[word] &= ~0b1111
        raw("capset", "capset", header, data)
        say(tried("mine", os.O_RDONLY), tried("other", os.O_WRONLY), tried("new", os.O_CREAT | os.O_WRONLY))
        attempt("chown", os.chown, "new", 1, 1)
        attempt("chmod", os.chmod, "other", 0o777)

    ended(child(drop))


def dropped_for_a_while() -> None:
    """Seteuid there and back."""
    os.chmod(".", 0o777)
    os.seteuid(1040)
    write("as-1040")
    say(tried("/etc/shadow", os.O_RDONLY))
    os.seteuid(0)
    write("as-root")
    say(tried("/etc/shadow", os.O_RDONLY))


def limit_of_size() -> None:
    """Of a child that is somebody else, too, a truncation over the limit is EFBIG, with SIGXFSZ."""
    write("file")
    os.chown("file", 1050, 1050)

    def somebody() -> None:
        os.setresgid(1050, 1050, 1050)
        os.setresuid(1050, 1050, 1050)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        attempt("ignored", os.truncate, "file", 2000)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.truncate("file", 2000)

    os.chmod(".", 0o755)
    ended(child(somebody))


def devices() -> None:
    """FIFOs and sockets of root are made as natively."""
    for kind in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG):
        attempt(f"{kind:o}", os.mknod, f"node-{kind:o}", kind | 0o6666)
