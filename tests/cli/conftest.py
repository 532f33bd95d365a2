"""Commands in a folder: `gentest` beside a baseline, `gentest doctor`, and what `gentest init` asks a model."""

from __future__ import annotations

from tests.helpers.commands import run
from tests.helpers.doctor_runs import doctor
from tests.helpers.new_models import peeked

__all__ = ["doctor", "peeked", "run"]
