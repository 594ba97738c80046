"""What a worker learns of its session and must not forget, in memory that outlives it."""

from __future__ import annotations

import os


def create() -> int:
    """New notes: a memfd (close-on-exec), which the caller closes."""
    return os.memfd_create("sydd-notes", os.MFD_CLOEXEC)
