"""The arguments of `sydd`: apart from the daemon, as the man page is made without what it imports."""

from __future__ import annotations

import argparse
from typing import NoReturn

import sydd
from sydd.daemon import config


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where help is."""
        self.exit(2, f"{self.prog}: {message} (see '{self.prog} --help')\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the arguments."""
    parser = Parser(
        prog="sydd",
        description="The sandbox daemon: sessions of many users, supervised; see sydctl(1) for using it.",
    )
    parser.add_argument("--version", action="version", version=f"sydd {sydd.__version__}")
    parser.add_argument(
        "--user",
        action="store_true",
        help="be a user's own daemon, below $XDG_RUNTIME_DIR (default: unless started by root)",
    )
    parser.add_argument(
        "--socket", metavar="PATH", help="the control socket, where the service manager passes none"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"settings (default: {config.SYSTEM}; of a user's own daemon ~/.config/sydd/sydd.toml)",
    )
    parser.add_argument("--log-level", choices=config.LEVELS, help="instead of the settings'")
    parser.add_argument(
        "--keep-sessions",
        choices=config.KEEP,
        help="whether an orderly stop leaves sessions running (auto: where the next daemon gets them back)",
    )
    return parser
