"""The command-line program: run commands under profiles, look at profiles, explain decisions."""
