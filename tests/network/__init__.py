"""The network rules, tried with real servers."""
