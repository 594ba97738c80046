"""The program: what there is to import is imported where an interrupt ends it without a word.

Of builds that launch one step after the other an interrupt hits one that is just starting as a rule.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from typing import NoReturn

EXIT_INTERRUPTED = 130
"""As a shell says it of SIGINT."""


def entry() -> NoReturn:
    """Be the program: `main`, and an end at once.

    What Python would tear down is everything that was imported, in a launch by two processes that share it.
    """
    try:
        from sydctl.main import main

        status = main()
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105  # contextlib is slow to import
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # it is closed, or nobody reads
    os._exit(status)
