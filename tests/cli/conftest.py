"""Commands in a folder: `gentest` beside a baseline, `gentest doctor`, and checks of models in this process."""

from __future__ import annotations

from tests.helpers.commands import run
from tests.helpers.doctor_runs import doctor
from tests.helpers.new_models import folder, in_process

__all__ = ["doctor", "folder", "in_process", "run"]
