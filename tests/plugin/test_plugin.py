"""What gentest imports in every run of pytest where it is merely installed: nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

HEAVY = ("torch", "hypothesis", "open_clip", "numpy", "scipy", "rich", "torchvision", "transformers")


def heavy_modules_of(statement: str, folder: Path) -> list[str]:
    """The heavy packages that a statement imports, in a fresh Python started in that folder."""
    script = (
        "import sys; sys.path.insert(0, '.'); before = set(sys.modules)\n"
        f"{statement}\n"
        f"print(*sorted({{n.split('.')[0] for n in set(sys.modules) - before}} & set({HEAVY!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "statement", ["import gentest", "import gentest.plugin", "from gentest.results.result import Result"]
)
def test_importing_it_imports_nothing_heavy(statement: str, tmp_path: Path) -> None:
    """The package, its pytest plugin and its records are free of torch and its kin."""
    assert heavy_modules_of(statement, tmp_path) == []


def test_a_heavy_import_would_be_seen(tmp_path: Path) -> None:
    """The check above can fail: it names a heavy module that is imported by another module."""
    (tmp_path / "idle.py").write_text("import json, numpy\n")
    assert heavy_modules_of("import idle", tmp_path) == ["numpy"]


def test_the_names_of_the_package_load_what_they_need(tmp_path: Path) -> None:
    """The check above is not vacuous for gentest itself: a property needs torch."""
    assert "torch" in heavy_modules_of("import gentest; gentest.between", tmp_path)


def test_a_run_that_is_not_about_gentest_stays_free_of_torch(repository: Repository) -> None:
    """A whole run of pytest with the plugin active imports nothing heavy."""
    (repository.path / "conftest.py").unlink()
    repository.pytester.makepyfile(
        f"import sys\ndef test_it(pytestconfig):\n    assert pytestconfig.pluginmanager.hasplugin('gentest')\n"
        f"    assert not {{name.split('.')[0] for name in sys.modules}} & set({HEAVY!r})"
    )
    result = repository.pytester.runpytest_subprocess("-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
