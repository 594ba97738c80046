"""What an error says to people. The launcher imports this."""

from __future__ import annotations

import errno

CROWDED = "too many descriptors of this user are on their way through sockets (ETOOMANYREFS)"
"""Of sendmsg(2) with SCM_RIGHTS; what strerror(3) says, "cannot splice", is of another time."""


def reason(error: BaseException) -> str:
    """Why something failed, without the number of an errno.

    Args:
        error: what it raised.
    """
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.ETOOMANYREFS:
        return CROWDED
    return error.strerror or str(error)
