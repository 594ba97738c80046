"""The profiles that every user can name: listed, read, changed by root. A text is read as who wrote it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any, cast

from sydd.daemon.errand import ErrandError, run_errand
from sydd.daemon.spec import Identity
from sydd.policy.words import did_you_mean
from sydd.profiles.store import SHIPPED, SUFFIX, SYSTEM
from sydd.wire.errors import BadArgument, Failed, NoSuchProfile
from sydd.wire.values import Finding, ProfileEntry, ProfileText

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
MAXIMUM = 256 << 10
"""Bytes of a profile."""


class Profiles:
    """Those of the system, and the shipped ones.

    Args:
        system: the directory that root's are in.
    """

    def __init__(self, system: Path = SYSTEM) -> None:
        self._places = (("system", system), ("shipped", SHIPPED))

    def entries(self) -> list[ProfileEntry]:
        """Each name once, in order."""
        found: dict[str, ProfileEntry] = {}
        for origin, directory in self._places:
            try:
                paths = sorted(directory.glob("*" + SUFFIX))
            except OSError:
                continue
            for path in paths:
                found.setdefault(
                    path.stem,
                    {
                        "name": path.stem,
                        "origin": origin,
                        "path": str(path),
                        "description": _description(path),
                    },
                )
        return [found[name] for name in sorted(found)]

    def text(self, name: str) -> ProfileText:
        """A profile as it is written.

        Raises:
            NoSuchProfile: there is none.
            Failed: it cannot be read.
        """
        if not NAME.fullmatch(name):
            raise self._missing(name)
        for origin, directory in self._places:
            path = directory / (name + SUFFIX)
            try:
                text = path.read_bytes().decode("utf-8", "replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Failed(f"{path}: {error.strerror}") from None
            return {"name": name, "origin": origin, "path": str(path), "text": text}
        raise self._missing(name)

    def _missing(self, name: str) -> NoSuchProfile:
        return NoSuchProfile(name, did_you_mean(name, [entry["name"] for entry in self.entries()]))

    async def findings(self, text: str, name: str, identity: Identity) -> list[Finding]:
        """What is wrong with a text, or hardly meant.

        Args:
            text: TOML.
            name: what to call it.
            identity: who wrote it; read as that user, in a process of its own.

        Raises:
            BadArgument: it is too long.
            Failed: there is no process for it.
        """
        if len(text) > MAXIMUM:
            raise BadArgument("text", f"{MAXIMUM} characters at most")
        try:
            found = await run_errand(lambda: _check(text, name, identity), identity)
        except ErrandError as error:
            raise Failed(f"the profile could not be looked at: {error}") from None
        return cast("list[Finding]", found)

    def put(self, name: str, text: str, *, replace: bool) -> None:
        """Write one of the system's: whole, or not at all.

        Args:
            name: of the profile.
            text: TOML that was checked.
            replace: whether one of that name may be there.

        Raises:
            BadArgument: the name will not do, or is taken.
            Failed: it cannot be written.
        """
        if not NAME.fullmatch(name):
            raise BadArgument("name", "lower-case letters, digits, '-', '_' and '.', 64 at most")
        directory = self._places[0][1]
        path = directory / (name + SUFFIX)
        try:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            file, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=directory)
            try:
                with open(file, "w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fchmod(file, 0o644)
                    os.fsync(file)
                if replace:
                    os.replace(temporary, path)
                else:
                    os.link(temporary, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        except FileExistsError:
            raise BadArgument("name", f"'{name}' is there already") from None
        except OSError as error:
            raise Failed(f"{path}: {error.strerror}") from None

    def remove(self, name: str) -> None:
        """Remove one of the system's.

        Raises:
            NoSuchProfile: there is none.
            Failed: it cannot be removed.
        """
        path = self._places[0][1] / (name + SUFFIX)
        if not NAME.fullmatch(name):
            raise self._missing(name)
        try:
            path.unlink()
        except FileNotFoundError:
            raise self._missing(name) from None
        except OSError as error:
            raise Failed(f"{path}: {error.strerror}") from None


def _description(path: Path) -> str:
    """The description of a profile that may be broken: it is listed all the same."""
    try:
        found = tomllib.loads(path.read_text()).get("description", "")
    except (OSError, ValueError):
        return ""
    return found if isinstance(found, str) else ""


def _check(text: str, name: str, identity: Identity) -> list[dict[str, Any]]:
    """In the errand: what a launch in the home directory would say, and what the linter does."""
    from sydd.policy.bind import bind_rules
    from sydd.policy.errors import PolicyError
    from sydd.policy.lint import findings
    from sydd.policy.variables import resolve
    from sydd.profiles.store import load_text
    from sydd.session.hosts import addresses
    from sydd.session.prepare import Place

    os.environ["HOME"] = identity.home
    environment = {"HOME": identity.home, "USER": identity.user}
    try:
        policy = load_text(text, name, {})
        home = os.path.realpath(identity.home)
        here = Place(home, home, os.path.realpath("/tmp"), identity.user)  # noqa: S108  # nothing is made there
        variables = resolve(policy.variables, here.variables(), environment)
        policy.environment.apply(environment, variables)
        bound = bind_rules(policy.rules, variables, environment, os.path.realpath, look_up=addresses)
        found = findings(policy, bound, os.path.exists)
    except PolicyError as error:
        return [_plain("error", error.message, error.source, error.hint)]
    return [_plain(item.severity, item.message, item.source, item.hint) for item in found]


def _plain(severity: str, message: str, source: Any, hint: str) -> dict[str, Any]:
    place = (source.file, source.line, source.column) if source else ("", 0, 0)
    return {
        "severity": severity,
        "message": message,
        "file": place[0],
        "line": place[1],
        "column": place[2],
        "hint": hint,
    }
