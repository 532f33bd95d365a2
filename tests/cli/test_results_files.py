"""Files of results that commands read: within limits, and of too few probes undecided."""

from __future__ import annotations

import pytest

from gentest.cli import results_files
from tests.helpers.commands import HELD, Run, gated, misuse
from tests.helpers.handmade import look, outcomes, result


def test_a_file_that_is_too_large_is_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results beyond the limit are refused by their size alone."""
    monkeypatch.setattr(results_files, "MAX_BYTES", 100)
    misuse(gated(run, [HELD]), "results.json: not a JSON file: larger than")


@pytest.mark.parametrize("few", [1, 16, 31])
@pytest.mark.parametrize("arguments", [[], ["--markdown"]], ids=["text", "markdown"])
def test_results_of_too_few_probes_are_undecided(few: int, arguments: list[str], run: Run) -> None:
    """Results with fewer outcomes than the gate's first look compare none, and are shown all the same."""
    status, out, err = gated(run, [result(outcomes(few), seen=look())], *arguments)
    assert (status, err) == (3, "")
    assert "undecided" in out
