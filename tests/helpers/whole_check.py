"""What every test of an adapter asks: a whole check of a real instance, with the same outcome at any batch size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import gentest
from gentest import settings

Checked = Callable[[gentest.Generator], gentest.Result]

torch.set_num_threads(1)


@pytest.fixture
def checked() -> Checked:
    """Checks `between(brightness())` and `reproducible()`, at batch sizes 1 and 64: the same verdict, said once."""

    def check(generator: gentest.Generator) -> gentest.Result:
        results = []
        for batch_size in (1, 64):
            conditions = settings(examples=8, batch_size=batch_size, device="cpu", reduce=8)
            result = gentest.between(gentest.brightness(), tolerance=0.001, points=5).check(
                generator, settings=conditions
            )
            same = gentest.reproducible().check(generator, settings=conditions)
            assert same.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, same.message
            results.append(result)
        alone, together = results
        assert alone.verdict is together.verdict
        assert alone.verdict is not gentest.Verdict.ERROR, alone.message
        found = [result.counterexample and result.counterexample.replay for result in results]
        assert found[0] == found[1]
        return together

    return check
