"""Run a command under sandlock 0.9: read everything, write one directory and /dev, no network.

Run by the interpreter of sandlock's own environment: sandlock_run.py DIRECTORY COMMAND [ARGUMENT…]
"""

from __future__ import annotations

import os
import sys

from sandlock import Sandbox


def main() -> int:
    """Run, and return the command's exit status."""
    work, *command = sys.argv[1:]
    sandbox = Sandbox(fs_readable=["/"], fs_writable=[work, "/dev"], cwd=os.getcwd())
    return int(sandbox.run_interactive(command))


if __name__ == "__main__":
    sys.exit(main())
