"""Figures of all outputs together: a share of them, the codes that they use, and statistics that somebody writes.

None of them has a rate or a counterexample, since each speaks of the distribution and not of any output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor

from gentest._support.arguments import as_number, is_whole
from gentest.attributes import Attribute, Feature
from gentest.attributes.attribute import Named, describe
from gentest.errors import InvalidArgument
from gentest.probes.families import points
from gentest.properties.definition import (
    Definition,
    Evidence,
    Measure,
    OfAll,
    Scope,
    check_callable,
    non_defaults,
)
from gentest.stats.shares import CodesTest, ShareTest

ALPHA = 0.01
"""The largest probability of a wrong verdict."""
LEAST_OUTPUTS = 64
"""The fewest outputs of a statistic: fewer leave the bootstrap little to resample."""
OUTPUTS = 256


@dataclass(frozen=True)
class ShareBetween(OfAll):
    """The statement of `share`: between `low` and `high` of all outputs, or of each label's, are as `asked` says."""

    asked: Definition
    """The question of a single output: its margin is >= 0 for a yes."""
    figure: str
    low: float
    high: float
    each: str

    @property
    def test(self) -> ShareTest:
        """The sequential test of a single share."""
        return self.test_among(1)

    def test_among(self, n: int) -> ShareTest:
        """The sequential test of each of `n` shares."""
        return ShareTest(self.low, self.high, ALPHA, n)

    def __str__(self) -> str:
        return f"{super().__str__()}{self.asked.scope or ''}"


def share(
    attribute: Attribute,
    *,
    between: tuple[float, float],
    at_least: float | None = None,
    at_most: float | None = None,
    each: str = "",
) -> ShareBetween:
    """A share of all outputs that lies within a range: 30 to 70 % of the persons are women.

    `attribute` answers with 1 or 0; of any other attribute, `at_least` and `at_most` say which scores count, in its own
    units. `between` is (low, high) in [0, 1]; an end of 0 or 1 asks for nothing. `each="label"` asks for the share
    among the outputs of every value of that discrete part. `.where(is_person, at_least=0.5)` asks for the share among
    some outputs only.

    A sequential test looks after every 16 outputs, at most `settings(budget=...)` of them: the property holds if the
    share is certified to lie in the range, and is violated if it is certified to lie outside. Each is wrong with a
    probability of at most 1 %, whenever the test stops. A share near an end stays undecided for long.

    >>> import gentest
    >>> gentest.share(gentest.brightness(), at_least=0.5, between=(0.3, 0.7))
    share(brightness(), between=[0.3, 0.7], at_least=0.5)
    """
    check_callable("attribute", attribute)
    pair = tuple(between) if isinstance(between, (tuple, list)) else ()
    if len(pair) != 2:
        raise InvalidArgument.expected("two shares (low, high)", "between", between)
    low, high = (as_number(end) for end in pair)
    _ = ShareTest(low, high, ALPHA)
    if not isinstance(each, str):
        raise InvalidArgument.expected("the name of a discrete part, such as 'label'", "each", each)
    yes_or_no = at_least is None and at_most is None
    scores_so = Scope(attribute, 0.5 if yes_or_no else at_least, at_most)

    def margin(evidence: Evidence) -> Tensor:
        if yes_or_no:
            scores = evidence.scores(attribute)[:, 0]
            if not ((scores == 0) | (scores == 1)).all():
                other = scores[(scores != 0) & (scores != 1)][0].item()
                raise InvalidArgument(
                    f"{describe(attribute)} gives {other:.4g}, which is neither yes (1) nor no (0): say which scores "
                    "count by at_least= or at_most="
                )
        return scores_so.of(asked, pair=False).margin(evidence)

    asked = Definition("share", points(), margin, measures=(scores_so.measure,))
    words = [f"{sign} {bound:g}" for sign, bound in ((">=", at_least), ("<=", at_most)) if bound is not None]
    arguments = dict(attribute=attribute, between=(low, high), at_least=at_least, at_most=at_most, each=each)
    return ShareBetween(
        "share",
        asked,
        f"share with {describe(attribute)}{' ' if words else ''}{' and '.join(words)}",
        low,
        high,
        each,
        arguments=non_defaults(share, **arguments),
        measures=(scores_so.measure,),
    )


@dataclass(frozen=True)
class CodesInUse(OfAll):
    """The statement of `uses_codes`: at least `at_least` of `k` codes occur in a share `rarely` of outputs or more."""

    encode: Feature
    k: int
    at_least: float
    rarely: float

    @property
    def test(self) -> CodesTest:
        """The test of the number of codes in use."""
        return CodesTest(self.k, max(1, ceil(self.at_least * self.k - 1e-9)), self.rarely, ALPHA)


@dataclass(frozen=True, repr=False)
class OutputCodes(Named):
    """The outputs themselves as codes, for a generator of tokens."""

    def __repr__(self) -> str:
        return "outputs"

    def __call__(self, outputs: Tensor) -> Tensor:
        return outputs.flatten(1)


def uses_codes(encoder: Feature | None = None, *, k: int, at_least: float, rarely: float = 0.01) -> CodesInUse:
    """Codes in use: the outputs show at least a share `at_least` of a codebook's `k` codes.

    `encoder` maps outputs to codes from 0 to k - 1, whole numbers [B, ...]. Without one, the outputs are codes
    themselves. A code is in use if at least a share `rarely` of outputs contain it, in (0, 1).

    The property holds as soon as that many codes were seen. It is violated if fewer can be in use, which is wrong with
    a probability of at most 1 %, whenever the test stops (`gentest/stats/shares.py`). It looks after every 16 outputs,
    and is decided after ln(100 k) / `rarely` of them at the latest: 1,150 for 1,024 codes.

    >>> import gentest
    >>> gentest.uses_codes(k=1024, at_least=0.9)
    uses_codes(k=1024, at_least=0.9)
    """
    if encoder is not None:
        check_callable("encoder", encoder)
    if not is_whole(k, 1):
        raise InvalidArgument.expected("a number of codes >= 1", "k", k)
    for name, value in (("at_least", at_least), ("rarely", rarely)):
        if not 0.0 < as_number(value) < 1.0 and not (name == "at_least" and value == 1):
            raise InvalidArgument.expected("a share above 0 and below 1", name, value)
    encode: Feature = OutputCodes() if encoder is None else encoder
    return CodesInUse(
        "uses_codes",
        encode,
        k,
        float(at_least),
        float(rarely),
        arguments=non_defaults(uses_codes, encoder=encoder, k=k, at_least=at_least, rarely=rarely),
        measures=(Measure(encode, scalar=False),),
    )


@dataclass(frozen=True)
class StatisticWithin(OfAll):
    """The statement of a statistic that somebody wrote: its value for `n` outputs lies in a range."""

    function: Callable[[Tensor], Any]
    """The value of rows [n, ...]."""
    of: Attribute | Feature | None
    n: int
    at_least: float | None
    at_most: float | None


def statistic_within(
    name: str,
    function: Callable[[Tensor], Any],
    of: Attribute | Feature | None,
    n: int,
    arguments: Mapping[str, object],
    *,
    at_least: float | None,
    at_most: float | None,
) -> StatisticWithin:
    """The property behind `gentest.statistic`; `arguments` are those of the function."""
    for what, value in (("at_least", at_least), ("at_most", at_most)):
        if value is not None and not torch.tensor(as_number(value)).isfinite():
            raise InvalidArgument.expected("a finite number", what, value)
    if at_least is None and at_most is None:
        raise InvalidArgument(f"{name}() takes at_least=, at_most= or both: the range of its value")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise InvalidArgument.expected(f"a number >= at_least={at_least}", "at_most", at_most)
    bounds = {key: value for key, value in (("at_least", at_least), ("at_most", at_most)) if value is not None}
    return StatisticWithin(
        name,
        function,
        of,
        n,
        at_least,
        at_most,
        arguments={**arguments, **bounds},
        measures=() if of is None else (Measure(of),),
    )


def _nothing(evidence: Evidence) -> Tensor:
    return torch.zeros(len(evidence.probes))


OUTPUTS_ALONE = Definition("outputs", points(), _nothing)
"""A property that asks nothing of single outputs: codes and statistics look at independent samples."""
