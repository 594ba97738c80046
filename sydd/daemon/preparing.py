"""Preparing a session as its owner, and what the workers of it get."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sydd
from sydd.daemon import mark
from sydd.daemon.channel import ChannelError, document, read_document
from sydd.daemon.spec import private_prefix
from sydd.kernel.reason import reason
from sydd.plan.engine import Engine
from sydd.plan.filter import FilterPlan
from sydd.policy.errors import PolicyError, Source
from sydd.policy.policy import Mode
from sydd.policy.rule import parse_rule
from sydd.profiles.store import load
from sydd.session.launching import LaunchSpec
from sydd.session.prepare import Place, Prepared, home_directory, prepare
from sydd.session.temporary import remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sydd.daemon.spec import SessionSpec

VERSION = (sydd.__version__, sys.version)
"""Of a state: what is pickled is for the same sydd and the same Python alone."""

_OWN = ("HOME", "XDG_CONFIG_HOME", "TMPDIR")
"""Variables of the owner by which the worker itself goes."""


class PrepareError(Exception):
    """The session cannot be prepared.

    Args:
        kind: "policy" where the profile or a rule is wrong, else "setup".
        message: what is wrong.
        source: where; None for nowhere.
        hint: what to do; empty for nothing.
    """

    def __init__(self, kind: str, message: str, source: Source | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.source = source
        self.hint = hint

    def as_json(self) -> dict[str, Any]:
        """As `failed` says it."""
        source = self.source or Source("")
        return {
            "kind": self.kind,
            "message": str(self),
            "file": source.file,
            "line": source.line,
            "column": source.column,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class State:
    """What a session comes to.

    Attributes:
        prepared: policy, plan and place.
        launch: what a launch needs of it.
    """

    prepared: Prepared
    launch: LaunchSpec

    def saved(self) -> int:
        """A sealed memfd with it, but for what the launch alone needs; the caller closes it.

        Raises:
            OSError: EMFILE, ENOMEM, ENOSPC.
        """
        plan = self.prepared.plan
        bare = replace(plan, filter=FilterPlan(plan.arch, ()))
        launch = self.launch._replace(program=b"", ruleset=None, environment={})
        state = State(replace(self.prepared, plan=bare), launch)
        content = pickle.dumps(VERSION, protocol=5) + pickle.dumps(state, protocol=5)
        return document("sydd-state", content)

    @classmethod
    def load(cls, fd: int) -> State:
        """What `saved` gave.

        Args:
            fd: the memfd; stays the caller's. Its content is trusted: who could have written it has the
                identity that this process has by now.

        Raises:
            ChannelError: another version of sydd, or of Python, made it.
        """
        document = io.BytesIO(read_document(fd))
        version = pickle.load(document)  # noqa: S301  # see above
        if version != VERSION:  # whose classes may be others
            made, used = (
                f"sydd {sydd_} with Python {python.split()[0]}" for sydd_, python in (version, VERSION)
            )
            raise ChannelError(f"the session was prepared by {made}, and this is {used}")
        state: State = pickle.load(document)  # noqa: S301
        return state


def _named(version: tuple[str, str]) -> str:
    return f"sydd {version[0]} with Python {version[1].split()[0]}"


def prepare_session(spec: SessionSpec) -> State:
    """Prepare a session in a process that has its owner's identity.

    Args:
        spec: what it is to be.

    Returns:
        What it comes to; its private directory is there, and the caller removes it.

    Raises:
        PrepareError: the profile is wrong, or something is missing.
    """
    environment = dict(spec.environment)
    _take_places(environment, spec.identity.home)
    try:
        os.chdir(spec.directory)
        directory = os.getcwd()
    except OSError as error:
        raise PrepareError("setup", f"the directory {spec.directory!r}: {error.strerror}") from None
    try:
        tmp = os.path.realpath(tempfile.mkdtemp(prefix=private_prefix(spec.id)))
    except OSError as error:
        raise PrepareError("setup", f"cannot make a temporary directory: {error.strerror}") from None
    try:
        prepared = _prepare(spec, Place(directory, home_directory(environment), tmp, spec.identity.user))
        launch = LaunchSpec.of(prepared, grouped=spec.grouped)._replace(mark=mark.new())
        if spec.origin == "run" and spec.umask is not None and launch.umask < 0:
            launch = launch._replace(umask=spec.umask)  # else it is that of who starts the command
        return State(prepared, launch)
    except PolicyError as error:
        remove_tree(tmp)
        raise PrepareError("policy", error.message, error.source, error.hint) from None
    except (ValueError, OSError) as error:
        remove_tree(tmp)
        raise PrepareError("setup", reason(error)) from None
    except BaseException:
        remove_tree(tmp)
        raise
    finally:
        os.chdir("/")


def _prepare(spec: SessionSpec, place: Place) -> Prepared:
    rules = [parse_rule(text, Source("--rule")) for text in spec.rules]
    policy = load(spec.profile, dict(spec.sets), rules)
    if spec.mode is not None:
        policy = replace(policy, mode=Mode(spec.mode))
    engine = None if spec.engine is None else Engine(spec.engine)
    return prepare(policy, place, spec.environment, engine=engine, terminals=spec.terminals)


def _take_places(environment: Mapping[str, str], home: str) -> None:
    """Have this process look where its owner's programs look for profiles and temporary directories."""
    os.environ.setdefault("PATH", os.defpath)
    for name in _OWN:
        os.environ.pop(name, None)
        if name in environment:
            os.environ[name] = environment[name]
    os.environ.setdefault("HOME", home)
    tempfile.tempdir = None
