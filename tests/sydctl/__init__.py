"""sydctl, run as people run it: the real command in a process of its own."""
