"""A stream's probes: the same ones whenever and in whatever portions they are asked for, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gentest.engine.evidence.plans import CHUNK, CHUNKS, Stream
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
