"""The public names: each resolves, the lists of them agree, importing them is cheap, and their examples run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gentest

SOURCE = Path(gentest.__file__)
EXPORTS = re.findall(
    r"^from \.(\S+) import (\w+) as \2$", SOURCE.with_name("__init__.pyi").read_text(encoding="utf-8"), re.MULTILINE
)
"""The module and the name of each line of the stub."""
MODULES = ["gentest", *(m.name for m in pkgutil.walk_packages(gentest.__path__, "gentest."))]


@pytest.mark.parametrize(("module", "name"), EXPORTS)
def test_every_public_name_resolves(module: str, name: str) -> None:
    """Each name of the stub is there, and is the one of its module."""
    assert getattr(gentest, name) is getattr(importlib.import_module(f"gentest.{module}"), name)


def test_type_checkers_see_the_same_names() -> None:
    """The stub is the only list: it names everything in `__all__`, once, and exports it again."""
    assert sorted(gentest.__all__) == sorted(name for _, name in EXPORTS)


def test_dir_lists_every_public_name() -> None:
    """`dir(gentest)` shows all names, including those that are not imported yet."""
    assert set(gentest.__all__) <= set(dir(gentest))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """An unknown name is rejected as in any module, so that `hasattr` and star imports work."""
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = gentest.nonesuch  # type: ignore[attr-defined]
    assert not hasattr(gentest, "__path_of_nothing__")


STAR = """
import sys
import gentest
cheap = [name for name in ("torch", "numpy", "scipy", "hypothesis", "open_clip") if name in sys.modules]
names = {}
exec("from gentest import *", names)
print(cheap, sorted(set(gentest.__all__) - set(names)))
"""


def test_importing_gentest_is_cheap_and_a_star_import_is_whole() -> None:
    """`import gentest` imports nothing heavy, and `from gentest import *` gives every public name."""
    done = subprocess.run([sys.executable, "-c", STAR], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_the_version_is_the_distributions() -> None:
    """`gentest.__version__` is what pyproject.toml says."""
    text = (SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{gentest.__version__}"\n' in text


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    """Every example in a module's docstrings gives what it shows."""
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0


def test_there_are_examples() -> None:
    """The documented modules have examples that the test above runs."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    having = {name for name in MODULES if any(test.examples for test in finder.find(importlib.import_module(name)))}
    assert {
        "gentest.results.settings",
        "gentest.generators.generator",
        "gentest.probes.probe",
        "gentest.spaces.priors",
    } <= having
