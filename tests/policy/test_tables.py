"""The quick look at a profile's shape and the pydantic model say the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sydd.policy.model import ProfileModel
from sydd.policy.netsettings import NETWORK_CHOICES
from sydd.policy.restrict import CHOICES
from sydd.policy.tables import KEYS, read_tables

VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.sampled_from(["enforce", "audit", "session", "deny", "allow", "host", "private"]),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.booleans()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.one_of(st.text(max_size=3), st.integers()), max_size=3),
)
INNER = st.dictionaries(
    st.sampled_from(
        ["pass", "drop", "set", "keep", "pass_", "other", "follow_bind", *CHOICES, *NETWORK_CHOICES]
    ),
    VALUES,
    max_size=3,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from([*KEYS[""], "unknown", "environment", "descriptors", "restrict", "network"]),
    st.one_of(VALUES, INNER),
    max_size=4,
)


@given(DOCUMENTS)
def test_both_take_the_same_documents(data: dict[str, Any]) -> None:
    """What fits the tables validates, and what validates fits, with equal content."""
    tables = read_tables(data)
    try:
        model = ProfileModel.model_validate(data)
    except ValidationError:
        assert tables is None
        return
    assert tables is not None
    assert tables.rules == model.rules
    assert tables.environment.pass_ == model.environment.pass_
    assert tables.environment.set == model.environment.set
    assert tables.descriptors.keep == model.descriptors.keep
    assert {key: tables.restrict.says(key) for key in CHOICES} == model.restrict.model_dump()
    assert bool(tables.network.follow_bind) == model.network.follow_bind
    assert tables.network.private == (model.network.namespace == "private")
    assert (tables.umask or "") == model.umask


def test_both_know_the_same_keys() -> None:
    """No key is in one of them alone."""
    assert set(KEYS[""]) == set(ProfileModel.model_fields)
