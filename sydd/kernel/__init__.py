"""Thin wrappers of kernel interfaces, one module each: no policy, standard library only."""
