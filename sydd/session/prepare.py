"""From a policy to everything that a session needs before the command starts."""

from __future__ import annotations

import functools
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.kernel import credentials, landlock_calls
from sydd.kernel.landlock import rights_of_abi, scopes_of_abi
from sydd.kernel.namespace_probe import administers
from sydd.kernel.terminals import of_this_process
from sydd.plan.capabilities import KEPT_MASK
from sydd.plan.plan import Engine, Plan, compile_plan, pick_engine
from sydd.plan.tree import HostTree
from sydd.policy.access import Access
from sydd.policy.bind import BoundRule, bind_rules
from sydd.policy.errors import PolicyError
from sydd.policy.glob import is_below
from sydd.policy.matcher import Matcher
from sydd.policy.suggest import allowing_address_rule, allowing_rule
from sydd.policy.variables import resolve
from sydd.session.hosts import addresses
from sydd.session.inside import is_supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sydd.policy.address import Address
    from sydd.policy.policy import Policy
    from sydd.policy.rule import Rule


@dataclass(frozen=True, slots=True)
class Place:
    """Where and for whom a session runs: the values of the built-in variables.

    Attributes:
        cwd: working directory, canonical.
        home: home directory, canonical.
        tmp: the session's private temporary directory, canonical.
        user: login name.
    """

    cwd: str
    home: str
    tmp: str
    user: str

    def variables(self) -> dict[str, str]:
        """The built-in variables."""
        return {"cwd": self.cwd, "home": self.home, "tmp": self.tmp, "user": self.user}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A policy bound to a place.

    Attributes:
        policy: with the extra rules.
        place: where it will run.
        variables: every variable's value.
        environment: the command's.
        matcher: the rules, compiled.
        plan: how they are enforced.
        ceiling: what rules at run time may allow.
    """

    policy: Policy
    place: Place
    variables: Mapping[str, str]
    environment: Mapping[str, str]
    matcher: Matcher
    plan: Plan
    ceiling: tuple[BoundRule, ...] = ()

    def suggest(self, access: Access, path: str) -> str:
        """The rule line that would allow *access* to *path*."""
        return allowing_rule(access, path, self.variables)

    def suggest_address(self, access: Access, address: Address) -> str:
        """The rule line that would allow *access* to *address*."""
        return allowing_address_rule(access, address, self.variables)


def home_directory(environment: Mapping[str, str]) -> str:
    """The home directory, canonical: $HOME when it is an absolute path, else the password database's."""
    home = environment.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = "/nonexistent"
    return os.path.realpath(home)


def user_name() -> str:
    """The login name; the number where there is none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def credentials_are_fixed() -> bool:
    """Whether no process of a session started here can come to other credentials than this one has.

    With no_new_privs, without the capabilities that a command may keep, and with one and the same user and
    group id in all places, every call that would change them fails or changes nothing; user namespaces are
    refused by the filter.
    """
    own = credentials.current()
    users = {own.ruid, own.euid, own.suid, own.fsuid}
    groups = {own.rgid, own.egid, own.sgid, own.fsgid}
    return not own.cap_permitted & KEPT_MASK and len(users) == 1 and len(groups) == 1


def terminals_of_launch() -> tuple[str, ...]:
    """The names of the terminals that a session started here has from the beginning."""
    names = []
    for path, fd in of_this_process():
        os.close(fd)
        names.append(path)
    return tuple(names)


def bind(
    policy: Policy,
    place: Place,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    tree: HostTree,
) -> Matcher:
    """The rules of *policy*, bound to a session.

    A rule that permits something is not led elsewhere by a link that the session, or whoever made the tree it
    works on, can have put on the way: below the working and the temporary directory, and wherever the policy
    and the kernel let the session make one. To know where that is, all links are followed first, which can
    only make it more.
    """
    linked = False

    def follow(path: str) -> str:
        nonlocal linked
        real = tree.realpath(path)
        linked = linked or real != path
        return real

    hosts = functools.cache(addresses)  # one answer for both
    loose = Matcher(bind_rules(policy.rules, variables, environment, follow, look_up=hosts))
    if not linked:
        return loose
    trusted = _trusting(loose, place, tree)
    return Matcher(bind_rules(policy.rules, variables, environment, tree.realpath, trusted, hosts))


def _trusting(loose: Matcher, place: Place, tree: HostTree) -> Callable[[str], str]:
    """How links on the way to what a rule permits are followed: see `bind`.

    Args:
        loose: rules that permit at least what the session may ever do.
        place: where it runs.
        tree: the host's file system.
    """

    def hostile(link: str) -> bool:
        parent = link.rpartition("/")[0] or "/"
        if is_below(parent, place.cwd) or is_below(parent, place.tmp):
            return True
        return loose.decide(Access.CREATE, link).action.permits and tree.writable(parent)

    return lambda path: tree.trusted_realpath(path, hostile)


def _bind_ceiling(
    policy: Policy,
    matcher: Matcher,
    place: Place,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    tree: HostTree,
) -> tuple[BoundRule, ...]:
    """`[limits] runtime`, bound to a session whose rules are in *matcher*."""
    rules = policy.session_limits.ceiling
    if not rules:
        return ()
    hosts = functools.cache(addresses)
    loose = bind_rules(rules, variables, environment, tree.realpath, look_up=hosts)
    trusted = _trusting(Matcher((*matcher.rules, *loose)), place, tree)
    return bind_rules(rules, variables, environment, tree.realpath, trusted, hosts)


def bind_added(prepared: Prepared, rules: Sequence[Rule]) -> tuple[BoundRule, ...]:
    """Bind rules that are added to the running session *prepared*, by the file system as it is now.

    A rule that permits is led elsewhere by no link that the session can have made, by all that the profile
    and its ceiling permit. `${env:NAME}` is not set: who adds a rule need not be who launched the session.

    Raises:
        PolicyError: unknown variables, or a host whose name does not resolve.
    """
    tree = HostTree()
    trusted = _trusting(Matcher((*prepared.matcher.rules, *prepared.ceiling)), prepared.place, tree)
    bound = bind_rules(rules, prepared.variables, {}, tree.realpath, trusted, addresses)
    for rule in bound:
        if rule.net is not None and rule.net.host and not rule.net.networks:
            raise PolicyError(f"'{rule.net.host}' does not resolve", rule.rule.pattern_source)
    return bound


def prepare(
    policy: Policy,
    place: Place,
    environment: Mapping[str, str],
    *,
    engine: Engine | None = None,
    arch: str | None = None,
    terminals: Sequence[str] | None = None,
    fixed_credentials: bool | None = None,
    tree: HostTree | None = None,
) -> Prepared:
    """Bind and compile *policy*.

    Args:
        policy: as the profile store gives it.
        place: the values of the built-in variables.
        environment: the caller's; the policy says what of it the command gets.
        engine: the engine asked for; None for the strongest that there is.
        arch: machine to compile for, as uname(2) says it; None for this one.
        terminals: names of those that the command has from the beginning; None for this process's.
        fixed_credentials: whether no process of the session can come to other credentials; None for what
            holds of those that this process starts.
        tree: the host's file system, which then knows what was made something of; None for a new picture.

    Raises:
        PolicyError: a rule or value refers to a variable that is unknown or unset, or a rule forbids a host
            whose name does not resolve.
        ValueError: the engine asked for does not exist here, or nothing here enforces what the policy asks.
    """
    variables = resolve(policy.variables, place.variables(), environment)
    tree = tree or HostTree()
    matcher = bind(policy, place, variables, environment, tree)
    ceiling = _bind_ceiling(policy, matcher, place, variables, environment, tree)
    abi = landlock_calls.abi()
    plan = compile_plan(
        policy,
        matcher,
        tree,
        engine=pick_engine(policy.mode, engine, landlock_available=abi > 0, supervised=is_supervised()),
        rights=rights_of_abi(abi),
        scoped=int(scopes_of_abi(abi)),
        arch=arch or os.uname().machine,
        privileged=not (credentials_are_fixed() if fixed_credentials is None else fixed_credentials),
        terminals=terminals_of_launch() if terminals is None else terminals,
        administers=administers(),
        ceiling=ceiling,
    )
    passed = policy.environment.apply(environment, variables)
    return Prepared(policy, place, variables, passed, matcher, plan, ceiling)
