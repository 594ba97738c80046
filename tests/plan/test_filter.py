"""The static filter: plan against what calls ask for, program against plan, kernel against both."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.kernel import seccomp
from sydd.kernel.prctl import set_no_new_privs
from sydd.plan.bpf import compile_filter
from sydd.plan.filter import (
    X32_BIT,
    ArgTest,
    Disposition,
    FilterPlan,
    OpenTraps,
    Outcome,
    open_traps,
    plan_filter,
)
from sydd.policy.access import Access
from sydd.syscalls.abi import ABIS
from sydd.syscalls.argument import WORD
from sydd.syscalls.numbers import HIGHEST
from sydd.syscalls.process_rows import JUDGED_BY_REGISTERS, WHO_PROCESS
from sydd.syscalls.requests import (
    INODE_REQUESTS,
    KEY_REQUESTS,
    KEYBOARD_REQUESTS,
    TIOCCONS,
    TIOCLINUX,
    TIOCSTI,
)
from sydd.syscalls.restricted import CLONE_FILES, CLONE_NEWNS, CLONE_NEWUSER, RESTRICTIONS
from sydd.syscalls.row import Operation
from sydd.syscalls.rows import FLAG_REQUESTS, ROWS
from sydd.syscalls.rows32 import MULTIPLEXERS
from sydd.syscalls.table import AUDIT_ARCH, NUMBERS, native, number, parts, rows_by_name, rows_by_number
from tests.support.forked import ChildError, in_child
from tests.syscalls import bpf

ALLOW, NOTIFY = Outcome(Disposition.ALLOW), Outcome(Disposition.NOTIFY)
EVERYTHING = ~Access(0)
NONE = Access(0)
O_PATH, O_TMPFILE_BIT = 0o10000000, 0o20000000
O_DIRECTORY = {"x86_64": 0o200000, "i386": 0o200000, "aarch64": 0o40000, "arm": 0o40000}
MACHINES = [abi.name for abi in ABIS.values() if not abi.narrow]
RUBBISH = 0xDEAD_BEEF << 32

# A checkout may belong to another user than the one who runs the tests: nothing is kept in it.
quiet = settings(database=None, deadline=None)

supervised_sets = st.builds(
    lambda chosen: Access(sum(chosen)), st.sets(st.sampled_from([1 << bit for bit in range(17)]))
)
open_flags = st.builds(
    lambda bits, high: sum(bits) | high << 32,
    st.sets(st.sampled_from([1 << bit for bit in range(32)]), max_size=8),
    st.sampled_from([0, 1, WORD, 0xDEAD_BEEF]),
)


def errno_of(code: int) -> Outcome:
    """A refusal."""
    return Outcome(Disposition.ERRNO, code)


def form(arch: str, flags: int) -> OpenTraps:
    """The form of an open, from open(2) in its words rather than in masks."""
    if flags & O_PATH:
        return OpenTraps.PATH
    writes = flags & 3 in (os.O_WRONLY, os.O_RDWR, 3) or flags & (os.O_CREAT | os.O_TRUNC | O_TMPFILE_BIT)
    if writes:
        return OpenTraps.WRITE
    return OpenTraps.DIRECTORY if flags & O_DIRECTORY[arch] else OpenTraps.READ


def asked(arch: str, flags: int) -> Access:
    """What an open asks for, by its flags alone.

    For a directory that is opened without O_DIRECTORY it says READ; where LIST matters, getdents is notified.
    """
    match form(arch, flags):
        case OpenTraps.PATH:
            return Access.STAT
        case OpenTraps.DIRECTORY:
            return Access.LIST
        case OpenTraps.READ:
            return Access.READ
    access = Access(0)
    if flags & 3 != os.O_WRONLY:
        access |= Access.READ
    if flags & 3:
        access |= Access.MODIFY
    if flags & (os.O_CREAT | O_TMPFILE_BIT):
        access |= Access.CREATE
    if flags & os.O_TRUNC:
        access |= Access.TRUNCATE
    return access


@cache
def built(
    supervised: Access, notify_refused: bool = True, machine: str = "x86_64"
) -> tuple[FilterPlan, bpf.Program]:
    """A plan for a machine, and its program."""
    plan = plan_filter(machine, supervised, notify_refused=notify_refused)
    return plan, bpf.parse(compile_filter(plan))


def answer(outcome: Outcome) -> int:
    """A decision as the program returns it."""
    return {
        Disposition.ALLOW: bpf.RET_ALLOW,
        Disposition.NOTIFY: bpf.RET_USER_NOTIF,
        Disposition.ERRNO: bpf.RET_ERRNO | outcome.errno,
        Disposition.KILL: bpf.RET_KILL_PROCESS,
    }[outcome.disposition]


# -- the plan --


@quiet
@given(supervised_sets, open_flags, st.sampled_from(sorted(AUDIT_ARCH)))
def test_what_an_open_asks_for_is_notified(supervised: Access, flags: int, arch: str) -> None:
    """Any open that asks for a supervised access is notified, whatever else is in its flags."""
    plan = plan_filter(arch, supervised)
    outcome = plan.decide(number(arch, "openat"), (0, 0, flags, 0, 0, 0))
    if asked(arch, flags) & supervised:
        assert outcome == NOTIFY
    # Which of them write is told exactly; with reads supervised, all opens of content are notified.
    if not supervised & Access.READ:
        assert (outcome == NOTIFY) == bool(form(arch, flags) & open_traps(supervised))


@pytest.mark.parametrize(
    ("supervised", "notified"),
    [
        (NONE, ""),
        (Access.WRITE, "w"),
        (Access.ATTRIBUTES, ""),
        (Access.TRUNCATE, "w"),
        (Access.STAT, "p"),
        (Access.LIST, "d"),
        (Access.READ, "rw"),
        (Access.LIST | Access.STAT | Access.WRITE, "pdw"),
        (EVERYTHING, "prdw"),
    ],
)
@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_forms_of_open(arch: str, supervised: Access, notified: str) -> None:
    """Which forms are notified for which accesses, spelled out."""
    forms = {
        "p": [O_PATH, O_PATH | os.O_RDWR, O_PATH | os.O_CREAT | os.O_TRUNC, O_PATH | O_DIRECTORY[arch]],
        "r": [os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC, os.O_APPEND, os.O_EXCL],
        "d": [O_DIRECTORY[arch], O_DIRECTORY[arch] | os.O_CLOEXEC | os.O_NONBLOCK],
        "w": [os.O_WRONLY, os.O_RDWR, 3, os.O_CREAT, os.O_TRUNC, O_TMPFILE_BIT | O_DIRECTORY[arch] | 2],
    }
    plan = plan_filter(arch, supervised)
    for letter, all_flags in forms.items():
        expected = NOTIFY if letter in notified else ALLOW
        for flags in all_flags:
            for rubbish in (0, RUBBISH):
                arguments = (0, 0, flags | rubbish, 0, 0, 0)
                assert plan.decide(number(arch, "openat"), arguments) == expected, (letter, oct(flags))
    # Nothing of openat2's flags can be seen.
    assert plan.decide(number(arch, "openat2")) == (NOTIFY if notified else ALLOW)
    if arch == "x86_64":
        assert plan.decide(number(arch, "creat")) == (NOTIFY if "w" in notified else ALLOW)


def test_read_write_opens_read() -> None:
    """A plan that names the forms itself cannot leave O_RDWR out of reading."""
    plan = plan_filter("x86_64", Access.READ, open_tests=OpenTraps.READ)
    assert plan.decide(257, (0, 0, os.O_RDWR, 0, 0, 0)) == NOTIFY
    assert plan.decide(257, (0, 0, os.O_RDONLY, 0, 0, 0)) == NOTIFY
    assert plan.decide(257, (0, 0, O_DIRECTORY["x86_64"], 0, 0, 0)) == ALLOW


def test_open_tests_can_leave_reads_to_landlock() -> None:
    """Reads that the kernel enforces exactly are not notified though other calls that ask READ may be."""
    plan = plan_filter("x86_64", Access.READ | Access.WRITE, open_tests=OpenTraps.WRITE)
    assert plan.decide(257, (0, 0, os.O_RDONLY, 0, 0, 0)) == ALLOW
    assert plan.decide(257, (0, 0, os.O_WRONLY, 0, 0, 0)) == NOTIFY


@quiet
@given(supervised_sets, st.booleans(), st.sampled_from(sorted(AUDIT_ARCH)))
def test_rows(supervised: Access, notify_refused: bool, arch: str) -> None:
    """Apart from those with tests: notified if and only if a call can ask for something supervised."""
    plan = plan_filter(arch, supervised, notify_refused=notify_refused)
    for nr, row in rows_by_number(arch).items():
        outcome = plan.decide(nr)
        if row.operation in JUDGED_BY_REGISTERS | {Operation.CONFINE}:
            assert outcome == ALLOW
        elif row.operation is Operation.REFUSED:
            assert outcome == (NOTIFY if notify_refused else errno_of(row.errno))
        elif row.name == "listen" or row.operation is Operation.SEND:
            assert outcome == ALLOW  # without sockets nobody listens, or sends
        elif row.operation is not Operation.OPEN and row.name not in ("ioctl", "socketpair", "socketcall"):
            assert outcome == (NOTIFY if row.asks & supervised else ALLOW), row.name


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_every_known_number_has_a_last_word(arch: str) -> None:
    """Each number ends with an entry without tests; exits and returns from handlers are never filtered."""
    plan = plan_filter(arch, EVERYTHING, restrictions=frozenset(group.name for group in RESTRICTIONS))
    for name, nr in NUMBERS[arch].items():
        entries = plan.entries_of(nr)
        assert entries, name
        assert [bool(entry.tests) for entry in entries] == [True] * (len(entries) - 1) + [False]
        assert {entry.name for entry in entries} == {name}
    for name in ("exit", "exit_group", "rt_sigreturn", "sigreturn"):
        if name in NUMBERS[arch]:
            assert plan.decide(number(arch, name)) == ALLOW
    assert {entry.number for entry in plan.entries} == set(NUMBERS[arch].values())


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_unknown_numbers(arch: str) -> None:
    """Holes, what is above the table and -1 do not exist; x32 numbers are a foreign ABI on x86-64."""
    plan = plan_filter(arch, NONE)
    for nr in (*set(range(HIGHEST + 100)) - set(NUMBERS[arch].values()), 0x3FFF_FFFF, WORD):
        assert plan.decide(nr) == errno_of(errno.ENOSYS)
    foreign = Outcome(Disposition.KILL) if arch == "x86_64" else errno_of(errno.ENOSYS)
    assert plan.decide(X32_BIT) == plan.decide(X32_BIT | 2) == plan.decide(WORD - 1) == foreign


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_restrictions(arch: str) -> None:
    """The groups' answers, by default and lifted."""
    plan = plan_filter(arch, NONE)
    lifted = plan_filter(arch, NONE, restrictions=frozenset())
    for group in RESTRICTIONS:
        assert group.reason
        for call in group.calls:
            if call in NUMBERS[arch]:
                nr = number(arch, call)
                assert plan.decide(nr) == (errno_of(group.errno) if group.by_default else ALLOW), call
                assert lifted.decide(nr) == ALLOW
                alone = plan_filter(arch, EVERYTHING, restrictions=frozenset({group.name}))
                assert alone.decide(nr) == errno_of(group.errno), call
    assert {group.name for group in RESTRICTIONS if not group.by_default} == {
        *("trace", "owners", "landlock", "dumpable", "sysv_ipc", "setuid_bits", "setuid_chmod", "limits"),
        *("sockets", "families"),
    }
    with pytest.raises(ValueError, match="no such restriction: tarce"):
        plan_filter(arch, NONE, restrictions=frozenset({"tarce"}))


def test_restricted_names_exist() -> None:
    """A misspelt call would be allowed, silently."""
    for group in RESTRICTIONS:
        for call in (*group.calls, *(rule.call for rule in group.rules)):
            assert call in NUMBERS["x86_64"] or call in NUMBERS["i386"], call
            if group.by_default or group.name == "trace":
                assert call not in {row.name for row in ROWS} - {"ioctl", "mknod", "mknodat", "prctl"}, call


@pytest.mark.parametrize("arch", ["i386", "arm"])
def test_restricted_variants(arch: str) -> None:
    """What 32-bit ABIs have once more, older or wider, is restricted and supervised as the other is."""

    def original(name: str) -> str:
        for part in ("old", "_time64", "64", "32"):
            name = name.removeprefix(part).removesuffix(part)
        return {"clock_adj": "clock_adjtime", "fstatat": "newfstatat"}.get(name, name)

    own = set(NUMBERS[arch]) - set(NUMBERS["x86_64"])
    assert {"chown32", "truncate64", "clock_settime64", "setresuid32"} <= own
    rows, others = rows_by_name(arch), rows_by_name("x86_64")
    for name in own:
        assert (name in rows) == (original(name) in others) or name in {
            "ipc",
            "readdir",
            "socketcall",
            "umount",
        }, name
        if name in rows and original(name) in others:
            row, other = rows[name], others[original(name)]
            assert (row.operation, row.asks) == (other.operation, other.asks), name
    plan = plan_filter(arch, NONE, restrictions=frozenset(group.name for group in RESTRICTIONS))
    refused = {call: group for group in RESTRICTIONS for call in group.calls}
    for name in own & {name for name in own if original(name) in refused}:
        assert plan.decide(number(arch, name)) == errno_of(refused[original(name)].errno), name
    rules = {(group.name, rule.call): rule.forms for group in RESTRICTIONS for rule in group.rules}
    for group_name, call in list(rules):
        for name in own:
            if original(name) == call:
                assert rules.get((group_name, name)) == rules[group_name, call], name


def test_multiplexed_calls_are_not_restricted() -> None:
    """A call that is refused must not be had through a multiplexer: a group with one needs the other, too."""
    through = {name: outer for outer, calls in MULTIPLEXERS.items() for name in calls.values()}
    for group in RESTRICTIONS:
        refused = {*group.calls, *(rule.call for rule in group.rules)}
        for call in refused:
            outer = through.get(call)
            if outer is None or outer in group.calls:
                continue
            forms = {form[0].value for rule in group.rules if rule.call == outer for form, _ in rule.forms}
            numbers = {which for which, name in MULTIPLEXERS[outer].items() if name == call}
            assert numbers <= forms, f"{call} can be made by {outer}"
    # What is judged is judged there, too.
    for outer, calls in MULTIPLEXERS.items():
        judged = {row.name for row in ROWS} & set(calls.values())
        assert judged == {row.name for row in parts("i386", outer).values()}
        assert bool(judged) == (outer in rows_by_name("i386"))


def test_socketcall() -> None:
    """The first argument tells the call: those with a row are notified, and all others are not."""
    plan = plan_filter("i386", Access.NET)
    nr = number("i386", "socketcall")
    for which, name in MULTIPLEXERS["socketcall"].items():
        expected = NOTIFY if name in ("socket", "bind", "connect", "socketpair") else ALLOW
        for rubbish in (0, RUBBISH):
            assert plan.decide(nr, (which | rubbish, 0, 0, 0, 0, 0)) == expected, name
    assert plan.decide(nr, (0, 0, 0, 0, 0, 0)) == plan.decide(nr, (21, 0, 0, 0, 0, 0)) == ALLOW
    binds = plan_filter("i386", Access.BIND)
    assert binds.decide(nr, (2, 0, 0, 0, 0, 0)) == NOTIFY
    assert binds.decide(nr, (3, 0, 0, 0, 0, 0)) == ALLOW


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_socketpair(arch: str) -> None:
    """All pairs are notified but unix streams and seqpackets, whatever flags are or-ed to the type."""
    plan = plan_filter(arch, Access.NET)
    nr = number(arch, "socketpair")
    assert plan.decide(nr, (1, 2 | 0o2000000, 0, 0, 0, 0)) == NOTIFY
    assert plan.decide(nr, (1, 1 | 0o2000000, 0, 0, 0, 0)) == ALLOW
    assert plan.decide(nr, (1 | RUBBISH, 5, 0, 0, 0, 0)) == ALLOW
    assert plan.decide(nr, (1, 3, 0, 0, 0, 0)) == NOTIFY  # SOCK_RAW, which makes datagrams
    assert plan.decide(nr, (30, 1, 0, 0, 0, 0)) == NOTIFY  # AF_TIPC
    assert plan_filter(arch, NONE).decide(nr, (1, 2, 0, 0, 0, 0)) == ALLOW


@pytest.mark.parametrize("rubbish", [0, RUBBISH], ids=["", "rubbish"])
@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_restricted_forms(arch: str, rubbish: int) -> None:
    """Calls of which some forms are refused, with and without something in the upper half."""
    plan = plan_filter(arch, NONE)

    def decide(name: str, *low: int) -> Outcome:
        args = (*(value | rubbish for value in low), *(0,) * 6)[:6]
        return plan.decide(number(arch, name), args)

    assert decide("clone", 0x0100_11D2) == decide("clone", 0x003D_0F00) == ALLOW  # fork, pthread_create
    for shift in (17, 25, 26, 27, 28, 29, 30):
        assert decide("clone", 1 << shift | 17) == errno_of(errno.EPERM)
        assert decide("unshare", 1 << shift | CLONE_FILES) == errno_of(errno.EPERM)
    assert decide("unshare", CLONE_FILES) == decide("unshare", 0x200) == decide("unshare", 0) == ALLOW
    assert decide("unshare", 0x80) == decide("unshare", 0x10_0000) == errno_of(errno.EPERM)
    for harmless in (0, WORD, 0x4_0000, 8, 0x4_0008, 0x2_0000):
        assert decide("personality", harmless) == ALLOW
    for harmful in (0x40_0000, 0x10_0000, 0x44_0000, 0xFFFF_FFFE, 1):
        assert decide("personality", harmful) == errno_of(errno.EPERM)
    for request in (TIOCSTI, TIOCLINUX, TIOCCONS, *KEYBOARD_REQUESTS.values(), *KEY_REQUESTS.values()):
        assert decide("ioctl", 0, request) == errno_of(errno.EPERM)
    assert decide("ioctl", 0, 0x5413) == ALLOW
    for request in INODE_REQUESTS.values():
        assert decide("ioctl", 3, request) == errno_of(errno.ENOTTY)
    for request in FLAG_REQUESTS.values():
        assert decide("ioctl", 3, request) == ALLOW
    plan = plan_filter(arch, Access.ATTRIBUTES)
    for request in FLAG_REQUESTS.values():
        assert decide("ioctl", 3, request) == NOTIFY
    assert decide("ioctl", 0, TIOCSTI) == errno_of(errno.EPERM)
    assert decide("ioctl", 0, 0x5413) == ALLOW


@pytest.mark.parametrize("rubbish", [0, RUBBISH], ids=["", "rubbish"])
@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_calls_on_processes(arch: str, rubbish: int) -> None:
    """With process 0, the caller, nobody is asked; all else is notified where it is judged."""
    judged = plan_filter(arch, NONE, judged=JUDGED_BY_REGISTERS)
    for row in ROWS:
        if row.operation is not Operation.PROCESS:
            continue
        arguments = [7 | rubbish] * 6
        if row.name in WHO_PROCESS:
            arguments[row.extra[0]] = WHO_PROCESS[row.name] | rubbish
        nr = number(arch, row.name)
        assert judged.decide(nr, tuple(arguments)) == NOTIFY, row.name
        arguments[row.extra[-1]] = rubbish
        assert judged.decide(nr, tuple(arguments)) == ALLOW, row.name
        if row.name in WHO_PROCESS:
            arguments[row.extra[0]] = WHO_PROCESS[row.name] + 1
            assert judged.decide(nr, tuple(arguments)) == NOTIFY, row.name
    tracing = plan_filter(arch, NONE, judged=JUDGED_BY_REGISTERS, restrictions=frozenset({"trace"}))
    for which, expected in ((7, errno_of(errno.EPERM)), (0, ALLOW)):  # PR_SCHED_CORE
        assert tracing.decide(number(arch, "prctl"), (62, 1, which | rubbish, 0, 0, 0)) == expected
    limits = plan_filter(arch, NONE, restrictions=frozenset({"limits"}))
    assert limits.decide(number(arch, "prlimit64"), (7 | rubbish, 0, 0, 0, 0, 0)) == errno_of(errno.EPERM)
    assert limits.decide(number(arch, "prlimit64"), (rubbish, 0, 0, 0, 0, 0)) == ALLOW


@pytest.mark.parametrize("supervised", [NONE, EVERYTHING], ids=["free", "supervised"])
@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_setuid_bits(arch: str, supervised: Access) -> None:
    """Where a call makes a file, a mode by which it runs as its owner or group is refused."""
    plan = plan_filter(arch, supervised, restrictions=frozenset({"setuid_bits"}))

    def refused(call: str, *arguments: int) -> bool:
        whole = (*arguments, *(0,) * 6)[:6]
        return plan.decide(number(arch, call), whole) == errno_of(errno.EPERM)

    for mode in (0o4755, 0o2755, 0o6000, RUBBISH | 0o4711):
        assert refused("openat", 0, 0, os.O_CREAT | os.O_WRONLY, mode)
        assert refused("openat", 0, 0, O_TMPFILE_BIT | O_DIRECTORY[arch] | os.O_RDWR, mode)
        assert refused("mknodat", 0, 0, 0o100000 | mode, 0)
        assert not refused("openat", 0, 0, os.O_RDONLY, mode)
        assert not refused("mkdirat", 0, 0, mode)
        if arch == "x86_64":
            assert refused("open", 0, os.O_CREAT, mode)
            assert refused("creat", 0, mode)
            assert refused("mknod", 0, mode, 0)
    for mode in (0o1777, 0o755, 0, 6 << 16):
        assert not refused("openat", 0, 0, os.O_CREAT | os.O_WRONLY, mode)
        assert not refused("mknodat", 0, 0, mode, 0)
    assert plan.decide(number(arch, "openat2")) == errno_of(errno.ENOSYS)


def test_plans_are_values() -> None:
    """Equal for equal input, and as text."""
    assert plan_filter("x86_64", Access.WRITE) == plan_filter("x86_64", Access.WRITE)
    assert plan_filter("x86_64", Access.WRITE) != plan_filter("x86_64", Access.READ)
    lines = plan_filter("x86_64", Access.WRITE).describe()
    assert "openat: notify (for writing)" in lines
    assert "openat: allow if arg2 & 0x400243 == 0x0 (for reading)" in lines
    assert "io_uring_setup: ENOSYS (io_uring)" in lines
    assert not [line for line in lines if line.startswith("getpid:")]
    assert "i386: chown32: notify (attributes)" in plan_filter("x86_64", Access.ATTRIBUTES).describe()
    assert not [line for line in lines if line.startswith(("i386: getpid:", "i386: openat:"))]


def test_tests_that_cannot_hold() -> None:
    """A test over the upper half, or for a bit outside its mask, is a mistake."""
    for register, mask, value in ((0, 1 << 32, 0), (0, 1, 2), (6, 1, 1), (-1, 1, 1)):
        with pytest.raises(ValueError, match=r"no such register|cannot hold"):
            ArgTest(register, mask, value)


# -- the program --

UNUSUAL = (
    *(1000, 0xF_0000, 0xF_0002, 0xF_0005, 0xF_0007, 0x3FFF_FFFF),
    *(X32_BIT, X32_BIT | 257, X32_BIT | 520, WORD - 1, WORD),
)
"""Numbers far above the tables: private ones of arm, x32, and -1."""

INTERESTING = [
    (0,) * 6,
    (WORD,) * 6,
    (0xFFFF_FFFF_FFFF_FFFF,) * 6,
    *(
        tuple(value | high for _ in range(6))
        for high in (0, RUBBISH)
        for value in (1, 2, 3, 0o101, 0o200000, O_PATH)
    ),
    *((3, request, 5, 0, 0, 0) for request in (*FLAG_REQUESTS.values(), TIOCSTI, TIOCLINUX | RUBBISH)),
    *((flags, 0, 0, 0, 0, 0) for flags in (CLONE_NEWNS, CLONE_NEWUSER | RUBBISH, CLONE_FILES, 0x4_0000)),
]


@pytest.mark.parametrize("notify_refused", [True, False])
@pytest.mark.parametrize(
    "supervised", [NONE, Access.WRITE, Access.READ, Access.WRITE | Access.STAT, EVERYTHING], ids=str
)
@pytest.mark.parametrize("machine", MACHINES)
def test_program_of_all_numbers(machine: str, supervised: Access, notify_refused: bool) -> None:
    """Every number there is or could be, by every ABI, over arguments that matter to some call."""
    plan, program = built(supervised, notify_refused, machine)
    assert [part.arch for part in plan.parts] == [machine, *ABIS[machine].beside]
    for part in plan.parts:
        for nr in (*range(HIGHEST + 200), *UNUSUAL):
            tested = len(part.entries_of(nr)) > 1
            for args in INTERESTING if tested else INTERESTING[:3]:
                result, looked = bpf.run(program, bpf.seccomp_data(nr, AUDIT_ARCH[part.arch], args))
                assert result == answer(part.decide(nr, args)), (part.arch, nr, args)
                # What never looks at arguments costs nothing where it is allowed: the kernel remembers it.
                assert looked <= tested, nr


@quiet
@given(
    st.sampled_from(
        [NONE, Access.WRITE, Access.LIST, Access.STAT | Access.WRITE, Access.READ, Access.ATTRIBUTES]
    ),
    st.sampled_from(
        [
            *("open", "openat", "openat2", "ioctl", "clone", "unshare", "personality", "creat", "getdents64"),
            *("setpriority", "prlimit64", "mknodat"),
            *("socketcall", "truncate64", "chown"),
        ]
    ),
    st.tuples(
        *[open_flags | st.sampled_from([*FLAG_REQUESTS.values(), *INODE_REQUESTS.values(), TIOCSTI, WORD])]
        * 6
    ),
    st.sampled_from(MACHINES),
)
def test_program_of_tested_calls(supervised: Access, name: str, args: tuple[int, ...], machine: str) -> None:
    """Random arguments to the calls that have tests."""
    plan, program = built(supervised, machine=machine)
    for part in plan.parts:
        if name in NUMBERS[part.arch]:
            nr = number(part.arch, name)
            result, _ = bpf.run(program, bpf.seccomp_data(nr, AUDIT_ARCH[part.arch], args))
            assert result == answer(part.decide(nr, args))


@pytest.mark.parametrize("machine", MACHINES)
def test_program_of_foreign_architectures(machine: str) -> None:
    """No number of an architecture that the machine does not run gets anywhere."""
    _, program = built(Access.WRITE, machine=machine)
    own = {AUDIT_ARCH[machine], *(AUDIT_ARCH[abi] for abi in ABIS[machine].beside)}
    # Of big-endian arm, and of s390, no table speaks.
    for arch in {*AUDIT_ARCH.values(), 0x28, 0x16, 0, WORD} - own:
        for nr in (*range(HIGHEST + 1), *UNUSUAL):
            assert bpf.run(program, bpf.seccomp_data(nr, arch, (0,) * 6)) == (bpf.RET_KILL_PROCESS, False)


def test_arm_needs_its_private_calls() -> None:
    """set_tls and cacheflush: without these no program of this ABI begins."""
    plan, program = built(EVERYTHING, machine="aarch64")
    for nr in (0xF_0002, 0xF_0005):
        assert bpf.run(program, bpf.seccomp_data(nr, AUDIT_ARCH["arm"], (0,) * 6))[0] == bpf.RET_ALLOW
        assert plan.decide(nr) == errno_of(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
def test_program_fits(machine: str) -> None:
    """The kernel takes 4096 instructions for a filter; all filters of a thread together have 32768."""
    for supervised in (NONE, Access.WRITE, EVERYTHING):
        assert len(built(supervised, machine=machine)[1]) < 1500


# -- the kernel --

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def call(nr: int, *args: int | bytes) -> int:
    """The error of a system call; 0 for none."""
    words = [ctypes.c_char_p(arg) if isinstance(arg, bytes) else ctypes.c_ulong(arg) for arg in args]
    return ctypes.get_errno() if _syscall(ctypes.c_long(nr), *words) < 0 else 0


def under(program: bytes, *calls: tuple[int, ...]) -> list[int]:
    """The errors of calls under a filter. Without a listener, what is notified gets ENOSYS."""
    set_no_new_privs()
    seccomp.set_mode_filter(program, 0)
    return [call(*arguments) for arguments in calls]


def test_in_the_kernel() -> None:
    """A real filter on a real thread. Bad pointers show as EFAULT what the filter let through."""
    program = compile_filter(plan_filter(native(), Access.WRITE))
    bad, cwd = 1, -100 & WORD

    def nr(name: str) -> int:
        return number(native(), name)

    expected = [
        ((nr("openat"), cwd, bad, os.O_RDONLY), errno.EFAULT),
        ((nr("openat"), cwd, bad, os.O_RDONLY | RUBBISH), errno.EFAULT),
        ((nr("openat"), cwd, bad, os.O_DIRECTORY), errno.EFAULT),
        ((nr("openat"), cwd, bad, O_PATH | os.O_RDWR), errno.EFAULT),
        ((nr("openat"), cwd, bad, os.O_WRONLY), errno.ENOSYS),
        ((nr("openat"), cwd, bad, os.O_TRUNC | RUBBISH), errno.ENOSYS),
        ((nr("openat"), cwd, bad, 3), errno.ENOSYS),
        ((nr("newfstatat"), cwd, bad, bad, 0), errno.EFAULT),
        ((nr("unlinkat"), cwd, bad, 0), errno.ENOSYS),
        ((nr("fchmodat2"), cwd, bad, 0, 0), errno.ENOSYS),
        ((nr("execve"), bad, 0, 0), errno.EFAULT),
        ((nr("unshare"), CLONE_NEWUSER), errno.EPERM),
        ((nr("unshare"), CLONE_FILES), 0),
        ((nr("clone"), CLONE_NEWNS | 17, 0, 0, 0, 0), errno.EPERM),
        ((nr("clone3"), bad, 0), errno.ENOSYS),
        ((nr("personality"), WORD), 0),
        ((nr("personality"), 0x40_0000), errno.EPERM),
        ((nr("ioctl"), 0, TIOCSTI, bad), errno.EPERM),
        ((nr("ioctl"), 0, TIOCSTI | RUBBISH, bad), errno.EPERM),
        ((nr("ioctl"), WORD, FLAG_REQUESTS["FS_IOC_SETFLAGS"] | RUBBISH, bad), errno.ENOSYS),
        ((nr("ioctl"), WORD, 0x5413, bad), errno.EBADF),
        ((nr("perf_event_open"), bad, 0, 0, 0, 0), errno.EACCES),
        ((HIGHEST + 1,), errno.ENOSYS),
        ((nr("getpid"),), 0),
    ]
    results = in_child(under, program, *(arguments for arguments, _ in expected))
    assert results == [error for _, error in expected]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is an ABI of x86-64")
def test_x32_in_the_kernel() -> None:
    """A call with an x32 number ends the process."""
    program = compile_filter(plan_filter(native(), NONE))
    with pytest.raises(ChildError, match="ended with -31"):
        in_child(under, program, (X32_BIT | 39,))
