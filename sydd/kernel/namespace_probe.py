"""Whether this process may make namespaces, and what of the machine's settings says no.

Source: namespaces(7), user_namespaces(7), "/proc/sys/user" in proc(5); kernel.unprivileged_userns_clone is
Debian's, kernel.apparmor_restrict_unprivileged_userns AppArmor's since 4.0.
"""

from __future__ import annotations

import os
import warnings
from errno import EINVAL

from sydd.kernel import capabilities, namespaces

_FORBIDDEN_BY = {
    "kernel/unprivileged_userns_clone": 0,
    "user/max_user_namespaces": 0,
    "user/max_net_namespaces": 0,
    "kernel/apparmor_restrict_unprivileged_userns": 1,
}
"""Settings below /proc/sys and the value by which each forbids it."""

SETTINGS = ", ".join(path.replace("/", ".") for path in _FORBIDDEN_BY)
"""Their names as sysctl(8) takes them, for people."""


def administers() -> bool:
    """Whether the calling thread may make namespaces without a user namespace (CAP_SYS_ADMIN)."""
    return bool(capabilities.read()[0] >> capabilities.SYS_ADMIN & 1)


def unshare_in_child(*steps: int) -> int:
    """0, or the errno of `unshare` with each of *steps*, one after the other, in a child.

    Args:
        steps: CLONE_NEW*, one or more each.
    """
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads; this child makes a few system calls and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = EINVAL
        try:
            for flags in steps:
                namespaces.unshare(flags)
            code = 0
        except OSError as error:
            code = error.errno or EINVAL
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def private_network_in_child() -> int:
    """0, or the errno of making a network namespace as a session does."""
    user = 0 if administers() else namespaces.CLONE_NEWUSER
    return unshare_in_child(user | namespaces.CLONE_NEWNET)


def why_not(error: int) -> str:
    """In words, why namespaces cannot be made.

    Args:
        error: errno of unshare(2), or of what a session did next.

    Returns:
        The errno's text, and the settings that forbid it, or those that may where none shows.
    """
    said = [
        f"{path.replace('/', '.')} is {value}"
        for path, forbids in _FORBIDDEN_BY.items()
        if (value := _read(path)) == forbids
    ]
    if not said:
        said = [f"look at {SETTINGS}, and at the container's filter if this is one"]
    return f"{os.strerror(error)}; {', '.join(said)}"


def _read(path: str) -> int | None:
    """A setting; None where there is none."""
    try:
        with open(f"/proc/sys/{path}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
