"""`sydctl explain`: what a profile says about one access to one path, by which rule, and who enforces it.

It decides nothing by itself: the path is located as the worker locates that of a call, the session's own
matcher judges it, and the session's own plan tells who enforces it. What it says is therefore what a launch
in this place does.
"""

from __future__ import annotations

import argparse
import errno
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sydctl import place
from sydctl.main import EXIT_FAILED, Failure
from sydctl.text import printable

if TYPE_CHECKING:
    from sydd.plan.coverage import Coverage
    from sydd.policy.access import Access
    from sydd.session.prepare import Prepared
    from sydd.supervisor.found import Found
    from sydd.supervisor.request import Request
    from sydd.supervisor.resolve import Resolver
    from sydd.supervisor.target import Demand

EXIT_DENIED = 1

DESCRIPTION = """\
Say what PROFILE says about ACCESS to PATH for a command that is launched here: the verdict, the rule that
decides and where it stands, which layer enforces it, and, where it is denied, the rule that would allow it.

PATH is resolved as a call's would be: links are followed where the call follows them, and of what does not
exist the directory is resolved. For connect, bind and send PATH is an address,
as in a rule: 127.0.0.1!8080, [::1]!80, unix:/run/x, @name."""

EPILOG = """\
exit status: 0 when every access asked about goes ahead, 1 when one is denied, 125 when the question cannot
be answered, bad arguments included.

examples:
  sydctl explain build write ~/.bashrc
  sydctl explain build read,exec /usr/bin/cc
  sydctl explain build connect 127.0.0.1!5432
  sydctl explain ./ci.toml -C src create out/new.o --json
"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer about one access.

    Attributes:
        access: its name.
        path: what was judged: canonical.
        exists: whether it is there.
        action: what the policy says.
        allowed: whether the access goes ahead.
        rule: the rule that decides, or "no rule: default".
        rule_source: where it stands; empty for the default.
        enforcement: the plan's word for who enforces this access.
        why: why in this way.
        layer: what happens to this very path.
        allow: the rule that would allow it; empty when it is allowed.
    """

    access: str
    path: str
    exists: bool
    action: str
    allowed: bool
    rule: str
    rule_source: str
    enforcement: str
    why: str
    layer: str
    allow: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl explain`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("profile", metavar="PROFILE", help="name of a profile, or its file")
    parser.add_argument("access", metavar="ACCESS", help="as in a rule: read, write, create,delete, …")
    parser.add_argument("path", metavar="PATH", help="what is accessed")
    place.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl explain`."""
    from sydd.policy.access import Access, bits

    asked = _accesses(arguments.access)
    with place.prepared(arguments.profile, arguments) as ready:
        # Relative paths are the command's.
        os.chdir(ready.place.cwd)
        if asked & Access.NET:
            from sydctl.explain_net import explain_net  # which needs this module

            found = [explain_net(ready, access, arguments.path) for access in bits(asked)]
        else:
            path = os.fsencode(arguments.path)
            if not path or b"\0" in path:
                raise Failure("the path is empty", EXIT_FAILED)
            found = [_explain(ready, access, path) for access in bits(asked)]
    if arguments.json:
        _print_json(ready, arguments.path, found)
    else:
        print("\n".join(_text(ready, arguments.path, item) for item in _merged(ready, found)))
    return 0 if all(item.allowed for item in found) else EXIT_DENIED


def _accesses(text: str) -> Access:
    """The accesses that *text* names.

    Raises:
        PolicyError: there is no such access.
    """
    from sydd.policy.access import FILE_ACCESSES, NAMES, Access
    from sydd.policy.errors import PolicyError
    from sydd.policy.words import did_you_mean

    asked = Access(0)
    for word in text.split(","):
        if word not in NAMES:
            raise PolicyError(
                f"unknown access '{word}'",
                None,
                did_you_mean(word, NAMES, f"accesses are {', '.join(NAMES)}"),
            )
        asked |= NAMES[word]
    if asked & Access.NET and asked & FILE_ACCESSES:
        raise PolicyError(f"'{text}' mixes network and file accesses", None, "ask twice")
    return asked


def _explain(ready: Prepared, access: Access, path: bytes) -> Explanation:
    from sydd.policy.access import names
    from sydd.supervisor.event import NO_RULE
    from sydd.supervisor.resolve import Resolver

    resolver = Resolver()
    resolver.caller = os.getpid()
    try:
        request, demand, failure = _demand(access, path, resolver)
        judged = demand.found.path
        decision = ready.matcher.decide(access, judged)
        rule = decision.rule
        entry = next(entry for entry in ready.plan.accesses if entry.access == access)
        permitted = decision.action.permits
        return Explanation(
            access=names(access),
            path=judged,
            exists=_exists(demand.found),
            action=decision.action.value,
            allowed=permitted or ready.plan.engine.value == "audit",
            rule=rule.rule.text if rule else NO_RULE,
            rule_source=str(rule.rule.source) if rule else "",
            enforcement=entry.enforcement.value,
            why=entry.why,
            layer=f"allowed; the call fails by itself now: {failure}"
            if failure and permitted
            else _layer(ready, access, request, demand, permitted=permitted),
            allow="" if permitted else ready.suggest(access, judged),
        )
    finally:
        resolver.end()


def _demand(access: Access, path: bytes, resolver: Resolver) -> tuple[Request, Demand, str]:
    """A call that asks for *access*, what it demands, and why it fails by itself now; empty if it does not.

    Raises:
        Failure: the path leads nowhere: a directory on the way is missing, or a loop.
    """
    from sydd.supervisor.failure import NaturalFailure
    from sydd.supervisor.request import AT_FDCWD
    from sydd.supervisor.target import Demand, locate

    request = _request(access, path)
    try:
        return request, locate(request, resolver).demands[0], ""
    except NaturalFailure as failure:
        # The call would fail by itself. The policy is asked about the name all the same: it may come.
        try:
            start = resolver.start(os.getpid(), AT_FDCWD, path)
            if failure.errno == errno.ENOENT and request.row.follow and _is_link(path):
                found = resolver.place_to_create(os.getpid(), start, path, follow=True)
            else:
                found = resolver.entry(os.getpid(), start, path)
        except NaturalFailure as deeper:
            raise Failure(
                f"{printable(os.fsdecode(path))}: {os.strerror(deeper.errno)}", EXIT_FAILED
            ) from None
        return request, Demand(int(access), found), os.strerror(failure.errno)


def _request(access: Access, path: bytes) -> Request:
    """The call that stands for *access*, as if this process had made it."""
    from sydd.policy.access import Access as Accesses
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.request import AT_FDCWD, AT_REMOVEDIR, Request
    from sydd.syscalls.table import native, number, rows_by_number

    is_directory = os.path.isdir(path) and not os.path.islink(path)
    name, flags, mode = {
        Accesses.READ: ("openat", os.O_RDONLY, 0),
        Accesses.LIST: ("openat", os.O_RDONLY | os.O_DIRECTORY, 0),
        Accesses.STAT: ("newfstatat", 0, 0),
        Accesses.EXEC: ("execve", 0, 0),
        Accesses.CHDIR: ("chdir", 0, 0),
        Accesses.CREATE: ("mknodat", 0, stat.S_IFREG),
        Accesses.MODIFY: ("openat", os.O_WRONLY, 0),
        Accesses.DELETE: ("unlinkat", AT_REMOVEDIR if is_directory else 0, 0),
        Accesses.RENAME: ("renameat2", 0, 0),
        Accesses.LINK: ("linkat", 0, 0),
        Accesses.TRUNCATE: ("truncate", 0, 0),
        Accesses.ATTRIBUTES: ("fchmodat", 0, 0),
        Accesses.MKNOD: ("mknodat", 0, stat.S_IFIFO),
        # A device has been opened before; what is judged is its object.
        Accesses.IOCTL: ("newfstatat", 0, 0),
    }[access]
    arch = native()
    nr = number(arch, name)
    row = rows_by_number(arch)[nr]
    notification = Notification(0, os.getpid(), nr, 0, (0,) * 6)
    path2 = path if name in ("renameat2", "linkat") else None
    return Request(notification, row, AT_FDCWD, path, AT_FDCWD, path2, flags, mode, 0, ())


def _is_link(path: bytes) -> bool:
    return os.path.islink(path)


def _exists(found: Found) -> bool:
    return found.fd >= 0 or os.path.lexists(os.fsencode(found.path))


def _layer(ready: Prepared, access: Access, request: Request, demand: Demand, *, permitted: bool) -> str:
    """What happens to this path: who says yes or no, in the order in which they are asked."""
    from sydd.plan.plan import Enforcement

    enforcement = ready.plan.enforcement(access)
    if enforcement in (Enforcement.FREE, Enforcement.RECORDED):
        return enforcement.meaning
    granted = _granted(ready.plan.coverage(), access, demand)
    if enforcement is Enforcement.KERNEL:
        if permitted and not granted:
            return "refused by the kernel in sessions that began before it was there"
        return "granted by the kernel" if permitted else "refused by the kernel, not reported"
    if not permitted:
        held = enforcement is Enforcement.BOTH and not granted
        return (
            "refused by the supervisor; the kernel would refuse it, too"
            if held
            else "refused by the supervisor"
        )
    return _permitted(ready.plan.coverage(), request, granted=granted)


def _permitted(coverage: Coverage, request: Request, *, granted: bool) -> str:
    """How an allowed call goes on: the worker's own test."""
    from sydd.supervisor.perform import PERFORMED
    from sydd.supervisor.rights import rights_at_most

    if request.row.operation not in PERFORMED:
        return "allowed by the supervisor; the call goes on"
    at_most = rights_at_most(request)
    if granted and at_most is not None and coverage.may_continue(at_most):
        return "allowed by the supervisor and granted by the kernel; the call goes on"
    return "performed by the supervisor on the object that it judged"


def _granted(coverage: Coverage, access: Access, demand: Demand) -> bool:
    """Whether the kernel's ruleset grants the access to this path."""
    from sydd.kernel.landlock import FsRight
    from sydd.policy.access import Access as Accesses

    rights = demand.rights
    if access is Accesses.IOCTL:
        rights = int(FsRight.IOCTL_DEV)
    if demand.entry_rights:
        return coverage.grants_entry(demand.found.path, rights | demand.entry_rights)
    return bool(rights) and coverage.grants(demand.found.path, rights)


def _merged(ready: Prepared, found: list[Explanation]) -> list[Explanation]:
    """Accesses with one and the same answer in one entry, with one rule that would allow them all."""
    from sydd.policy.access import NAMES, Access, names

    masks: dict[Explanation, Access] = {}
    for item in found:
        key = replace(item, access="", allow=item.allow if NAMES[item.access] & Access.NET else "")
        masks[key] = masks.get(key, Access(0)) | NAMES[item.access]
    return [
        replace(key, access=names(mask), allow=key.allow or _allowing(ready, key, mask))
        for key, mask in masks.items()
    ]


def _allowing(ready: Prepared, item: Explanation, mask: Access) -> str:
    from sydd.policy.access import Action

    return "" if Action(item.action).permits else ready.suggest(mask, item.path)


def _print_json(ready: Prepared, given: str, found: list[Explanation]) -> None:
    import json

    from sydctl.planview import plain

    value = {
        "profile": ready.policy.name,
        "mode": ready.policy.mode.value,
        "engine": ready.plan.engine.value,
        "given": plain(given),
        "allowed": all(item.allowed for item in found),
        "accesses": [plain(item) for item in found],
    }
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _text(ready: Prepared, given: str, item: Explanation) -> str:
    verb = item.action
    if item.allowed and item.action not in ("allow", "warn"):
        verb = f"would {verb}"
    lines = [f"{verb} {item.access} {printable(item.path or given)}"]
    if item.path and given != item.path:
        lines.append(_labelled("as given", given))
    if not item.exists:
        lines.append(_labelled("object", "does not exist now; its name was judged"))
    source = f"  ({item.rule_source})" if item.rule_source else ""
    lines.append(_labelled("rule", item.rule + source))
    lines.append(_labelled("enforced by", f"{item.enforcement} ({item.why})"))
    lines.append(_labelled("here", item.layer))
    if item.allow:
        lines.append(_labelled("to allow it", item.allow))
    if ready.plan.engine.value == "audit" and verb.startswith("would"):
        lines.append(_labelled("mode", "audit: it goes on, and is recorded"))
    return "\n".join(lines)


def _labelled(label: str, text: str) -> str:
    return f"  {label + ':':<13}{printable(text)}"
