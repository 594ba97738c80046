"""`python -m sydd.daemon`."""

from __future__ import annotations

import sys

from sydd.daemon.start import main

sys.exit(main())
