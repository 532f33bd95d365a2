"""Nothing is green on the evidence of what it was: kinds of change, drawn, each within a session and through a cache.

`changes.py` has the kinds, and a run of a thousand; here each is tried once, some dozens are drawn, and some go through
a baseline.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit import changes
from tests.helpers.law import tried_on

ROOT = Path(__file__).parents[2]


def cases() -> Iterator[object]:
    """Each kind of change in each place and way, slow except generators in a session and some attributes of a cache."""
    for i, kind in enumerate(changes.KINDS):
        quick = {("generator", "session"), *([("attribute", "cache")] if i % 4 == 0 else [])}
        for where, way in itertools.product(("generator", "attribute"), ("session", "cache")):
            marks = [] if (where, way) in quick else [pytest.mark.slow]
            yield pytest.param(kind, where, way, marks=marks, id=f"{kind}-{where}-{way}")


@pytest.mark.parametrize(("kind", "where", "way"), list(cases()))
def test_a_change_is_looked_at_anew(kind: str, where: str, way: str, tmp_path: Path) -> None:
    """Made anew, and where it can be changed in place also so: never green, and no error where a look was possible."""
    for how in ("anew", "in place") if changes.KINDS[kind].change else ("anew",):
        said, result = changes.judged(changes.Case(kind, where, how, way, seed=1, between=False), tmp_path / how)
        assert said == "", result


@pytest.mark.slow
@tried_on(50)
@given(st.integers(0, 2**32))
def test_drawn_changes_are_looked_at_anew(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    case = changes.drawn(random.Random(seed))
    said, result = changes.judged(case, tmp_path_factory.mktemp("cache"))
    assert said == "", (str(case), result)


@pytest.mark.parametrize("way", ["session", "cache"])
@pytest.mark.parametrize("name", changes.HARMLESS)
def test_an_equal_generator_is_not_made_again(name: str, way: str, tmp_path: Path) -> None:
    fine, result = changes.shares(name, way, tmp_path, seed=1)
    assert fine, result


def test_what_nobody_sees_change_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """A level in a file that is read at each call: reused evidence is made again, disagrees, and is discarded."""
    case = changes.Case("file", "generator", "in place", "cache", seed=1, between=False)
    _, result = changes.judged(case, tmp_path)
    assert "evidence from an earlier test or from the cache is not what the generator makes now" in result.message
    assert 'identity="..."' in result.message
    assert result.audit is None
    said, result = changes.judged(case, tmp_path)  # the file is at its low level again, and nothing is left
    assert said == ""


BLESSED = (
    "literal", "literal of a method", "default", "closure", "partial", "slot", "class attribute", "global text",
    "weight", "buffer that is not stored", "dictionary", "array through a view", "TorchScript constant",
    "packed weights", "hook", "file",
)  # fmt: skip
SUITE = """
import os
import pytest
import gentest
from tests.audit.changes import HIGH, KINDS, LOW, as_measure, picture

LEVEL = HIGH if "CHANGED" in os.environ else LOW

@gentest.property(probes=gentest.points())
def low(evidence, *, at_most):
    return at_most - evidence.scores(gentest.brightness())[:, 0]

@pytest.mark.parametrize("kind", {kinds!r})
@low(at_most=0.6)
def test_changed(kind):
    return gentest.Generator(KINDS[kind].make(LEVEL), latent=gentest.Normal(4), output_range=(0, 1))

@pytest.mark.parametrize("kind", {kinds!r})
@low(at_most=0.6)
def test_beside(kind):
    return gentest.Generator(KINDS[kind].make(LOW), latent=gentest.Normal(4), output_range=(0, 1))
"""


@pytest.mark.slow
def test_a_change_does_not_pass_a_gate(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of generators that differ by one value, the gate refuses the ones that changed, and holds those beside them."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CHANGED", raising=False)
    kinds = [kind for kind in BLESSED if kind != "file"]  # of which two tests would share the file
    pytester.makepyfile(test_model=SUITE.format(kinds=kinds))
    flags = ("--gentest", "--gentest-examples=24", "-p", "no:asyncio", "-p", "no:randomly", "-p", "no:cacheprovider")
    blessed = pytester.runpytest_subprocess(
        *flags, "--gentest-save-baseline=base.json", "--gentest-baseline-probes=256"
    )
    blessed.assert_outcomes(passed=2 * len(kinds))
    flags += ("--gentest-baseline=base.json", "--gentest-drift=off")
    same = pytester.runpytest_subprocess(*flags)
    same.assert_outcomes(passed=2 * len(kinds))
    monkeypatch.setenv("CHANGED", "1")
    changed = pytester.runpytest_subprocess(*flags)
    changed.assert_outcomes(passed=len(kinds), failed=len(kinds))
    failed = [line for line in changed.outlines if line.startswith("FAILED ")]
    assert len(failed) == sum("test_changed" in line for line in failed) == len(kinds)


ENCODER = """
import os
import pytest
import gentest
from tests.audit.changes import HIGH, KINDS, LOW, as_measure, picture

LEVEL = HIGH if "CHANGED" in os.environ else LOW

@gentest.property(probes=gentest.points())
def low(evidence, *, by):
    return 0.9 - evidence.scores(by)[:, 0]

@low(by=as_measure(KINDS["weight"].make)(LEVEL))
def test_it():
    return gentest.Generator(lambda z: picture(z, 0.5), latent=gentest.Normal(4), output_range=(0, 1))
"""


@pytest.mark.slow
def test_a_measure_that_changed_does_not_pass_a_gate(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attribute of the same name is no evidence against the blessed one's: the gate says that it changed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CHANGED", raising=False)
    pytester.makepyfile(test_model=ENCODER)
    flags = ("--gentest", "--gentest-examples=24", "-p", "no:asyncio", "-p", "no:randomly", "-p", "no:cacheprovider")
    pytester.runpytest_subprocess(*flags, "--gentest-save-baseline=base.json").assert_outcomes(passed=1)
    pytester.runpytest_subprocess(*flags, "--gentest-baseline=base.json").assert_outcomes(passed=1)
    monkeypatch.setenv("CHANGED", "1")
    changed = pytester.runpytest_subprocess(*flags, "--gentest-baseline=base.json")
    changed.assert_outcomes(failed=1)
    said = " ".join(" ".join(changed.outlines).split())
    assert "attribute is not what it was in the baseline: its code, its weights or its values have changed" in said
