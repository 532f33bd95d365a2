"""The tests mirror the package: each module with logic has its own tests, in the folder of its room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gentest

SOURCE = Path(gentest.__file__).parent
TESTS = Path(__file__).parent
SHARED = {"audit", "bench", "browser", "helpers", "laws"}
"""Folders of tests that are no room's."""
MOST = 15
ELSEWHERE = {
    "engine/cluster/remote_evaluator.py": "engine/cluster/test_actors.py::test_a_counterexample",
    "engine/evidence/audit.py": "audit/test_batch_faults.py::test_a_fault_of_each_kind_is_named",
    "engine/evidence/measurements.py": "engine/evidence/test_store.py::test_a_known_generator_is_not_evaluated_again",
    "engine/evidence/measuring.py": "engine/evidence/test_observed.py::test_pairs_are_measured_in_full_batches_once",
    "engine/evidence/subject.py": "engine/evidence/test_context.py::test_changed_weights_are_looked_at_anew",
}
"""Modules that have no tests of their own, each with a test that covers it."""


def has_logic(module: Path) -> bool:
    """True if a module defines a function or a class."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)


def own_tests(module: Path, source: Path) -> str:
    """The path of a module's tests within the folder of tests; a package's own are named for the package."""
    within = module.relative_to(source)
    name = module.parent.name if module.name == "__init__.py" else module.stem
    return (within.parent / f"test_{name}.py").as_posix()


def without_tests(source: Path, tests: Path) -> set[str]:
    """The modules with logic that have no tests of their own, as paths within the package."""
    modules = [module for module in source.rglob("*.py") if has_logic(module)]
    return {m.relative_to(source).as_posix() for m in modules if not (tests / own_tests(m, source)).exists()}


def test_each_module_has_its_tests() -> None:
    """A new module comes with tests in the folder of its room, or is named here with the test that covers it."""
    assert without_tests(SOURCE, TESTS) == set(ELSEWHERE)
    assert len(ELSEWHERE) <= MOST


@pytest.mark.parametrize(("module", "test"), ELSEWHERE.items())
def test_what_is_tested_elsewhere_is_tested_there(module: str, test: str) -> None:
    """The test that is said to cover a module exists."""
    path, _, name = test.partition("::")
    tree = ast.walk(ast.parse((TESTS / path).read_text(encoding="utf-8")))
    assert name in {node.name for node in tree if isinstance(node, ast.FunctionDef)}, module


def test_each_folder_of_tests_is_a_rooms() -> None:
    """A folder of tests has the name of a package, or is one of the few that several rooms share."""
    folders = {path.relative_to(TESTS) for path in TESTS.rglob("*") if path.is_dir() and any(path.glob("test_*.py"))}
    assert {
        f.as_posix() for f in folders if f.parts and f.parts[0] not in SHARED and not (SOURCE / f).is_dir()
    } == set()


def test_a_module_without_tests_is_noticed(tmp_path: Path) -> None:
    """A new module and a package with logic are named until they have tests; one that only re-exports needs none."""
    source, tests = tmp_path / "package", tmp_path / "tests"
    for name, text in {
        "room/new.py": "def f(): ...\n",
        "room/__init__.py": "class C: ...\n",
        "__init__.py": "",
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    assert without_tests(source, tests) == {"room/new.py", "room/__init__.py"}
    (tests / "room").mkdir(parents=True)
    (tests / "room/test_new.py").touch()
    assert without_tests(source, tests) == {"room/__init__.py"}
    (tests / "room/test_room.py").touch()
    assert without_tests(source, tests) == set()
