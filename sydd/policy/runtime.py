"""The rules that were added to a running session: a list that only grows at its end.

They stand behind the profile's, in the order in which they were added, so the one that was added last
decides. Whoever keeps a session's list keeps lines, as they were given; what they mean is bound where the
session is supervised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sydd.policy.errors import Source
from sydd.policy.refused import NoSuchRule, TooManyRules
from sydd.policy.rule import Rule, parse_rule

MAXIMUM_RULES: Final = 1000
"""Rules that may be added to one session."""

LONGEST_RULE: Final = 4352
"""Characters of one line: a path of PATH_MAX, and the words before it."""

SOURCE: Final = "run time"
"""What errors and events call the place of such a rule; its number in the list stands for a line."""


def added(rules: Sequence[str], new: Iterable[str]) -> tuple[str, ...]:
    """*rules* with *new* behind them.

    Raises:
        TooManyRules: there would be more than a session may get, or one is too long.
    """
    result = (*rules, *(line.strip() for line in new))
    if len(result) > MAXIMUM_RULES:
        raise TooManyRules(f"a session takes {MAXIMUM_RULES} rules at run time")
    if any(len(line) > LONGEST_RULE for line in result):
        raise TooManyRules(f"a rule has {LONGEST_RULE} characters at most")
    return result


def removed(rules: Sequence[str], lines: Iterable[str]) -> tuple[str, ...]:
    """*rules* without *lines*: of equal ones the one that was added last goes first.

    Rules are equal that say the same: white space, the order of accesses and needless quotes do not count.

    Raises:
        NoSuchRule: one of *lines* is not there.
        PolicyError: one is no rule.
    """
    result = list(rules)
    meanings = [str(rule) for rule in parsed(rules)]
    for line in lines:
        meaning = str(parse_rule(line, Source(SOURCE)))
        places = [place for place, known in enumerate(meanings) if known == meaning]
        if not places:
            raise NoSuchRule(f"'{meaning}' is not among the rules that were added to the session")
        del result[places[-1]], meanings[places[-1]]
    return tuple(result)


def parsed(lines: Iterable[str]) -> tuple[Rule, ...]:
    """The rules that *lines* are.

    Raises:
        PolicyError: one is no rule; the place in it is its number in the list and the column.
    """
    return tuple(parse_rule(line, Source(SOURCE, number, 1)) for number, line in enumerate(lines, 1))
