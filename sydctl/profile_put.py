"""`sydctl profile put`, `remove` and `edit`: the profiles of the system, changed through the daemon."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from sydctl.connect import EXIT_REFUSED, STATUSES, add_socket, connected
from sydctl.main import Failure, complain
from sydctl.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.client import Client
    from sydd.wire.values import Finding

PUT_EPILOG = f"""\
{STATUSES}

examples:
  sydctl profile put ./ci.toml
  sydctl profile put ./ci.toml --name nightly --replace
  generate-profile | sydctl profile put - --name generated
"""

REMOVE_EPILOG = f"""\
{STATUSES}

examples:
  sydctl profile remove nightly
"""

EDIT_EPILOG = f"""\
{STATUSES}

examples:
  sydctl profile edit nightly
  EDITOR=ed sydctl profile edit build
"""

NEW = """\
# A new profile; `sydctl profile show build` shows what it builds on.
extends = "build"
rules = [
]
"""


def configure(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    raw = argparse.RawDescriptionHelpFormatter
    text = "write a profile of the system, by the daemon (root only)"
    parser = subparsers.add_parser("put", help=text, description=text, epilog=PUT_EPILOG, formatter_class=raw)
    parser.add_argument("file", metavar="FILE", help="the profile; - for standard input")
    parser.add_argument("--name", help="what to call it (default: the file's name without .toml)")
    parser.add_argument("--replace", action="store_true", help="also when there is one of that name")
    add_socket(parser)
    text = "remove a profile of the system, by the daemon (root only)"
    parser = subparsers.add_parser(
        "remove", help=text, description=text, epilog=REMOVE_EPILOG, formatter_class=raw
    )
    parser.add_argument("name", metavar="NAME", help="of the profile")
    add_socket(parser)
    text = "edit a profile of the system, by $VISUAL or $EDITOR and the daemon (root only)"
    parser = subparsers.add_parser(
        "edit", help=text, description=text, epilog=EDIT_EPILOG, formatter_class=raw
    )
    parser.add_argument(
        "name", metavar="NAME", help="of the profile; a new one begins as an extension of build"
    )
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl profile put`, `remove` or `edit`."""
    with connected(arguments) as client:
        if arguments.action == "put":
            name = arguments.name or os.path.basename(arguments.file).removesuffix(".toml")
            if name == "-":
                raise Failure("--name: what comes from standard input has no name of its own", EXIT_REFUSED)
            _tell(client.put_profile(name, _read(arguments.file), replace=arguments.replace))
        elif arguments.action == "remove":
            client.remove_profile(arguments.name)
        else:
            _edit(client, arguments.name)
    return 0


def _read(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise Failure(f"cannot read '{path}': {why}", EXIT_REFUSED) from None


def _tell(findings: Sequence[Finding]) -> None:
    for found in findings:
        place = f"{found['file']}:{found['line']}:{found['column']}"
        hint = f" ({found['hint']})" if found["hint"] else ""
        complain(printable(f"{place}: {found['severity']}: {found['message']}{hint}"))


def _edit(client: Client, name: str) -> None:
    """Fetch, edit, put; as often as the daemon finds something wrong and the person wants to go on."""
    from sydd.client import BadProfile, NoSuchProfile

    if not client.info()["administrator"]:
        raise Failure("not permitted: profiles of the system are root's", EXIT_REFUSED)
    try:
        text = client.get_profile(name)["text"]
    except NoSuchProfile:
        text = NEW
    with tempfile.TemporaryDirectory(prefix="sydctl-") as directory:
        path = os.path.join(directory, f"{os.path.basename(name) or 'profile'}.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        while True:
            _run_editor(path)
            edited = _read(path)
            if edited == text:
                complain("nothing was changed")
                return
            try:
                _tell(client.put_profile(name, edited, replace=True))
            except BadProfile as error:
                if not sys.stdin.isatty():
                    raise
                complain(printable(str(error)))
                if input("edit again? [Y/n] ").strip().lower() in ("n", "no"):
                    raise Failure("nothing was written", EXIT_REFUSED) from None
            else:
                return


def _run_editor(path: str) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(editor)
        status = subprocess.run([*words, path], check=False).returncode
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Failure(f"cannot run the editor '{editor}': {why}", EXIT_REFUSED) from None
    if status:
        raise Failure(f"the editor '{editor}' failed with status {status}; nothing was written", EXIT_REFUSED)
