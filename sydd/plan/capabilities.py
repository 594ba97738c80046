"""Capabilities that a session of root keeps: what builds and installations use. All others are dropped.

They are what root needs to own files, give them away and become other users. Those that reach beyond files
(SYS_ADMIN, SYS_PTRACE, PERFMON, BPF, SYS_MODULE, SYS_RAWIO, SYS_BOOT, SYS_TIME, NET_ADMIN, NET_RAW …) go:
some of them pass Landlock's own checks. proc_mem_open() of the kernel, for one, asks CAP_PERFMON or
CAP_SYS_ADMIN where Landlock has refused to show another process's environment. SYS_CHROOT goes because the
call is refused; SYS_RESOURCE because it lifts the profile's limits.
"""

from __future__ import annotations

KEPT: dict[str, int] = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,  # linkat(2) of a descriptor; open_by_handle_at(2) is refused
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "MKNOD": 27,
    "SETFCAP": 31,
}
"""Numbers of <linux/capability.h>, by name."""

KEPT_MASK = sum(1 << number for number in KEPT.values())
"""The same as a set: bit N for capability N."""
