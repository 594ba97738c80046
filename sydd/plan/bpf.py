"""From a filter plan to the cBPF program that the kernel takes.

One program for each ABI, told apart by the architecture word; in each a binary tree over ranges of numbers
that have the same answer. Calls that depend on their arguments are leaves with instructions of their own.
Those that are always allowed pay for none of it: the kernel finds them out when the filter is loaded, for
each ABI, and remembers. sendto(2), which is send(3) too, is the one call of those that carry data that may
have to be looked at each time, so it stands before the tree.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING

from sydd.plan.filter import X32_BIT, Disposition, Outcome
from sydd.syscalls.argument import WORD
from sydd.syscalls.table import AUDIT_ARCH

if TYPE_CHECKING:
    from sydd.plan.filter import FilterEntry, FilterPlan

_LOAD, _AND, _JUMP, _IF_EQUAL, _IF_AT_LEAST, _RETURN = (
    0x20,
    0x54,
    0x05,
    0x15,
    0x35,
    0x06,
)  # linux/bpf_common.h
_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = (
    0,
    4,
    16,
)  # struct seccomp_data; the low word of an argument comes first
_RET_KILL_PROCESS, _RET_ERRNO, _RET_USER_NOTIF, _RET_ALLOW = 0x8000_0000, 0x5_0000, 0x7FC0_0000, 0x7FFF_0000
_FIRST = "sendto"  # before the tree, where its arguments decide
_FARTHEST = 255  # a test can jump no further; a jump without a test can
_MOST = 4096  # instructions that the kernel takes for one filter

_Instruction = tuple[int, int, int, int]  # code, jt, jf, k
_Code = list[_Instruction]


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


def _block(entries: tuple[FilterEntry, ...]) -> _Code:
    """Instructions that try the entries of one call in order. The last has no test, so all paths return."""
    code: _Code = []
    loaded: tuple[int, int] | None = None  # register and mask whose result the accumulator holds
    for entry in entries:
        body: _Code = []
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


def _ranges(plan: FilterPlan, decided: int | None) -> list[tuple[int, _Code]]:
    """The whole range of numbers in pieces: where each begins, and what is done with its calls.

    Args:
        plan: for one ABI.
        decided: a number that does not get there; it belongs to whatever piece is before it.
    """
    known = {entry.number for entry in plan.entries}
    # What is no known call is one thing between two of these.
    starts = {0, X32_BIT, WORD, *known, *(nr + 1 for nr in known)} - {decided}
    found: list[tuple[int, _Code]] = []
    for start in sorted(starts):
        entries = plan.entries_of(start)
        code = _block(entries) if entries else [(_RETURN, 0, 0, _action(plan.decide(start)))]
        if not found or found[-1][1] != code:
            found.append((start, code))
    return found


def _tree(ranges: list[tuple[int, _Code]]) -> _Code:
    """A binary search; the accumulator holds the number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _tree(ranges[:middle]), _tree(ranges[middle:])
    start = ranges[middle][0]
    if len(below) <= _FARTHEST:
        return [(_IF_AT_LEAST, len(below), 0, start), *below, *above]
    return [(_IF_AT_LEAST, 0, 1, start), (_JUMP, 0, 0, len(below)), *below, *above]


def _part(plan: FilterPlan) -> _Code:
    """What decides about the calls of one ABI."""
    load: _Code = [(_LOAD, 0, 0, _NR_OFFSET)]
    forms = tuple(entry for entry in plan.entries if entry.name == _FIRST)
    if len(forms) < 2:
        return load + _tree(_ranges(plan, None))
    number, block = forms[0].number, _block(forms)
    return [*load, (_IF_EQUAL, 0, len(block), number), *block, *_tree(_ranges(plan, number))]


@functools.lru_cache(maxsize=64)
def compile_filter(plan: FilterPlan) -> bytes:
    """The program for seccomp(2), an array of ``struct sock_filter``.

    Calls of an ABI that the plan has no entries for end the process, and so do those with x32 numbers.

    Raises:
        ValueError: the program is longer than the kernel takes.
    """
    code: _Code = [(_LOAD, 0, 0, _ARCH_OFFSET)]
    for part in plan.parts:
        body = _part(part)
        code += [(_IF_EQUAL, 1, 0, AUDIT_ARCH[part.arch]), (_JUMP, 0, 0, len(body)), *body]
    code.append((_RETURN, 0, 0, _RET_KILL_PROCESS))
    if len(code) > _MOST:
        raise ValueError(f"a filter of {len(code)} instructions; the kernel takes {_MOST}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
