"""What no session may do, whatever its policy says about paths: static answers, each with its reason.

The errno is what the kernel gives a caller without privileges, or ENOSYS where a kernel without the feature
would say so and programs are known to fall back on it. Calls that name a path and are refused (mount,
chroot, …) are rows of ``rows.py`` instead, since their path can be told in an event.

A group is what a profile may lift as a whole; its reason is what the documentation prints.
"""

from __future__ import annotations

from errno import EACCES, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM
from stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG, S_IFSOCK

from sydd.syscalls.argument import ArgTest, equals, none_of, only
from sydd.syscalls.family_restriction import FAMILIES
from sydd.syscalls.requests import (
    INODE_REQUESTS,
    KEY_REQUESTS,
    KEYBOARD_REQUESTS,
    TIOCCONS,
    TIOCLINUX,
    TIOCSTI,
    USERFAULTFD_IOC_NEW,
)
from sydd.syscalls.restriction import ArgumentRule, Restriction, identity_bits, only_own
from sydd.syscalls.socket_restriction import SOCKETS

# linux/sched.h. CLONE_NEWTIME (0x80) lies where clone(2) has the exit signal: only unshare can say it.
CLONE_FS, CLONE_FILES, CLONE_SYSVSEM, CLONE_PARENT = 0x200, 0x400, 0x4_0000, 0x8000
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x1000_0000, 0x2000_0000, 0x4000_0000
_CLONE_NEW = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
)

# linux/personality.h
PER_LINUX32, UNAME26, ADDR_NO_RANDOMIZE, PERSONALITY_QUERY = 0x8, 0x2_0000, 0x4_0000, 0xFFFF_FFFF

# asm-generic/fcntl.h, asm-generic/sockios.h
F_SETOWN_EX = 15
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902

PR_SET_DUMPABLE = 4  # linux/prctl.h
PR_SCHED_CORE = 62  # linux/prctl.h: who shares a core with whom; a process in the third argument

_FILE_TYPE = S_IFREG | S_IFBLK | S_IFCHR | S_IFIFO | S_IFSOCK


RESTRICTIONS: tuple[Restriction, ...] = (
    Restriction(
        name="io_uring",
        reason="operations of a ring are no system calls: neither filter nor supervisor would see them",
        errno=ENOSYS,
        calls=("io_uring_setup", "io_uring_enter", "io_uring_register"),
    ),
    Restriction(
        name="clone3",
        reason="its flags lie behind a pointer, out of a filter's reach; C libraries fall back to clone",
        errno=ENOSYS,
        calls=("clone3",),
    ),
    Restriction(
        name="siblings",
        reason="makes a child that is no child: who descends from whom is what tells processes apart",
        errno=EPERM,
        rules=(
            ArgumentRule(
                call="clone", forms=(((ArgTest(0, CLONE_PARENT, CLONE_PARENT),), EPERM),), otherwise=0
            ),
        ),
    ),
    Restriction(
        name="namespaces",
        reason="a user namespace of its own gives a process capabilities over mounts and the network stack",
        errno=EPERM,
        rules=(
            # The bits of clone are all given out. unshare still gains some: there the harmless are listed.
            ArgumentRule(call="clone", forms=(((none_of(0, _CLONE_NEW),), 0),), otherwise=EPERM),
            ArgumentRule(
                call="unshare",
                forms=(((only(0, CLONE_FS | CLONE_FILES | CLONE_SYSVSEM),), 0),),
                otherwise=EPERM,
            ),
        ),
    ),
    Restriction(
        name="setns",
        reason="joins the namespaces of another process; with its mount namespace it takes its root",
        errno=EPERM,
        calls=("setns",),
    ),
    Restriction(
        name="landlock",
        reason="what is performed for a program passes its own domain by, so without Landlock underneath it "
        "gets to know of none",
        errno=ENOSYS,
        calls=("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"),
        by_default=False,
    ),
    Restriction(
        name="trace",
        reason="reaches into other processes; Landlock confines it to the session, where debuggers need it",
        errno=EPERM,
        calls=(
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "process_madvise",
            "pidfd_getfd",
            "kcmp",
        ),
        rules=(
            *(only_own(call) for call in ("migrate_pages", "move_pages", "get_robust_list")),
            ArgumentRule(
                call="prctl",
                forms=(((equals(0, PR_SCHED_CORE), equals(2, 0)), 0), ((equals(0, PR_SCHED_CORE),), EPERM)),
                otherwise=0,
            ),
        ),
        by_default=False,
    ),
    Restriction(
        name="reaping",
        reason="takes the memory of a process that is being killed, by descriptor; nothing but an "
        "out-of-memory daemon needs it",
        errno=ENOSYS,
        calls=("process_mrelease",),
    ),
    Restriction(
        name="bpf",
        reason="programs inside the kernel: large attack surface, and sight of the whole machine",
        errno=EPERM,
        calls=("bpf",),
    ),
    Restriction(
        name="perf",
        reason="observes other processes and the kernel; a history of kernel bugs",
        errno=EACCES,
        calls=("perf_event_open",),
    ),
    Restriction(
        name="userfaultfd",
        reason="lets a program halt whoever reads its memory, the kernel and the supervisor included",
        errno=EPERM,
        calls=("userfaultfd",),
        # /dev/userfaultfd gives the same.
        rules=(ArgumentRule(call="ioctl", forms=(((equals(1, USERFAULTFD_IOC_NEW),), EPERM),), otherwise=0),),
    ),
    Restriction(
        name="keyrings",
        reason="keys belong to the user, to no path or session: tickets and disk keys would be in reach, and "
        "who takes the key of an encrypted directory away locks it for everybody",
        errno=EPERM,
        calls=("add_key", "request_key", "keyctl"),
        rules=(
            ArgumentRule(
                call="ioctl",
                forms=tuple(((equals(1, request),), EPERM) for request in KEY_REQUESTS.values()),
                otherwise=0,
            ),
        ),
    ),
    Restriction(
        name="kernel",
        reason="replaces or extends the running kernel, or stops it",
        errno=EPERM,
        calls=(
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "finit_module",
            "delete_module",
            "reboot",
        ),
    ),
    Restriction(
        name="clock",
        reason="the time of the machine is not the session's to set",
        errno=EPERM,
        calls=(
            "settimeofday",
            "stime",
            "clock_settime",
            "clock_settime64",
            "clock_adjtime",
            "clock_adjtime64",
            "adjtimex",
        ),
    ),
    Restriction(
        name="host",
        reason="names, log, terminals and ports of the machine; root alone could do it anyway",
        errno=EPERM,
        calls=("sethostname", "setdomainname", "syslog", "vhangup", "iopl", "ioperm", "lookup_dcookie"),
    ),
    Restriction(
        name="fanotify",
        reason="watches, and can hold up, accesses of the whole machine",
        errno=EPERM,
        calls=("fanotify_init",),
    ),
    Restriction(
        name="obsolete",
        reason="calls that current kernels have dropped and that older ones should not offer either",
        errno=ENOSYS,
        calls=(
            "nfsservctl",
            "uselib",
            "_sysctl",
            "create_module",
            "get_kernel_syms",
            "query_module",
            "getpmsg",
            "putpmsg",
            "afs_syscall",
            "tuxcall",
            "security",
            "vserver",
            "epoll_ctl_old",
            "epoll_wait_old",
            "vm86",
            "vm86old",
        ),
    ),
    Restriction(
        name="devices",
        reason="a device node of one's own, in a directory where all is allowed, is a way to every disk "
        "and to memory; who is not root cannot make one anyway",
        errno=EPERM,
        rules=tuple(
            ArgumentRule(
                call=call,
                forms=tuple(((ArgTest(mode, _FILE_TYPE, kind),), EPERM) for kind in (S_IFCHR, S_IFBLK)),
                otherwise=0,
            )
            for call, mode in (("mknod", 1), ("mknodat", 2))
        ),
    ),
    Restriction(
        name="labels",
        reason="changes the security label of the caller, as writing below /proc/self/attr does, by no path",
        errno=EOPNOTSUPP,
        calls=("lsm_set_self_attr",),
    ),
    Restriction(
        name="dumpable",
        reason="a process that is not dumpable cannot be read by a supervisor of the same user, and every "
        "call with a path would fail; that is said at once",
        errno=EPERM,
        rules=(
            ArgumentRule(
                call="prctl", forms=(((equals(0, PR_SET_DUMPABLE), equals(1, 0)), EPERM),), otherwise=0
            ),
        ),
        by_default=False,
    ),
    Restriction(
        name="mqueues",
        reason="POSIX message queues have a name space of their own, which all processes of the user share",
        errno=ENOSYS,
        calls=("mq_open", "mq_unlink"),
    ),
    Restriction(
        name="sysv_ipc",
        reason="message queues, semaphores and shared memory belong to the user, to no path or session",
        errno=ENOSYS,
        calls=(
            *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
            *("msgget", "msgsnd", "msgrcv", "msgctl", "ipc", "semtimedop_time64"),
        ),
        by_default=False,
    ),
    Restriction(
        name="setuid_bits",
        reason="a program that runs as its owner, left behind for another user of the machine; openat2 has "
        "its mode behind a pointer",
        errno=ENOSYS,
        calls=("openat2",),
        rules=(
            identity_bits("open", 2, flags=1),
            identity_bits("openat", 3, flags=2),
            identity_bits("creat", 1),
            identity_bits("mknod", 1),
            identity_bits("mknodat", 2),
        ),
        by_default=False,
    ),
    Restriction(
        name="setuid_chmod",
        reason="the same, of a file that is there, where no supervisor tells directories from files",
        errno=EPERM,
        rules=(
            identity_bits("chmod", 1),
            identity_bits("fchmod", 1),
            identity_bits("fchmodat", 2),
            identity_bits("fchmodat2", 2),
        ),
        by_default=False,
    ),
    Restriction(
        name="limits",
        reason="the limits of another process of the user can be set as well: with RLIMIT_CPU that ends it; "
        "where there is a supervisor, it judges",
        errno=EPERM,
        rules=(only_own("prlimit64"),),
        by_default=False,
    ),
    Restriction(
        name="personality",
        reason="READ_IMPLIES_EXEC, MMAP_PAGE_ZERO and other bits undo hardening of later programs; asking, "
        "setarch -R, linux32 and --uname-2.6 stay allowed",
        errno=EPERM,
        rules=(
            ArgumentRule(
                call="personality",
                forms=(
                    ((equals(0, PERSONALITY_QUERY),), 0),
                    ((only(0, PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE),), 0),
                ),
                otherwise=EPERM,
            ),
        ),
    ),
    Restriction(
        name="terminal",
        reason="TIOCSTI and TIOCLINUX type into the terminal as if the user did, outside the session; keys "
        "of a console can be given other meanings, and TIOCCONS takes what is written to the console",
        errno=EPERM,
        rules=(
            ArgumentRule(
                call="ioctl",
                forms=tuple(
                    ((equals(1, request),), EPERM)
                    for request in (TIOCSTI, TIOCLINUX, TIOCCONS, *KEYBOARD_REQUESTS.values())
                ),
                otherwise=0,
            ),
        ),
    ),
    Restriction(
        name="owners",
        reason="the kernel would send the signals of a descriptor to any process; which one lies behind a "
        "pointer. Held where Landlock does not keep signals in the session; F_SETOWN with one's own "
        "number, which a register holds, stays allowed",
        errno=EPERM,
        rules=(
            *(
                ArgumentRule(call=call, forms=(((equals(1, F_SETOWN_EX),), EPERM),), otherwise=0)
                for call in ("fcntl", "fcntl64")
            ),
            ArgumentRule(
                call="ioctl",
                forms=(((equals(1, FIOSETOWN),), EPERM), ((equals(1, SIOCSPGRP),), EPERM)),
                otherwise=0,
            ),
        ),
        by_default=False,
    ),
    Restriction(
        name="inode_ioctl",
        reason="changes files and directories through a descriptor that is open for reading, where neither a "
        "path rule nor Landlock looks; ENOTTY is what a file system without the feature says",
        errno=ENOTTY,
        rules=(
            ArgumentRule(
                call="ioctl",
                forms=tuple(((equals(1, request),), ENOTTY) for request in INODE_REQUESTS.values()),
                otherwise=0,
            ),
        ),
    ),
    SOCKETS,
    FAMILIES,
)

DEFAULT_GROUPS: frozenset[str] = frozenset(group.name for group in RESTRICTIONS if group.by_default)
"""Names of the groups that hold where a profile says nothing."""
