"""The one test that a seccomp filter makes on an argument."""

from __future__ import annotations

from dataclasses import dataclass

WORD = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class ArgTest:
    """Holds where ``register & mask == value``.

    Only the low 32 bits can be tested. What is tested here is an ``int`` or ``unsigned int`` to the kernel,
    which drops the upper half: a filter that looked at it could be passed by with rubbish there.

    Attributes:
        register: 0 to 5.
        mask: bits that are looked at, within 32.
        value: what they have to be; within the mask, else the test could never hold.
    """

    register: int
    mask: int
    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.register <= 5:
            raise ValueError(f"no such register: {self.register}")
        if not 0 <= self.mask <= WORD or self.value & ~self.mask:
            raise ValueError(f"cannot hold in 32 bits: & {self.mask:#x} == {self.value:#x}")

    def holds(self, args: tuple[int, ...]) -> bool:
        """Whether the arguments, as seccomp_data has them, pass."""
        return args[self.register] & self.mask == self.value

    def __str__(self) -> str:
        if self.mask == WORD:
            return f"arg{self.register} == {self.value:#x}"
        return f"arg{self.register} & {self.mask:#x} == {self.value:#x}"


def equals(register: int, value: int) -> ArgTest:
    """The low word of *register* is *value*."""
    return ArgTest(register, WORD, value)


def none_of(register: int, bits: int) -> ArgTest:
    """The low word of *register* has none of *bits*."""
    return ArgTest(register, bits, 0)


def only(register: int, bits: int) -> ArgTest:
    """The low word of *register* has no other bit than *bits*."""
    return ArgTest(register, WORD & ~bits, 0)
