"""capabilities(7) of the calling thread: capget(2), capset(2), the bounding set. The launcher imports this.

Raw system calls, which change one thread. Sets are integers, bit N for capability N of <linux/capability.h>.
"""

from __future__ import annotations

import ctypes
import struct

from sydd.kernel import _gate, _numbers, prctl

SETPCAP = 8
SYS_PTRACE = 19
SYS_ADMIN = 21

_HEADER = struct.pack("=Ii", 0x20080522, 0)
"""struct __user_cap_header_struct: version 3, the calling thread."""
_DATA = struct.Struct("=6I")
_LOW = 0xFFFFFFFF
_LAST = 63
"""The highest number that fits; the kernel refuses those it does not know."""

_caps = _gate.bind_syscall(ctypes.c_char_p, ctypes.c_char_p)
_CAPGET = _gate.number(_numbers.CAPGET)
_CAPSET = _gate.number(_numbers.CAPSET)


def read() -> tuple[int, int, int]:
    """The calling thread's effective, permitted and inheritable set."""
    data = ctypes.create_string_buffer(_DATA.size)
    _gate.check(_caps(_CAPGET, _HEADER, data), "capget")
    low_e, low_p, low_i, high_e, high_p, high_i = _DATA.unpack(data.raw)
    return high_e << 32 | low_e, high_p << 32 | low_p, high_i << 32 | low_i


def write(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's sets.

    Raises:
        OSError: EPERM for what would be a gain.
    """
    low = (effective & _LOW, permitted & _LOW, inheritable & _LOW)
    high = (effective >> 32, permitted >> 32, inheritable >> 32)
    _gate.check(_caps(_CAPSET, _HEADER, _DATA.pack(*low, *high)), "capset")


def limit(allowed: int) -> None:
    """Give up every capability outside *allowed* in the calling thread, for good; ambient ones go along."""
    effective, permitted, inheritable = read()
    if (permitted | inheritable) & ~allowed:
        write(effective & allowed, permitted & allowed, inheritable & allowed)


def limit_bounding(allowed: int) -> None:
    """Take every capability outside *allowed* from the bounding set, where the thread may do that.

    Where it may not, no_new_privs keeps an exec from bringing back what `limit` has taken, all the same.
    """
    if not read()[0] >> SETPCAP & 1:
        return
    for capability in range(_LAST + 1):
        if not allowed >> capability & 1 and not prctl.drop_bounding(capability):
            return
