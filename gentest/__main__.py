"""The command `gentest`, run as `python -m gentest`.

Its own module because Python looks for it by this name.
"""

from __future__ import annotations

import sys

from gentest.cli import main

if __name__ == "__main__":
    sys.exit(main())
