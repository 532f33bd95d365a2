"""What the tests of the plugin have as well: the small repository, and runs of pytest in it."""

from __future__ import annotations

from plugin.conftest import _of_no_worker, repository, warm

__all__ = ["_of_no_worker", "repository", "warm"]
