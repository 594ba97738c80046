"""Profiles that are nearly right, for fuzz runs."""

from __future__ import annotations

from hypothesis import strategies as st

RULES = st.lists(
    st.sampled_from(
        (
            *("allow", "deny", "hide", "warn", "ask", "kill", "filter", " ", " ", "  ", ",", "#", "\t"),
            *("read", "write", "net", "connect", "bind", "exec", "ioctl", "stat,list", "create", "any"),
            *("/", "/a", "/**", "*", "**", "?", "[", "]", "[!a]", "{", "}", ",b", "..", "/.", "\\", "'", '"'),
            *("${cwd}", "${home}", "${env:X}", "${env:", "${", "${x}", "${user}", "$", "unix:", "unix:@a"),
            *("127.0.0.1", "::1", "[::1]", "/8", "!1-65535", "!0", "!99999", "loopback", "10.0.0.0/33", "@"),
            *("\0", "\x7f", "ä", "\udcff", "\u2028", "a" * 5000, "{a,b}" * 12, "*" * 60),
        )
    ),
    max_size=8,
).map("".join)
_words = st.one_of(
    st.text(max_size=8), st.sampled_from(("cwd", "home", "a", "${a}", "${b}", "A_*", "0o22", "-1"))
)
_values: st.SearchStrategy[object] = st.recursive(
    st.one_of(_words, RULES, st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.datetimes()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
_keys = st.sampled_from(
    ("name", "description", "extends", "mode", "rules", "variables", "environment", "limits", "umask", "x")
)
_inside = st.sampled_from(["set", "keep", "drop", "pass", "core", "nofile", "cpu", "x"])
DOCUMENTS = st.dictionaries(
    _keys,
    st.one_of(_values, st.lists(RULES, max_size=4), st.dictionaries(_inside, _values, max_size=3)),
    max_size=5,
)


def toml(value: object) -> str:
    """*value* in TOML; a key or a string may still be one that TOML does not take."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    return str(value)
