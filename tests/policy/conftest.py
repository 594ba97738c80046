"""Hypothesis for these tests: a checkout that cannot be written to, and a slow machine, are no failures."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("policy", database=None, deadline=None)
settings.load_profile("policy")
