"""How a process of a session's begins and ends: when main says so, and never in main's own code."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Any, NoReturn

from sydd.daemon import identity
from sydd.daemon.channel import Channel, ChannelError
from sydd.kernel.reason import reason

if TYPE_CHECKING:
    from collections.abc import Callable


EXIT_BROKEN = 70
"""Of a process that could not go on, for people: main goes by the end of its channel."""


def wait_to_begin(channel: Channel) -> None:
    """Wait until main says that this process is to begin; where it wants nothing any more, this one ends.

    Args:
        channel: to main.
    """
    select.select([channel], [], [])
    received = channel.receive()
    if received is None:
        os._exit(0)
    received[1].close()


def live(channel: Channel, life: Callable[[], int]) -> NoReturn:
    """Live, and end; nothing of the process that forked this one runs on.

    Args:
        channel: to main, which is told when it goes wrong.
        life: becomes whose this process is to be, and lives; its result is the exit status.
    """
    status = EXIT_BROKEN
    try:
        status = life()
    except OSError as error:
        message = f"a process of the session cannot go on: {reason(error)}"
        tell_failure(channel, {"kind": "setup", "message": message})
    except (identity.IdentityError, ChannelError) as error:
        tell_failure(channel, {"kind": "setup", "message": str(error)})
    except BaseException as error:  # noqa: BLE001  # main tells of it; there is nobody else
        tell_failure(channel, {"kind": "setup", "message": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(status)


def tell_failure(channel: Channel, values: dict[str, Any]) -> None:
    """Tell main why this process ends, if it listens."""
    with contextlib.suppress(OSError, ValueError):
        channel.send({"type": "failed", **values})
