"""A session from its policy to its end: prepared once, then run embedded (or, later, by the daemon)."""
