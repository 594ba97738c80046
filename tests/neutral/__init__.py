"""Suites that know nothing of sydd have the same outcome, test by test, natively and in a session."""
