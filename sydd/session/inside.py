"""Whether this process is in a session already, without the modules that a session takes."""

from __future__ import annotations


def is_supervised() -> bool:
    """Whether this process belongs to a session, or is supervised by somebody else.

    Asked of the kernel only where there is a filter: the question needs modules that nothing else does.
    """
    with open("/proc/self/status", "rb") as file:
        if b"\nSeccomp:\t2\n" not in file.read():
            return False
    from sydd.kernel.probe import supervised

    return supervised()
