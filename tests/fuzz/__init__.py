"""Random input against a plain kernel as oracle."""
