"""The one way into the C library and the one gate that failures leave by.

Every function of libc that this package calls is bound once, at import, with its argument types: a bound call
costs about 0.4 µs, one that is looked up per call four times that. The launcher pays for this import.
"""

from __future__ import annotations

import ctypes
import os
from errno import ENOSYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Both would cost the launcher ten milliseconds; type checkers know this constant's name.
    from collections.abc import Callable
    from typing import NoReturn


libc = ctypes.CDLL(None, use_errno=True)
"""The C library; errno is kept per thread, ask `ctypes.get_errno`."""


_LONG = frozenset(
    {"syscall", "process_vm_readv", "process_vm_writev", "readlink", "getxattr", "listxattr", "sendmsg"}
)


def bind(name: str, *argtypes: type) -> Callable[..., int]:
    """A function of the C library, to be kept by the caller; the GIL is free while it runs.

    Args:
        name: its name, of a function that returns int, long or ssize_t.
        argtypes: ctypes types of all its arguments.

    Raises:
        AttributeError: this libc has no such function.
    """
    function = libc[name]
    function.argtypes = argtypes
    # Sign-extended from int where the function returns int: both ABIs leave the upper half undefined.
    function.restype = ctypes.c_ssize_t if name in _LONG else ctypes.c_int
    bound: Callable[..., int] = function
    return bound


def unchecked(name: str) -> Callable[..., int]:
    """A function of the C library that takes arguments as they are: converted before, by `from_param`.

    Saves each call a seventh of a microsecond; for the one that every supervised call waits for.

    Args:
        name: its name, of a function that returns int.
    """
    bound: Callable[..., int] = libc[name]  # another object each time
    return bound


def bind_syscall(*argtypes: type) -> Callable[..., int]:
    """syscall(2) as a function object of its own; the number is still the first argument of each call.

    Args:
        argtypes: ctypes types of the arguments after the number.
    """
    return bind("syscall", ctypes.c_long, *argtypes)


def number(value: int) -> ctypes.c_long:
    """A syscall number converted once, which spares each call the conversion."""
    return ctypes.c_long(value)


def fail(error: int, call: str, path: bytes | None = None) -> NoReturn:
    """Raise the OSError of an error number.

    Args:
        error: the errno.
        call: the name of the syscall, for the message.
        path: the name that it was about, if there is one.

    Raises:
        OSError: always, as the subclass that fits (FileNotFoundError and so on).
    """
    text = f"{call}: {os.strerror(error)}"
    if error == ENOSYS:
        text = f"{call}: this kernel has no such call, or a filter hides it"
    if path is None:
        raise OSError(error, text)
    raise OSError(error, text, os.fsdecode(path))


def check(result: int, call: str, path: bytes | None = None) -> int:
    """Pass on the result of a call that returns -1 on failure.

    Args:
        result: what the bound function returned.
        call: the name of the syscall, for the message.
        path: the name that it was about, if there is one.

    Returns:
        the result, never negative.

    Raises:
        OSError: the call failed.
    """
    if result < 0:
        fail(ctypes.get_errno(), call, path)
    return result
