"""Rows about processes: their credentials, domains and signals, and what belongs to a user and to no path.

- Calls that signal a process are told apart by their names; their registers hold numbers of processes.
  ``fcntl`` is here for F_SETOWN alone.
- ``prctl`` is here for the operations in IDENTITY_OPERATIONS and PR_SET_CHILD_SUBREAPER alone.

Source as in ``rows.py``, and kernel/{sys,groups,signal,sched/syscalls}.c, block/ioprio.c, ipc/.
"""

from __future__ import annotations

from errno import EACCES, EPERM

from sydd.syscalls.row import Operation, Row

IDENTITY_OPERATIONS: dict[str, int] = {"PR_CAPBSET_DROP": 24, "PR_SET_SECUREBITS": 28}
"""Operations of prctl(2) after which a later execve(2) leads to other capabilities (linux/prctl.h)."""

F_SETOWN = 8
"""Command of fcntl(2): who gets the signals of a descriptor. F_SETOWN_EX has it behind a pointer."""
PR_SET_CHILD_SUBREAPER = 36
"""Operation of prctl(2) after which a process adopts those below it that lose their parents."""

_op = Operation

# A session that began with privileges may give them up, in one thread only, too. From then on the
# supervisor has to look at each caller's credentials; until then it saves that look.
_IDENTITY = (
    *(
        Row(name=name, operation=_op.IDENTITY, extra=registers)
        for name, registers in (
            ("setuid", (0,)),
            ("setgid", (0,)),
            ("setreuid", (0, 1)),
            ("setregid", (0, 1)),
            ("setresuid", (0, 1, 2)),
            ("setresgid", (0, 1, 2)),
            ("setfsuid", (0,)),
            ("setfsgid", (0,)),
        )
    ),
    *(Row(name=name, operation=_op.IDENTITY) for name in ("setgroups", "capset", "prctl")),
)

# Where Landlock does not keep signals in the session, the supervisor does.
_SIGNALS = tuple(
    Row(name=name, operation=_op.SIGNAL, errno=EPERM)
    for name in (
        "kill",
        "tkill",
        "tgkill",
        "rt_sigqueueinfo",
        "rt_tgsigqueueinfo",
        "pidfd_send_signal",
        "fcntl",
    )
)

# Nothing that the kernel judges by Landlock is performed for who confined itself.
_CONFINE = (Row(name="landlock_restrict_self", operation=_op.CONFINE),)

# What other processes of the user are to a session: out of reach. These name a process, or an object of
# System V IPC, by a number in a register, so that whom they mean is known for certain.
_OTHERS = (
    Row(name="setpriority", operation=_op.PROCESS, extra=(0, 1), errno=EPERM),
    Row(name="ioprio_set", operation=_op.PROCESS, extra=(0, 1), errno=EPERM),
    Row(name="sched_setparam", operation=_op.PROCESS, extra=(0,), errno=EPERM),
    Row(name="sched_setscheduler", operation=_op.PROCESS, extra=(0,), errno=EPERM),
    Row(name="sched_setaffinity", operation=_op.PROCESS, extra=(0,), errno=EPERM),
    Row(name="sched_setattr", operation=_op.PROCESS, extra=(0,), errno=EPERM),
    Row(name="setpgid", operation=_op.PROCESS, extra=(0, 1), errno=EPERM),
    Row(name="prlimit64", operation=_op.PROCESS, extra=(0,), errno=EPERM),
    Row(name="shmget", operation=_op.IPC_GET, extra=(0, 1, 2), errno=EACCES),
    Row(name="semget", operation=_op.IPC_GET, extra=(0, 1, 2), errno=EACCES),
    Row(name="msgget", operation=_op.IPC_GET, extra=(0, 1), errno=EACCES),
    Row(name="shmat", operation=_op.IPC_USE, extra=(0,), errno=EACCES),
    Row(name="shmctl", operation=_op.IPC_USE, extra=(0, 1), errno=EACCES),
    Row(name="semop", operation=_op.IPC_USE, extra=(0,), errno=EACCES),
    Row(name="semtimedop", operation=_op.IPC_USE, extra=(0,), errno=EACCES),
    Row(name="semctl", operation=_op.IPC_USE, extra=(0, 2), errno=EACCES),
    Row(name="msgsnd", operation=_op.IPC_USE, extra=(0,), errno=EACCES),
    Row(name="msgrcv", operation=_op.IPC_USE, extra=(0,), errno=EACCES),
    Row(name="msgctl", operation=_op.IPC_USE, extra=(0, 1), errno=EACCES),
)

JUDGED_BY_REGISTERS = frozenset({_op.PROCESS, _op.IPC_GET, _op.IPC_USE})
"""Operations on what belongs to the user and to no path."""

WHO_PROCESS: dict[str, int] = {"setpriority": 0, "ioprio_set": 1}
"""The word for "a process" of the calls that also speak of groups and users (PRIO_, IOPRIO_WHO_PROCESS)."""

PROCESS_ROWS: tuple[Row, ...] = (*_IDENTITY, *_CONFINE, *_SIGNALS, *_OTHERS)
"""All of them; a part of ``rows.ROWS``."""
