"""What each row of the table is called with: every row must have an entry."""

from __future__ import annotations

import os
import struct

from sydd.syscalls.rows import FLAG_REQUESTS
from tests.rows.cases import Act
from tests.rows.forms import HERE
from tests.rows.kinds import (
    AT_EMPTY_PATH,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    GID,
    UID,
    about,
    held,
    looked_at,
    looks,
    made,
    modes,
    no_xattrs,
    owners,
    removed,
    symlinks,
    times,
    two_names,
    xattrs,
)
from tests.rows.opens import open_acts, openat2_acts
from tests.rows.script import BAD, NULL, call, data, do, number, opened, string

_STAT = "@512"
_FSXATTR = struct.pack("=5I8x", 0x80, 0, 0, 0, 0)
_NODUMP = struct.pack("=I", 0x40)
_GETFLAGS = (call("ioctl", number(3), number(0x80086601), "@4"), "out")
_ATTR = data(struct.pack("=QIIII", 0x80, 0, 0, 0, 0))  # FS_XFLAG_NODUMP
_OUT = ("out",)
_QUEUED = data(struct.pack("=3i", 10, 0, -1) + bytes(116))  # siginfo_t of sigqueue(3)
_ADDRESS = data(struct.pack("=H", 2) + struct.pack(">H", 0) + bytes([127, 0, 0, 1]) + bytes(8))
_CWD = ("cwd",)
_NO_PROCESS = number(2**30)  # more than there can be
_QUEUED = data(struct.pack("=iii116x", 0, 0, -1))
_NO_KEY = number(0x5DD5DD)
_SCHED_ATTR = data(struct.pack("=IIQiIQQQ", 48, 0, 0, 0, 0, 0, 0, 0))

ACTS: dict[str, list[Act]] = {
    "open": open_acts("P {flags} {mode}"),
    "openat": open_acts("D P {flags} {mode}"),
    "openat2": openat2_acts(),
    "creat": [
        Act("new", b"new", "P #0666", "create", every=True, after=("fd",)),
        Act("file", b"file", "P #0666", "modify", every=True, after=("fd",)),
        Act("umask 027", b"new", "P #0777", "create", after=("fd",), umask=0o027),
        Act("directory", b"empty", "P #0666", "", after=("fd",)),
    ],
    "truncate": [
        *about(
            b"file",
            "truncate",
            "P {}",
            ("shorter", ("#3",)),
            ("longer", ("#30",)),
            ("negative", (number(-1),)),
        ),
        Act("directory", b"empty", "P #0"),
        Act("FIFO", b"fifo", "P #0", special=True),
        Act("no permission", b"secret", "P #0", special=True),
    ],
    "mkdir": made("P {0}"),
    "mkdirat": made("D P {0}"),
    "mknod": made("P {} {}", mknod=True),
    "mknodat": made("D P {} {}", mknod=True),
    "rmdir": removed("P", directories=True),
    "unlink": removed("P", directories=False),
    "unlinkat": [
        *removed("D P #0", directories=False),
        *(act._replace(label=f"directory: {act.label}") for act in removed("D P #0x200", directories=True)),
        Act("unknown flags", b"file", "D P #0x1000", follow=False),
    ],
    "rename": two_names("rename", at=False, flagged=False),
    "renameat": two_names("rename", at=True, flagged=False),
    "renameat2": two_names(
        "rename", (" kept", 1), (" exchanged", 2), (" both", 3), (" unknown", 64), at=True, flagged=True
    ),
    "link": two_names("modify", at=False, flagged=False),
    "linkat": [
        *two_names("modify", (" followed", AT_SYMLINK_FOLLOW), (" unknown", 1), at=True, flagged=True),
        Act(
            "a nameless file",
            b"new",
            f"{HERE} {string(b'/proc/self/fd/3')} D P {number(AT_SYMLINK_FOLLOW)}",
            "",
            before=(opened(b"d", os.O_TMPFILE | os.O_RDWR),),
        ),
    ],
    "symlink": symlinks("{} P"),
    "symlinkat": symlinks("{} D P"),
    "chmod": modes("P {}"),
    "fchmod": held("D #0604"),
    "fchmodat": modes("D P {}"),
    "fchmodat2": [
        *modes("D P {} {}", (("a link itself", AT_SYMLINK_NOFOLLOW), ("unknown flags", 1))),
        *held(f"D {string(b'')} #0604 {number(AT_EMPTY_PATH)}"),
    ],
    "chown": owners("P {} {}"),
    "lchown": owners("P {} {}", follow=False),
    "fchown": held(f"D {number(UID)} {number(GID)}"),
    "fchownat": [
        *owners("D P {} {} #0"),
        Act(
            "a link itself",
            b"to-file",
            f"D P {number(UID)} {number(GID)} #0x100",
            "attributes",
            follow=False,
            every=False,
        ),
        Act("unknown flags", b"file", f"D P {number(UID)} {number(GID)} #1"),
        *held(f"D {string(b'')} {number(UID)} {number(GID)} #0x1000"),
    ],
    "utime": times("P {}", "seconds"),
    "utimes": times("P {}", "micro"),
    "futimesat": [*times("D P {}", "micro"), *held(f"D {NULL} {NULL}", times=True)],
    "utimensat": [
        *times("D P {} #0", "nano"),
        Act(
            "a link itself",
            b"to-file",
            f"D P {data(struct.pack('=qqqq', 5, 6, 7, 8))} #0x100",
            "attributes",
            follow=False,
            times=True,
        ),
        Act("unknown flags", b"file", f"D P {NULL} #1", times=True),
        *held(f"D {NULL} {data(struct.pack('=qqqq', 5, 6, 7, 8))} #0", times=True),
    ],
    "setxattr": xattrs("P {}"),
    "lsetxattr": xattrs("P {}", follow=False),
    "fsetxattr": held(f"D {string(b'user.test')} {data(b'value')} #5 #0"),
    "setxattrat": xattrs("D P #0 {}", at=True),
    "removexattr": no_xattrs("P {}"),
    "lremovexattr": no_xattrs("P {}", follow=False),
    "fremovexattr": held(f"D {string(b'user.origin')}"),
    "removexattrat": no_xattrs("D P #0 {}"),
    "file_setattr": [
        Act("good", b"file", f"D P {_ATTR} #24 #0", "attributes", every=True),
        Act("a link itself", b"to-file", f"D P {_ATTR} #24 #0x100", "", follow=False),
        Act("too small", b"file", f"D P {_ATTR} #8 #0"),
        Act("too large", b"file", f"D P {_ATTR} #5000 #0"),
        Act("bad pointer", b"file", f"D P {BAD} #24 #0"),
    ],
    "ioctl": [
        act._replace(label=f"{request}: {act.label}")
        for request, value in FLAG_REQUESTS.items()
        for act in held(
            f"D {number(value)} {data(_NODUMP if 'SETFLAGS' in request else _FSXATTR)}",
            after=_GETFLAGS,
        )
    ]
    + [
        Act(
            "bad pointer",
            b"",
            f"D {number(FLAG_REQUESTS['FS_IOC_SETFLAGS'])} {BAD}",
            held=(b"d/file", os.O_RDONLY),
        )
    ],
    "access": looks("P #4"),
    "faccessat": looks("D P #6"),
    "faccessat2": looks("D P #4 #0x200", empty=f"D {string(b'')} #4 #0x1000"),
    "stat": looks(f"P {_STAT}"),
    "lstat": looks(f"P {_STAT}", follow=False),
    "newfstatat": looks(f"D P {_STAT} #0", empty=f"D {string(b'')} {_STAT} #0x1000"),
    "statx": looks(f"D P #0 #0x7ff {_STAT}", empty=f"D {string(b'')} #0x1000 #0x7ff {_STAT}"),
    "fstat": looked_at(f"D {_STAT}"),
    "statfs": looks(f"P {_STAT}"),
    "fstatfs": looked_at(f"D {_STAT}"),
    "file_getattr": looks("D P @24 #24 #0", after=_OUT),
    "readlink": looks(
        "P @200 #200", follow=False, after=_OUT, names=(b"to-file", b"file", b"nothing", b"far-file")
    ),
    "readlinkat": looks(
        "D P @200 #200", follow=False, after=_OUT, names=(b"to-file", b"file", b"nothing", b"far-file")
    ),
    "getxattr": looks(f"P {string(b'user.origin')} @64 #64", after=_OUT),
    "lgetxattr": looks(f"P {string(b'user.origin')} @64 #64", follow=False, after=_OUT),
    "fgetxattr": held(f"D {string(b'user.origin')} @64 #64", "stat", after=_OUT),
    "flistxattr": held("D @64 #64", "stat", after=_OUT),
    "getxattrat": looks(f"D P #0 {string(b'user.origin')} *0000000000,0 #16"),
    "listxattr": looks("P @64 #64", after=_OUT),
    "llistxattr": looks("P @64 #64", follow=False, after=_OUT),
    "listxattrat": looks("D P #0 @64 #64", after=_OUT),
    "name_to_handle_at": looks("D P @64 @8 #0", follow=False),
    "getdents": [Act("directory", b"", "D @1024 #1024", "list", held=(b"d/empty", os.O_RDONLY), every=True)],
    "getdents64": [
        Act("directory", b"", "D @1024 #1024", "list", held=(b"d/empty", os.O_RDONLY), every=True)
    ],
    "inotify_add_watch": [
        Act("a link", b"to-empty", "$ P #0x100", "", before=(do("inotify_init1", "#0"),)),
        Act("directory", b"empty", "$ P #0x100", "list", every=True, before=(do("inotify_init1", "#0"),)),
        Act("file", b"file", "$ P #2", "stat", before=(do("inotify_init1", "#0"),)),
        Act("not an instance", b"file", "#1 P #2", ""),
        Act("a link itself", b"to-file", "$ P #0x02000002", "", before=(do("inotify_init1", "#0"),)),
    ],
    "fanotify_mark": [Act("no group", b"file", "#99 #1 #2 D P", "")],
    "chdir": [
        Act("directory", b"empty", "P", "chdir", every=True, after=_CWD),
        Act("file", b"file", "P", "", after=_CWD),
    ],
    "fchdir": [
        Act("directory", b"", "D", "chdir", held=(b"d/empty", os.O_RDONLY), every=True, after=_CWD),
        Act("by O_PATH", b"", "D", "chdir", held=(b"d/empty", os.O_PATH), after=_CWD),
        Act("file", b"", "D", "", held=(b"d/file", os.O_RDONLY), after=_CWD),
    ],
    "execve": [
        Act("script", b"exe", f"P {NULL} {NULL}", "exec", every=True),
        Act("not executable", b"file", f"P {NULL} {NULL}", ""),
        Act("directory", b"empty", f"P {NULL} {NULL}", ""),
    ],
    "execveat": [
        Act("script", b"exe", f"D P {NULL} {NULL} #0", "exec", every=True),
        Act("a link itself", b"to-exe", f"D P {NULL} {NULL} #0x100", "", follow=False),
        Act(
            "descriptor", b"", f"D {string(b'')} {NULL} {NULL} #0x1000", "exec", held=(b"d/exe", os.O_RDONLY)
        ),
    ],
    "socket": [
        Act(label, b"", f"D {number(kind)} #0", "connect", held=(b"d/file", os.O_RDONLY))._replace(
            arguments=f"{number(family)} {number(kind)} #0", held=None, name=b"file", after=("fd",)
        )
        for label, family, kind in (
            ("internet", 2, 1),
            ("datagram", 2, 2),
            ("local", 1, 1),
            ("unknown", 99, 1),
        )
    ],
    "socketpair": [
        Act("stream", b"file", "#1 #1 #0 @8", "", after=_OUT),
        Act("datagram", b"file", "#1 #2 #0 @8", "connect", after=_OUT),
        Act("raw", b"file", "#1 #3 #0 @8", "connect", after=_OUT),
        Act("internet", b"file", "#2 #1 #0 @8", "connect"),
    ],
    "connect": [
        Act("no descriptor", b"file", f"#99 {_ADDRESS} #16", "connect"),
        Act("no socket", b"file", f"#1 {_ADDRESS} #16", "connect"),
        Act("nobody there", b"file", f"$ {_ADDRESS} #16", "", before=(do("socket", "#2", "#1", "#0"),)),
        Act("bad address", b"file", f"#3 {BAD} #16", "", before=(do("socket", "#2", "#1", "#0"),)),
    ],
    "bind": [
        Act("no descriptor", b"file", f"#99 {_ADDRESS} #16", "bind"),
        Act("any port", b"file", f"$ {_ADDRESS} #16", "", before=(do("socket", "#2", "#1", "#0"),)),
    ],
    "listen": [Act("no descriptor", b"file", "#99 #1", "")],
    "sendto": [
        Act("no descriptor", b"file", f"#99 {string(b'x')} #1 #0 {_ADDRESS} #16", ""),
        Act("no socket", b"file", f"#1 {string(b'x')} #1 #0 {NULL} #0", ""),
    ],
    "sendmsg": [Act("no descriptor", b"file", f"#99 {BAD} #0", "")],
    "sendmmsg": [Act("no descriptor", b"file", f"#99 {BAD} #1 #0", "")],
    "setuid": [Act("own", b"file", number(os.geteuid()))],
    "setgid": [Act("own", b"file", number(os.getegid()))],
    "setreuid": [Act("nothing", b"file", f"{number(-1)} {number(-1)}")],
    "setregid": [Act("nothing", b"file", f"{number(-1)} {number(-1)}")],
    "setresuid": [
        Act("nothing", b"file", f"{number(-1)} {number(-1)} {number(-1)}"),
        Act("nobody", b"file", f"{number(65534)} {number(65534)} {number(65534)}"),
    ],
    "setresgid": [
        Act("nothing", b"file", f"{number(-1)} {number(-1)} {number(-1)}"),
        Act("nobody", b"file", f"{number(65534)} {number(65534)} {number(65534)}"),
    ],
    "setfsuid": [Act("own", b"file", number(os.geteuid()))],
    "setfsgid": [Act("own", b"file", number(os.getegid()))],
    "setgroups": [Act("none", b"file", f"#0 {NULL}")],
    "capset": [
        Act("none", b"file", f"{data(struct.pack('=Ii', 0x20080522, 0))} {data(bytes(24))}"),
        Act("bad pointer", b"file", f"{BAD} {BAD}"),
    ],
    "prctl": [
        Act("drop an unknown capability", b"file", "#24 #999 #0 #0 #0"),
        Act("drop a capability", b"file", "#24 #1 #0 #0 #0"),
        Act("no secure bits", b"file", "#28 #0 #0 #0 #0"),
        Act("adopting", b"file", "#36 #1 #0 #0 #0"),
    ],
    "landlock_restrict_self": [Act("no ruleset", b"file", f"{number(-1)} #0")],
    "kill": [Act("nobody", b"file", f"{_NO_PROCESS} #0"), Act("own group", b"file", "#0 #0")],
    "tkill": [Act("nobody", b"file", f"{_NO_PROCESS} #0"), Act("nonsense", b"file", f"{number(-1)} #0")],
    "tgkill": [
        Act("nobody", b"file", f"{_NO_PROCESS} {_NO_PROCESS} #0"),
        Act("nonsense", b"file", "#0 #0 #0"),
    ],
    "rt_sigqueueinfo": [Act("nobody", b"file", f"{_NO_PROCESS} #0 {_QUEUED}")],
    "rt_tgsigqueueinfo": [Act("nobody", b"file", f"{_NO_PROCESS} {_NO_PROCESS} #0 {_QUEUED}")],
    "pidfd_send_signal": [Act("no descriptor", b"file", f"#99 #0 {NULL} #0")],
    "fcntl": [
        Act("nobody owns it", b"", "D #8 #0", held=(b"d/file", os.O_RDONLY)),
        Act("no descriptor", b"file", "#99 #8 #0"),
        Act("nobody", b"file", "#1 #8 #0"),
    ],
    "setpriority": [
        Act("own", b"file", "#0 #0 #7"),
        Act("nobody", b"file", f"#0 {_NO_PROCESS} #7"),
        Act("nonsense", b"file", "#9 #0 #7"),
    ],
    "setpgid": [
        Act("own", b"file", "#0 #0"),
        Act("nobody's", b"file", f"#0 {_NO_PROCESS}"),
        Act("nonsense", b"file", f"#0 {number(-1)}"),
    ],
    "ioprio_set": [
        Act("own", b"file", f"#1 #0 {number(2 << 13 | 7)}"),
        Act("nobody", b"file", f"#1 {_NO_PROCESS} {number(2 << 13 | 7)}"),
        Act("nonsense", b"file", "#9 #0 #7"),
    ],
    "sched_setparam": [
        Act("own", b"file", f"#0 {data(bytes(4))}"),
        Act("nobody", b"file", f"{_NO_PROCESS} {data(bytes(4))}"),
        Act("bad pointer", b"file", f"#0 {BAD}"),
    ],
    "sched_setscheduler": [
        Act("own", b"file", f"#0 #3 {data(bytes(4))}"),
        Act("nobody", b"file", f"{_NO_PROCESS} #3 {data(bytes(4))}"),
    ],
    "sched_setaffinity": [
        Act("own", b"file", f"#0 #8 {data(bytes([255] * 8))}"),
        Act("nobody", b"file", f"{_NO_PROCESS} #8 {data(bytes([255] * 8))}"),
    ],
    "sched_setattr": [
        Act("own", b"file", f"#0 {_SCHED_ATTR} #0"),
        Act("nobody", b"file", f"{_NO_PROCESS} {_SCHED_ATTR} #0"),
    ],
    "prlimit64": [
        Act("own", b"file", f"#0 #4 {data(bytes(16))} {NULL}"),
        Act("nobody", b"file", f"{_NO_PROCESS} #4 {NULL} {NULL}"),
    ],
    **{
        call: [
            Act("no such key", b"file", f"{_NO_KEY} {size}#0"),
            Act("nonsense", b"file", f"#0 {bad}{number(0o600)}"),
        ]
        for call, size, bad in (("shmget", "#1 ", "#0 "), ("semget", "#1 ", f"{number(-1)} "))
    },
    "msgget": [Act("no such key", b"file", f"{_NO_KEY} #0")],
    "shmat": [Act("no such id", b"file", f"{number(-1)} {NULL} #0")],
    "semop": [Act("no such id", b"file", f"{number(-1)} {data(bytes(6))} #1")],
    "semtimedop": [Act("no such id", b"file", f"{number(-1)} {data(bytes(6))} #1 {NULL}")],
    "msgsnd": [Act("no such id", b"file", f"{number(-1)} {data(struct.pack('=q8x', 1))} #8 #0")],
    "msgrcv": [Act("no such id", b"file", f"{number(-1)} @16 #8 #0 #0")],
    "shmctl": [Act("no such id", b"file", f"{number(-1)} #0 {NULL}")],
    "semctl": [Act("no such id", b"file", f"{number(-1)} #0 #0 {NULL}")],
    "msgctl": [Act("no such id", b"file", f"{number(-1)} #0 {NULL}")],
}
"""By row. A row without an entry fails the tests: write one with the row."""

REFUSED: dict[str, str] = {
    "open_by_handle_at": f"{HERE} {data(bytes(8))} #0",
    "mount": f"{string('none')} {string('d')} {string('tmpfs')} #0 {NULL}",
    "umount2": f"{string('d')} #0",
    "pivot_root": f"{string('d')} {string('d')}",
    "chroot": string("d"),
    "swapon": f"{string('d/file')} #0",
    "swapoff": string("d/file"),
    "acct": string("d/file"),
    "quotactl": f"#0 {string('d/file')} #0 {NULL}",
    "quotactl_fd": f"#0 #0 #0 {NULL}",
    "open_tree": f"{HERE} {string('d')} #0",
    "open_tree_attr": f"{HERE} {string('d')} #0 {NULL} #0",
    "move_mount": f"{HERE} {string('d')} {HERE} {string('other')} #0",
    "fsopen": f"{string('tmpfs')} #0",
    "fsconfig": f"#99 #0 {NULL} {NULL} #0",
    "fsmount": "#99 #0 #0",
    "fspick": f"{HERE} {string('d')} #0",
    "mount_setattr": f"{HERE} {string('d')} #0 {data(bytes(32))} #32",
}
"""Arguments of the calls that no session may make, by row."""
