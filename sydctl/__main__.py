"""`python -m sydctl`.

Python puts the working directory in front of its search path for `-m`. What lies there may be what is to be
confined: it is taken away before anything else is imported, unless this package itself comes from there.
"""

import sys

if not sys.flags.safe_path and not __file__.startswith(f"{sys.path[0]}/sydctl/"):
    del sys.path[0]

from sydctl.start import entry  # see above

entry()
