"""`sydctl install`: put units, groups, directories and man pages where the host looks for them."""

from __future__ import annotations

import argparse
import os
import sysconfig
from typing import Final

from sydctl.main import Failure
from sydctl.text import printable

EXIT_FAILED: Final = 1

DESCRIPTION = """\
Install what a host needs for the daemon: systemd units, the group `sydd`, directories, man pages, and the
programs as links. What was written is listed in PREFIX/lib/sydd/installed, for `sydctl uninstall`."""

EPILOG = """\
exit status: 0; 1 when something could not be done, where what was written before stays, and is listed; 2 for
bad arguments.

examples:
  sydctl install --enable
  sydctl install --root /tmp/package --prefix /usr
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl install`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_places(parser)
    parser.add_argument("--enable", action="store_true", help="enable and start sydd.socket as well")


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add what `install` and `uninstall` share."""
    parser.add_argument(
        "--root",
        metavar="DIR",
        default="/",
        help="treat DIR as the root of the host; nothing is started there (default: /)",
    )
    parser.add_argument(
        "--prefix", metavar="DIR", default="/usr/local", help="below the root (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl install`."""
    from sydctl.host import Host, HostError, files

    scripts = sysconfig.get_path("scripts")
    host = Host(arguments.root, arguments.prefix)
    try:
        if host.here:
            host.check_programs(scripts)
        written = host.write(files(host, scripts))
        if host.here:
            host.activate(enable=arguments.enable)
        elif arguments.enable:
            host.enable_offline()
    except (HostError, OSError) as error:
        raise Failure(printable(f"cannot install: {error}"), EXIT_FAILED) from None
    for path in written:
        print(printable(os.path.join(host.root, path.lstrip("/"))))
    return 0
