"""The command-line program: run commands under profiles, look at profiles, explain decisions."""

import gc

# Starting makes some ten thousand objects that stay; to look through them each time there are 700 more takes
# a twentieth of the start.
gc.set_threshold(20_000)
