"""Disks that are full, folders that are none and databases that are broken: no verdict changes, and it is said."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gentest
from gentest import settings
from gentest.engine.evidence import database
from gentest.engine.evidence.store import FILE, Store, _checksum
from gentest.probes.probe import independent
from gentest.results.result import Cost, Provenance, Result
from tests.helpers import zoo
from tests.helpers.full_disk import full_beyond

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

SOURCE = """
@gentest.responsive(at_least=0.5)
@gentest.between(gentest.brightness(), tolerance=0.05)
def test_a(generator):
    return generator

@gentest.between(gentest.brightness(), tolerance=0.2).at_rate(0.5)
def test_b(generator):
    return generator
"""

DECIDED = ("test", "property", "verdict", "search", "rate")


FULL = """
import pytest, resource

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, before[1]))
    try:
        return (yield)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


def on_a_full_disk(repository: Repository) -> None:
    """Lets the disk be full from the moment at which the session ends."""
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text() + FULL)


@pytest.mark.parametrize("what", ["json", "report", "save-baseline", "all"])
def test_a_report_that_cannot_be_written_is_no_silent_pass(what: str, repository: Repository) -> None:
    """Each is said in a line, the run is no success, the tests pass, and what was there stays whole."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    names = {"json": "r.json", "report": "r.html", "save-baseline": "b.json"}
    asked = names if what == "all" else {what: names[what]}
    flags = [word for option, name in asked.items() for word in (f"--gentest-{option}", name)]
    if "save-baseline" in asked:
        flags += ["--gentest-baseline-probes", "256"]
    if what != "all":
        assert repository.check(*flags).ret == 0
    before = {name: (repository.path / name).read_bytes() for name in asked.values() if what != "all"}
    on_a_full_disk(repository)
    result = repository.check(*flags)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert len([line for line in result.outlines if line.startswith("could not write: ")]) in (1, len(asked))
    assert {name: (repository.path / name).read_bytes() for name in before} == before
    assert not list(repository.path.glob(".*.tmp"))


def test_one_report_that_cannot_be_written_takes_no_other_along(repository: Repository) -> None:
    """The JSON has a device in its place that is full; the page and the baseline are there."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    flags = ("--gentest-report", "r.html", "--gentest-save-baseline", "b.json", "--gentest-baseline-probes", "64")
    result = repository.check("--gentest-json", "/dev/full", *flags)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["could not write: *No space left on device*"])
    assert (repository.path / "r.html").read_text().rstrip().endswith("</html>")
    assert (repository.path / "b.json").exists()
    assert not Path("/dev/full").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-n", "1")], ids=["alone", "worker"])
def test_images_that_cannot_be_written_are_said(flags: tuple[str, ...], repository: Repository) -> None:
    """One line, from a worker too; a rate that holds has counterexamples, and is then no success."""
    repository.write(
        "@gentest.between(gentest.brightness(), tolerance=0.01).at_rate(0.1)\n"
        "def test_a(generator):\n    open('images', 'w').close()\n    return generator\n"
    )
    result = repository.check("--gentest-images", "images", *flags)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["could not write images: *"])


def test_a_cache_of_pytest_that_is_none_changes_no_outcome(repository: Repository) -> None:
    """Where failing probes cannot be kept a line says so, also where warnings are errors."""
    repository.write(SOURCE)
    expected = decided(repository, "-p", "no:cacheprovider")
    (repository.path / "cache").write_text("no folder")
    flags = ("-o", "cache_dir=cache/inside", "-p", "no:stepwise", "-W", "error", "-W", "ignore::pytest.PytestWarning")
    assert decided(repository, *flags) == expected
    result = repository.check(*flags)
    result.stdout.fnmatch_lines(["warning: the next run will not try what failed first: *"])


def decided(repository: Repository, *flags: str) -> list[dict[str, Any]]:
    """What a run decided, without times and counts of images."""
    repository.check("--gentest-json", "results.json", *flags)
    return [{name: result[name] for name in DECIDED} for result in repository.document()["results"]]


def garbage(cache: Path) -> None:
    (cache / FILE).write_bytes(b"no database at all" * 999)


def another_schema(cache: Path) -> None:
    (cache / FILE).unlink()
    with closing(sqlite3.connect(cache / FILE)) as database:
        database.execute("CREATE TABLE rows (of TEXT, value BLOB)")
        database.commit()


def a_folder(cache: Path) -> None:
    (cache / FILE).unlink()
    (cache / FILE).mkdir()


def cut_short(cache: Path) -> None:
    with (cache / FILE).open("r+b") as file:
        file.truncate(4096 + 100)


def no_room_for_its_log(cache: Path) -> None:
    (cache / f"{FILE}-wal").mkdir()


def held(cache: Path) -> sqlite3.Connection:
    other = sqlite3.connect(cache / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


FAULTS: list[Callable[[Path], sqlite3.Connection | None]] = [
    garbage, another_schema, a_folder, cut_short, no_room_for_its_log, held
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_cache_that_cannot_be_used_is_done_without(
    fault: Callable[[Path], sqlite3.Connection | None], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every figure is that of a run without one, the run's exit status too, and one line names the file and why."""
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    repository.write(SOURCE)
    flags = ("-p", "no:cacheprovider")
    expected = decided(repository, *flags)
    assert decided(repository, *flags, "--gentest-cache", "cache", "--gentest-seed", "5") != expected
    other = fault(repository.path / "cache")
    started = time.monotonic()
    result = repository.check("--gentest-json", "results.json", *flags, "--gentest-cache", "cache")
    seconds = time.monotonic() - started
    if other is not None:
        other.close()
    assert [{name: r[name] for name in DECIDED} for r in repository.document()["results"]] == expected
    assert result.ret == 1
    lines = [line for line in result.outlines if line.startswith("warning: cache: ")]
    assert len(lines) == 1
    assert str(repository.path / "cache" / FILE) in lines[0]
    assert seconds < 60


def test_a_disk_that_fills_up_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    """What was kept by then is still there, the rest is measured anew by the next, and it is said once."""
    probes, rows = independent(1, 0, 64), np.random.default_rng(0).random((64, 4), dtype=np.float32)
    first = Store(tmp_path)
    first.keep("before", probes, rows)
    with full_beyond(1 << 16):
        for n in range(60):
            first.keep(f"later {n}", probes, rows)
        assert "nothing more is kept" in first.trouble
        kept = first.rows("before", probes)
        assert kept is not None
        np.testing.assert_array_equal(kept, rows)
    first.close()
    again = Store(tmp_path)
    whole = [n for n in range(60) if again.rows(f"later {n}", probes) is not None]
    assert 0 < len(whole) < 60
    assert whole == list(range(len(whole)))
    assert again.trouble == ""


def test_a_database_with_bytes_flipped_gives_what_was_kept_or_nothing(tmp_path: Path) -> None:
    """However it is damaged: no row is another than was kept, and nothing raises."""
    probes, rows = independent(1, 0, 40), np.random.default_rng(0).random((40, 9), dtype=np.float32)
    good = Store(tmp_path / "good")
    for n in range(8):
        good.keep(f"of {n}", probes, rows + n)
    good.close()
    whole = (tmp_path / "good" / FILE).read_bytes()
    lost = 0
    for seed in range(400):
        rng = random.Random(seed)
        broken = bytearray(whole)
        for _ in range(rng.choice((1, 3, 30, 300))):
            broken[rng.randrange(len(broken))] ^= rng.randrange(1, 256)
        if rng.random() < 0.2:
            del broken[rng.randrange(len(broken)) :]
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / FILE).write_bytes(broken)
        bad = Store(tmp_path / "bad")
        for n in range(8):
            found = bad.rows(f"of {n}", probes)
            if found is None:
                lost += 1
                bad.keep(f"of {n}", probes, rows + n)
                found = bad.rows(f"of {n}", probes)
            assert found is None or (found == rows + n).all()
        bad.close()
    assert lost > 400


def test_a_row_of_a_true_checksum_that_is_none_is_nothing(tmp_path: Path) -> None:
    """A checksum is no signature: bytes that are no numbers of any shape count as missing."""
    probes = independent(1, 0, 1)
    kept = Store(tmp_path)
    kept.keep("a", probes, np.zeros((1, 2), dtype=np.float32))
    name = str(probes[0])
    for body in (b"", b"\xff", b"\x01\x05\x00\x00\x00abc", b"\x02\x01"):
        value = _checksum("a", name, body) + body
        with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
            database.execute("UPDATE rows SET value = ?", (value,))
        assert kept.rows("a", probes) is None
    kept.close()


def test_a_verdict_does_not_depend_on_a_damaged_cache(tmp_path: Path) -> None:
    """A check on databases damaged at random places comes to what it does without any."""

    def result(folder: Path | None) -> Result:
        generator = gentest.Generator(zoo.Counted(zoo.fold), latent=gentest.Uniform(8), output_range=zoo.UNIT)
        found = gentest.between(gentest.brightness(), tolerance=0.05).check(
            generator, settings=settings(examples=20, device="cpu", cache=None if folder is None else str(folder))
        )
        return replace(found, cost=Cost(), provenance=Provenance())

    expected = result(None)
    assert result(tmp_path / "good") == expected
    whole = (tmp_path / "good" / FILE).read_bytes()
    for seed in range(6):
        rng, broken = random.Random(seed), bytearray(whole)
        for _ in range(200):
            broken[rng.randrange(len(broken))] ^= rng.randrange(1, 256)
        (tmp_path / f"bad {seed}").mkdir()
        (tmp_path / f"bad {seed}" / FILE).write_bytes(broken)
        assert result(tmp_path / f"bad {seed}") == expected
