"""The disk store: measurements of known outputs are read back, and never taken for another's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import torch

import gentest
from gentest.engine.evidence.store import FILE, Store
from gentest.probes.probe import independent
from gentest.results.result import Verdict
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
