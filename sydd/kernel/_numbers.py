"""Syscall numbers of this machine, for what glibc 2.36 has no wrapper for or only a process-wide one.

Sources: <asm/unistd_64.h> (x86-64), <asm-generic/unistd.h> (aarch64). From 424 on both agree.
"""

from __future__ import annotations

import os

MACHINE = os.uname().machine
"""What uname(2) calls the machine: x86_64 or aarch64."""

if MACHINE == "x86_64":
    UTIMENSAT = 280
    FCHOWNAT = 260
    SECCOMP = 317
    TGKILL = 234
    SETGROUPS = 116
    SETFSUID = 122
    SETFSGID = 123
    CAPGET = 125
    CAPSET = 126
    TKILL = 200
    NEWFSTATAT = 262
    MOVE_PAGES = 279
elif MACHINE == "aarch64":
    UTIMENSAT = 88
    FCHOWNAT = 54
    SECCOMP = 277
    TGKILL = 131
    SETGROUPS = 159
    SETFSUID = 151
    SETFSGID = 152
    CAPGET = 90
    CAPSET = 91
    TKILL = 130
    NEWFSTATAT = 79
    MOVE_PAGES = 239
else:
    raise ImportError(f"sydd knows the syscall numbers of x86_64 and aarch64, not of {MACHINE}")

PIDFD_SEND_SIGNAL = 424
PIDFD_OPEN = 434
OPENAT2 = 437
PIDFD_GETFD = 438
FACCESSAT2 = 439
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
FCHMODAT2 = 452
SETXATTRAT = 463
REMOVEXATTRAT = 466
FILE_GETATTR = 468
FILE_SETATTR = 469
