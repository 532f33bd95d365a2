from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gentest.attributes import Bindable, Readout, Setup, bind, brightness, describe, embed, read, score
from gentest.errors import AttributeFailed

IMAGES = torch.rand(4, 3, 8, 8)


def redness(images: Tensor) -> Tensor:
    return images[:, 0].mean((1, 2))


@dataclass(frozen=True)
class Constant:
    """An attribute that returns a fixed value."""

    value: Any

    def __call__(self, images: Tensor) -> Any:
        return self.value


def test_any_callable_is_an_attribute_and_its_gradient_flows() -> None:
    images = IMAGES.clone().requires_grad_()
    scores = score(redness, images)
    assert scores.shape == (4,)
    scores.sum().backward()
    assert images.grad is not None
    assert images.grad[:, 0].min() > 0


@pytest.mark.parametrize("value", [np.arange(4), np.ones(4, np.float64), torch.arange(4), torch.ones(4).double()])
def test_numbers_of_any_kind_become_float32(value: Any) -> None:
    assert score(Constant(value), IMAGES).dtype == torch.float32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(4, 1), r"Constant gave shape \(4, 1\) for images \(4, 3, 8, 8\).*one score for each image: \(4,\)"),
        (torch.tensor(1.0), r"gave shape \(\)"),
        (np.ones(3), r"gave shape \(3,\)"),
        ([1.0] * 4, "gave a list"),
        (None, "gave a NoneType"),
        (np.array(["a"] * 4), "gave a ndarray"),
        (torch.ones(4, dtype=torch.bool), "bool"),
        (torch.ones(4, dtype=torch.cfloat), "complex"),
    ],
)
def test_anything_but_one_score_an_image_is_rejected(value: Any, message: str) -> None:
    with pytest.raises(AttributeFailed, match=message):
        score(Constant(value), IMAGES)


def test_scores_may_be_non_finite_until_the_engine_checks_them() -> None:
    assert score(Constant(torch.full((4,), torch.nan)), IMAGES).isnan().all()


def test_an_attribute_that_raises_is_named_with_the_shapes_and_its_cause() -> None:
    def broken(images: Tensor) -> Tensor:
        raise RuntimeError("no such layer")

    with pytest.raises(AttributeFailed, match=r"broken raised RuntimeError for images \(4, 3, 8, 8\).*no such") as info:
        score(broken, IMAGES)
    assert isinstance(info.value.__cause__, RuntimeError)


def test_a_feature_is_one_row_an_image_however_many_dimensions_it_has() -> None:
    assert embed(lambda images: images, IMAGES).shape == (4, 192)
    for wrong in (torch.ones(4), torch.ones(3, 2)):
        with pytest.raises(AttributeFailed, match=r"expected one row for each image: \(4, D\)"):
            embed(Constant(wrong), IMAGES)


def test_a_readout_is_checked_as_an_attribute_is() -> None:
    class First:
        feature = staticmethod(lambda images: images.flatten(1))

        def read(self, rows: Tensor) -> Tensor:
            return rows[:, 5000] if rows.shape[1] == 192 else rows

        def __call__(self, images: Tensor) -> Tensor:
            return self.read(self.feature(images))

    assert isinstance(First(), Readout)
    with pytest.raises(AttributeFailed, match=r"First raised IndexError for rows \(4, 192\)"):
        read(First(), IMAGES.flatten(1))
    with pytest.raises(AttributeFailed, match=r"gave shape \(4, 2\)"):
        read(First(), torch.ones(4, 2))


def test_bind_leaves_other_callables_alone() -> None:
    class Late:
        def bind(self, setup: Setup) -> Any:
            return Constant(setup.device.type)

        def __call__(self, images: Tensor) -> Tensor:
            raise NotImplementedError

    setup = Setup(torch.device("cpu"))
    assert bind(redness, setup) is redness
    assert isinstance(Late(), Bindable)
    assert bind(Late(), setup) == Constant("cpu")


def test_names_are_short() -> None:
    things = [redness, partial(redness), brightness(), nn.Identity(), Constant(torch.ones(9)), np.sum]
    assert [describe(thing) for thing in things] == [
        "redness",
        "redness",
        "brightness()",
        "Identity",
        "Constant",
        "sum",
    ]
