"""What `launch` and `explain` share: arguments about where and under what, and the policy prepared for it."""

from __future__ import annotations

import argparse
import contextlib
import os

from sydctl.main import EXIT_FAILED, Failure, complain

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Iterator

    from sydd.session.prepare import Prepared

ENGINES = ("auto", "hybrid", "supervisor", "landlock")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --set, --mode, --rule, --engine and -C."""
    add_set(parser)
    parser.add_argument("--mode", choices=("enforce", "audit"), help="instead of the profile's own mode")
    parser.add_argument(
        "--rule",
        metavar="RULE",
        action="append",
        default=[],
        help="a further rule, after those of the profile",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="which layers to use (default: the strongest that there are)",
    )
    parser.add_argument(
        "-C", "--directory", metavar="DIR", help="the command's working directory (default: this one)"
    )


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add --set alone."""
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_setting,
        help="give a variable of the profile a value",
    )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def working_directory(asked: str | None) -> str:
    """The canonical working directory.

    Raises:
        Failure: it does not exist, or is no directory.
    """
    if asked is None:
        try:
            return os.getcwd()
        except OSError:
            raise Failure("the working directory no longer exists (name one with -C)", EXIT_FAILED) from None
    path = os.path.realpath(asked)
    if not os.path.isdir(path):
        what = "is not a directory" if os.path.exists(path) else "does not exist"
        raise Failure(f"-C: '{asked}' {what}", EXIT_FAILED)
    return path


@contextlib.contextmanager
def prepared(profile: str, arguments: argparse.Namespace) -> Iterator[Prepared]:
    """The policy of *profile*, prepared for this place, with a temporary directory that is gone afterwards.

    Args:
        profile: name or path.
        arguments: with what `add_arguments` added.

    Raises:
        PolicyError: the profile or a rule is wrong.
        Failure: there is no such engine, or no place.
    """
    from dataclasses import replace  # slow to import

    from sydd.policy.errors import Source
    from sydd.policy.policy import Mode
    from sydd.policy.rule import parse_rule
    from sydd.profiles.store import load

    rules = [parse_rule(text, Source("--rule")) for text in arguments.rule]
    policy = load(profile, dict(arguments.set), rules)
    if arguments.mode:
        policy = replace(policy, mode=Mode(arguments.mode))
    cwd = working_directory(arguments.directory)

    from sydd.plan.plan import Engine
    from sydd.session.prepare import Place, home_directory, prepare, user_name
    from sydd.session.temporary import private_directory

    engine = None if arguments.engine == "auto" else Engine(arguments.engine)
    environment = dict(os.environ)
    with contextlib.ExitStack() as stack:
        try:
            tmp = stack.enter_context(private_directory())
        except OSError as error:
            raise Failure(f"cannot make a temporary directory: {error.strerror}", EXIT_FAILED) from None
        place = Place(cwd, home_directory(environment), tmp, user_name())
        try:
            result = prepare(policy, place, environment, engine=engine)
        except ValueError as error:
            raise Failure(str(error), EXIT_FAILED) from None
        _warn(result)
        yield result


def _warn(ready: Prepared) -> None:
    """Say which hosts a rule means to allow and cannot, since their names do not resolve."""
    hosts = [rule for rule in ready.matcher.rules if rule.net is not None and rule.net.host]
    if not hosts:
        return
    from sydctl.text import printable
    from sydd.policy.lint import unresolved

    for finding in unresolved(hosts):
        complain(printable(f"sydctl: {finding}"))
