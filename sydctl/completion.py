"""`sydctl completion`: a script that a shell completes sydctl's arguments by."""

from __future__ import annotations

import argparse
import importlib

from sydctl.main import Failure, build_parser

EXIT_MISSING = 1

DESCRIPTION = "Print a completion script. It needs the package shtab (pip install shtab)."

EPILOG = """\
exit status: 0; 1 when shtab is not installed; 2 for bad arguments.

examples:
  sydctl completion bash > ~/.local/share/bash-completion/completions/sydctl
  sydctl completion zsh > ~/.zfunc/_sydctl
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl completion`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=("bash", "zsh"), help="for which shell")


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl completion`.

    Raises:
        Failure: shtab is not installed.
    """
    try:
        # By name: it is optional, and no dependency of what sydd is for.
        shtab = importlib.import_module("shtab")
    except ImportError:
        raise Failure("completion needs the package shtab (pip install shtab)", EXIT_MISSING) from None
    print(shtab.complete(build_parser(complete=True), shell=arguments.shell))
    return 0
