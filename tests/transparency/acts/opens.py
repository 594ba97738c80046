"""Opens: flags, modes, errnos, places."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import resource
import stat
import struct
import threading

from tests.transparency.acts.tell import LIBC, attempt, child, ended, opened, raw, say, tried, write

CLONE_FS = 0x200
AT_SYMLINK_FOLLOW = 0x400
OPENAT2 = 437


def umask_of_new_things() -> None:
    """Files, directories, FIFOs and sockets get the mode that the umask leaves."""
    for mask in (0, 0o22, 0o27, 0o77, 0o137, 0o777):
        os.umask(mask)
        os.close(os.open(f"file-{mask:o}", os.O_CREAT | os.O_WRONLY, 0o6777))
        os.mkdir(f"dir-{mask:o}", 0o1777)
        os.mkfifo(f"fifo-{mask:o}", 0o666)
        os.mknod(f"node-{mask:o}", stat.S_IFREG | 0o644)
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o666)
        say(f"{mask:o} {os.fstat(fd).st_mode:o}")
        os.close(fd)


def umask_and_directory_of_a_thread() -> None:
    """A thread that took its own leaves the other's alone, and both hold."""
    os.mkdir("there")

    def apart() -> None:
        raw("unshare", "unshare", CLONE_FS)
        os.umask(0o77)
        os.chdir("there")
        write("of the thread")
        os.mkdir("directory of the thread")

    os.umask(0o2)
    thread = threading.Thread(target=apart)
    thread.start()
    thread.join()
    write("of the process")
    say(os.path.basename(os.getcwd()), f"{os.umask(0):o}")


def default_acl() -> None:
    """A directory's default ACL, not the umask, gives the mode."""
    entries = ((1, 7, 0xFFFFFFFF), (2, 6, 1), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 1, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.mkdir("d")
    attempt("acl", os.setxattr, "d", "system.posix_acl_default", acl)
    os.umask(0o77)
    write("d/file")
    os.mkdir("d/directory", 0o755)
    os.mkfifo("d/fifo")
    for name in ("d/file", "d/directory", "d/fifo"):
        say(name, f"{os.stat(name).st_mode:o}", sorted(os.listxattr(name)))


def setgid_directory() -> None:
    """Below one, directories inherit the bit, files the group."""
    os.mkdir("d")
    os.chmod("d", 0o2775)
    os.mkdir("d/below")
    os.mkdir("d/below/again", 0o700)
    write("d/file")


def flags_that_stay() -> None:
    """F_GETFL and F_GETFD tell the flags of each open."""
    write("file")
    kept = (
        "O_APPEND",
        "O_NONBLOCK",
        "O_SYNC",
        "O_DSYNC",
        "O_NOATIME",
        "O_CLOEXEC",
        "O_TRUNC",
        "O_CREAT",
        "O_NOCTTY",
    )
    for mode in ("O_RDONLY", "O_WRONLY", "O_RDWR"):
        for first, second in itertools.combinations(("O_LARGEFILE", *kept), 2):
            flags = getattr(os, mode) | getattr(os, first) | getattr(os, second)
            fd = opened(f"{mode} {first} {second}", "file", flags)
            if fd >= 0:
                say(f"{fcntl.fcntl(fd, fcntl.F_GETFL):o} {fcntl.fcntl(fd, fcntl.F_GETFD)}")
                os.close(fd)
    fd = opened("directory", ".", os.O_RDONLY | os.O_DIRECTORY)
    say(f"{fcntl.fcntl(fd, fcntl.F_GETFL):o}")
    fd = opened("new", "new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    say(f"{fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NOFOLLOW:o}")


def access_mode_three() -> None:
    """The mode that is for ioctl alone: neither read nor write, but needs both."""
    write("file")
    fd = opened("3", "file", 3)
    attempt("read", os.read, fd, 1)
    attempt("write", os.write, fd, b"x")


def unnamed_files() -> None:
    """O_TMPFILE, given a name later, or never with O_EXCL."""
    fd = opened("tmpfile", ".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"content")
    say(os.fstat(fd).st_nlink, os.fstat(fd).st_size)
    raw("link", "linkat", -100, f"/proc/self/fd/{fd}".encode(), -100, b"named", AT_SYMLINK_FOLLOW)
    attempt("link of the link in /proc", os.link, f"/proc/self/fd/{fd}", "other")
    say(os.fstat(fd).st_nlink)
    fd = opened("exclusive", ".", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL)
    raw("link", "linkat", -100, f"/proc/self/fd/{fd}".encode(), -100, b"never", AT_SYMLINK_FOLLOW)
    say(tried(".", os.O_TMPFILE | os.O_RDONLY), tried("named", os.O_TMPFILE | os.O_RDWR))
    say(tried("missing", os.O_TMPFILE | os.O_RDWR))


def lowest_descriptor() -> None:
    """An open takes the lowest number that is free."""
    first = [os.open("file", os.O_CREAT | os.O_RDWR) for _ in range(6)]
    base = first[0]
    for number in (first[1], first[4]):
        os.close(number)
    say(*(os.open("file", os.O_RDWR) - base for _ in range(3)))


def no_descriptor_left() -> None:
    """EMFILE comes before anything is created or truncated."""
    write("full", "content")
    fds = [os.dup(1) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fds[-1] + 1, 4096))
    holes = []
    while True:
        try:
            holes.append(os.dup(1))
        except OSError:
            break
    say(tried("new", os.O_CREAT | os.O_WRONLY), tried("full", os.O_TRUNC | os.O_WRONLY))
    say(tried("full", os.O_RDONLY))
    say(tried("new2", os.O_CREAT | os.O_EXCL | os.O_RDWR))
    os.close(fds[0])
    say(os.path.exists("new"), os.path.getsize("full"), tried("full", os.O_RDWR))


def errnos() -> None:
    """What fails fails by the kernel's order of checks."""
    write("file")
    os.mkdir("dir")
    os.symlink("nowhere", "dangling")
    os.symlink("self", "self")
    os.symlink("b", "a")
    os.symlink("a", "b")
    os.symlink("file", "to-file")
    os.symlink("dir", "to-dir")
    names = (
        "",
        "file",
        "file/",
        "file/x",
        "dir",
        "dir/",
        "dir/.",
        "dir/..",
        "missing",
        "missing/",
        "missing/x",
        "dangling",
        "dangling/",
        "self",
        "self/x",
        "a",
        "to-file",
        "to-file/",
        "to-dir",
        "to-dir/",
        "to-dir/new",
        "n" * 255,
        "n" * 256,
        "x/" * 2100,
        "dir/" * 1000 + "x",
        ".",
        "..",
        "/",
        "//",
        "./file",
        "dir/../file",
        "to-dir/../file",
    )
    for name in names:
        for flags in (
            os.O_RDONLY,
            os.O_WRONLY,
            os.O_RDWR | os.O_TRUNC,
            os.O_CREAT | os.O_WRONLY,
            os.O_CREAT | os.O_EXCL,
            os.O_CREAT | os.O_RDONLY,
            os.O_DIRECTORY,
            os.O_NOFOLLOW,
            os.O_NOFOLLOW | os.O_CREAT | os.O_RDWR,
            os.O_CREAT | os.O_DIRECTORY,
            os.O_PATH,
            os.O_PATH | os.O_NOFOLLOW,
            os.O_PATH | os.O_DIRECTORY,
            os.O_WRONLY | os.O_DIRECTORY,
        ):
            say(name[:20], len(name), f"{flags:o}", tried(name, flags))
            for new in ("missing", "nowhere", "dir/new", "n" * 255):
                if os.path.lexists(new):
                    os.unlink(new)


def permissions() -> None:
    """Modes that forbid, on the file and on the way."""
    for mode in (0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o700):
        write(f"file-{mode:o}")
        os.chmod(f"file-{mode:o}", mode)
        os.mkdir(f"dir-{mode:o}")
        write(f"dir-{mode:o}/inside")
        os.chmod(f"dir-{mode:o}", mode)
        for flags in (
            os.O_RDONLY,
            os.O_WRONLY,
            os.O_RDWR,
            os.O_WRONLY | os.O_TRUNC,
            os.O_PATH,
            os.O_WRONLY | os.O_CREAT,
        ):
            say(f"{mode:o} {flags:o}", tried(f"file-{mode:o}", flags), tried(f"dir-{mode:o}/inside", flags))
            say(tried(f"dir-{mode:o}/new", flags))
        for call in (os.stat, os.listdir, os.unlink, os.rmdir, os.readlink, os.listxattr):
            attempt(
                f"{mode:o} {call.__name__}", lambda path, call=call: bool(call(path)), f"dir-{mode:o}/inside"
            )
        attempt("mkdir", os.mkdir, f"dir-{mode:o}/made")
        attempt("rename", os.rename, f"dir-{mode:o}/new", f"dir-{mode:o}/newer")
        attempt("chdir", os.chdir, f"dir-{mode:o}")
        os.chdir(os.environ["ACT"])
    for name in os.listdir("."):
        os.chmod(name, 0o700)


def bad_pointers() -> None:
    """A path that is no memory is EFAULT, wherever it stands."""
    bad = ctypes.c_void_p(8)
    good = b"file"
    write("file")
    for what, *arguments in (
        ("open", None, 0),
        ("open", bad, 0),
        ("openat", -100, bad, 0),
        ("openat", -1, bad, 0),
        ("creat", bad, 0o600),
        ("mkdir", bad, 0o700),
        ("mkdirat", -100, None, 0o700),
        ("rmdir", bad),
        ("unlink", bad),
        ("unlinkat", -100, bad, 0),
        ("rename", bad, good),
        ("rename", good, bad),
        ("link", bad, good),
        ("link", good, bad),
        ("symlink", bad, good),
        ("symlink", good, bad),
        ("chmod", bad, 0o600),
        ("chown", bad, -1, -1),
        ("lchown", bad, -1, -1),
        ("truncate", bad, ctypes.c_long(0)),
        ("utimensat", -100, bad, None, 0),
        ("utimensat", -100, good, bad, 0),
        ("setxattr", bad, b"user.x", b"y", ctypes.c_size_t(1), 0),
        ("setxattr", good, bad, b"y", ctypes.c_size_t(1), 0),
        ("setxattr", good, b"user.x", bad, ctypes.c_size_t(1), 0),
        ("removexattr", good, bad),
        ("access", bad, 0),
        ("readlink", bad, good, ctypes.c_size_t(4)),
        ("chdir", bad),
        ("mkfifo", bad, 0o600),
        ("execv", bad, None),
    ):
        raw(f"{what} {len(arguments)}", what, *arguments)
    say(sorted(os.listdir(".")))


def string_at_the_end_of_memory() -> None:
    """A path that ends with its page is read; one that does not end there is EFAULT."""
    size = 4096
    LIBC.mmap.restype = ctypes.c_void_p
    page = LIBC.mmap(None, ctypes.c_size_t(2 * size), 3, 0x22, -1, ctypes.c_long(0))
    LIBC.munmap(ctypes.c_void_p(page + size), ctypes.c_size_t(size))
    ctypes.memmove(page + size - 5, b"here\0", 5)
    raw("ends", "creat", ctypes.c_void_p(page + size - 5), 0o600)
    ctypes.memmove(page + size - 5, b"there", 5)
    raw("does not", "creat", ctypes.c_void_p(page + size - 5), 0o600)
    ctypes.memmove(page, b"/" * size, size)
    raw("slashes", "open", ctypes.c_void_p(page), 0)


def from_descriptors() -> None:
    """Openat and the like from directories that were moved, removed, opened with O_PATH, or are none."""
    os.mkdir("moved")
    os.mkdir("gone")
    write("file")
    moved = os.open("moved", os.O_RDONLY)
    path = os.open("moved", os.O_PATH)
    gone = os.open("gone", os.O_RDONLY)
    file = os.open("file", os.O_RDONLY)
    os.rename("moved", "elsewhere")
    os.rmdir("gone")
    for what, fd in (("moved", moved), ("path", path), ("gone", gone), ("file", file), ("closed", 77)):
        say(what, tried("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd), tried("..", os.O_RDONLY, dir_fd=fd))
        attempt("mkdir", os.mkdir, f"made by {what}", dir_fd=fd)
        attempt("symlink", os.symlink, "x", f"link by {what}", dir_fd=fd)
        attempt("rename", os.rename, f"link by {what}", f"renamed by {what}", src_dir_fd=fd, dst_dir_fd=fd)
        attempt("mkfifo", os.mkfifo, f"fifo by {what}", dir_fd=fd)
        attempt("chmod", os.chmod, f"fifo by {what}", 0o640, dir_fd=fd)
        attempt("utime", os.utime, f"fifo by {what}", (5, 6), dir_fd=fd)
        attempt("link", os.link, f"fifo by {what}", f"hard by {what}", src_dir_fd=fd, dst_dir_fd=fd)
        attempt("unlink", os.unlink, f"hard by {what}", dir_fd=fd)
        attempt("rmdir", os.rmdir, f"made by {what}", dir_fd=fd)
        attempt("absolute", os.stat, "/", dir_fd=fd) and None


def without_a_directory() -> None:
    """In a working directory that was removed."""
    os.mkdir("d")
    os.chdir("d")
    os.rmdir("../d")
    attempt("getcwd", os.getcwd)
    attempt("listdir", os.listdir, ".")
    for name in (".", "..", "new", "../new", "./new", "../d"):
        say(name, tried(name, os.O_RDONLY), tried(name, os.O_CREAT | os.O_WRONLY))
        attempt("mkdir", os.mkdir, name + "-dir")
        attempt("chmod", os.chmod, name, 0o700)
        attempt("symlink", os.symlink, "x", name + "-link")
    attempt("chdir", os.chdir, "..")


def beyond_path_max() -> None:
    """Directories deeper than any path can say, gone down step by step."""
    name = "d" * 200
    for _ in range(30):
        os.mkdir(name)
        os.chdir(name)
    write("file")
    os.mkdir("below")
    os.symlink("file", "link")
    os.rename("file", "renamed")
    os.chmod("renamed", 0o640)
    os.utime("renamed", (1, 2))
    os.link("renamed", "hard")
    os.truncate("hard", 2)
    attempt("setxattr", os.setxattr, "hard", "user.deep", b"1")
    os.mkfifo("fifo")
    with open("below/file", "w", encoding="ascii") as file:
        file.write("deep")
    with open("link/../below/file" if os.path.isdir("link") else "below/file", encoding="ascii") as file:
        say(file.read())
    say(len(os.getcwd()), sorted(os.listdir(".")))
    fd = os.open(".", os.O_RDONLY)
    say(
        tried("below/file", os.O_RDWR, dir_fd=fd),
        tried("../" * 1400, os.O_RDONLY),
        tried("./" * 2047, os.O_RDONLY),
    )
    os.unlink("below/file")
    os.rmdir("below")
    os.chdir(os.environ["ACT"])
    say(tried((name + "/") * 30 + "hard", os.O_RDONLY))


def by_proc() -> None:
    """/proc/self/fd, /dev/fd, /dev/stdin: opened anew, in other modes, also without a name."""
    write("file", "content")
    fd = os.open("file", os.O_RDWR)
    again = opened("anew", f"/proc/self/fd/{fd}", os.O_RDWR | os.O_APPEND)
    os.read(fd, 3)
    say(os.lseek(fd, 0, os.SEEK_CUR), os.lseek(again, 0, os.SEEK_CUR))
    say(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
    os.unlink("file")
    for way in (
        f"/proc/self/fd/{fd}",
        f"/dev/fd/{fd}",
        f"/proc/thread-self/fd/{fd}",
        f"/proc/{os.getpid()}/fd/{fd}",
    ):
        say(
            way.replace(str(os.getpid()), "PID"),
            tried(way, os.O_RDONLY),
            tried(way, os.O_WRONLY),
            tried(way, os.O_RDWR),
        )
        say(tried(way, os.O_CREAT | os.O_RDWR), tried(way, os.O_NOFOLLOW), tried(way, os.O_CREAT | os.O_EXCL))
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    end = opened("pipe", f"/dev/fd/{reader}", os.O_RDONLY)
    say(os.read(end, 2), os.read(reader, 5))
    end = opened("pipe to write", f"/proc/self/fd/{reader}", os.O_WRONLY)
    os.write(end, b"back")
    say(os.read(reader, 5))
    os.dup2(reader, 0)
    say(
        tried("/dev/stdin", os.O_RDONLY), tried("/dev/stdout", os.O_WRONLY), tried("/dev/stderr", os.O_WRONLY)
    )
    say(tried("/dev/fd/77", os.O_RDONLY), tried("/proc/self/fd/77", os.O_CREAT | os.O_WRONLY))
    memory = os.memfd_create("m")
    os.write(memory, b"memory")
    anew = opened("memory", f"/proc/self/fd/{memory}", os.O_RDWR)
    say(os.read(anew, 9))
    directory = os.open(".", os.O_PATH)
    say(tried(f"/proc/self/fd/{directory}/below", os.O_CREAT | os.O_WRONLY))
    say(tried("/proc/self/cwd/by-cwd", os.O_CREAT | os.O_WRONLY), tried("/proc/self/exe", os.O_RDONLY))
    say(tried("/proc/self/maps", os.O_RDONLY), tried("/proc/self/nothing", os.O_CREAT | os.O_WRONLY))


def devices() -> None:
    """The devices that every program knows."""
    for name in ("null", "zero", "full", "urandom", "random", "tty", "missing"):
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_TRUNC):
            if name != "missing" or not flags & os.O_CREAT:
                say(name, f"{flags:o}", tried(f"/dev/{name}", flags))
    fd = os.open("/dev/full", os.O_WRONLY)
    attempt("write", os.write, fd, b"x")


def through_links() -> None:
    """Creation through dangling links, `..` behind a link, chains as long as the kernel follows."""
    os.makedirs("a/b")
    os.symlink("a/b", "to-b")
    os.symlink("../made", "a/out")
    os.symlink("a/out", "twice")
    say(
        tried("twice", os.O_CREAT | os.O_WRONLY),
        os.path.exists("made"),
        tried("to-b/../in-a", os.O_CREAT | os.O_RDWR),
    )
    os.symlink("missing/x", "bad")
    os.symlink(os.getcwd() + "/by-absolute", "absolute")
    say(
        tried("bad", os.O_CREAT | os.O_RDWR),
        tried("absolute", os.O_CREAT | os.O_RDWR),
        tried("twice", os.O_CREAT | os.O_EXCL),
    )
    os.symlink("made", "chain-0")
    for number in range(1, 45):
        os.symlink(f"chain-{number - 1}", f"chain-{number}")
    say(*(tried(f"chain-{number}", os.O_RDONLY) for number in range(36, 45)))
    say(*(tried(f"chain-{number}", os.O_RDWR) for number in range(36, 45)))
    os.symlink("to-create/", "slash")
    say(tried("slash", os.O_CREAT | os.O_RDWR))


def openat2() -> None:
    """Limits of resolution, and structures that are wrong."""
    os.makedirs("d/e")
    write("d/file")
    os.symlink("file", "d/link")
    os.symlink("../out", "d/escape")
    os.symlink("/d/file", "d/absolute")
    os.symlink(f"/proc/self/fd/{os.open('d/file', os.O_RDONLY)}", "d/magic")
    start = os.open("d", os.O_PATH)
    for resolve in (0, 1, 2, 4, 8, 16, 32, 24, 64):
        for path in (
            b"file",
            b"link",
            b"escape",
            b"absolute",
            b"../out",
            b"/d/file",
            b"e/../file",
            b"magic",
            b"e/../../x",
        ):
            for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT):
                how = struct.pack("QQQ", flags, 0o600 if flags & os.O_CREAT else 0, resolve)
                if resolve == 32:  # whether it is cached is the kernel's to know
                    continue
                fd = raw(
                    f"{resolve} {path!r} {flags:o}", "syscall", OPENAT2, start, path, how, ctypes.c_size_t(24)
                )
                if fd >= 0:
                    os.close(fd)
                if os.path.exists("out"):
                    os.unlink("out")
    for size, how in ((23, b""), (24, b""), (25, b"\1"), (40, b""), (9000, b"")):
        whole = struct.pack("QQQ", 0, 0, 0) + how + bytes(9000)
        raw(f"size {size}", "syscall", OPENAT2, start, b"file", whole, ctypes.c_size_t(size))
    raw(
        "mode without creating",
        "syscall",
        OPENAT2,
        start,
        b"file",
        struct.pack("QQQ", 0, 1, 0),
        ctypes.c_size_t(24),
    )
    raw(
        "unknown flag",
        "syscall",
        OPENAT2,
        start,
        b"file",
        struct.pack("QQQ", 1 << 40, 0, 0),
        ctypes.c_size_t(24),
    )


def unusual_names() -> None:
    """Names of all bytes but two."""
    for number in range(1, 256):
        if number != 47:
            os.close(os.open(b"x" + bytes([number]), os.O_CREAT | os.O_WRONLY))
    for name in (
        "new\nline",
        "-rf",
        " ",
        "tab\t",
        "glob*?[a]{b}",
        "back\\slash",
        '"quoted"',
        "$HOME",
        "ünïcode",
        "~",
    ):
        os.mkdir(name)
        write(f"{name}/{name}")


def by_many_threads() -> None:
    """Threads that create, rename and remove at once do not take each other's names or descriptors."""

    def work(number: int) -> None:
        os.mkdir(f"{number}")
        for turn in range(30):
            with open(f"{number}/{turn}", "w", encoding="ascii") as file:
                file.write(f"{number} {turn}")
            os.rename(f"{number}/{turn}", f"{number}/{turn}-renamed")
            if turn % 3:
                os.unlink(f"{number}/{turn}-renamed")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def created_by_one_of_many() -> None:
    """Of processes that create exclusively, one wins."""

    def race() -> None:
        won = 0
        for turn in range(40):
            won += tried(f"file-{turn}", os.O_CREAT | os.O_EXCL | os.O_WRONLY) == "ok"
        with open("won", "a", encoding="ascii") as file:
            file.write("x" * won)

    for pid in [child(race) for _ in range(4)]:
        ended(pid)
