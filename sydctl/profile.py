"""`sydctl profile`: list what there is, show what a profile comes to, check it; change the system's."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from sydctl import place, profile_put
from sydctl.connect import print_json
from sydctl.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sydd.policy.lint import Finding
    from sydd.policy.policy import Policy

DESCRIPTION = """\
Profiles are looked up by name in $XDG_CONFIG_HOME/sydd/profiles, /etc/sydd/profiles and among those that come
with sydd; what has a slash or ends in .toml is a file."""

EPILOG = """\
exit status: 0; 1 when a profile is wrong or missing, with check --strict also when there are warnings; 2 for
bad arguments; 125 when the daemon is needed (put, remove, edit) and cannot be reached.

examples:
  sydctl profile list
  sydctl profile show build
  sydctl profile check ./ci.toml --set out=/srv/out
  sydctl profile put ./ci.toml --name nightly
"""

LIST_EPILOG = """\
exit status: 0; 2 for bad arguments.

examples:
  sydctl profile list
  sydctl profile list --json
"""

SHOW_EPILOG = """\
exit status: 0; 1 when a profile is wrong or missing; 2 for bad arguments.

examples:
  sydctl profile show build
  sydctl profile show ./ci.toml --json
"""

CHECK_EPILOG = """\
exit status: 0, with warnings too; 1 when a profile is wrong, with --strict also when there are warnings; 2
for bad arguments.

examples:
  sydctl profile check build
  sydctl profile check --strict ./ci.toml --set out=/srv/out
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `sydctl profile`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    text = "the profiles that can be named"
    parser = subparsers.add_parser(
        "list", help=text, description=text, epilog=LIST_EPILOG, formatter_class=raw
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "what a profile comes to, with all that it extends, and where each rule stands"
    parser = subparsers.add_parser(
        "show", help=text, description=text, epilog=SHOW_EPILOG, formatter_class=raw
    )
    parser.add_argument("profile", metavar="PROFILE", help="name of a profile, or its file")
    place.add_set(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "errors, and what is no error and yet hardly meant"
    parser = subparsers.add_parser(
        "check", help=text, description=text, epilog=CHECK_EPILOG, formatter_class=raw
    )
    parser.add_argument("profiles", metavar="PROFILE", nargs="+", help="names of profiles, or their files")
    place.add_set(parser)
    parser.add_argument(
        "-C", "--directory", metavar="DIR", help="check for a command in DIR (default: this directory)"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    profile_put.configure(subparsers)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl profile`."""
    if arguments.action == "list":
        return _list(as_json=arguments.json)
    if arguments.action == "show":
        return _show(arguments.profile, dict(arguments.set), as_json=arguments.json)
    if arguments.action == "check":
        return _check(arguments)
    return profile_put.run(arguments)


def _list(*, as_json: bool) -> int:
    from sydd.profiles.store import available

    found = available()
    if as_json:
        print_json(
            [
                {
                    "name": item.name,
                    "origin": item.origin,
                    "path": str(item.path),
                    "description": item.description,
                }
                for item in found
            ]
        )
        return 0
    width = max((len(item.name) for item in found), default=0)
    for item in found:
        print(f"{printable(item.name):<{width}}  {item.origin:<7}  {printable(item.description)}")
    return 0


def _show(name: str, sets: Mapping[str, str], *, as_json: bool) -> int:
    from sydd.profiles.store import load

    policy = load(name, sets)
    if as_json:
        print_json(_as_plain(policy))
    else:
        print("\n".join(_lines(policy)))
    return 0


def _as_plain(policy: Policy) -> dict[str, Any]:
    from sydctl.planview import plain
    from sydd.policy.restrict import CHOICES

    value: dict[str, Any] = plain(policy)
    value["rules"] = [
        {
            "action": rule.action.value,
            "access": plain(rule.access),
            "pattern": rule.pattern,
            "text": rule.text,
            "source": str(rule.source),
        }
        for rule in policy.rules
    ]
    value["environment"] = {
        "pass": list(policy.environment.pass_),
        "drop": list(policy.environment.drop),
        "set": {setting.name: setting.value for setting in policy.environment.set},
    }
    value["umask"] = None if policy.umask is None else f"{policy.umask:03o}"
    value["limits"] = {name: [_limit(soft), _limit(hard)] for name, soft, hard in policy.limits}
    value["session_limits"] = {
        "processes": policy.session_limits.most("processes"),
        "memory": policy.session_limits.most("memory"),
        "time": policy.session_limits.most("time"),
        "runtime": [rule.text for rule in policy.session_limits.ceiling],
        "ask_timeout": policy.session_limits.patience,
    }
    value["restrict"] = {key: policy.restrict.says(key) for key in CHOICES}
    value["network"] = {"namespace": "private" if policy.network.private else "host"}
    value["variables"] = {variable.name: variable.value for variable in policy.variables}
    return value


def _limit(value: int) -> int | str:
    return "unlimited" if value < 0 else value


def _lines(policy: Policy) -> list[str]:
    from sydd.policy.restrict import CHOICES

    lines = [
        f"name:         {policy.name}",
        f"description:  {policy.description}",
        f"mode:         {policy.mode.value}",
    ]
    lines += ["", "sources, later ones win:", *(f"  {source}" for source in policy.sources)]
    lines += ["", "rules, the last that matches decides:"]
    width = max((len(rule.text) for rule in policy.rules), default=0)
    lines += [f"  {rule.text:<{width}}  # {rule.source}" for rule in policy.rules]
    if not policy.rules:
        lines.append("  none")
    lines.append("  where none matches: allow read,list,stat,exec,chdir,ioctl; deny write,net")
    if policy.variables:
        lines += [
            "",
            "variables:",
            *(f"  {variable.name} = {variable.value}" for variable in policy.variables),
        ]
    environment = policy.environment
    if environment.pass_ or environment.drop or environment.set:
        lines += ["", "environment:"]
        lines += [f"  drop {' '.join(environment.drop)}"] if environment.drop else []
        lines += [f"  pass {' '.join(environment.pass_)}"] if environment.pass_ else []
        lines += [f"  set {setting.name}={setting.value}" for setting in environment.set]
    if policy.limits:
        lines += ["", "limits (soft, hard):"]
        lines += [f"  {name}: {_limit(soft)}, {_limit(hard)}" for name, soft, hard in policy.limits]
    whole = policy.session_limits
    said = {name: getattr(whole, name) for name in ("processes", "memory", "time", "ask_timeout")}
    if any(value is not None for value in said.values()):
        lines += ["", "limits of the session:"]
        lines += [f"  {name}: {_limit(value)}" for name, value in said.items() if value is not None]
    if whole.ceiling:
        lines += ["", "rules at run time may permit:", *(f"  {rule.text}" for rule in whole.ceiling)]
    if policy.umask is not None:
        lines += ["", f"umask: {policy.umask:03o}"]
    restricted = {key: policy.restrict.says(key) for key in CHOICES if getattr(policy.restrict, key)}
    if restricted:
        lines += ["", "restrict:", *(f"  {key}: {word}" for key, word in restricted.items())]
    if policy.network.namespace:
        lines += ["", "network:", f"  namespace: {policy.network.namespace}"]
    if policy.keep_descriptors:
        lines += ["", f"descriptors kept: {', '.join(map(str, policy.keep_descriptors))}"]
    return [printable(line) for line in lines]


def _check(arguments: argparse.Namespace) -> int:
    from sydd.policy.errors import PolicyError

    cwd = place.working_directory(arguments.directory)
    errors = warnings = 0
    for name in arguments.profiles:
        try:
            found = _findings(name, dict(arguments.set), cwd)
        except PolicyError as error:
            errors += 1
            where = f"{error.source}: " if error.source else ""
            hint = f" ({error.hint})" if error.hint else ""
            print(printable(f"{where}error: {error.message}{hint}"))
            continue
        warnings += len(found)
        for finding in found:
            print(printable(str(finding)))
        if not found:
            print(f"{printable(name)}: ok")
    return 1 if errors or (warnings and arguments.strict) else 0


def _findings(name: str, sets: Mapping[str, str], cwd: str) -> tuple[Finding, ...]:
    """What a launch in *cwd* would raise, else what the linter says of it."""
    from sydd.policy.bind import bind_rules
    from sydd.policy.lint import findings
    from sydd.policy.variables import resolve
    from sydd.profiles.store import load
    from sydd.session.hosts import addresses
    from sydd.session.prepare import Place, home_directory, user_name

    policy = load(name, sets)
    environment = dict(os.environ)
    # No session begins, so there is no private directory; the linter asks nothing about it.
    here = Place(cwd, home_directory(environment), os.path.realpath("/tmp"), user_name())  # noqa: S108
    variables = resolve(policy.variables, here.variables(), environment)
    policy.environment.apply(environment, variables)
    bound = bind_rules(policy.rules, variables, environment, os.path.realpath, look_up=addresses)
    return findings(policy, bound, os.path.exists)
