"""A small universe of paths, and patterns and rules that are likely to say something about it."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from sydd.policy.access import Access, Action
from sydd.policy.errors import Source
from sydd.policy.rule import Rule, parse_rule

NAMES = ("a", "b", ".a", "aab")
UNIVERSE = ["/"] + [
    "/" + "/".join(names) for size in (1, 2, 3) for names in itertools.product(NAMES, repeat=size)
]

_PIECES = ("a", "b", ".", "*", "?", "[ab]", "[!a]", "[a-b]", "{a,b}", "{,a}b")
_PLAIN = tuple(piece for piece in _PIECES if "{" not in piece)
SPOKEN = (Access.READ, Access.STAT, Access.CREATE, Access.DELETE)


@st.composite
def patterns(draw: st.DrawFn, braces: bool = True) -> str:
    """An absolute pattern without `.` and `..`."""
    pieces = st.lists(st.sampled_from(_PIECES if braces else _PLAIN), min_size=1, max_size=4).map("".join)
    wild = pieces.filter(lambda text: "**" not in text and text.strip(".") != "")
    across = st.sampled_from(["**", "**", "{a,b/*}", "{**,a}"] if braces else ["**"])
    component = st.one_of(st.sampled_from(NAMES), wild, across)
    # a rule may stand for 256 patterns at most, which is eight braces of two
    return "/" + "/".join(
        draw(st.lists(component, max_size=4).filter(lambda found: "".join(found).count("{") <= 8))
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A file rule."""
    action = draw(st.sampled_from([Action.ALLOW, Action.DENY, Action.WARN]))
    words = draw(
        st.lists(st.sampled_from(["read", "stat", "create", "delete", "write"]), min_size=1, max_size=3)
    )
    return parse_rule(f"{action.value} {','.join(words)} {draw(patterns())}", Source("test"))
