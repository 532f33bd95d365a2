"""A model's repository for tests of the plugin, and real runs of pytest in it.

Most runs stay in this process, where torch is already loaded. pytester restores `sys.modules` after each run, so this
module imports everything that a run imports on first use, once, beforehand.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import torch

import gentest
from gentest import settings
from gentest.report import terminal

torch.set_num_threads(1)
for module in pkgutil.walk_packages(gentest.__path__, "gentest."):
    importlib.import_module(module.name)


@pytest.fixture(autouse=True)
def _of_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs inside these tests are not workers of xdist, even if the tests themselves run in one."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)


CONFTEST = """
import pytest
import gentest

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
"""
HEAD = """
import functools, unittest, warnings
import pytest, torch
import gentest

HOLDS = gentest.between(gentest.brightness(), tolerance=1)
FAILS = gentest.responsive(at_least=10.0)

def a_generator():
    return gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
"""
EVERY_OUTCOME = """
@HOLDS
@FAILS
def test_a(generator):
    return generator

@gentest.between(gentest.brightness(), tolerance=0.3).at_rate(0.9)
@gentest.between(gentest.brightness(), tolerance=0.001).at_rate(0.9)
@gentest.between(gentest.brightness(), tolerance=0.001).at_rate(0.1)
def test_b(generator):
    return generator

@gentest.matches(torch.rand(400, 3, 1, 1, generator=torch.Generator().manual_seed(0)), feature=gentest.pixels(), n=256)
@HOLDS
def test_c(generator):
    return generator

@FAILS
def test_d(generator):
    raise RuntimeError("broken | `before`")
"""
"""Tests that pass and fail in every way: by a search, by a rate, by a distribution, and before a check."""

TWO_GENERATORS = """
import os
import pytest, torch
import gentest

def a_model(f):
    return gentest.Generator(lambda z: f(z)[:, :, None, None], latent=gentest.Normal(3), output_range=(-1, 1))

@pytest.fixture(scope="session")
def generator():
    return a_model(torch.tanh)

@pytest.fixture(scope="session")
def other():
    return a_model(torch.sin)

def pytest_runtest_logstart(nodeid):
    if "PYTEST_XDIST_WORKER" in os.environ:
        with open(f"ran-{os.environ['PYTEST_XDIST_WORKER']}", "a") as file:
            file.write(f"{nodeid}\\n")
"""
"""A conftest.py with two generators. It notes which worker runs which test."""

EXAMPLES = ("--gentest-examples", "20")


class Repository:
    """The repository of a model whose outputs are tanh of three coordinates, and runs of pytest in it.

    `HOLDS` is a property that holds on it, and `FAILS` one that every probe violates.
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeconftest(CONFTEST)

    def write(self, source: str, name: str = "test_model") -> Path:
        """A test module of this source, with the imports that every test needs."""
        return self.pytester.makepyfile(**{name: HEAD + source})

    def run(self, *args: str) -> pytest.RunResult:
        """pytest with these arguments, in this process."""
        return self.pytester.runpytest_inprocess(*args)

    def check(self, *args: str) -> pytest.RunResult:
        """pytest --gentest with 20 examples, in this process."""
        return self.run("--gentest", *EXAMPLES, *args)

    def apart(self, *args: str) -> pytest.RunResult:
        """pytest --gentest with 20 examples, in a process of its own."""
        return self.pytester.runpytest_subprocess("--gentest", *EXAMPLES, *args)

    def results(self, *args: str) -> dict[str, dict[str, Any]]:
        """The results of `check`, by test and property, as its JSON has them."""
        self.check("--gentest-json", "results.json", *args)
        return {f"{r['test'].split('::', 1)[1]} {r['property']}": r for r in self.document()["results"]}

    def document(self, name: str = "results.json") -> dict[str, Any]:
        """A JSON file that a run wrote."""
        document: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        return document


@pytest.fixture(scope="session")
def warm() -> None:
    """Everything imported that a run imports on first use."""
    generator = gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
    gentest.responsive(at_least=10.0).check(generator, settings=settings(examples=2))
    for holds in (gentest.between(gentest.brightness(), tolerance=5), gentest.reproducible()):  # one has no gradient
        holds.check(generator, settings=settings(examples=2, attack=50))


@pytest.fixture
def repository(warm: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("COLUMNS", "1000")  # one line each: what wrapping does has tests of its own
    monkeypatch.setattr(terminal, "MAX_WIDTH", 1000)
    # one warns of a default that nobody asked for; the other, where it is installed, would run tests in any order
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:asyncio -p no:randomly")
    monkeypatch.setattr(settings, "_profiles", dict(settings._profiles))
    monkeypatch.setattr(settings, "_current", None)
    return Repository(pytester)
