"""The form in which ``restricted.py`` says what no session may do."""

from __future__ import annotations

from dataclasses import dataclass
from errno import EPERM
from stat import S_ISGID, S_ISUID

from sydd.syscalls.argument import ArgTest, equals

# asm-generic/fcntl.h: an open that makes a file and so looks at its mode.
_O_CREAT, _O_TMPFILE = 0o100, 0o20000000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentRule:
    """A call of which some forms are harmless, told by arguments in registers.

    Attributes:
        call: its name.
        forms: (tests, errno) in order; the first all of whose tests hold decides. errno 0: allowed.
        otherwise: errno where none holds. 0: allowed.
    """

    call: str
    forms: tuple[tuple[tuple[ArgTest, ...], int], ...]
    otherwise: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Calls that are refused together, for one reason.

    Attributes:
        name: of the group.
        reason: what the calls would open, in words for the documentation.
        errno: what the calls return.
        calls: refused in every form.
        rules: calls refused in some forms.
        by_default: whether it holds where the profile does not speak about the group.
    """

    name: str
    reason: str
    errno: int
    calls: tuple[str, ...] = ()
    rules: tuple[ArgumentRule, ...] = ()
    by_default: bool = True


def only_own(call: str) -> ArgumentRule:
    """*call*, whose first argument is a process, with 0 for the caller."""
    return ArgumentRule(call=call, forms=(((equals(0, 0),), 0),), otherwise=EPERM)


def identity_bits(call: str, mode: int, flags: int | None = None) -> ArgumentRule:
    """*call* with a mode that has the bits by which a program runs as its owner.

    Args:
        call: its name.
        mode: the register of the mode.
        flags: of an open, that of its flags: only where it makes a file, the mode means something.
    """
    bits = tuple(ArgTest(mode, bit, bit) for bit in (S_ISUID, S_ISGID))
    making: tuple[tuple[ArgTest, ...], ...] = ((),)
    if flags is not None:
        making = tuple((ArgTest(flags, bit, bit),) for bit in (_O_CREAT, _O_TMPFILE))
    forms = tuple(((*makes, bit), EPERM) for makes in making for bit in bits)
    return ArgumentRule(call=call, forms=forms, otherwise=0)
