"""What a run could not read or write, said once at its end: by this process, or by xdist's workers through theirs.

None of it changes a verdict. A file that was asked for and is not there fails a run that would have passed.
"""

from __future__ import annotations

from typing import Any

import pytest

OUTPUT = "gentest_troubles"
"""Where a worker leaves its own for the controller."""


class Troubles:
    """Registered as a plugin in every process of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._noted: dict[str, bool] = {}

    def note(self, said: str, *, fails: bool = False) -> None:
        """Keeps a line to say at the end; `fails` where something that was asked for is missing."""
        self._noted[said] = self._noted.get(said, False) or fails

    @property
    def lines(self) -> list[str]:
        """Each once, in the order in which they came."""
        return list(self._noted)

    @property
    def fails(self) -> bool:
        """Whether the run is no success, whatever its tests came to."""
        return any(self._noted.values())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[OUTPUT] = dict(self._noted)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for said, fails in (getattr(node, "workeroutput", None) or {}).get(OUTPUT, {}).items():
            self.note(said, fails=fails)
