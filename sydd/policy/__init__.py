"""The rule language and profiles: no I/O, no clock, no environment."""
