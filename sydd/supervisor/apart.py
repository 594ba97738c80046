"""Work in a thread of its own, where what it does to the thread harms nobody: directories, masks, domains."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from sydd.kernel import landlock_calls, prctl

if TYPE_CHECKING:
    from collections.abc import Callable


def in_thread(work: Callable[[], None]) -> None:
    """Do *work*, with the credentials of the calling thread, and wait for its end.

    Args:
        work: raises nothing.
    """
    thread = threading.Thread(target=work, name="sydd-apart")
    thread.start()
    thread.join()


def confine(handled: int, directory: int, granted: int) -> None:
    """Put the calling thread into a Landlock domain that denies some rights but below one directory.

    Args:
        handled: what is denied elsewhere (FsRight).
        directory: a descriptor of the directory.
        granted: what is not, at and below it.

    Raises:
        OSError: there is no Landlock, or it does not know one of the rights.
    """
    prctl.set_no_new_privs()
    ruleset = landlock_calls.create_ruleset(handled)
    try:
        landlock_calls.add_path_rule(ruleset, directory, granted)
        landlock_calls.restrict_self(ruleset)
    finally:
        os.close(ruleset)
