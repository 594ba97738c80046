"""sydd: a sandbox for build hosts."""

__version__ = "0.1.0"
