"""`python -m sydctl`."""

import sys

from sydctl.main import main

sys.exit(main())
