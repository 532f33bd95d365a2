"""A stream's probes: the same ones whenever and in whatever portions they are asked for, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gentest.engine.evidence.plans import CHUNK, CHUNKS, Stream
from gentest.engine.methods.rated import MOST_FAILING, Failing
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe, independent


def odd(probes: Sequence[Probe]) -> list[Probe]:
    """The probes of an odd seed."""
    return [probe for probe in probes if probe.seed % 2]


def test_probes_are_those_of_the_seed_in_their_order() -> None:
    """In any portions, also once they were forgotten."""
    n = CHUNK * (CHUNKS + 4)
    want = odd(independent(5, 0, 2 * n + 8 * CHUNK))[:n]
    stream = Stream(5, odd)
    assert [probe for start in range(0, n, 100) for probe in stream.probes(start, min(100, n - start))] == want
    assert len(stream._last) == CHUNKS
    assert stream.probes(0, n) == want
    assert stream.probes(0, 3) == want[:3]
    assert stream.probes(CHUNK - 1, CHUNK + 2) == want[CHUNK - 1 :][: CHUNK + 2]
    assert stream.probes(7, 0) == []


def test_a_space_in_which_nothing_moves_has_no_probes() -> None:
    """It is an error, and does not draw for ever."""
    with pytest.raises(InvalidArgument, match="no independent probe moves"):
        Stream(5, lambda probes: []).probes(0, 1)


@pytest.mark.parametrize("block", [1, 100, 5000])
def test_of_many_that_fail_the_first_are_kept(block: int) -> None:
    """Whatever the blocks they come in, and those beyond the last that counts left out."""
    probes = independent(1, 0, 5000)
    margins = [(7 * i % 5000 - 4000) / 1000 for i in range(5000)]
    failing = Failing()
    for start in range(0, 5000, block):
        failing.note(start, probes[start : start + block], margins[start : start + block])
    places = [i for i in range(5000) if margins[i] < 0]
    assert failing.among(5000) == [probes[i] for i in places[:MOST_FAILING]]
    assert failing.among(100) == [probes[i] for i in places if i < 100]
