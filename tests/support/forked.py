"""Running a function in a forked child: what a filter, a Landlock domain or other credentials need.

The child never returns into pytest; what the function returns or raises comes back through a pipe.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ChildError(Exception):
    """The child ended without a result; the message says how, the traceback of the child included."""


def in_child(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a forked child and return what it returned.

    Args:
        function: what to call; its result has to be picklable.
        args: its arguments.
        kwargs: its arguments by name.

    Raises:
        ChildError: the child was killed or exited without a result.
        Exception: whatever the function raised, if it can be pickled; a ChildError with its traceback if not.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(writer, lambda: function(*args, **kwargs))
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not data:
        raise ChildError(f"the child ended with {status} and no result")
    succeeded, value = pickle.loads(data)  # noqa: S301 (what our own child wrote)
    if succeeded:
        result: T = value
        return result
    error, text = value
    raise error if isinstance(error, Exception) else ChildError(text)


def _child(writer: int, call: Callable[[], Any]) -> None:
    """Call, write the result, and leave without running any of pytest's exit handlers."""
    try:
        try:
            data = pickle.dumps((True, call()))
        except Exception as error:  # noqa: BLE001 (carried to the parent)
            text = traceback.format_exc()
            try:
                data = pickle.dumps((False, (error, text)))
                pickle.loads(data)  # noqa: S301 (some exceptions can be written and not read)
            except Exception:  # noqa: BLE001 (only the text can be carried)
                data = pickle.dumps((False, (None, text)))
        with open(writer, "wb") as pipe:
            pipe.write(data)
    finally:
        os._exit(0)
