"""Runs one module of CPython's own tests and writes the outcome of each: `outcomes.py RESULTS MODULE`.

For the interpreter whose suite it is; nothing but its standard library is imported.
"""

from __future__ import annotations

import json
import re
import sys
import unittest
from typing import Any


class Outcomes(unittest.TestResult):
    """Keeps one word for each test; a test with failing subtests has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.why: dict[str, str] = {}

    def _keep(self, test: unittest.TestCase, word: str, error: Any = None) -> None:
        self.found[test.id()] = word
        if error is not None:
            self.why[test.id()] = self._exc_info_to_string(error, test)  # type: ignore[attr-defined]

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: D102, N802
        self.found.setdefault(test.id(), "ok")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: D102, N802
        self._keep(test, "failed", err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: D102, N802
        self._keep(test, "error", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: D102, N802
        # Reasons name files of the process.
        self._keep(test, "skipped: " + re.sub(r"\d+", "N", reason))

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: D102, N802
        self._keep(test, "expected failure")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: D102, N802
        self._keep(test, "unexpected success")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: D102, N802
        if err is not None:
            self._keep(test, "failed", err)


def main() -> None:
    """Run and write."""
    results, module = sys.argv[1:]
    del sys.path[0]
    # The tests look at their own command line.
    sys.argv[1:] = []
    outcomes = Outcomes()
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    except unittest.SkipTest as reason:
        outcomes.found[module] = f"skipped: {reason}"
    else:
        suite.run(outcomes)
    with open(results, "w", encoding="utf-8") as file:
        json.dump({"found": outcomes.found, "why": outcomes.why}, file)


if __name__ == "__main__":
    main()
