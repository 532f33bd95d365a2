"""Commands in a folder: `gentest` beside a baseline, `gentest doctor`, and what `gentest init` asks a model."""

from __future__ import annotations

from tests.helpers.commands import run
from tests.helpers.doctor_runs import doctor
from tests.helpers.new_models import folder, peeked, run_init

__all__ = ["doctor", "folder", "peeked", "run", "run_init"]
