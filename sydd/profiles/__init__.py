"""Where profiles are found, and those that are shipped."""
