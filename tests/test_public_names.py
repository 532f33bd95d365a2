"""The public names: each resolves, the lists of them agree, importing them is cheap, and their examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gentest

SOURCE = Path(gentest.__file__)
MODULES = ["gentest", *(m.name for m in pkgutil.walk_packages(gentest.__path__, "gentest."))]


def typed_imports() -> dict[str, str]:
    """The names that `gentest/__init__.py` imports for type checkers, with the module of each."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    names: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not exported again to type checkers"
            names[alias.name] = str(node.module)
    return names


@pytest.mark.parametrize("name", gentest.__all__)
def test_every_public_name_resolves(name: str) -> None:
    """Each name of `__all__` is there, and is the one of its module."""
    value = getattr(gentest, name)
    if name in gentest._ROOM_OF:
        assert value is getattr(importlib.import_module(f"gentest.{gentest._ROOM_OF[name]}"), name)


def test_type_checkers_see_the_same_names() -> None:
    """The names imported for type checkers are those imported on first use, from the same modules."""
    lazy = {name: f"gentest.{room}" for name, room in gentest._ROOM_OF.items()}
    assert typed_imports() == lazy | {"strategies": "gentest.probes"}


def test_each_name_has_one_room() -> None:
    """No name stands in two rooms, and `__all__` holds each once."""
    names = [name for room in gentest._ROOMS.values() for name in room]
    assert len(names) == len(set(names))
    assert sorted(gentest.__all__) == sorted([*names, "strategies", "__version__"])
    assert len(gentest.__all__) == len(set(gentest.__all__))


def test_dir_lists_every_public_name() -> None:
    """`dir(gentest)` shows all names, those not imported yet too."""
    assert set(gentest.__all__) <= set(dir(gentest))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is none is refused as in any module, so that `hasattr` and star imports work."""
    with pytest.raises(AttributeError, match="module 'gentest' has no attribute 'nonesuch'"):
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
