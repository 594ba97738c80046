"""`sydctl uninstall`: remove what `sydctl install` has put there."""

from __future__ import annotations

import argparse
from typing import Final

from sydctl.install import add_places
from sydctl.main import Failure
from sydctl.text import printable

EXIT_FAILED: Final = 1

DESCRIPTION = """\
Remove what `sydctl install` wrote, by its list. Settings and profiles in /etc/sydd, drop-ins and the group
stay. Sessions that run are ended."""

EPILOG = """\
exit status: 0; 1 when something could not be removed; 2 for bad arguments.

examples:
  sydctl uninstall
  sydctl uninstall --root /tmp/package --prefix /usr
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl uninstall`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_places(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl uninstall`."""
    from sydctl.host import Host, HostError

    host = Host(arguments.root, arguments.prefix)
    try:
        listed = host.listed()
        if host.here:
            host.deactivate()
        host.remove(listed)
        if host.here:
            host.reload()
    except (HostError, OSError) as error:
        raise Failure(printable(f"cannot uninstall: {error}"), EXIT_FAILED) from None
    return 0
