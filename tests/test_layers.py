"""The rooms and their arrows: the import contracts of pyproject.toml hold, and each of them can fail."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import gentest

ROOT = Path(gentest.__file__).parents[1]
HEAVY = ("torch", "numpy", "scipy", "hypothesis", "open_clip", "rich")
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """import-linter on the package and the pyproject.toml of a folder."""
    named = [word for contract in contracts for word in ("--contract", contract)]
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", "pyproject.toml", "--no-cache", "--no-logo", *named],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def imports(path: Path, *, deferred: bool = True) -> Iterator[str]:
    """What a module imports at run time: not under TYPE_CHECKING, and inside functions only where `deferred`."""
    stack: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            stack += node.orelse
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not deferred:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        stack += ast.iter_child_nodes(node)


def modules(package: Path) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(package.rglob("*.py"))
    }


def test_every_contract_holds() -> None:
    """import-linter keeps all contracts on the package as it is."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its contracts."""
    folder = tmp_path_factory.mktemp("layers")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "gentest", folder / "gentest", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


VIOLATIONS = [
    ("layers", "gentest/engine/evidence/observed.py", "import gentest.plugin.decorators"),
    ("layers", "gentest/spaces/priors.py", "from gentest.probes import probe as probes"),
    ("layers", "gentest/attributes/pixels.py", "from gentest.generators.generator import Generator"),
    ("layers", "gentest/errors.py", "from gentest.results.result import SCHEMA"),
    ("layers", "gentest/properties/paths.py", "def f():\n    from gentest.engine.methods import reduce"),
    ("layers", "gentest/nowhere.py", "'''A module that no layer names.'''"),
    ("report", "gentest/report/terminal.py", "from gentest.engine import check"),
    ("report", "gentest/report/junit.py", "from gentest.spaces import Normal"),
    ("report", "gentest/report/progress.py", "def f():\n    import torch"),
    ("report", "gentest/results/result.py", "import numpy"),
    ("layers", "gentest/report/markdown.py", "from gentest.gate import decision as gate"),
    ("integrations", "gentest/integrations/sinks.py", "from gentest.gate.baseline import Baseline"),
    ("integrations", "gentest/integrations/wandb.py", "def f():\n    import pytest"),
    ("layers", "gentest/integrations/sinks.py", "from gentest.engine import check"),
    ("optional", "gentest/integrations/sinks.py", "def f():\n    import mlflow"),
    ("engine", "gentest/engine/methods/baseline_sample.py", "from gentest.gate.baseline import Baseline"),
    ("layers", "gentest/stats/rates.py", "from gentest.results.result import Rate"),
    ("light", "gentest/results/settings.py", "import torch"),
    ("light", "gentest/_support/arguments.py", "def f():\n    import numpy"),
    ("engine-layers", "gentest/engine/evidence/observed.py", "def f():\n    from gentest.engine.judge import Judge"),
    ("engine-layers", "gentest/engine/judge.py", "def f():\n    from gentest.engine.methods import search"),
    ("engine-layers", "gentest/engine/methods/rate.py", "def f():\n    from gentest.engine import check"),
    ("methods", "gentest/engine/methods/search.py", "from gentest.engine.methods.reduce import reduce_groups"),
    ("methods", "gentest/engine/methods/reduce.py", "from gentest.engine.methods import search"),
    ("methods", "gentest/engine/methods/rate.py", "from gentest.engine.methods import search"),
    ("open-clip", "gentest/attributes/clip/model.py", "import open_clip"),
    ("open-clip", "gentest/engine/evidence/context.py", "def f():\n    from open_clip import tokenizer"),
    ("optional", "gentest/generators/generator.py", "import onnxruntime"),
    ("optional", "gentest/generators/diffusers.py", "def f():\n    import diffusers"),
    ("optional", "gentest/plugin/runner.py", "def f():\n    import xdist"),
    ("optional", "gentest/engine/judge.py", "import cmaes"),
    ("optional", "gentest/training/borrowed.py", "def f():\n    import lightning"),
    ("layers", "gentest/plugin/runner.py", "from gentest.training import borrowed"),
    ("optional", "gentest/engine/evidence/context.py", "def f():\n    import ray"),
    ("acyclic", "gentest/generators/onnx.py", "from gentest.generators.generator import Generator"),
    ("hypothesis", "gentest/engine/check.py", "from hypothesis import find"),
    ("hypothesis", "gentest/probes/probe.py", "import hypothesis"),
    ("torch-free", "gentest/probes/probe.py", "import torch"),
    ("torch-free", "gentest/probes/families.py", "import torch"),
    ("torch-free", "gentest/spaces/space.py", "def f():\n    from torch import Tensor"),
    ("torch-free", "gentest/gate/decision.py", "import torch"),
    ("torch-free", "gentest/cli/__init__.py", "def f():\n    import pytest"),
    ("acyclic", "gentest/probes/probe.py", "if TYPE_CHECKING:\n    from gentest.probes.families import Probes"),
    (
        "acyclic",
        "gentest/engine/evidence/maker.py",
        "if TYPE_CHECKING:\n    from gentest.engine.evidence.context import Context",
    ),
    ("acyclic", "gentest/errors.py", "def f():\n    from gentest.results import settings"),
]


@pytest.mark.parametrize(("contract", "path", "line"), VIOLATIONS)
def test_every_contract_can_fail(folder: Path, contract: str, path: str, line: str) -> None:
    """One import against a contract, put into a copy of the package, breaks that contract."""
    module = folder / path
    before = module.read_text(encoding="utf-8") if module.exists() else None
    try:
        module.write_text(f"{before or ''}\n\n{line}\n", encoding="utf-8")
        done = lint(folder, contract)
    finally:
        if before is None:
            module.unlink()
        else:
            module.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Contracts: 0 kept, 1 broken" in done.stdout


def test_the_copy_keeps_every_contract(folder: Path) -> None:
    """Without a violation the copy is as clean as the package, so it is the violation that breaks a contract."""
    done = lint(folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_has_a_violation() -> None:
    """No contract of pyproject.toml goes without a test that it can fail."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = re.findall(r'^\[\[tool\.importlinter\.contracts\]\]\nid = "([a-z-]+)"', text, flags=re.MULTILINE)
    assert sorted(contracts) == sorted({contract for contract, _, _ in VIOLATIONS})
    assert len(contracts) == text.count("[[tool.importlinter.contracts]]")


MIN_LINES, MAX_SHORT = 60, 8
REASON = "Its own module because "
INDEX = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
"""Statements of a package's `__init__` that only names what the package offers."""


def duplicates(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The places that share a name, of pairs (name, place)."""
    places: dict[str, list[str]] = {}
    for name, place in named:
        places.setdefault(name, []).append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def module_names(package: Path) -> Iterator[tuple[str, str]]:
    """The last part of each module's name, and the module; packages are named by their folder."""
    yield from (
        (module.rpartition(".")[2], module) for module, path in modules(package).items() if "__" not in path.stem
    )


def public_classes(package: Path) -> Iterator[tuple[str, str]]:
    """Each public class at the top of a module, and the module."""
    for module, path in modules(package).items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, module


def short_modules(package: Path) -> dict[str, bool]:
    """Modules under 60 lines, and whether their docstring gives a reason to stand alone."""
    short = {}
    for module, path in modules(package).items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        is_index = path.stem == "__init__" and all(isinstance(node, INDEX) for node in tree.body)
        if len(text.splitlines()) < MIN_LINES and not is_index:
            short[module] = REASON in " ".join((ast.get_docstring(tree) or "").split())
    return short


def test_no_two_modules_share_a_name() -> None:
    """A module is found by its name alone."""
    assert set(duplicates(module_names(ROOT / "gentest"))) == set()


def test_no_two_public_classes_share_a_name() -> None:
    """A class is found by its name alone."""
    assert set(duplicates(public_classes(ROOT / "gentest"))) == set()


def test_a_short_module_gives_a_reason() -> None:
    """At most eight modules have fewer than 60 lines, and each says in its docstring why it stands alone."""
    short = short_modules(ROOT / "gentest")
    assert {module for module, reason in short.items() if not reason} == set()
    assert sum(short.values()) <= MAX_SHORT


def test_duplicates_and_short_modules_are_seen(tmp_path: Path) -> None:
    """The three tests above can fail: they see a shared module name, a shared class name and a missing reason."""
    package = tmp_path / "package"
    for folder in ("one", "two"):
        (package / folder).mkdir(parents=True)
        (package / folder / "same.py").write_text("class Same:\n    pass\n")
    (package / "alone.py").write_text('"""A thing.\n\nIts own module because\nit has to be."""\nx = 1\n')
    assert duplicates(module_names(package)) == {"same": ["package.one.same", "package.two.same"]}
    assert duplicates(public_classes(package)) == {"Same": ["package.one.same", "package.two.same"]}
    assert short_modules(package) == {"package.alone": True, "package.one.same": False, "package.two.same": False}


def test_nothing_imports_hypothesis_internals() -> None:
    """`hypothesis.internal` is imported nowhere, not inside a function either."""
    found = {name: i for name, path in modules(ROOT / "gentest").items() for i in imports(path) if "hypothesis" in i}
    assert "gentest.probes.strategies" in found
    assert not [name for name, imported in found.items() if "internal" in imported]


def test_only_the_edges_import_the_package_itself() -> None:
    """`import gentest`, which reaches every room by its lazy names, is left to the edges that pytest loads."""
    found = {name for name, path in modules(ROOT / "gentest").items() if "gentest" in imports(path)}
    assert found <= {"gentest.plugin.runner", "gentest.plugin"}


def test_nothing_heavy_is_imported_by_the_plugin_as_it_loads() -> None:
    """Neither `gentest.plugin` nor what it imports when it loads imports torch, NumPy or another heavy package."""
    assert _loaded(ROOT) == []


@pytest.mark.parametrize("path", ["gentest/plugin/__init__.py", "gentest/__init__.py"])
@pytest.mark.parametrize("line", ["import numpy", "from gentest.probes.strategies import probes"])
def test_the_plugin_test_can_fail(folder: Path, path: str, line: str) -> None:
    """A heavy import put into a copy of the plugin, or of the package's `__init__`, is seen."""
    module = folder / path
    before = module.read_text(encoding="utf-8")
    try:
        module.write_text(f"{before}\n{line}\n", encoding="utf-8")
        assert "numpy" in _loaded(folder)
    finally:
        module.write_text(before, encoding="utf-8")


def _loaded(folder: Path) -> list[str]:
    """The heavy packages in a process that imported the plugin from a folder."""
    script = (
        f"import sys, gentest.plugin; assert gentest.plugin.__file__.startswith({str(folder)!r});"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()
