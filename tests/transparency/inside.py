"""Runs acts one by one, natively or in a session: `inside RESULTS NAME…` where their trees are."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback

from tests.transparency.acts import all_acts
from tests.transparency.acts.tell import say

SECONDS = 10
"""How long one act may take. It is far more than any takes."""


def run(name: str) -> dict[str, object]:
    """Run one act in a child, in a directory of its own."""
    act = all_acts((name.partition(".")[0],))[name]
    directory = os.path.join(os.getcwd(), name)
    output = os.open(f"{name}.output", os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    pid = os.fork()
    if not pid:
        try:
            os.setpgid(0, 0)
            os.chdir(directory)
            os.environ.update(ACT=directory, TMPDIR=directory, PWD=directory)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.umask(0o22)
            act()
        except BaseException:  # noqa: BLE001  # said, since it is compared
            say(traceback.format_exc())
            os._exit(98)
        os._exit(0)
    status = _waited(pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with open(output, "rb") as file:
        file.seek(0)
        text = file.read().decode("utf-8", "surrogateescape")
    os.unlink(f"{name}.output")
    return {"status": status, "output": text}


def _waited(pid: int) -> int | str:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(SECONDS)
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        late = not signal.alarm(0)
    return "no end" if late else status


def main() -> None:
    """Run the acts that are named, and write what came of them."""
    results, *names = sys.argv[1:]
    found = {name: run(name) for name in names}
    with open(results, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
