"""Tests of the rule language and of profiles."""
