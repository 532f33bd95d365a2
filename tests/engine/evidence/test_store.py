"""The disk store: measurements of known outputs are read back, and never taken for another's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.store import FILE, Store
from gentest.probes.probe import independent
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo
from tests.helpers.counting import Counting, checked, fold, without_costs

PROPERTIES = [
    gentest.between(gentest.brightness(), tolerance=0.3),
    gentest.between(gentest.brightness(), tolerance=gentest.sd(1)).at_rate(0.5),
    gentest.continuous(tolerance=0.5),
    gentest.responsive(at_least=1e-6),
    gentest.well_formed(),
    gentest.reproducible(),
    gentest.monotone(gentest.contrast(), tolerance=1.0),
]


@pytest.mark.parametrize("property", PROPERTIES, ids=str)
def test_a_known_generator_is_not_evaluated_again(tmp_path: Path, property: gentest.Property) -> None:
    """The second run makes only examined samples and those of its audit, and comes to the same."""
    without = checked(None, Counting(fold), property)
    cold = checked(tmp_path, Counting(fold), property)
    warm = checked(tmp_path, Counting(fold), property)
    assert without.verdict is not Verdict.ERROR
    assert without_costs(without) == without_costs(cold) == without_costs(warm)
    assert warm.audit is not None
    assert warm.audit.reused >= 16  # besides, rows of the batch that is examined
    assert warm.images - warm.audit.images <= 16 + 22 + 16  # samples, examined twice; where outputs have no unit, those
    assert warm.audit.images <= 2 * 24 + (6 * 16 if property.name == "reproducible" else 0)


@pytest.mark.parametrize(
    "on",
    [None, gentest.brightness(), gentest.pixels(), gentest.ssim()],
    ids=lambda on: "values" if on is None else str(on),
)
def test_a_known_pair_is_not_evaluated_again(tmp_path: Path, on: Any) -> None:
    """The second run makes no image on either side but those of the examination and of the audit."""

    def level(z: Tensor) -> Tensor:
        return z[:, :1, None, None].sigmoid().expand(-1, 1, 16, 16)

    def darker(z: Tensor) -> Tensor:
        return 0.99 * level(z)

    def judged(candidate: Any, reference: Any) -> tuple[Result, Counting, Counting]:
        sides = Counting(candidate), Counting(reference)
        one, other = (gentest.Generator(f, latent=gentest.Normal(8), output_range=zoo.UNIT) for f in sides)
        values = Values(device="cpu", examples=100, cache=str(tmp_path))
        question = Question(gentest.agrees(on, within=0.1).definition)
        return check(question, one.against(other), Context(values), values), *sides

    cold, *_ = judged(darker, level)
    warm, *sides = judged(darker, level)
    assert cold.verdict is Verdict.NO_COUNTEREXAMPLE, cold.message
    assert without_costs(warm) == without_costs(cold)
    assert warm.audit is not None
    assert warm.audit.reused >= 16, "distances that come from disk are measured again"
    for side in sides:
        assert sum(n for n in side.sizes if n > 1) == 2 * 16, "samples, examined twice"
    another, *sides = judged(darker, lambda z: level(z) * 0.995)
    assert another.margin != warm.margin, "another reference has distances of its own"
    assert sum(n for n in sides[0].sizes if n > 1) == 2 * 16 + (100 if on in (None, gentest.ssim()) else 0)


def test_a_reference_that_changes_unseen_is_found(tmp_path: Path) -> None:
    """Its distances on disk are not what it makes now, and the audit says so."""
    offset = torch.zeros(1)

    class Hidden:
        gentest_identity = "a service"

        def __call__(self, z: Tensor) -> Tensor:
            return (z[:, :1, None, None].sigmoid() * 0.5 + offset).expand(-1, 1, 2, 2)

    def judged() -> Result:
        candidate = gentest.Generator(fold, latent=gentest.Normal(8), output_range=zoo.UNIT)
        reference = gentest.Generator(Hidden(), latent=gentest.Normal(8), output_range=zoo.UNIT, identity="a service")
        values = Values(device="cpu", examples=40, cache=str(tmp_path))
        return check(
            Question(gentest.agrees(within=1.0).definition), candidate.against(reference), Context(values), values
        )

    assert judged().verdict is Verdict.NO_COUNTEREXAMPLE
    offset += 0.3
    changed = judged()
    assert changed.verdict is Verdict.ERROR
    assert "is not what the generator makes now" in changed.message
    assert judged().verdict is Verdict.NO_COUNTEREXAMPLE, "the stale rows are gone"


def test_other_code_of_the_same_weights_is_another_generator(tmp_path: Path) -> None:
    """Nothing of the one is taken for the other's."""
    first = checked(tmp_path, Counting(fold), PROPERTIES[0])
    other = Counting(lambda z: zoo.images(z[:, 0].sigmoid()))
    assert without_costs(checked(tmp_path, other, PROPERTIES[0])) == without_costs(checked(None, other, PROPERTIES[0]))
    assert sum(other.sizes) > 40 * 9
    assert first.counterexample != checked(tmp_path, other, PROPERTIES[0]).counterexample


def test_a_function_of_the_users_is_measured_anew(tmp_path: Path) -> None:
    """Nothing says whether it is still the same."""
    attribute = Counting()
    for _ in range(2):
        checked(tmp_path, Counting(fold), gentest.between(attribute, tolerance=0.3))
    assert sum(attribute.sizes) >= 2 * 40 * 9


@pytest.mark.parametrize("how", ["values", "checksums", "file", "no folder", "no file"])
def test_a_broken_cache_changes_nothing(tmp_path: Path, how: str) -> None:
    """What is not whole is measured anew; a folder that is none is done without."""
    folder = tmp_path / "cache"
    good = checked(folder, Counting(fold), PROPERTIES[0])
    path = folder / FILE
    if how in ("values", "checksums"):
        with sqlite3.connect(path) as database:
            rows = database.execute("SELECT of, probe, value FROM rows").fetchall()
            assert rows
            broken = [
                (value[:-1] + bytes([value[-1] ^ 1]) if how == "values" else b"\0" * 3, of, probe)
                for of, probe, value in rows
            ]
            database.executemany("UPDATE rows SET value = ? WHERE of = ? AND probe = ?", broken)
        database.close()
    elif how == "file":
        for file in folder.iterdir():
            file.unlink()
        path.write_bytes(b"no database" * 1000)
    elif how == "no folder":
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        folder.write_text("no folder")
    else:
        path.unlink()
        path.mkdir()
    again = checked(folder, Counting(fold), PROPERTIES[0])
    assert without_costs(again) == without_costs(good)
    assert again.images >= 40 * 9


def test_rows_of_one_are_never_anothers(tmp_path: Path) -> None:
    """An address is part of what is checked, so a row that was moved is not taken for what it is not."""
    store, probes = Store(tmp_path), independent(1, 0, 3)
    store.keep("a", probes, torch.rand(3, 2).numpy())
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE rows SET of = 'b'")
    database.close()
    assert store.rows("b", probes) is None
    store.close()
