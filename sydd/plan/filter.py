"""The static filter: what the kernel answers by itself, what it lets pass, what it asks the supervisor.

``plan_filter`` turns the accesses that have to be supervised into a FilterPlan: a list of entries that can be
printed, compared and evaluated (``decide``) without a kernel; ``bpf.py`` makes the program from it. An
allow-list by number: what the table does not know, in a hole of the numbering or above its end, is ENOSYS, so
that a newer kernel opens no way around.

Entries of one call stand in order and the first whose tests hold decides; the last one has no test. So forms
of a call are complementary by construction, whatever their tests are.
"""

from __future__ import annotations

import errno
import functools
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from sydd.plan.opens import OpenTraps, open_traps
from sydd.plan.sockets import SocketPlan, is_heard, socket_forms
from sydd.policy.access import Access, names
from sydd.syscalls.abi import ABIS
from sydd.syscalls.argument import WORD, ArgTest, equals, none_of
from sydd.syscalls.process_rows import F_SETOWN, IDENTITY_OPERATIONS, PR_SET_CHILD_SUBREAPER, WHO_PROCESS
from sydd.syscalls.restricted import DEFAULT_GROUPS, RESTRICTIONS
from sydd.syscalls.restriction import Restriction
from sydd.syscalls.row import Operation, Row
from sydd.syscalls.rows import FLAG_REQUESTS
from sydd.syscalls.table import NUMBERS, parts, rows_by_number

__all__ = [
    "ArgTest",
    "Disposition",
    "FilterEntry",
    "FilterPlan",
    "OpenTraps",
    "Outcome",
    "open_traps",
    "plan_filter",
]

X32_BIT = 0x4000_0000
"""Marks calls of the x32 ABI, which have the architecture word of x86-64."""

ALWAYS_ALLOWED = ("exit", "exit_group", "rt_sigreturn", "sigreturn")
"""A process has to be able to end, and to return from a handler, when nobody is left to answer."""

# asm-generic/fcntl.h, equal everywhere, but for O_DIRECTORY, which belongs to the ABI. The bits of write
# intent: access mode (3 opens too, for ioctl alone, with the permission checks of O_RDWR), O_CREAT,
# O_TRUNC (which truncates with O_RDONLY too) and the bit that tells O_TMPFILE from O_DIRECTORY.
_O_WRITES = 0o3 | 0o100 | 0o1000 | 0o20000000
_O_PATH = 0o10000000


class Disposition(Enum):
    """What happens to a call."""

    ALLOW = "allow"
    NOTIFY = "notify"
    ERRNO = "errno"
    KILL = "kill"  # only ABIs that no table knows, which no entry speaks about


class Outcome(NamedTuple):
    """What a filter does with one call."""

    disposition: Disposition
    errno: int = 0


@dataclass(frozen=True, slots=True)
class FilterEntry:
    """What happens to a call, or to those of its forms that pass all tests.

    Attributes:
        name, number: of the call.
        disposition: what happens.
        errno: with Disposition.ERRNO, else 0.
        tests: all have to hold; none: always.
        why: the reason, for people.
    """

    name: str
    number: int
    disposition: Disposition
    errno: int = 0
    tests: tuple[ArgTest, ...] = ()
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        """The entry's answer without its condition."""
        return Outcome(self.disposition, self.errno)

    def __str__(self) -> str:
        what = self.disposition.value if not self.errno else errno.errorcode[self.errno]
        tests = " and ".join(str(test) for test in self.tests)
        return (
            f"{self.name}: {what}{' if ' + tests if tests else ''}{' (' + self.why + ')' if self.why else ''}"
        )


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """A filter as a value: what it does with the calls of one ABI, and of others that the machine runs.

    Attributes:
        arch: key of AUDIT_ARCH.
        entries: by number, then in the order in which they are tried; every number that is known has a last
            entry without tests.
        beside: the same for further ABIs.
    """

    arch: str
    entries: tuple[FilterEntry, ...]
    beside: tuple[FilterPlan, ...] = ()

    def __hash__(self) -> int:
        """Quick: the plan of a session is a key when it is compiled."""
        return hash((self.arch, len(self.entries)))

    @property
    def parts(self) -> tuple[FilterPlan, ...]:
        """This and the plans for further ABIs."""
        return (self, *self.beside)

    def entries_of(self, nr: int) -> tuple[FilterEntry, ...]:
        """The entries of one number; none where the table does not know it."""
        start = bisect_left(self.entries, nr, key=lambda entry: entry.number)
        end = bisect_left(self.entries, nr + 1, lo=start, key=lambda entry: entry.number)
        return self.entries[start:end]

    def decide(self, nr: int, args: tuple[int, ...] = (0,) * 6) -> Outcome:
        """What the program does with a call of this ABI, its arguments as in seccomp_data (64 bits each).

        A number with the x32 bit is a foreign ABI to x86-64. -1 is not: a tracer skips a call by it.
        """
        if self.arch == "x86_64" and X32_BIT <= nr != WORD:
            return Outcome(Disposition.KILL)
        for entry in self.entries_of(nr):
            if all(test.holds(args) for test in entry.tests):
                return entry.outcome
        return Outcome(Disposition.ERRNO, errno.ENOSYS)

    def describe(self) -> list[str]:
        """Lines for people: what is notified, what is refused; the many that are just allowed are counted."""
        plain = {
            entry.number
            for entry in self.entries
            if entry.disposition is Disposition.ALLOW and len(self.entries_of(entry.number)) == 1
        }
        lines = [str(entry) for entry in self.entries if entry.number not in plain]
        lines.append(f"{len(plain)} other calls: allow")
        own = {str(entry) for entry in self.entries}
        for part in self.beside:
            lines += [f"{part.arch}: {line}" for line in map(str, part.entries) if _tells(line, own)]
            lines.append(f"{part.arch}: other calls: as above, or allow")
        lines.append("unknown numbers: ENOSYS; x32 and other ABIs: kill")
        return lines


@functools.lru_cache(maxsize=64)
def plan_filter(
    arch: str,
    supervised: Access,
    *,
    open_tests: OpenTraps | None = None,
    notify_refused: bool = True,
    restrictions: frozenset[str] = DEFAULT_GROUPS,
    judged: frozenset[Operation] = frozenset(),
    sockets: SocketPlan | None = None,
    supervised_here: bool = True,
) -> FilterPlan:
    """The filter that notifies every call which can ask for one of *supervised*, by all ABIs of a machine.

    Args:
        arch: key of AUDIT_ARCH; the machine's own ABI.
        supervised: accesses that the supervisor decides, judges or reports.
        open_tests: forms of open that are notified; by default those that ask for some of *supervised*.
        notify_refused: whether calls that no session may make are notified, so that the refusal is explained,
            or answered by the filter itself.
        restrictions: names of the groups of ``restricted.py`` that hold.
        judged: which operations on processes (IDENTITY, CONFINE, SIGNAL, PROCESS) and IPC objects are
            notified: what is outside the session the supervisor refuses, and it notes who is who.
        sockets: how sockets are held where addresses are judged; None where they are not.
        supervised_here: whether there is a supervisor. Without one, what would be notified is EACCES.
    """
    unknown = restrictions - {group.name for group in RESTRICTIONS}
    if unknown:
        raise ValueError(f"no such restriction: {', '.join(sorted(unknown))}")
    traps = open_traps(supervised) if open_tests is None else open_tests
    if traps & OpenTraps.READ:
        traps |= OpenTraps.WRITE  # O_RDWR, see open_traps
    groups = [group for group in RESTRICTIONS if group.name in restrictions]
    rows = rows_by_number(arch)
    entries: list[FilterEntry] = []
    for name, nr in sorted(NUMBERS[arch].items(), key=lambda item: item[1]):
        forms = list(_static(name, nr, groups))
        row = rows.get(nr)
        if not forms or forms[-1].tests:
            # Refused forms come first, so that notifying others cannot open them.
            if row is not None and row.operation in _ABOUT_PROCESSES:
                forms += _about_processes(row, nr, judged)
            elif row is not None and row.operation is Operation.MULTIPLEX:
                forms += _multiplexed(arch, nr, row, supervised, judged, sockets)
            elif row is not None and row.operation in (Operation.SOCKET, Operation.SEND):
                forms += _socket_entries(row, nr, supervised, sockets)
            elif row is not None:
                forms += _notified(arch, nr, row, supervised, traps, notify_refused)
        if not forms or forms[-1].tests:
            forms.append(FilterEntry(name, nr, Disposition.ALLOW))
        if not supervised_here:
            forms = [_refused(form) for form in forms]
        entries += _shortest(forms)
    beside = tuple(
        plan_filter(
            other,
            supervised,
            open_tests=open_tests,
            notify_refused=notify_refused,
            restrictions=restrictions,
            judged=judged,
            sockets=sockets,
            supervised_here=supervised_here,
        )
        for other in ABIS[arch].beside
    )
    return FilterPlan(arch, tuple(entries), beside)


def _tells(line: str, known: set[str]) -> bool:
    """Whether a line about another ABI says something that is not said already."""
    return line not in known and not line.endswith(f": {Disposition.ALLOW.value}")


def _static(name: str, nr: int, groups: list[Restriction]) -> Iterator[FilterEntry]:
    """What the restrictions say about a call: its refused and its harmless forms."""
    if name in ALWAYS_ALLOWED:
        yield FilterEntry(name, nr, Disposition.ALLOW, why="never filtered")
        return
    for group in groups:
        if name in group.calls:
            yield FilterEntry(name, nr, Disposition.ERRNO, group.errno, why=group.name)
            return
        for rule in group.rules:
            if rule.call != name:
                continue
            for tests, number in rule.forms:
                answer = Disposition.ERRNO if number else Disposition.ALLOW
                yield FilterEntry(name, nr, answer, number, tests, group.name)
            if rule.otherwise:
                yield FilterEntry(name, nr, Disposition.ERRNO, rule.otherwise, why=group.name)
                return


def _notified(
    arch: str, nr: int, row: Row, supervised: Access, traps: OpenTraps, notify_refused: bool
) -> list[FilterEntry]:
    """The entries of a call that the table has a row for."""
    notify = FilterEntry(row.name, nr, Disposition.NOTIFY, why=names(row.asks & supervised))
    allow = FilterEntry(row.name, nr, Disposition.ALLOW)
    if row.operation is Operation.REFUSED:
        if notify_refused:
            return [FilterEntry(row.name, nr, Disposition.NOTIFY, why="refused, and explained")]
        return [FilterEntry(row.name, nr, Disposition.ERRNO, row.errno, why="refused")]
    if row.operation is Operation.OPEN:
        if row.flags is not None:
            return _open_forms(row, nr, row.flags, ABIS[arch].o_directory, traps)
        # creat has no flags but its own; those of openat2 lie behind a pointer.
        heard = traps & OpenTraps.WRITE if row.fixed_flags else traps
        return [FilterEntry(row.name, nr, Disposition.NOTIFY, why=_words(heard))] if heard else [allow]
    if not row.asks & supervised:
        return [allow]
    if row.name == "ioctl":
        request = row.extra[0]
        return [
            FilterEntry(row.name, nr, Disposition.NOTIFY, 0, (equals(request, value),), notify.why)
            for value in FLAG_REQUESTS.values()
        ]
    return [notify]


def _socket_entries(
    row: Row, nr: int, supervised: Access, sockets: SocketPlan | None
) -> Iterator[FilterEntry]:
    """The entries of a call about sockets."""
    passed, heard = socket_forms(row, supervised, sockets)
    for form in passed:
        yield FilterEntry(row.name, nr, Disposition.ALLOW, 0, form)
    for form in heard:
        yield FilterEntry(row.name, nr, Disposition.NOTIFY, 0, form, names(row.asks & supervised))


def _multiplexed(
    arch: str,
    nr: int,
    row: Row,
    supervised: Access,
    judged: frozenset[Operation],
    sockets: SocketPlan | None,
) -> list[FilterEntry]:
    """The entries of a call that stands for others: for those that are notified."""
    # Of ipc(2) the upper half of the register is a version.
    mask = WORD if len(row.extra) > 1 else WORD >> 16
    entries = []
    for which, part in parts(arch, row.name).items():
        why = names(part.asks & supervised) if is_heard(part, supervised, sockets) else ""
        if part.operation in judged:
            why = _ABOUT_PROCESSES[part.operation]
        if why:
            test = ArgTest(row.extra[0], mask, which)
            entries.append(FilterEntry(row.name, nr, Disposition.NOTIFY, 0, (test,), why))
    return entries


_ABOUT_PROCESSES = {
    Operation.IDENTITY: "credentials",
    Operation.CONFINE: "own domains",
    Operation.SIGNAL: "signals",
    Operation.PROCESS: "others than the session's",
    Operation.IPC_GET: "others than the session's",
    Operation.IPC_USE: "others than the session's",
}


def _about_processes(row: Row, nr: int, judged: frozenset[Operation]) -> list[FilterEntry]:
    """The entries of a call about processes or IPC objects, in the forms that are."""
    operation = row.operation
    forms: list[tuple[ArgTest, ...]] = []
    if row.name == "prctl":
        if Operation.CONFINE in judged:
            forms.append((equals(0, PR_SET_CHILD_SUBREAPER),))
        if operation in judged:
            forms += [(equals(0, value),) for value in IDENTITY_OPERATIONS.values()]
    elif operation in judged:
        forms.append((equals(1, F_SETOWN),) if row.name in ("fcntl", "fcntl64") else ())
    why = _ABOUT_PROCESSES[operation]
    entries = [FilterEntry(row.name, nr, Disposition.NOTIFY, 0, tests, why) for tests in forms]
    if operation is Operation.PROCESS and entries:
        own: tuple[ArgTest, ...] = (equals(row.extra[-1], 0),)  # process 0 is the caller
        if row.name in WHO_PROCESS:
            own = (equals(row.extra[0], WHO_PROCESS[row.name]), *own)
        entries.insert(0, FilterEntry(row.name, nr, Disposition.ALLOW, 0, own, "the caller"))
    return entries


def _refused(form: FilterEntry) -> FilterEntry:
    """The same where nobody is there to be notified."""
    if form.disposition is not Disposition.NOTIFY:
        return form
    return replace(form, disposition=Disposition.ERRNO, errno=errno.EACCES)


def _open_forms(row: Row, nr: int, flags: int, directory: int, traps: OpenTraps) -> list[FilterEntry]:
    """For open and openat: one entry for each form, told by the flags."""

    def entry(form: OpenTraps, why: str, *tests: ArgTest) -> FilterEntry:
        answer = Disposition.NOTIFY if traps & form else Disposition.ALLOW
        return FilterEntry(row.name, nr, answer, 0, tests, why)

    forms = [
        entry(OpenTraps.PATH, "O_PATH", ArgTest(flags, _O_PATH, _O_PATH)),
        entry(OpenTraps.DIRECTORY, "a directory", ArgTest(flags, _O_WRITES | directory, directory)),
        entry(OpenTraps.READ, "for reading", none_of(flags, _O_WRITES)),
        entry(OpenTraps.WRITE, "for writing"),
    ]
    if forms[1].outcome == forms[2].outcome:
        del forms[1]  # part of the next
    return forms


def _words(traps: OpenTraps) -> str:
    return "open: " + ", ".join(str(form.name).lower() for form in traps)


def _shortest(forms: list[FilterEntry]) -> list[FilterEntry]:
    """The same without tests that decide nothing: those that only lead to what comes next anyway."""
    if len(forms) == 1:
        return forms
    if all(form.outcome == forms[0].outcome for form in forms):
        last = forms[-1]
        why = "" if last.disposition is Disposition.ALLOW else "every form"
        return [FilterEntry(last.name, last.number, last.disposition, last.errno, why=why)]
    while len(forms) > 1 and forms[-2].outcome == forms[-1].outcome:
        del forms[-2]
    return forms
