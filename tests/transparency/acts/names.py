"""Names: directories, links, renames, removals."""

from __future__ import annotations

import itertools
import os
import stat

from tests.transparency.acts.tell import attempt, opened, raw, read, say, write

AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR = 0x400, 0x1000, 0x200


def directories() -> None:
    """Mkdir and rmdir, with slashes, dots and what is in the way."""
    write("file")
    os.symlink("nowhere", "dangling")
    os.mkdir("full")
    write("full/inside")
    os.symlink("full", "to-full")
    for name in (
        "d",
        "d/",
        "d//e/",
        "d/e/f",
        "file",
        "file/x",
        "dangling",
        "dangling/",
        "to-full/new",
        ".",
        "..",
        "/",
        "",
    ):
        attempt(f"mkdir {name}", os.mkdir, name)
    for name in (
        "d",
        "d/e/",
        "d/e",
        "d",
        "file",
        "dangling",
        "full",
        "to-full",
        "to-full/",
        ".",
        "..",
        "d/.",
        "d/..",
        "",
        "/",
    ):
        attempt(f"rmdir {name}", os.rmdir, name)


def removals() -> None:
    """Unlink of files, links, directories, FIFOs; files that are still open live on."""
    write("file", "alive")
    os.mkdir("d")
    os.mkfifo("fifo")
    os.symlink("d", "to-d")
    os.symlink("nowhere", "dangling")
    fd = os.open("file", os.O_RDWR)
    for name in (
        "file",
        "d",
        "d/",
        "fifo",
        "to-d/",
        "to-d",
        "dangling",
        "missing",
        "missing/x",
        "fifo",
        ".",
        "..",
        "",
        "/",
    ):
        attempt(f"unlink {name}", os.unlink, name)
    say(os.read(fd, 9), os.fstat(fd).st_nlink)
    raw("flag", "unlinkat", -100, b"d", 0x100)
    raw("removedir", "unlinkat", -100, b"d", AT_REMOVEDIR)


def renames() -> None:
    """Each kind over each kind, with what is in the way and behind a slash."""

    def make(kind: str, name: str) -> None:
        if kind == "file":
            write(name, name)
        elif kind == "empty":
            os.mkdir(name)
        elif kind == "full":
            os.mkdir(name)
            write(f"{name}/inside")
        elif kind == "link":
            os.symlink("target", name)
        elif kind == "fifo":
            os.mkfifo(name)

    kinds = ("file", "empty", "full", "link", "fifo", "missing")
    for number, (old, new) in enumerate(itertools.product(kinds, repeat=2)):
        for flag in (0, 1, 2, 3, 4):
            os.mkdir(f"{number}-{flag}")
            make(old, f"{number}-{flag}/old")
            make(new, f"{number}-{flag}/new")
            where = f"{number}-{flag}"
            raw(
                f"{old} {new} {flag}",
                "renameat2",
                -100,
                f"{where}/old".encode(),
                -100,
                f"{where}/new".encode(),
                flag,
            )
        for slash in (("old/", "new"), ("old", "new/"), ("old/", "new/")):
            where = f"{number}-{slash[0]}-{slash[1]}".replace("/", "s")
            os.mkdir(where)
            make(old, f"{where}/old")
            make(new, f"{where}/new")
            attempt(f"{old} {new} {slash}", os.rename, f"{where}/{slash[0]}", f"{where}/{slash[1]}")


def renames_of_directories() -> None:
    """Into itself, of the working directory, over a name of the same file, while it is open."""
    os.makedirs("a/b/c")
    attempt("into itself", os.rename, "a", "a/b/c/d")
    attempt("over its parent", os.rename, "a/b/c", "a")
    for name in (".", "..", "a/.", "a/b/..", "/"):
        attempt(f"rename {name}", os.rename, name, "x")
        attempt(f"rename to {name}", os.rename, "a", name)
    os.chdir("a/b")
    fd = os.open(".", os.O_RDONLY)
    os.rename("../../a", "../../z")
    say(os.getcwd().replace(os.environ["ACT"], ""))
    write("here")
    say(sorted(os.listdir(fd)))
    os.link("here", "same")
    attempt("same file", os.rename, "here", "same")
    say(sorted(os.listdir(".")))


def hard_links() -> None:
    """Second names: of files, of links themselves and of what they lead to, of FIFOs; not of directories."""
    write("file")
    os.mkdir("d")
    os.mkfifo("fifo")
    os.symlink("file", "link")
    os.symlink("nowhere", "dangling")
    for name in ("file", "d", "fifo", "link", "dangling", "missing", "file/", "link/", "", "."):
        for flag in (0, AT_SYMLINK_FOLLOW, 0x8):
            raw(
                f"{name} {flag}",
                "linkat",
                -100,
                name.encode(),
                -100,
                f"d/{name.strip('/.')}-{flag}".encode(),
                flag,
            )
    for new in ("file", "d", "link", "new/", "missing/x", "", ".", "n" * 256):
        attempt(f"to {new[:9]}", os.link, "file", new)
    fd = os.open("file", os.O_RDONLY)
    raw("by descriptor", "linkat", fd, b"", -100, b"by-descriptor", AT_EMPTY_PATH)
    say(os.stat("file").st_nlink, os.lstat("link").st_nlink)
    os.unlink("file")
    say(read("d/file-0"))


def symbolic_links() -> None:
    """Texts of every kind, and where they cannot be made."""
    write("file")
    for text in ("x", "../x", "/abs", "a b", "new\nline", "t" * 4095, "t" * 4096, ""):
        attempt(f"text {text[:9]} {len(text)}", os.symlink, text, f"link-{len(text)}-{text[:1] == '/'}")
    for name in ("file", "new/", "missing/x", "file/x", "", ".", "n" * 256):
        attempt(f"name {name[:9]}", os.symlink, "x", name)
    for name in ("link-1-False", "file", "missing", "link-1-False/"):
        attempt(f"readlink {name}", os.readlink, name)
    fd = os.open("link-1-False", os.O_PATH | os.O_NOFOLLOW)
    attempt("by descriptor", os.readlink, "", dir_fd=fd)
    say(f"{os.lstat('link-1-False').st_mode:o}")


def special_files() -> None:
    """Mknod of every type, and mkfifo where something is."""
    for kind in ("S_IFREG", "S_IFIFO", "S_IFSOCK", "S_IFDIR", "S_IFLNK"):
        attempt(kind, os.mknod, kind, getattr(stat, kind) | 0o640)
    attempt("0", os.mknod, "zero", 0o600)
    attempt("unknown", os.mknod, "unknown", 0o160000 | 0o600)
    for name in ("S_IFIFO", "missing/x", "new/", ".", ""):
        attempt(f"mkfifo {name}", os.mkfifo, name)


def listing() -> None:
    """Directories by path and by descriptor, while they change, and rewound."""
    for number in range(300):
        write(f"file-{number}")
    fd = opened("directory", ".", os.O_RDONLY)
    say(len(os.listdir(fd)), len(os.listdir(fd)))
    with os.scandir(".") as entries:
        for count, entry in enumerate(entries):
            if count % 3:
                os.unlink(entry.name)
    say(len(os.listdir(".")))
    attempt("listdir of a file", os.listdir, "file-x")
    say([name for _, names, files in os.walk(".") for name in names + files if name.endswith("0")] != [])


def working_directories() -> None:
    """Chdir and fchdir, to what can be entered and what cannot."""
    os.mkdir("d")
    write("file")
    os.symlink("d", "to-d")
    os.symlink("self", "self")
    here = os.open(".", os.O_PATH)
    for name in ("d", "..", "to-d", "to-d/..", "file", "missing", "self", "", "d/.", "n" * 256):
        attempt(f"chdir {name[:9]}", os.chdir, name)
        say(os.getcwd().replace(os.environ["ACT"], ""))
        os.fchdir(here)
    file = os.open("file", os.O_RDONLY)
    attempt("fchdir of a file", os.fchdir, file)
    attempt("of none", os.fchdir, 77)
    path = os.open("to-d", os.O_PATH | os.O_NOFOLLOW)
    attempt("of a link", os.fchdir, path)


def looking() -> None:
    """stat, access, statfs on everything there is."""
    write("file")
    os.chmod("file", 0o640)
    os.mkdir("d")
    os.symlink("nowhere", "dangling")
    os.symlink("file", "link")
    for name in (
        "file",
        "file/",
        "d",
        "d/",
        "dangling",
        "link",
        "link/",
        "missing",
        "",
        "/dev/null",
        "/proc/self/exe",
    ):
        attempt(f"stat {name}", lambda path: oct(os.stat(path).st_mode), name)
        attempt(f"lstat {name}", lambda path: oct(os.lstat(path).st_mode), name)
        for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK, os.R_OK | os.X_OK):
            say(name, mode, os.access(name, mode), os.access(name, mode, effective_ids=True))
        attempt("statvfs", lambda path: os.statvfs(path).f_namemax, name)
    fd = os.open("file", os.O_PATH)
    attempt("fstat", lambda: oct(os.fstat(fd).st_mode))
    attempt("null path", lambda: os.stat(fd).st_size)
