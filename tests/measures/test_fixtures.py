"""Attributes from fixtures: the plugin asks for them by pytest's rules, and says in a line what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import gentest
from gentest.errors import InvalidArgument
from gentest.measures.fixtures import Fixture, fixtures_from, resolved
from gentest.results.result import Verdict

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

CONFTEST = """
import pytest
import gentest

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))

@pytest.fixture(scope="session")
def weight():
    return 2.0

@pytest.fixture(scope="session")
def arcface(weight):
    with open("loaded", "a") as file:
        file.write("x")
    yield lambda images: weight * images.mean((1, 2, 3))
    with open("loaded", "a") as file:
        file.write("y")
"""
TESTS = """
@gentest.between(gentest.fixture("arcface"), tolerance=2)
def test_a(generator):
    return generator

@gentest.between(gentest.fixture("arcface"), tolerance=gentest.sd(9)).at_rate(0.5)
@gentest.monotone(gentest.fixture("arcface"), tolerance=2)
def test_b(generator):
    return generator
"""


def test_a_property_takes_what_a_fixture_gives(repository: Repository) -> None:
    """The fixture uses another, is made once for its scope, and is torn down at its end; reports have its name."""
    repository.pytester.makeconftest(CONFTEST)
    repository.write(TESTS)
    results = repository.results("-p", "no:cacheprovider")
    assert {name.partition(" ")[2]: r["verdict"] for name, r in results.items()} == {
        "between(fixture('arcface'), tolerance=2)": "no_counterexample",
        "between(fixture('arcface'), tolerance=sd(9)).at_rate(0.5)": "holds",
        "monotone(fixture('arcface'), tolerance=2)": "no_counterexample",
    }
    assert (repository.path / "loaded").read_text() == "xy"


def test_each_test_has_its_own_value(repository: Repository) -> None:
    """A fixture that a module overrides, or that has parameters, is never taken for another's."""
    repository.pytester.makeconftest(CONFTEST)
    source = """
@pytest.fixture(params=[0.1, 50.0])
def arcface(request):
    return lambda images, by=request.param: by * images.mean((1, 2, 3))

@pytest.mark.parametrize("number", [0])
@gentest.between(gentest.fixture("arcface"), tolerance=0.05)
def test_a(generator, arcface, number):
    return generator
"""
    repository.write(source)
    results = repository.results()
    verdicts = {name.partition("[")[2].partition("]")[0]: result["verdict"] for name, result in results.items()}
    assert verdicts == {"0.1-0": "no_counterexample", "50.0-0": "violated"}


@pytest.mark.parametrize(
    ("fixture", "line"),
    [
        ("", "*no fixture 'arcface' for test_model.py::test_a: write one in its module or in a conftest.py above it*"),
        (
            "@pytest.fixture\ndef arcface(weights):\n    return weights\n",
            "*no fixture 'weights', which 'arcface' uses, for test_model.py::test_a*",
        ),
        (
            "@pytest.fixture\ndef arcface():\n    return 3\n",
            "*the fixture 'arcface' gave 3 (type=int); expected an attribute or a feature*",
        ),
        (
            "@pytest.fixture\ndef arcface():\n    return gentest.ssim()\n",
            "*the fixture 'arcface' gave ssim()* (type=*expected an attribute or a feature*",
        ),
        (
            "@pytest.fixture\ndef arcface():\n    raise OSError('no weights')\n",
            "*OSError: no weights*",
        ),
    ],
    ids=["missing", "missing below", "number", "distance", "raises"],
)
def test_a_fixture_that_gives_nothing_of_use_is_said(fixture: str, line: str, repository: Repository) -> None:
    repository.write(f"{fixture}\n@gentest.between(gentest.fixture('arcface'), tolerance=2)\n"
                     "def test_a(generator):\n    return generator\n")  # fmt: skip
    result = repository.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines([line])


def test_a_fixture_that_skips_skips_the_test(repository: Repository) -> None:
    repository.write(
        "@pytest.fixture\ndef arcface():\n    pytest.skip('no weights here')\n"
        "@gentest.between(gentest.fixture('arcface'), tolerance=2)\ndef test_a(generator):\n    return generator\n"
    )
    repository.check("-rs").assert_outcomes(skipped=1)


def test_a_fixture_may_give_a_model_that_is_loaded_late(repository: Repository) -> None:
    repository.write(
        "@pytest.fixture\ndef arcface():\n"
        "    return gentest.attribute(lambda: torch.nn.Flatten(), name='face')\n"
        "@gentest.continuous(gentest.fixture('arcface'), tolerance=9)\ndef test_a(generator):\n    return generator\n"
    )
    repository.check().assert_outcomes(passed=1)


def test_outside_of_pytest_there_is_no_fixture() -> None:
    """A check in a script says so, and what to write instead."""
    generator = gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
    property = gentest.between(gentest.fixture("arcface"), tolerance=2)
    result = property.check(generator, settings=gentest.settings(examples=3, device="cpu"))
    assert result.verdict is Verdict.ERROR
    assert result.message.startswith("fixture('arcface') has a value only while pytest checks a test")


def test_a_value_is_that_of_the_innermost_lookup() -> None:
    brightness = gentest.brightness()
    assert resolved(brightness) is brightness
    with fixtures_from({"a": brightness}.__getitem__):
        assert resolved(Fixture("a")) is brightness
        assert Fixture("a")(torch.ones(2, 3, 4, 4)).tolist() == [1.0, 1.0]
    with pytest.raises(InvalidArgument, match="only while pytest checks a test"):
        Fixture("a").value()


@pytest.mark.parametrize("name", ["", "two words", 3, None])
def test_a_name_is_the_name_of_a_fixture(name: object) -> None:
    with pytest.raises(InvalidArgument, match="the name of a fixture"):
        gentest.fixture(name)  # type: ignore[arg-type]
