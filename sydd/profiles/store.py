"""Finding and reading profiles.

A name is looked up in `$XDG_CONFIG_HOME/sydd/profiles`, `/etc/sydd/profiles` and among the shipped ones;
what has a slash or ends in `.toml` is a path. A profile that extends its own name means the next one of that
name: a user's `build.toml` with `extends = "build"` adds to the shipped one.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.policy.errors import PolicyError, Source
from sydd.policy.policy import Policy
from sydd.policy.words import did_you_mean

if TYPE_CHECKING:
    from sydd.policy.profile import Document
    from sydd.policy.rule import Rule

SHIPPED: Final = Path(__file__).parent / "shipped"
SYSTEM: Final = Path("/etc/sydd/profiles")
SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """A profile that can be named.

    Attributes:
        name: what to call it.
        path: its file.
        origin: "user", "system" or "shipped".
        description: its own words; empty if it has none or cannot be read.
    """

    name: str
    path: Path
    origin: str
    description: str


class Read(NamedTuple):
    """A profile that was read.

    Attributes:
        name: by which it was looked for.
        child: the file that extends it; empty for none.
        path: where it was found.
        real: the same, canonical.
        text: what is in it; None where that was read before, by another name.
    """

    name: str
    child: str
    path: str
    real: str
    text: str | None


def search_path() -> tuple[tuple[str, Path], ...]:
    """Where names are looked up, first match wins: origin and directory."""
    config = os.environ.get("XDG_CONFIG_HOME", "")
    # the XDG specification has relative values ignored
    user = Path(config) if os.path.isabs(config) else Path("~/.config").expanduser()
    return ("user", user / "sydd" / "profiles"), ("system", SYSTEM), ("shipped", SHIPPED)


def available() -> list[ProfileInfo]:
    """Every profile that can be named, by name; of several of one name the one that is found."""
    found: dict[str, ProfileInfo] = {}
    for origin, directory in search_path():
        try:
            paths = sorted(directory.glob("*" + SUFFIX))
        except OSError:
            continue
        for path in paths:
            if path.stem not in found:
                found[path.stem] = ProfileInfo(path.stem, path, origin, _description(path))
    return [found[name] for name in sorted(found)]


def load(
    name_or_path: str,
    sets: Mapping[str, str],
    extra_rules: Sequence[Rule] = (),
    reads: list[Read] | None = None,
) -> Policy:
    """Read a profile and all that it extends.

    Args:
        name_or_path: a name of the search path, or a file.
        sets: variables of `--set`.
        extra_rules: come after the profile's own.
        reads: gets what was read of it; None where nobody asks.

    Raises:
        PolicyError: it is not there, cannot be read, is wrong, or extends itself.
    """
    from sydd.policy.profile import to_policy  # here: naming profiles needs none of it

    path = _find(name_or_path, None, None)
    documents: dict[Path, Document] = {}
    seen = reads if reads is not None else []
    _collect(_Asked(name_or_path, None, path), (), documents, seen)
    return to_policy(list(documents.values()), sets, extra_rules)


def unchanged(reads: Sequence[Read]) -> bool:
    """Whether the same would be read again, so that `load` would give an equal policy.

    Args:
        reads: what it has read.
    """
    try:
        for read in reads:
            path = _find(read.name, Path(read.child) if read.child else None, None)
            if (str(path), os.path.realpath(path)) != (read.path, read.real):
                return False
            if read.text is not None and read.text != _text(path):
                return False
    except (PolicyError, OSError):
        return False
    return True


def load_text(text: str, name: str, sets: Mapping[str, str]) -> Policy:
    """The policy of a text that stands in no file yet, with all that it extends.

    Args:
        text: TOML.
        name: what it is to be called; one that extends its own name means the one that is there.
        sets: variables of `--set`.

    Raises:
        PolicyError: it is wrong, or what it extends is.
    """
    from sydd.policy.profile import parse_profile, to_policy

    document = parse_profile(text, name, name)
    documents: dict[Path, Document] = {}
    for parent, source in document.extends:
        path = _find(parent, None, source)
        if path.resolve() not in documents:
            _collect(_Asked(parent, None, path), (), documents, [])
    return to_policy([*documents.values(), document], sets)


class _Asked(NamedTuple):
    """A profile that was looked for by name, perhaps because *child* extends it, and found at *path*."""

    name: str
    child: Path | None
    path: Path


def _collect(
    asked: _Asked, chain: tuple[Path, ...], documents: dict[Path, Document], reads: list[Read]
) -> None:
    """Add a profile after all that it extends; what is there already stays where it is."""
    path = asked.path
    real, text = path.resolve(), _text(path)
    reads.append(Read(asked.name, str(asked.child or ""), str(path), str(real), text))
    document = _parsed(text, str(path), path.stem)
    for parent, source in document.extends:
        parent_path = _find(parent, path, source)
        parent_real = parent_path.resolve()
        if parent_real in (*chain, real):
            circle = [*chain, real, parent_real]
            names = " → ".join(item.stem for item in circle[circle.index(parent_real) :])
            raise PolicyError(f"'{parent}' extends itself: {names}", source)
        if parent_real in documents:
            reads.append(Read(parent, str(path), str(parent_path), str(parent_real), None))
        else:
            _collect(_Asked(parent, path, parent_path), (*chain, real), documents, reads)
    documents[real] = document


@functools.lru_cache(maxsize=64)
def _parsed(text: str, shown: str, name: str) -> Document:
    """See parse_profile; what this process, or the one that it was forked from, has read once is known."""
    from sydd.policy.profile import parse_profile

    return parse_profile(text, shown, name)


def _find(name: str, child: Path | None, source: Source | None) -> Path:
    """The file of a name or path that was given, or that *child* extends."""
    if "/" in name or name.endswith(SUFFIX):
        path = Path(name)
        if child is not None:
            path = child.parent / path
        try:
            if path.is_file():
                return path
            raise PolicyError(f"no profile at '{name}'", source, _neighbour(path))
        except PermissionError:
            hint = "a directory on the way to it is closed to you"
            message = f"cannot look for a profile at '{name}': Permission denied"
            raise PolicyError(message, source, hint) from None
    own = child.resolve() if child is not None and child.stem == name else None
    candidates = [directory / (name + SUFFIX) for _, directory in search_path()]
    existing = [path for path in candidates if os.path.isfile(path)]
    if own is not None:
        places = [path.resolve() for path in existing]
        # what is behind the child on the search path; the child itself if nothing is, and that is reported
        # as a circle
        existing = existing[places.index(own) + 1 :] if own in places else existing
        return existing[0] if existing else own
    if existing:
        return existing[0]
    names = [info.name for info in available()]
    if os.path.isfile(name):
        hint = f"write './{name}' for the file of that name"
    else:
        hint = did_you_mean(name, names, f"profiles are {', '.join(names)}; a file is named with its path")
    raise PolicyError(f"no profile '{name}'", source, hint)


def _neighbour(path: Path) -> str:
    """A hint at a file beside *path* that has almost its name."""
    try:
        names = [entry.name for entry in path.parent.glob("*" + SUFFIX)]
    except OSError:
        names = []
    if path.is_dir():
        return "it is a directory"
    if not path.parent.is_dir():
        return f"the directory '{path.parent}' does not exist"
    return did_you_mean(path.name, names)


def _text(path: Path) -> str:
    """The text of a profile."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"cannot read the profile: {error.strerror}", Source(str(path))) from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise PolicyError(message, Source(str(path), line, column), "TOML is UTF-8") from None


def _description(path: Path) -> str:
    """The description of a profile that may be broken: it is listed all the same."""
    try:
        description = tomllib.loads(path.read_text()).get("description", "")
    except (OSError, ValueError):
        return ""
    return description if isinstance(description, str) else ""
