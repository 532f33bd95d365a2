"""`python -m gentest` is the command `gentest`."""

from __future__ import annotations

import sys

from gentest.cli import main

if __name__ == "__main__":
    sys.exit(main())
