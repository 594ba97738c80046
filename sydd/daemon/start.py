"""The program `sydd`: an interrupt while it is imported ends it without a word."""

from __future__ import annotations

EXIT_INTERRUPTED = 130


def main() -> int:
    """Be the daemon; the exit status."""
    try:
        from sydd.daemon.main import main as be
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return be()
