"""The fixture `repository`: a model's repository, and runs of pytest in it."""

from __future__ import annotations

from tests.helpers.repository import _of_no_worker, repository, warm

__all__ = ["_of_no_worker", "repository", "warm"]
