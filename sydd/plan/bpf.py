"""From a filter plan to the cBPF program that the kernel takes.

libseccomp wants rules of one call with different actions to exclude each other, and "all other requests"
cannot be written as such rules. Hence a division of labour: calls that have one answer go to libseccomp,
which also deals with the architecture and builds the search tree; the handful with tests are a prelude in
front of its program. To the others the prelude costs a few comparisons, and to those that are always allowed
not even that: the kernel finds them out when the filter is loaded, and remembers.
"""

from __future__ import annotations

import errno
import os
from itertools import groupby
from typing import TYPE_CHECKING

from sydd.plan.filter import Disposition, Outcome
from sydd.syscalls.argument import WORD
from sydd.syscalls.table import AUDIT_ARCH

if TYPE_CHECKING:
    from sydd.plan.filter import FilterEntry, FilterPlan

_LOAD, _AND, _JUMP, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x06  # linux/bpf_common.h
_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = (
    0,
    4,
    16,
)  # struct seccomp_data; the low word of an argument comes first
_RET_KILL_PROCESS, _RET_ERRNO, _RET_USER_NOTIF, _RET_ALLOW = 0x8000_0000, 0x5_0000, 0x7FC0_0000, 0x7FFF_0000

_Instruction = tuple[int, int, int, int]  # code, jt, jf, k


def _action(outcome: Outcome) -> int:
    match outcome.disposition:
        case Disposition.ALLOW:
            return _RET_ALLOW
        case Disposition.NOTIFY:
            return _RET_USER_NOTIF
        case Disposition.ERRNO:
            return _RET_ERRNO | outcome.errno
        case Disposition.KILL:
            return _RET_KILL_PROCESS


def _block(entries: list[FilterEntry]) -> list[_Instruction]:
    """Instructions that try the entries of one call in order. The last has no test, so all paths return."""
    code: list[_Instruction] = []
    loaded: tuple[int, int] | None = None  # register and mask whose result the accumulator holds
    for entry in entries:
        body: list[_Instruction] = []
        exits: list[int] = []
        for test in entry.tests:
            if loaded != (test.register, test.mask):
                body.append((_LOAD, 0, 0, _ARGS_OFFSET + 8 * test.register))
                if test.mask != WORD:
                    body.append((_AND, 0, 0, test.mask))
                loaded = (test.register, test.mask)
            exits.append(len(body))
            body.append((_IF_EQUAL, 0, 0, test.value))
        body.append((_RETURN, 0, 0, _action(entry.outcome)))
        for place in exits:
            body[place] = (_IF_EQUAL, 0, len(body) - place - 1, body[place][3])
        if len(entry.tests) > 1:
            loaded = None  # which of the tests failed, and so what is loaded, is not known
        code += body
    return code


def _prelude(plan: FilterPlan) -> list[_Instruction]:
    """The calls with tests, in front of the program for all others, which it falls through to."""
    code: list[_Instruction] = [(_LOAD, 0, 0, _NR_OFFSET)]
    for nr, group in groupby(plan.entries, key=lambda entry: entry.number):
        entries = list(group)
        if len(entries) > 1:
            block = _block(entries)
            if len(block) > 255:
                raise ValueError(f"{entries[0].name}: a jump reaches no further than 255 instructions")
            code += [(_IF_EQUAL, 0, len(block), nr), *block]
    return [
        (_LOAD, 0, 0, _ARCH_OFFSET),
        (_IF_EQUAL, 1, 0, AUDIT_ARCH[plan.arch]),
        (_JUMP, 0, 0, len(code)),
        *code,
    ]


def compile_filter(plan: FilterPlan) -> bytes:
    """The program for seccomp(2), an array of ``struct sock_filter``, for a machine such as this.

    Other architectures are killed, and so are calls with x32 numbers: libseccomp treats both alike.

    Raises:
        ValueError: the plan is for another architecture than this machine's. libseccomp takes numbers that it
            has no name for only in a filter for the native one.
    """
    import struct

    # Costs 10 ms (it looks for its library), and who only prints a plan does not need it.
    import pyseccomp

    if pyseccomp.system_arch() != AUDIT_ARCH[plan.arch]:
        raise ValueError(f"a filter for {plan.arch} can be compiled on such a machine only")
    program = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    program.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)  # a binary tree over the numbers
    for nr, group in groupby(plan.entries, key=lambda entry: entry.number):
        first, *more = group
        default = Outcome(Disposition.ERRNO, errno.ENOSYS)
        if not more and first.outcome != default:  # a rule that says what the default says is an error there
            program.add_rule_exactly(_action(first.outcome), nr)
    with os.fdopen(os.memfd_create("filter"), "rb") as file:
        program.export_bpf(file)
        file.seek(0)
        main = file.read()
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _prelude(plan)) + main
