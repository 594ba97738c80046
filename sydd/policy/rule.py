"""One rule: `ACTION ACCESS[,ACCESS…] PATTERN`.

The pattern is the rest of the line, so it may hold spaces; in double quotes it may also begin or end with
one. A backslash takes a wildcard's meaning away, also that of the quote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sydd.policy.access import FILE_ACCESSES, NAMES, Access, Action, names
from sydd.policy.errors import PolicyError, Source
from sydd.policy.globsyntax import check
from sydd.policy.variables import VARIABLE, check_references
from sydd.policy.words import did_you_mean

_WORD = re.compile(r"\S+")
_COMMENT = re.compile(r"\s#")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE_QUOTE = re.compile(r'(\\.)|"', re.DOTALL)
_ACTIONS = {action.value: action for action in Action}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one line of policy says.

    Attributes:
        action: what happens to what matches.
        access: the accesses it speaks of; file accesses or network accesses, never both.
        pattern: a path or network pattern, without quotes, variables not yet put in.
        source: where the rule begins.
        text: the rule as written.
        pattern_source: where the pattern begins.
    """

    action: Action
    access: Access
    pattern: str
    source: Source
    text: str = field(compare=False)
    pattern_source: Source = field(default=Source(""), compare=False)

    def __str__(self) -> str:
        return f"{self.action.value} {names(self.access)} {quote(self.pattern)}"


def quote(pattern: str) -> str:
    """*pattern* as a rule has to write it: in quotes only where it would be read otherwise without."""
    odd = pattern != pattern.strip() or pattern.startswith('"') or "\n" in pattern or _COMMENT.search(pattern)
    if not odd:
        return pattern
    return '"' + _BARE_QUOTE.sub(lambda found: found[1] or '\\"', pattern) + '"'


def parse_rule(text: str, source: Source) -> Rule:
    """Read one rule.

    Args:
        text: the rule; white space around it counts for nothing.
        source: where *text* begins; errors point at the word in it that is wrong.

    Raises:
        PolicyError: unknown action or access, wrong or missing pattern, mixed file and network accesses.
    """

    def at(offset: int) -> Source:
        return Source(source.file, source.line, source.column + offset if source.column else 0)

    words = list(_WORD.finditer(text))
    if not words:
        raise PolicyError("empty rule", source, "write 'ACTION ACCESS PATTERN', as in 'allow write /srv/**'")
    first = words[0]
    action = _ACTIONS.get(first[0])
    if action is None:
        hint = did_you_mean(first[0], _ACTIONS, f"actions are {', '.join(_ACTIONS)}")
        raise PolicyError(f"unknown action '{first[0]}'", at(first.start()), hint)
    if len(words) == 1:
        hint = f"write '{first[0]} ACCESS PATTERN', as in '{first[0]} write /srv/**'"
        raise PolicyError(f"no access after '{first[0]}'", at(first.end()), hint)
    second = words[1]
    access = _accesses(second[0], at(second.start()))
    is_net = bool(access & Access.NET)
    if len(words) == 2:
        example = "any" if is_net else "/srv/**"
        hint = f"write '{first[0]} {second[0]} {example}'"
        raise PolicyError(f"no pattern after '{second[0]}'", at(second.end()), hint)
    start = words[2].start()
    pattern, start = _pattern(text, start, at)
    place = at(start)
    if is_net:
        _check_net(pattern, place)
    else:
        _check_path(pattern, place)
    return Rule(action, access, pattern, at(first.start()), text.strip(), place)


def _accesses(text: str, source: Source) -> Access:
    """The accesses of a comma-separated list that begins at *source*."""
    access = Access(0)
    offset = 0
    for word in text.split(","):
        place = Source(source.file, source.line, source.column + offset if source.column else 0)
        if not word:
            raise PolicyError(
                f"empty access in '{text}'", place, "accesses are separated by ',' without spaces"
            )
        bit = NAMES.get(word)
        if bit is None:
            if word.startswith(("/", "${")):
                hint = "an access comes before the pattern, as in 'allow write /srv/**'"
            else:
                hint = did_you_mean(word, NAMES, f"accesses are {', '.join(NAMES)}")
            raise PolicyError(f"unknown access '{word}'", place, hint)
        access |= bit
        if access & Access.NET and access & FILE_ACCESSES:
            message = f"'{word}' mixes network and file accesses in '{text}'"
            raise PolicyError(message, place, "write two rules")
        offset += len(word) + 1
    return access


def _pattern(text: str, start: int, at: Callable[[int], Source]) -> tuple[str, int]:
    """The pattern that begins at *start*, without quotes, and where its first character stands."""
    if text[start] == '"':
        found = _QUOTED.match(text, start)
        if found is None:
            raise PolicyError("'\"' is never closed", at(start), "write '\\\"' for the character itself")
        rest = _WORD.search(text, found.end())
        if rest is not None:
            raise PolicyError(f"'{rest[0]}' after the quoted pattern", at(rest.start()), "a rule ends there")
        if not found[1]:
            raise PolicyError("the pattern is empty", at(start))
        return found[1], start + 1
    pattern = text[start:].rstrip()
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2 and len(text) > start + len(pattern):
        pattern = text[start : start + len(pattern) + 1]  # the last space is escaped
    line = pattern.find("\n")
    if line >= 0:
        raise PolicyError("a rule ends with its line", at(start + line), "write one string for each rule")
    comment = _COMMENT.search(pattern)
    if comment is not None:
        hint = "a comment stands outside the rule; quote a pattern that has ' #' in it"
        raise PolicyError("'#' within a rule", at(start + comment.end() - 1), hint)
    return pattern, start


def _check_path(pattern: str, source: Source) -> None:
    """Report a pattern that is no path pattern."""
    if not pattern.startswith(("/", "${")):
        if pattern.startswith("~"):
            hint = "write '${home}' for the home directory"
        elif pattern.startswith("$"):
            hint = "variables are written '${name}'"
        elif pattern in ("any", "loopback", "local") or "!" in pattern:
            hint = "a network pattern goes with connect, bind, send or net"
        else:
            hint = "write '${cwd}/…' for what lies in the work directory"
        raise PolicyError(f"'{pattern}' is not an absolute path", source, hint)
    check_references(pattern, source)
    # A variable may hold anything, so it is a name here; its length stays, and with it every column after it.
    check(VARIABLE.sub(_as_name, pattern), source)


def _as_name(found: re.Match[str]) -> str:
    """A plain name, as long as the variable; a path where the pattern begins with it. Escapes stay."""
    if found[1]:
        return found[1]
    return ("_" if found.start() else "/") + "_" * (len(found[0]) - 1)


def _check_net(pattern: str, source: Source) -> None:
    """Report a pattern that is no network pattern."""
    if pattern == "any":
        return
    from sydd.policy.network import check_net_pattern  # here: most profiles have no other network rule

    check_net_pattern(pattern, source)
