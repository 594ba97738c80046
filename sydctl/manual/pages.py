"""The man pages: which there are, and what is in each."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import sydd
from sydctl import main
from sydctl.manual import markdown, options, roff
from sydd.daemon.arguments import build_parser

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
"""The documentation of a checkout or a source distribution."""

SEE: Final = {
    "sydd.8": (8, "sydd", "sandbox supervisor for builds"),
    "sydctl.1": (1, "sydctl", "run commands under sydd, and look after its profiles and sessions"),
    "sydd-profile.5": (5, "sydd-profile", "profiles of sydd"),
    "sydd-rules.7": (7, "sydd-rules", "rules of sydd"),
}
"""Each page: section, name, and what it is about."""

ENVIRONMENT: Final = {
    "SYDD_SOCKET": "The daemon's socket, instead of /run/sydd/sydd.sock and $XDG_RUNTIME_DIR/sydd/sydd.sock.",
    "XDG_CONFIG_HOME": "Where the user's profiles are looked up, in sydd/profiles; ~/.config by default.",
    "NO_COLOR": "Anything but nothing: no colours.",
    "SYDCTL_TRACEBACK": "Anything but nothing: a mistake of sydd's own shows where it was made.",
}

FILES: Final = {
    "/run/sydd/sydd.sock": "The socket of the system's daemon, for members of the group sydd.",
    "$XDG_RUNTIME_DIR/sydd/sydd.sock": "That of a user's own.",
    "/etc/sydd/sydd.toml": "Settings of the daemon.",
    "/etc/sydd/profiles": "The administrator's profiles.",
    "~/.config/sydd/profiles": "The user's.",
}


def build(docs: Path = DOCS) -> dict[str, str]:
    """All pages: file name to roff.

    Args:
        docs: the directory with the Markdown files.

    Raises:
        FileNotFoundError: the documentation is not there.
    """
    makers: dict[str, Callable[[Path], list[str]]] = {
        "sydd.8": _daemon,
        "sydctl.1": _sydctl,
        "sydd-profile.5": _profile,
        "sydd-rules.7": _rules,
    }
    return {name: _page(name, maker(docs)) for name, maker in makers.items()}


def _page(name: str, body: list[str]) -> str:
    section, title, about = SEE[name]
    others = (f"{roff.bold(other)}({number})" for key, (number, other, _) in SEE.items() if key != name)
    lines = [
        '.\\" Made by sydctl.manual from the sources; to change it, change those.',
        *roff.title(title, section, sydd.__version__, about, _date()),
        *body,
        ".SH SEE ALSO",
        ", ".join(others),
    ]
    # A heading begins a paragraph itself.
    kept = (now for before, now in pairwise(["", *lines]) if now != ".PP" or not before.startswith(".S"))
    return "\n".join(kept) + "\n"


def _date() -> str:
    """Today, or what SOURCE_DATE_EPOCH says (https://reproducible-builds.org/specs/source-date-epoch/)."""
    return time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))


def _sections(docs: Path, file: str) -> dict[str, str]:
    return markdown.sections((docs / file).read_text(encoding="utf-8"))


def _terms(words: Mapping[str, str]) -> list[str]:
    return [line for term, text in words.items() for line in roff.item(roff.bold(term), [roff.escape(text)])]


def _sydctl(docs: Path) -> list[str]:
    parser = main.build_parser(complete=True)
    told = _sections(docs, "sydctl.md")
    lines = [".SH SYNOPSIS", f"{roff.bold('sydctl')} {roff.italic('COMMAND')} [{roff.italic('ARGUMENT')}]…"]
    lines += [".SH DESCRIPTION", *roff.paragraph(parser.description or "")]
    lines += roff.paragraph("Commands and their options are below; `sydctl COMMAND --help` shows the same.")
    lines.append(".SH COMMANDS")
    for name, command in options.subcommands(parser).items():
        lines += _command(f"sydctl {name}", command)
    lines += [roff.heading("Exit status"), *markdown.convert(told["Exit status"])]
    lines += [roff.heading("Events"), *markdown.convert(told["Events"])]
    lines += [roff.heading("Environment"), *_terms(ENVIRONMENT)]
    lines += [roff.heading("Files"), *_terms(FILES)]
    return lines


def _command(name: str, parser: argparse.ArgumentParser) -> list[str]:
    """A subcommand and those below it."""
    inner = options.subcommands(parser)
    lines = [roff.heading(name, sub=True), *options.describe(parser)]
    for word, command in inner.items():
        lines += _command(f"{name} {word}", command)
    return lines


def _profile(docs: Path) -> list[str]:
    text = (docs / "profile-reference.md").read_text(encoding="utf-8")
    told = markdown.sections(text)
    lines = [".SH DESCRIPTION", *markdown.convert(text.partition("\n## ")[0].partition("\n")[2])]
    for name in (
        "Where profiles are looked up",
        "Keys",
        "Restrict",
        "Network",
        "Variables",
        "Shipped profiles",
    ):
        lines += [roff.heading(name), *markdown.convert(told[name])]
    return lines


def _rules(docs: Path) -> list[str]:
    told = _sections(docs, "profile-reference.md")
    lines = [".SH DESCRIPTION", *markdown.convert(told["Rules"])]
    return [*lines, roff.heading("Examples"), *roff.example(EXAMPLES.splitlines())]


EXAMPLES: Final = """\
allow write ${cwd}/**            # the directory and everything below
deny read ${home}/.ssh/**
filter write /usr/lib/python3*/**/__pycache__/**
hide read,stat /usr/include/openssl/**
allow connect 127.0.0.0/8!1024-65535
allow connect unix:/run/nscd/socket
allow bind loopback!0"""


def _daemon(docs: Path) -> list[str]:
    host, operations, metrics = (
        _sections(docs, name) for name in ("build-host.md", "operations.md", "metrics.md")
    )
    lines = [".SH SYNOPSIS", f"{roff.bold('sydd')} [{roff.italic('OPTION')}]…"]
    lines += [".SH DESCRIPTION", *markdown.convert(host["What the daemon is"])]
    lines += [".SH OPTIONS", *options.describe(build_parser())]
    for name, told in (
        ("Settings", host),
        ("Units", host),
        ("Signals", operations),
        ("What happens when", operations),
        ("Log", operations),
        ("Names", metrics),
    ):
        lines += [roff.heading("Metrics" if told is metrics else name), *markdown.convert(told[name])]
    lines += [roff.heading("Environment"), *_terms({"SYDD_CGROUP": _CGROUP})]
    lines += [roff.heading("Files"), *_terms(FILES)]
    return lines


_CGROUP: Final = (
    "The directory of a control group that is the daemon's alone, where sessions get their groups; by "
    "default that of sydd-sessions.service."
)
