"""The slow, obvious meaning of globs and rules, written without regard to `sydd.policy`'s own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def braces(text: str) -> Iterator[str]:
    """Every pattern that `{a,b}` in *text* stands for (no escapes, no brackets around braces)."""
    end = text.find("}")
    if end < 0:
        yield text
        return
    start = text.rfind("{", 0, end)
    for choice in text[start + 1 : end].split(","):
        yield from braces(text[:start] + choice + text[end + 1 :])


def name_matches(pattern: str, name: str) -> bool:
    """Whether one component matches, by trying everything."""
    if not pattern:
        return not name
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        return any(name_matches(rest, name[at:]) for at in range(len(name) + 1))
    if head == "[":
        inside, _, rest = rest.partition("]")
        negated = inside[0] == "!"
        members = inside.lstrip("!")
        if len(members) == 3 and members[1] == "-":
            members = "".join(chr(code) for code in range(ord(members[0]), ord(members[2]) + 1))
        return bool(name) and (name[0] in members) != negated and name_matches(rest, name[1:])
    return bool(name) and head in ("?", name[0]) and name_matches(rest, name[1:])


def parts_match(patterns: list[str], names: list[str]) -> bool:
    """Whether a list of components matches, by trying everything."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(parts_match(patterns[1:], names[at:]) for at in range(len(names) + 1))
    return bool(names) and name_matches(patterns[0], names[0]) and parts_match(patterns[1:], names[1:])


def matching(pattern: str, paths: Iterable[str]) -> list[str]:
    """Those of the canonical *paths* that *pattern* matches."""
    choices = [[part for part in choice.split("/") if part] for choice in set(braces(pattern))]
    result = []
    for path in paths:
        names = [name for name in path.split("/") if name]
        if any(parts_match(choice, names) for choice in choices):
            result.append(path)
    return result
