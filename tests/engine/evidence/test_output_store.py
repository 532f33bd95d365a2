"""Outputs on disk: a new attribute of a known generator makes no image, and no verdict rests on what rounding lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence import output_store
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.output_store import HALF_STEP, OUTPUTS, OutputStore, Recall, packed
from gentest.errors import InvalidArgument
from gentest.probes.probe import independent
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo
from tests.helpers.counting import Counting, fold, without_costs
from tests.helpers.full_disk import full_beyond

PROBES = independent(3, 0, 6)
EXAMINED = 16 + 4 + 16 + 1 + 1
"""Images that the examination makes of a fast generator, and one more at the end of the check."""
MIB = 1 << 20


def random_outputs(n: int = 6, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((n, *(shape or (2, 3, 4, 4))), dtype=np.float32)


def kept(folder: Path, outputs: NDArray[np.float32], size: int = 64 * MIB, **how: bool) -> OutputStore:
    """A store with the outputs of the first probes, proved by an audit."""
    store = OutputStore(folder, size)
    store.hold("id:a", PROBES[: len(outputs)], outputs, **{"bounded": True, "exact": False, **how})
    store.commit()
    return store


def eight_bits(z: Tensor) -> Tensor:
    return (fold(z) * 255).round() / 255


def judged(
    folder: Path | None,
    function: Any,
    property: gentest.Property,
    *,
    size: str | None = "100M",
    reference: Any = None,
    identity: str = "",
    **values: Any,
) -> tuple[Result, Context]:
    """The result of a property, with a store of outputs in `folder`, or with none."""
    cache = None if folder is None else str(folder)
    settings = Values(
        **{"device": "cpu", "examples": 40, "budget": 400, **values},
        cache=cache,
        cache_outputs=None if folder is None else size,
    )
    sides = [
        gentest.Generator(f, latent=gentest.Normal(8), output_range=zoo.UNIT, identity=identity)
        for f in (function, reference)
        if f is not None
    ]
    generator = sides[0] if reference is None else sides[0].against(sides[1])
    context = Context(settings)
    result = check(Question(property.definition), generator, context, settings)
    context.close()
    return result, context


def images_besides(result: Result) -> int:
    """Images made besides those that were examined and audited."""
    assert result.verdict is not Verdict.ERROR, result.message
    assert result.audit is not None
    return result.images - result.audit.images - EXAMINED


NEW = [
    gentest.between(gentest.contrast(), tolerance=0.3),
    gentest.monotone(gentest.contrast(), tolerance=1.0),
    gentest.between(lambda images: images.amax((1, 2, 3)), tolerance=0.9),
]


@pytest.mark.parametrize("function", [fold, eight_bits])
@pytest.mark.parametrize("property", NEW, ids=lambda property: property.name)
def test_a_new_attribute_makes_no_image(function: Callable[[Tensor], Tensor], property: Any, tmp_path: Path) -> None:
    """Besides those that are examined and audited, which prove that the outputs are still those of the generator."""
    holds = gentest.between(gentest.brightness(), tolerance=1)
    cold, _ = judged(tmp_path, Counting(function), holds)
    assert images_besides(cold) >= 40 * 9
    counting = Counting(function)
    warm, context = judged(tmp_path, counting, property)
    assert images_besides(warm) == 0
    assert sum(counting.sizes) == warm.images
    assert warm.audit is not None
    assert warm.audit.reused >= 16
    without, _ = judged(None, Counting(function), property)
    assert without.verdict is warm.verdict
    assert without.search.counterexample == warm.search.counterexample
    assert any("16 bits" in note for note in context.notes) is (function is fold), "it is said where something is lost"


def test_a_rate_and_a_spread_of_a_new_attribute_make_none(tmp_path: Path) -> None:
    """The independent probes of a rate and the samples of `sd` are on disk as well."""
    for attribute, most in ((gentest.brightness(), 10_000), (lambda x: x[:, 0, 0, 0], 0)):
        property = gentest.between(attribute, tolerance=gentest.sd(3)).at_rate(0.5)
        result, _ = judged(tmp_path, Counting(fold), property)
        assert result.verdict is Verdict.HOLDS
        assert images_besides(result) <= most


def test_outputs_that_a_batch_lacks_are_made_and_proved(tmp_path: Path) -> None:
    """Of a run that looks at twice as many probes, gentest makes the second half."""
    holds = gentest.between(gentest.brightness(), tolerance=1)
    few, _ = judged(tmp_path, Counting(fold), holds, examples=20)
    more, _ = judged(tmp_path, Counting(fold), NEW[0], examples=40)
    assert images_besides(few) >= 20 * 9
    assert 20 * 9 <= images_besides(more) <= 20 * 9 + 4 * 9 + 10
    without, _ = judged(None, Counting(fold), NEW[0], examples=40)
    assert without.search.margin is not None
    assert more.search.margin == pytest.approx(without.search.margin, abs=1e-4)


def test_a_batch_fault_is_found_in_what_a_batch_lacks(tmp_path: Path) -> None:
    """The audit looks at rows of the new batches, too."""

    broken = torch.zeros(1)

    class Hidden:
        gentest_identity = "a service"

        def __call__(self, z: Tensor) -> Tensor:
            images = fold(z).clone()
            if broken and len(z) == 20 * 9:
                images[len(z) // 2] = 1 - images[len(z) // 2].round()
            return images

    service = Hidden()
    judged(tmp_path, service, gentest.between(gentest.brightness(), tolerance=1), examples=20, identity="service")
    broken += 1
    found, _ = judged(tmp_path, service, NEW[0], examples=40, identity="service")
    assert found.verdict is Verdict.ERROR
    assert f"row {20 * 9 // 2} of a batch of {20 * 9} is not what the generator makes" in found.message


@pytest.mark.parametrize("property", [gentest.well_formed(), gentest.reproducible()], ids=str)
def test_what_judges_the_calls_makes_its_own(property: Any, tmp_path: Path) -> None:
    """A property about the generator's calls learns nothing from outputs of an earlier run."""
    judged(tmp_path, Counting(fold), gentest.between(gentest.brightness(), tolerance=1))
    cold, _ = judged(tmp_path, Counting(fold), gentest.well_formed())
    result, _ = judged(None, Counting(fold), property)
    warm, _ = judged(tmp_path / "other", Counting(fold), property)
    assert cold.verdict is result.verdict is warm.verdict is Verdict.NO_COUNTEREXAMPLE
    assert warm.images == result.images


def test_a_pair_takes_nothing_that_was_rounded(tmp_path: Path) -> None:
    """Its differences may be smaller than an error of 16 bits; outputs of 8 bits are the same bits, and are reused."""

    def darker(z: Tensor) -> Tensor:
        return fold(z) * (1 - 2.0**-20)

    tight = gentest.agrees(within=1e-6)
    for function, reference, n_made in ((fold, darker, 1), (eight_bits, eight_bits, 0)):
        folder, sides = tmp_path / function.__name__, (Counting(function), Counting(reference))
        for side in sides:
            judged(folder, Counting(side.function), lit())
        pair, _ = judged(folder, sides[0], tight, reference=sides[1])
        without, _ = judged(None, Counting(function), tight, reference=Counting(reference))
        assert pair.verdict is without.verdict is Verdict.NO_COUNTEREXAMPLE, pair.message
        assert pair.search.margin == without.search.margin
        assert [side.sizes.count(40) for side in sides] == [n_made, n_made]


@gentest.property(probes=gentest.points())
def lit(evidence: gentest.Evidence, *, floor: float = -0.1) -> Tensor:
    return evidence.scores(gentest.brightness())[:, 0] - floor


LEVEL = 5.5 / (2**16 - 1)
"""A level that 16 bits round by half a step."""


@gentest.property(probes=gentest.points())
def above_zero(evidence: gentest.Evidence) -> Tensor:
    return evidence.scores(lambda images: images[:, 0, 0, 0])[:, 0]


def faint(z: Tensor) -> Tensor:
    images = fold(z).clone()
    images[:, 0, 0, 0] = LEVEL
    return images


def test_what_16_bits_cannot_decide_is_made_again(tmp_path: Path) -> None:
    """Margins as small as the error of the file are decided on exact outputs, in batches, and the run says so."""
    judged(tmp_path, Counting(faint), lit())
    counting = Counting(faint)
    result, context = judged(tmp_path, counting, above_zero())
    without, _ = judged(None, Counting(faint), above_zero())
    assert result.verdict is without.verdict is Verdict.NO_COUNTEREXAMPLE
    assert result.rounding == without.rounding
    assert result.rounding.decided_alone == 0
    assert result.search.margin == without.search.margin
    assert 40 in counting.sizes, "in a batch"
    assert any("above_zero()" in note and "too coarse" in note for note in context.notes)


@pytest.mark.parametrize("tolerance", [0.05, 0.2, 0.31])
def test_verdict_and_counterexample_are_those_without_a_cache(tolerance: float, tmp_path: Path) -> None:
    """Everything that is reported was evaluated alone, on exact outputs."""
    judged(tmp_path, Counting(fold), gentest.between(gentest.contrast(), tolerance=1))
    property = gentest.between(gentest.brightness(), tolerance=tolerance)
    warm, _ = judged(tmp_path, Counting(fold), property)
    without, _ = judged(None, Counting(fold), property)
    assert warm.verdict is without.verdict
    assert warm.search.counterexample == without.search.counterexample
    assert warm.search.worst == without.search.worst
    assert warm.search.violations == without.search.violations


def test_a_generator_that_changes_unseen_is_found(tmp_path: Path) -> None:
    """Its outputs on disk are not what it makes now: the audit says so, and all of them go."""

    offset = torch.zeros(1)

    class Hidden:
        gentest_identity = "a service"

        def __call__(self, z: Tensor) -> Tensor:
            return fold(z) * 0.5 + offset

    service = Hidden()
    property = gentest.between(gentest.brightness(), tolerance=1)
    assert judged(tmp_path, service, property, identity="service")[0].verdict is Verdict.NO_COUNTEREXAMPLE
    offset += 0.3
    changed, _ = judged(tmp_path, service, NEW[0], identity="service")
    assert changed.verdict is Verdict.ERROR
    assert "is not what the generator makes now" in changed.message
    again, _ = judged(tmp_path, service, NEW[0], identity="service")
    assert again.verdict is Verdict.NO_COUNTEREXAMPLE
    assert images_besides(again) >= 40 * 9, "the stale outputs are gone"


def test_another_generator_and_one_that_cannot_be_read_take_nothing(tmp_path: Path) -> None:
    judged(tmp_path, Counting(fold), gentest.between(gentest.brightness(), tolerance=1))
    other, _ = judged(tmp_path, Counting(lambda z: fold(z) * 0.9), NEW[0])
    assert images_besides(other) >= 40 * 9

    class Socket:
        def __init__(self) -> None:
            self.stream = (level for level in ())  # nobody can read an iterator without using it up

        def __call__(self, z: Tensor) -> Tensor:
            assert self.stream is not None
            return fold(z)

    for _ in range(2):
        unreadable, _ = judged(tmp_path, Socket(), NEW[0])
        assert images_besides(unreadable) >= 40 * 9


def test_values_of_several_sizes_are_kept_exactly(tmp_path: Path) -> None:
    """Without a range no error is small: a column of thousands would drown one of thousandths."""

    def columns(z: Tensor) -> Tensor:
        return torch.cat([z * 1000, z.exp() * 1e-3], 1)

    def judge(attribute: Any) -> tuple[Result, Context]:
        settings = Values(device="cpu", examples=30, cache=str(tmp_path), cache_outputs="50M")
        generator = gentest.Generator(columns, latent=gentest.Normal(8), images=False)
        context = Context(settings)
        property = gentest.between(attribute, tolerance=1e6)
        return check(Question(property.definition), generator, context, settings), context

    judge(lambda rows: rows[:, 0])
    result, context = judge(lambda rows: rows[:, 9] * 1e3)
    assert images_besides(result) == 0
    assert context.notes == []


def test_a_measure_that_magnifies_rounding_is_no_changed_generator(tmp_path: Path) -> None:
    """The audit allows what the file's error does to a measurement, and no more."""

    def nearly_grey(z: Tensor) -> Tensor:
        return 0.5 + 1e-6 * z[:, :1, None, None].tanh().expand(-1, 3, 4, 4)

    judged(tmp_path, Counting(nearly_grey), lit())
    magnified, _ = judged(tmp_path, Counting(nearly_grey), magnifies())
    assert magnified.verdict is Verdict.NO_COUNTEREXAMPLE, magnified.message


@gentest.property(probes=gentest.points())
def magnifies(evidence: gentest.Evidence) -> Tensor:
    return 1e4 + evidence.scores(lambda images: 1e6 * (images[:, 0, 0, 0] - 0.5))[:, 0]


def test_a_size_needs_a_folder() -> None:
    with pytest.raises(InvalidArgument, match="cache_outputs='2G' needs a folder"):
        Context(Values(device="cpu", cache_outputs="2G"))


@pytest.mark.parametrize("shape", [(1, 3), (2, 3, 4, 4), (9, 1, 2, 2)])
@pytest.mark.parametrize("bounded", [True, False])
def test_outputs_come_back(shape: tuple[int, ...], *, bounded: bool, tmp_path: Path) -> None:
    """Alone bit for bit; of a batch within half a step of 16 bits over their range."""
    outputs = random_outputs(6, *shape) * (1 if bounded else 40) - (0 if bounded else 7)
    for exact in (True, False):
        store = kept(tmp_path / str(exact), outputs, bounded=bounded, exact=exact)
        for own, row in zip(outputs, store.rows("id:a", PROBES, Recall.ROUNDED), strict=True):
            assert row is not None
            width = 1.0 if bounded else float(own.max() - own.min())
            np.testing.assert_allclose(row.outputs, own, atol=0 if exact else 1.01 * HALF_STEP * width, rtol=0)
            assert (row.error == 0) is exact
        exactly = store.rows("id:a", PROBES, Recall.EXACT)
        assert all((row is not None) is exact for row in exactly)
        assert store.rows("id:a", PROBES, Recall.NEVER) == [None] * 6
        assert store.rows("id:b", PROBES, Recall.ROUNDED) == [None] * 6
        store.close()


def test_halves_come_back_bit_for_bit(tmp_path: Path) -> None:
    """Of a generator in half precision, 16 bits lose nothing."""
    outputs = random_outputs().astype(np.float16).astype(np.float32)
    store = kept(tmp_path, outputs)
    for own, row in zip(outputs, store.rows("id:a", PROBES, Recall.EXACT), strict=True):
        assert row is not None
        assert (row.outputs == own).all()
    assert len(packed("id:a", "0", outputs[0], bounded=True, exact=False)) < outputs[0].nbytes / 2 + 100
    store.close()


def test_pixels_of_8_bits_come_back_bit_for_bit_in_a_fourth_of_the_space(tmp_path: Path) -> None:
    outputs = np.round(random_outputs(6, 1, 3, 16, 16) * 255).astype(np.float32) / np.float32(255)
    store = kept(tmp_path, outputs)
    for own, row in zip(outputs, store.rows("id:a", PROBES, Recall.EXACT), strict=True):
        assert row is not None
        assert (row.outputs == own).all()
    size = len(packed("id:a", "0", outputs[0], bounded=True, exact=False))
    assert size < outputs[0].nbytes / 4 + 100
    store.close()


def test_values_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    outputs = random_outputs()
    outputs[2, 0, 0, 0, 0] = np.nan
    outputs[4, 1, 0, 0, 0] = np.inf
    rows = kept(tmp_path, outputs).rows("id:a", PROBES, Recall.ROUNDED)
    assert [row is None for row in rows] == [False, False, True, False, True, False]


def n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_the_folder_stays_within_its_size_and_the_oldest_goes_first(tmp_path: Path) -> None:
    """What was read lately stays; the file shrinks if its bound does."""
    store, largest = OutputStore(tmp_path, 4 * MIB), 0
    outputs = random_outputs(1, 1, 3, 64, 64)  # 24 KiB each in 16 bits
    probes = independent(1, 0, 400)
    for at, probe in enumerate(probes):
        store.hold("id:a", [probe], outputs, bounded=True, exact=False)
        store.commit()
        if at % 20 == 0:
            assert store.rows("id:a", probes[:1], Recall.ROUNDED) != [None]
        largest = max(largest, n_bytes(tmp_path))
    there = [row is not None for row in store.rows("id:a", probes, Recall.ROUNDED)]
    assert 4 * MIB * 0.6 < largest <= 4 * MIB
    assert there[0], "it was read all the time"
    assert not any(there[1:200])
    assert all(there[-90:])
    store.close()
    smaller = OutputStore(tmp_path, MIB)
    smaller.hold("id:a", PROBES[:1], outputs, bounded=True, exact=False)
    smaller.commit()
    smaller.close()
    assert n_bytes(tmp_path) <= MIB
    assert smaller.trouble == ""


def test_an_output_too_large_for_the_size_is_said(tmp_path: Path) -> None:
    store = kept(tmp_path, random_outputs(1, 1, 3, 256, 256), MIB)
    assert store.rows("id:a", PROBES[:1], Recall.ROUNDED) == [None]
    assert store.trouble.startswith("cache: the outputs of one probe take 0.75 MiB, too much for")


def test_no_other_session_sees_what_no_audit_has_proved(tmp_path: Path) -> None:
    """A check that ends in an error, or that is killed, leaves nothing that anybody takes."""
    store, other = OutputStore(tmp_path, 64 * MIB), OutputStore(tmp_path, 64 * MIB)
    store.hold("id:a", PROBES, random_outputs(), bounded=True, exact=False)
    assert other.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6
    other.commit()
    assert other.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6, "and it cannot vouch for them"
    store.forget()
    store.commit()
    assert store.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6
    store.hold("id:a", PROBES, random_outputs(), bounded=True, exact=False)
    store.commit()
    assert None not in other.rows("id:a", PROBES, Recall.ROUNDED)
    other.discard("id")
    assert store.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6
    for one in (store, other):
        one.close()


def test_a_proved_row_is_not_replaced_by_one_that_waits(tmp_path: Path) -> None:
    """Of two sessions that make the same outputs, one that fails takes none of the other's away."""
    first = kept(tmp_path, random_outputs())
    second = OutputStore(tmp_path, 64 * MIB)
    second.hold("id:a", PROBES, random_outputs() * 0.5, bounded=True, exact=False)
    second.forget()
    rows = first.rows("id:a", PROBES, Recall.ROUNDED)
    assert all(row is not None and row.outputs.max() > 0.5 for row in rows)


def rows_of(folder: Path) -> list[tuple[str, bytes]]:
    with closing(sqlite3.connect(folder / OUTPUTS)) as database:
        return database.execute("SELECT probe, value FROM rows").fetchall()


def test_a_row_with_a_flipped_bit_is_made_again(tmp_path: Path) -> None:
    """It is deleted where it is seen, so that a whole one can take its place."""
    store = kept(tmp_path, random_outputs())
    with closing(sqlite3.connect(tmp_path / OUTPUTS)) as database, database:
        for name, value in database.execute("SELECT probe, value FROM rows").fetchall():
            broken = value[:40] + bytes([value[40] ^ 1]) + value[41:]
            database.execute("UPDATE rows SET value = ? WHERE probe = ?", (broken, name))
    assert store.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6
    store.hold("id:a", PROBES, random_outputs(), bounded=True, exact=False)
    store.commit()
    assert None not in store.rows("id:a", PROBES, Recall.ROUNDED)
    store.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x04",
        b"\x05\x01\x01\x00\x00\x00" + b"\0" * 27,
        b"\x03\x01\x01\x00\x00\x00" + b"\0" * 24 + b"\x00\x7c",  # infinity in half precision
        b"\x04\xff" + b"\0" * 40,
        b"\x04\x01\xff\xff\xff\xff" + b"\0" * 28,
        b"\x04\x01\x01\x00\x00\x00" + b"\0" * 24 + b"\x00\x00\x80\x7f",  # infinity
        b"\x02\x01\x01\x00\x00\x00" + b"\xff" * 24 + b"\x00\x00",  # a range that is not a number
        b"\x02\x01\x00\x00\x00\x00" + b"\0" * 24,  # no outputs at all
    ],
    ids=lambda body: repr(body[:6]),
)
def test_a_row_that_a_stranger_signed_is_none(body: bytes, tmp_path: Path) -> None:
    """Its checksum fits, and its shape, range or numbers do not."""
    store = kept(tmp_path, random_outputs())
    with closing(sqlite3.connect(tmp_path / OUTPUTS)) as database, database:
        for name, _ in rows_of(tmp_path):
            value = output_store._checksum("id:a", name, body) + body
            database.execute("UPDATE rows SET value = ? WHERE probe = ?", (value, name))
    assert store.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6
    store.close()


def test_rows_of_another_shape_make_the_whole_batch_anew(tmp_path: Path) -> None:
    """Outputs of a size that the generator does not make now never reach a property: the batch or the audit says so."""
    judged(tmp_path, Counting(fold), lit())
    with closing(sqlite3.connect(tmp_path / OUTPUTS)) as database, database:
        (of, name), *_ = database.execute("SELECT of, probe FROM rows").fetchall()
        value = packed(of, name, np.zeros((1, 7), np.float32), bounded=True, exact=False)
        database.execute("UPDATE rows SET value = ? WHERE of = ? AND probe = ?", (value, of, name))
    result, _ = judged(tmp_path, Counting(fold), lit(floor=-0.2))
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE


@pytest.mark.parametrize("how", ["garbage", "view", "link", "folder"])
def test_a_file_that_cannot_be_used_is_done_without(how: str, tmp_path: Path) -> None:
    """Nothing of it is run or overwritten, and a line names it."""
    path = tmp_path / OUTPUTS
    if how == "garbage":
        path.write_bytes(b"no database" * 1000)
    elif how == "link":
        path.symlink_to(tmp_path / "theirs.sqlite")
    elif how == "folder":
        path.mkdir()
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                "CREATE VIEW rows AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
                "SELECT 'id:a' AS of, x AS probe, '' AS owner, x AS value, x AS used, x AS size FROM c"
            )
    store = kept(tmp_path, random_outputs())
    assert store.rows("id:a", PROBES, Recall.ROUNDED) == [None] * 6
    assert str(path) in store.trouble
    assert not (tmp_path / "theirs.sqlite").exists()
    store.close()


def test_a_disk_that_fills_up_loses_nothing_of_before(tmp_path: Path) -> None:
    """What was kept by then is there, the run goes on, and a line says so once."""
    first = kept(tmp_path, random_outputs())
    with full_beyond(1 << 17):
        for n in range(30):
            first.hold(f"id:{n}", PROBES, random_outputs(6, 1, 3, 32, 32), bounded=True, exact=False)
            first.commit()
    assert "nothing more is kept" in first.trouble
    first.close()
    again = OutputStore(tmp_path, 64 * MIB)
    assert None not in again.rows("id:a", PROBES, Recall.ROUNDED)
    again.close()


def test_a_full_disk_changes_no_verdict(tmp_path: Path) -> None:
    property = gentest.between(gentest.brightness(), tolerance=0.05)
    expected, _ = judged(None, Counting(fold), property)
    with full_beyond(1 << 16):
        full, context = judged(tmp_path, Counting(fold), property)
    assert without_costs(full) == without_costs(replace(expected, provenance=full.provenance))
    assert [trouble for trouble in context.troubles if OUTPUTS in trouble]


def test_kept_outputs_of_a_baseline_are_exact(tmp_path: Path) -> None:
    """Outputs that came from disk in 16 bits are made again for a file that states its own error."""
    settings = Values(device="cpu", cache=str(tmp_path), cache_outputs="50M")
    generator = gentest.Generator(fold, latent=gentest.Normal(8), output_range=zoo.UNIT)
    taken: list[NDArray[np.float32]] = []

    class Keeper:
        n = 16

        def needs(self, test: str, subject: Any, seed: int) -> bool:
            return True

        def keep(self, subject: Any, seed: int, outputs: NDArray[np.float32], span: float) -> None:
            taken.append(outputs)

    rate = lit().at_rate(0.5)
    check(Question(rate.definition), generator, Context(settings), settings)
    question = Question(lit(floor=-0.3).at_rate(0.5).definition, keeper=Keeper(), blesses=True)
    result = check(question, generator, Context(settings), settings)
    assert result.verdict is Verdict.HOLDS
    latents = gentest.points().place(gentest.Normal(8), independent(0, 0, 16))[""][:, 0]
    torch.testing.assert_close(torch.from_numpy(taken[0]), fold(torch.from_numpy(latents)), rtol=0, atol=2e-7)
