"""Preparing a session as its owner, and what the workers of it get."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import sydd
from sydd.daemon import mark, pickled
from sydd.daemon.channel import ChannelError, document, read_document
from sydd.daemon.consulted import Consulted
from sydd.daemon.precedent import Precedent
from sydd.daemon.spec import OWN_VARIABLES, private_places, private_prefix
from sydd.kernel.reason import reason
from sydd.plan.engine import Engine
from sydd.plan.filter import FilterPlan
from sydd.plan.layers import layers
from sydd.plan.tree import HostTree
from sydd.policy.errors import PolicyError, Source
from sydd.policy.policy import Mode
from sydd.policy.rule import parse_rule
from sydd.profiles.store import load
from sydd.session.launching import LaunchSpec
from sydd.session.limits import launch_limits
from sydd.session.prepare import Place, Prepared, home_directory, prepare
from sydd.session.temporary import remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sydd.daemon.spec import SessionSpec
    from sydd.policy.policy import Policy
    from sydd.policy.rule import Rule
    from sydd.profiles.store import Read

VERSION = (sydd.__version__, sys.version)
"""Of a state: what is pickled is for the same sydd and the same Python alone."""

SHOWN = 24 << 10
"""Characters of a session's rules that main is told, for lists."""


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
        state = State(replace(self.prepared, plan=bare, environment={}), launch)
        content = pickle.dumps(VERSION, protocol=5) + pickle.dumps(state, protocol=5)
        return document("sydd-state", content)

    @classmethod
    def load(cls, fd: int) -> State:
        """What `saved` gave.

        Args:
            fd: the memfd; stays the caller's. Who wrote it has this process's identity, and no capability.

        Raises:
            ChannelError: another version of sydd, or of Python, made it, or it is something else.
        """
        document = io.BytesIO(read_document(fd))
        try:
            version = pickled.load(document)
            if version != VERSION:  # whose classes may be others
                made, used = (
                    f"sydd {sydd_} with Python {python.split()[0]}" for sydd_, python in (version, VERSION)
                )
                raise ChannelError(f"the session was prepared by {made}, and this is {used}")
            state: State = pickled.load(document)
        except pickle.UnpicklingError as error:
            raise ChannelError(f"a state that is none: {error}") from None
        return state


class Ready(NamedTuple):
    """A session that is prepared.

    Attributes:
        launch: what a launch needs of it.
        about: what main is told of it.
        state: what its workers have to know; None where an earlier session has left that.
        precedent: what it is for the next one; None for nothing that is new.
    """

    launch: LaunchSpec
    about: dict[str, Any]
    state: State | None = None
    precedent: Precedent | None = None

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        reads: Sequence[Read],
        tree: HostTree,
        consulted: Mapping[str, str | None],
        *,
        grouped: bool = False,
    ) -> Ready:
        """What a policy with its plan comes to.

        Args:
            prepared: policy, plan and place.
            reads: what was read of the profile.
            tree: by which it was prepared.
            consulted: what the caller's environment was asked for.
            grouped: whether a control group holds the limits of the session as a whole.
        """
        launch = LaunchSpec.of(prepared, grouped=grouped)
        about = _about(prepared)
        precedent = Precedent.of(prepared, reads, tree, consulted, launch, about)
        return cls(launch, about, State(prepared, launch), precedent)


def prepare_session(spec: SessionSpec, precedent: Precedent | None = None) -> Ready:
    """Prepare a session in a process that has its owner's identity.

    Args:
        spec: what it is to be.
        precedent: an earlier session with the same one; None for none.

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
        place = Place(directory, home_directory(environment), "", spec.identity.user)
        ready = _as_before(precedent, spec, place) or _anew(spec, place)
    except PolicyError as error:
        raise PrepareError("policy", error.message, error.source, error.hint) from None
    except (ValueError, OSError) as error:
        raise PrepareError("setup", reason(error)) from None
    finally:
        os.chdir("/")
    own = mark.new()
    launch = ready.launch._replace(mark=own)
    if spec.origin == "run" and spec.umask is not None and launch.umask < 0:
        launch = launch._replace(umask=spec.umask)  # else it is that of who starts the command
    return ready._replace(launch=launch, about={**ready.about, "mark": own})


def _as_before(precedent: Precedent | None, spec: SessionSpec, place: Place) -> Ready | None:
    """What a session comes to that is as an earlier one was; None where it is not."""
    if precedent is None:
        return None
    place = replace(place, tmp=precedent.place.tmp)
    if not precedent.renewed(place, private_places(os.environ.get("TMPDIR", ""))[0], spec.environment):
        return None
    launch = precedent.launch._replace(
        environment=precedent.environment.apply(spec.environment, precedent.variables),
        limits=launch_limits(precedent.limits, precedent.session_limits, grouped=spec.grouped),
    )
    return Ready(launch, dict(precedent.about))


def _anew(spec: SessionSpec, place: Place) -> Ready:
    """What a session comes to."""
    reads: list[Read] = []
    policy = _policy(spec, reads)
    tmp = _private_directory(spec.id)
    try:
        tree, environment = HostTree(), Consulted(spec.environment)
        prepared = prepare(
            policy,
            replace(place, tmp=tmp),
            environment,
            engine=None if spec.engine is None else Engine(spec.engine),
            terminals=spec.terminals,
            tree=tree,
        )
        return Ready.of(prepared, reads, tree, environment.seen, grouped=spec.grouped)
    except BaseException:
        remove_tree(tmp)
        raise


def _private_directory(session: str) -> str:
    """A new one, where there is room for it."""
    problem = ""
    for above in private_places(os.environ.get("TMPDIR", "")):
        try:
            return tempfile.mkdtemp(prefix=private_prefix(session), dir=above)
        except OSError as error:
            problem = problem or str(error.strerror)
    raise PrepareError("setup", f"cannot make a temporary directory: {problem}")


def _policy(spec: SessionSpec, reads: list[Read]) -> Policy:
    rules = [parse_rule(text, Source("--rule")) for text in spec.rules]
    policy = load(spec.profile, dict(spec.sets), rules, reads)
    return policy if spec.mode is None else replace(policy, mode=Mode(spec.mode))


def _about(prepared: Prepared) -> dict[str, Any]:
    """What main is told of a session."""
    policy = prepared.policy
    return {
        "profile": policy.name,
        "engine": prepared.plan.engine.value,
        "mode": policy.mode.value,
        "layers": layers(prepared.plan),
        "variables": dict(prepared.variables),
        "rules": _shown(policy.rules),
        "ceiling": _shown(policy.session_limits.ceiling),
        "limits": policy.session_limits.whole(),
        "private_network": prepared.plan.network.private,
        "tmp": prepared.place.tmp,
    }


def _shown(rules: Sequence[Rule]) -> list[str]:
    """The lines of rules, of very many the last ones: a message holds only so much."""
    lines: list[str] = []
    size = 0
    for rule in reversed(rules):
        size += len(rule.text)
        if size > SHOWN:
            lines.append(f"# and {len(rules) - len(lines)} before these")
            break
        lines.append(rule.text)
    return lines[::-1]


def _take_places(environment: Mapping[str, str], home: str) -> None:
    """Have this process look where its owner's programs look for profiles and temporary directories."""
    os.environ.setdefault("PATH", os.defpath)
    for name in OWN_VARIABLES:
        os.environ.pop(name, None)
        if name in environment:
            os.environ[name] = environment[name]
    os.environ.setdefault("HOME", home)
