"""What the commands about the daemon share: the option that names its socket, and errors as one line."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os

from sydctl.main import EXIT_FAILED, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Iterator
    from typing import Any

    from sydd.client import Client

EXIT_REFUSED = 1
"""The daemon said no: there is no such session, or this user may not do it."""

STATUSES = """\
exit status: 0; 1 when the daemon refuses, as there is no such session or this user may not do it; 2 for bad
arguments; 125 when the daemon cannot be reached."""


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add --socket."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        help="of the daemon (default: $SYDD_SOCKET, else the system's, else this user's own)",
    )


def add_session(parser: argparse.ArgumentParser) -> None:
    """Add the session, which completion does not know."""
    parser.add_argument(
        "session", metavar="SESSION", help="its name, as 'sydctl ps' shows it; 'self' for the one around this"
    )


def add_json(parser: argparse._ActionsContainer, text: str = "print JSON") -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help=text)


def way_out(reason: str) -> str:
    """What to do where nobody answers.

    Args:
        reason: of the `NotRunningError`.
    """
    if reason == os.strerror(errno.EACCES):
        return "the system's is for the group sydd, and inside a session for profiles that allow it"
    return "root starts it by 'systemctl start sydd.socket', a user the own one by 'sydd'"


@contextlib.contextmanager
def connected(arguments: argparse.Namespace, status: int = EXIT_REFUSED) -> Iterator[Client]:
    """The daemon's client; what goes wrong with it in the `with` is one line.

    Args:
        arguments: with what `add_socket` added.
        status: to exit with when the daemon refuses.

    Raises:
        Failure: the daemon cannot be reached, or refuses.
    """
    from sydd.client import CallError, Client, ControlError, NotRunningError, UnavailableError

    try:
        with Client(arguments.socket) as client:
            yield client
    except NotRunningError as error:
        raise Failure(f"{error} ({way_out(error.reason)})", EXIT_FAILED) from None
    except UnavailableError as error:
        raise Failure(str(error), EXIT_FAILED) from None
    except (ControlError, CallError) as error:
        raise Failure(str(error), status) from None


def print_json(value: Any) -> None:
    """Print a value for programs."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))
