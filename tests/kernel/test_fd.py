"""Owned descriptors."""

from __future__ import annotations

import errno
import os

import pytest

from sydd.kernel.fd import FdSet, FileDescriptor


def is_open(fd: int) -> bool:
    """Whether a number is an open descriptor."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def null() -> int:
    """Any descriptor."""
    return os.open("/dev/null", os.O_RDONLY)


def test_closing_twice_is_fine() -> None:
    """The second time does not close somebody else's descriptor of the same number."""
    fd = FileDescriptor(null())
    number = fd.fileno()
    fd.close()
    again = null()
    assert again == number
    fd.close()
    assert is_open(again)
    os.close(again)
    assert fd.closed
    with pytest.raises(OSError, match="closed or handed over") as caught:
        fd.fileno()
    assert caught.value.errno == errno.EBADF


def test_handing_over() -> None:
    """What was stolen stays open."""
    with FileDescriptor(null()) as fd:
        number = fd.steal()
    assert is_open(number)
    os.close(number)
    with pytest.raises(OSError, match="handed over"):
        fd.steal()


def test_a_duplicate() -> None:
    """It outlives the first and is closed on exec."""
    with FileDescriptor(null()) as first:
        second = first.dup()
    with second:
        assert not os.get_inheritable(second.fileno())
        assert repr(second) == f"FileDescriptor({second.fileno()})"
    assert repr(second) == "FileDescriptor(closed)"


def test_a_forgotten_one_is_reported_and_closed() -> None:
    """Nothing leaks, and the author hears of it."""
    number = null()
    fds = [FileDescriptor(number)]
    with pytest.warns(ResourceWarning, match="was never closed"):
        fds.clear()
    assert not is_open(number)


def test_no_descriptor() -> None:
    """A failed call's -1 is not taken for one."""
    with pytest.raises(ValueError, match="no descriptor: -1"):
        FileDescriptor(-1)


def test_a_set_closes_what_was_not_taken() -> None:
    """Positions do not move when one is taken."""
    numbers = [null(), null(), null()]
    fds = FdSet(numbers)
    taken = fds.steal(1)
    assert (len(fds), list(fds), fds[2]) == (3, [numbers[0], numbers[2]], numbers[2])
    for index in (1, 3, -1):
        with pytest.raises(IndexError):
            fds.steal(index)
    fds.close()
    fds.close()
    assert [is_open(number) for number in numbers] == [False, True, False]
    taken.close()


def test_a_set_that_grows() -> None:
    """The position of the new one is told."""
    with FdSet() as fds:
        number = null()
        assert (fds.add(number), fds[0]) == (0, number)
    assert not is_open(number)


def test_a_set_with_a_bad_one_closes_the_others() -> None:
    """They belonged to it already."""
    number = null()
    with pytest.raises(ValueError, match="no descriptor"):
        FdSet([number, -1])
    assert not is_open(number)
