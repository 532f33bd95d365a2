"""The places of the files of `--write`. The tests of several models fit into one repository.

pytest collects no two test files of one name (unless they lie in packages), and GitHub runs every workflow of the
repository. The first folder gets the plain names; the files of another folder are named after it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from gentest.cli.model_source import repository_of
from gentest.errors import InvalidArgument

WORKFLOWS = Path(".github", "workflows")
AGREEMENT = "agreement"
"""The folder of the tests that compare with a reference."""
WROTE = "gentest wrote this file"
"""Marks gentest's own files."""
SKIPPED = ("*.egg", ".*", "__pycache__", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}")
"""Folders in which pytest collects no tests, unless it is told to."""
RUNS = 'python -m pytest "${arguments[@]}"'
"""The line of a workflow that runs the tests, up to the folders."""


@dataclass(frozen=True)
class Workflow:
    """The workflow that runs the tests of a folder."""

    path: Path
    """Absolute."""
    title: str
    """The name that GitHub shows."""
    baseline: str
    """The file of the blessed checkpoint, at the top of the repository."""
    is_there: bool = False
    """True if gentest wrote the file for this folder or for one around it; it then stays as it is."""
    runs: tuple[str, ...] = ()
    """The folders that it runs, relative to the repository; empty for the whole repository."""
    installs: frozenset[str] = frozenset()
    """The packages that it installs, if it is there."""

    def lacks(self, packages: str) -> list[str]:
        """The packages, as a shell reads them, that the workflow should install and does not."""
        if not self.is_there:
            return []
        there = [_extras_of(word) for word in self.installs]
        needed = {word: _extras_of(word) for word in shlex.split(packages)}
        return [
            word
            for word, (name, extras) in needed.items()
            if not any(name == other and extras <= others for other, others in there)
        ]


def _extras_of(requirement: str) -> tuple[str, frozenset[str]]:
    """A requirement without its extras, and those.

    >>> _extras_of("pytest-gentest[onnx]")
    ('pytest-gentest', frozenset({'onnx'}))
    """
    name, _, rest = requirement.partition("[")
    extras, _, version = rest.partition("]")
    return name + version, frozenset(filter(None, extras.replace(" ", "").split(",")))


@dataclass(frozen=True)
class Places:
    """The files of one model."""

    folder: Path
    """Absolute."""
    repository: Path
    """The root of the Git repository, or what stands for it."""
    suffix: str
    """The end of the names of test files: empty, or the folder's path."""
    workflow: Workflow

    @property
    def tests(self) -> Path:
        return self.folder / f"test_latent{self.suffix}.py"

    @property
    def agreement(self) -> Path:
        return self.folder / AGREEMENT / f"test_agreement{self.suffix}.py"

    @property
    def suggested(self) -> Path:
        """The file that `gentest suggest` may write."""
        return self.folder / f"test_suggested{self.suffix}.py"

    @property
    def existing(self) -> list[Path]:
        """Files that would be overwritten."""
        conftests = [self.folder / "conftest.py", self.folder / AGREEMENT / "conftest.py"]
        return [path for path in (conftests[0], self.tests, conftests[1], self.agreement) if path.exists()]


def places(folder: Path) -> Places:
    """The files that tests in a folder get."""
    whole = folder.resolve()
    repository = _root_of(whole)
    return Places(whole, repository, _suffix(whole, repository), _workflow(whole, repository))


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise `InvalidArgument` unless the files can be written to a folder."""
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument.expected("a folder, or a name for one", "--write", str(folder))
    whole = folder.resolve()
    if not str(whole.relative_to(_root_of(whole))).isprintable():
        raise InvalidArgument.expected("a folder whose name can be printed", "--write", str(folder))
    existing = [os.path.relpath(path) for path in places(folder).existing]
    if existing and not force:
        verb, them = ("exists", "it") if len(existing) == 1 else ("exist", "them")
        raise InvalidArgument(
            f"{', '.join(existing)}: {verb} already; --force overwrites {them}, or name another folder, such as "
            f"--write {_free_folder()}"
        )


def _root_of(folder: Path) -> Path:
    """The root of the Git repository; outside of one the working directory, or the folder if it is elsewhere."""
    root, here = repository_of(folder), Path.cwd().resolve()
    return here if root == folder and not (root / ".git").exists() and folder.is_relative_to(here) else root


def _free_folder() -> str:
    """A folder that the user may name: it is not there yet."""
    names = ["tests/latent", *(f"tests/latent_{n}" for n in range(2, 100))]
    return next((name for name in names if not Path(name).exists()), "FOLDER")


def _suffix(folder: Path, repository: Path) -> str:
    """The end of the names of test files with which no file elsewhere in the repository has such a name."""
    path = re.sub(r"\W+", "_", "_".join(folder.relative_to(repository).parts)).strip("_")
    longer = f"_{path}" if path else "_root"
    suffixes = ["", longer, *(f"{longer}_{n}" for n in range(2, 100))]
    for suffix in suffixes:
        if (folder / f"test_latent{suffix}.py").exists():  # written before
            return suffix
    taken = set(_test_files(repository, besides=folder))
    names = ("test_latent", "test_agreement", "test_suggested")
    return next(s for s in suffixes if taken.isdisjoint(f"{name}{s}.py" for name in names))


def _test_files(repository: Path, *, besides: Path) -> Iterator[str]:
    """The names of test files that pytest may collect outside of a folder and its reference's."""
    own = {str(besides), str(besides / AGREEMENT)}
    for place, folders, files in os.walk(repository):
        folders[:] = [name for name in folders if not any(fnmatch(name, skipped) for skipped in SKIPPED)]
        folders[:] = [name for name in folders if not os.path.isfile(os.path.join(place, name, "pyvenv.cfg"))]
        if place not in own:
            yield from (name for name in files if name.startswith("test_") and name.endswith(".py"))


def _workflow(folder: Path, repository: Path) -> Workflow:
    """The workflow of gentest's that runs the folder already, or a new one under a free name."""
    where = repository / WORKFLOWS
    place = folder.relative_to(repository)
    there = [flow for path in sorted(where.glob("gentest*.yml")) if (flow := _read(path)) is not None]
    around = [
        (len(Path(name).parts), flow)
        for flow in there
        for name in flow.runs or (".",)
        if place.is_relative_to(name.rstrip("/") or "/")
    ]
    if around:
        return max(around, key=lambda nearest: nearest[0])[1]
    runs = (place.as_posix(),) if place.parts else ()
    if not (where / "gentest.yml").exists():
        return Workflow(where / "gentest.yml", "gentest", "gentest_baseline.json", runs=runs)
    plain = re.sub(r"\W+", "-", "-".join(place.parts)).strip("-_") or "root"
    for name in (plain, *(f"{plain}-{n}" for n in range(2, 100))):
        if not (path := where / f"gentest-{name}.yml").exists():
            return Workflow(path, f"gentest {name}", f"gentest_baseline_{name}.json", runs=runs)
    raise InvalidArgument(f"{where}: too many workflows of gentest; delete those that are not needed")


def _read(path: Path) -> Workflow | None:
    """A workflow that gentest wrote; None for another file, and for one whose folders are not plain any more."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    lines = [line.strip() for line in text.splitlines()]
    run = [line.removeprefix(RUNS) for line in lines if line.startswith(RUNS)]
    title = [line.removeprefix("name:").strip() for line in lines if line.startswith("name:")]
    baseline = [line.removeprefix("BASELINE:").strip() for line in lines if line.startswith("BASELINE:")]
    if WROTE not in text or not (len(run) == len(baseline) == 1 and title):
        return None
    try:
        runs = tuple(shlex.split(run[0]))
        installs = [word for line in lines if "pip install" in line for word in shlex.split(line, comments=True)]
        blessed = str(json.loads(baseline[0]))
    except ValueError:
        return None
    if any(name.startswith("-") or not name for name in runs):
        return None
    return Workflow(path, title[0], blessed, is_there=True, runs=runs, installs=frozenset(installs))
