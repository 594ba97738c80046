"""The signals that the parents of a command wait for, and which of them they pass on."""

from __future__ import annotations

import signal

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)
TERMINATING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
WAITED_FOR = (*FORWARDED, signal.SIGCHLD, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM)

SI_USER = 0
"""At or below: sent by a process (sigaction(2), si_code); above: by the kernel, such as the terminal's."""
