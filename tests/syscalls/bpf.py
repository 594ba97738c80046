"""A classic BPF interpreter: the kernel's semantics, as far as seccomp programs use them."""

from __future__ import annotations

import struct

RET_KILL_PROCESS = 0x8000_0000
RET_ERRNO = 0x5_0000
RET_USER_NOTIF = 0x7FC0_0000
RET_ALLOW = 0x7FFF_0000

Program = list[tuple[int, int, int, int]]


def parse(code: bytes) -> Program:
    """The instructions of an array of struct sock_filter."""
    return list(struct.iter_unpack("=HBBI", code))


def seccomp_data(nr: int, arch: int, args: tuple[int, ...]) -> bytes:
    """What the kernel shows a filter of one call; the instruction pointer is zero."""
    return struct.pack("=IIQ6Q", nr, arch, 0, *args)


def run(program: Program, data: bytes) -> tuple[int | None, bool]:
    """Run a program to its end.

    Returns:
        what it returns, None where it runs off its end; and whether it looked at more than number and
        architecture, in which case the kernel cannot remember the answer.
    """
    accumulator, place, looked = 0, 0, False
    while place < len(program):
        code, jump_true, jump_false, k = program[place]
        place += 1
        match code:
            case 0x20:  # LD | W | ABS
                (accumulator,) = struct.unpack_from("=I", data, k)
                looked |= k >= 8
            case 0x54:  # ALU | AND | K
                accumulator &= k
            case 0x05:  # JMP | JA
                place += k
            case 0x15:  # JMP | JEQ | K
                place += jump_true if accumulator == k else jump_false
            case 0x25:  # JMP | JGT | K
                place += jump_true if accumulator > k else jump_false
            case 0x35:  # JMP | JGE | K
                place += jump_true if accumulator >= k else jump_false
            case 0x45:  # JMP | JSET | K
                place += jump_true if accumulator & k else jump_false
            case 0x06:  # RET | K
                return k, looked
            case _:
                raise ValueError(
                    f"instruction {place - 1}: code {code:#x} is none that seccomp programs have"
                )
    return None, looked


def pack(instruction: tuple[int, int, int, int]) -> bytes:
    """One instruction as struct sock_filter."""
    return struct.pack("=HBBI", *instruction)
