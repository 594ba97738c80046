"""Run a command again and again through the daemon's client, and print how long it took, in ms, as JSON.

    python daemon_run.py SOCKET COUNT PAUSE COMMAND…

Before each time it pauses for so many seconds. `begun`: until `Run` is answered; `ended`: until the command's
process has ended; `over`: until its session has.
"""

from __future__ import annotations

import json
import select
import statistics
import sys
import time

from sydd.client import Client


def main() -> None:
    """Measure; the first time is not counted: it connects, and finds the client's modules."""
    path, count, pause, *command = sys.argv[1:]
    samples: dict[str, list[float]] = {"begun": [], "ended": [], "over": []}
    with Client(path) as client:
        for turn in range(int(count) + 1):
            time.sleep(float(pause))
            start = time.perf_counter()
            with client.run("build", command) as session:
                begun = time.perf_counter()
                select.select([session], [], [])
                ended = time.perf_counter()
                outcome = session.wait()
                over = time.perf_counter()
            if outcome["status"] or outcome["failure"]:
                sys.exit(f"status {outcome['status']}: {outcome['failure']}")
            if turn:
                for name, moment in (("begun", begun), ("ended", ended), ("over", over)):
                    samples[name].append(1000 * (moment - start))
    print(json.dumps({name: statistics.median(values) for name, values in samples.items()}))


if __name__ == "__main__":
    main()
