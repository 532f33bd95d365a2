"""The command `gentest doctor`: what would stop a run of pytest in a folder, and how to fix it.

Versions are read from the packages' metadata. A child process lets pytest collect the tests (`doctor_run`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gentest._support.printable import printable
from gentest.cli import child
from gentest.cli.write_tests import EDIT
from gentest.errors import InvalidArgument

HELP = "find what would stop a run: versions, device, CLIP's weights, tests that cannot be collected"
DESCRIPTION = (
    "Checks what is installed and lets pytest collect the tests of a folder, without running any. "
    "Arguments after -- go to pytest: give those that you run it with."
)
SECONDS = 300
"""Time limit of collecting the tests."""
DISTRIBUTION = "pytest-gentest"
AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
UNWRAPPED = 1_000
"""Characters in a line, if the output is not a terminal."""
OK, NO_TESTS = 0, 5
"""The exit statuses of a pytest that collects without an error."""
EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Warning|Failed|Exit|Interrupt)\b")
UNWRITTEN = ("NotImplementedError", "...")
"""Code below a mark of `gentest init` that nobody has replaced yet."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    about: str
    message: str
    stops: bool = False
    """True if it stops a run."""
    fix: str = ""
    """What to do; empty if there is nothing to do."""

    @property
    def word(self) -> str:
        return "problem" if self.stops else "ok"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: .")
    parser.add_argument("--clip", metavar="MODEL[:PRETRAINED]", help="as --gentest-clip: look for its weights")
    parser.add_argument("--device", metavar="DEVICE", help="as --gentest-device")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print the findings, and return 1 if something stops a run, else 0."""
    if not options.folder.exists():
        raise InvalidArgument.expected("a folder, or a test file", "FOLDER", str(options.folder))
    findings = installed()
    if not any(f.stops for f in findings if f.about in ("gentest", "torch", "pytest")):
        flags = {"--gentest-clip": options.clip, "--gentest-device": options.device}
        arguments = [word for flag, value in flags.items() if value for word in (flag, value)]
        findings += _collected(options.folder, [*arguments, *rest])
    findings += _unwritten(options.folder)
    well = not any(f.stops for f in findings)
    if options.json:
        document = {"well": well, "findings": [f.to_json() for f in findings]}
        sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    else:
        print_table(findings)
    return 0 if well else 1


def print_table(findings: Sequence[Finding]) -> None:
    """Print a row for each finding, with the fix below it, and a line that counts the problems."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for f in findings:
        table.add_row(Text(f.word, "bold red" if f.stops else "green"), Text(f.about), Text(printable(f.message)))
        if f.fix:
            table.add_row("", "", Text(printable(f"-> {f.fix}")))
    problems = sum(f.stops for f in findings)
    summary = {0: "nothing stops a run", 1: "a problem stops a run"}.get(problems, f"{problems} problems stop a run")
    console = Console(width=None if sys.stdout.isatty() else UNWRAPPED)
    console.print(table)
    console.print(Text(summary))


def installed() -> list[Finding]:
    """Findings on Python, gentest and its requirements."""
    python = Finding("python", f"{platform.python_version()} at {sys.executable}")
    try:
        declared = metadata.requires(DISTRIBUTION) or []
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        message = f"{DISTRIBUTION} is not installed, so pytest does not know --gentest"
        return [python, Finding("gentest", message, stops=True, fix=f"pip install {DISTRIBUTION}")]
    findings = [python, Finding("gentest", f"{version} at {Path(__file__).parents[1]}"), *requirements(declared)]
    if os.environ.get(AUTOLOAD):
        message = f"{AUTOLOAD} is set, so pytest loads no plugin by itself"
        fix = "unset it, or run pytest -p gentest.plugin --gentest"
        findings.append(Finding("plugins", message, stops=True, fix=fix))
    return findings


def requirements(declared: Sequence[str]) -> list[Finding]:
    """A problem for each requirement that is missing or too old on this Python; else one line for all."""
    from packaging.requirements import Requirement

    findings, versions = [], []
    for need in map(Requirement, declared):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            version = "not installed"
        if version == "not installed" or not need.specifier.contains(version, prereleases=True):
            message, fix = f"{version} (needs {need.specifier})", f"pip install '{need.name}{need.specifier}'"
            findings.append(Finding(need.name, message, stops=True, fix=fix))
        else:
            versions.append(f"{need.name} {version}")
    return [Finding("packages", ", ".join(versions)), *findings]


def _collected(folder: Path, rest: Sequence[str]) -> list[Finding]:
    """The findings of a pytest that collects the tests in a child process."""
    loaded = ["-p", "gentest.plugin"] if os.environ.get(AUTOLOAD) else []
    arguments = [*loaded, "--gentest", "--collect-only", "-q", str(folder), *rest]
    try:
        reply = child.call("gentest.cli.doctor_run:examine", arguments, seconds=SECONDS, stderr=subprocess.STDOUT)
    except child.ChildFailed as error:
        fix = "load models in fixtures, not where a module is imported"
        return [Finding("pytest", f"collecting the tests of {folder}: {error}", stops=True, fix=fix)]
    findings = [Finding(**value) for value in reply.value["findings"]]
    is_well = reply.value["finished"] and reply.value["status"] in (OK, NO_TESTS)
    if not is_well and not any(finding.about == "tests" and finding.stops for finding in findings):
        findings.append(_failure(reply.value["status"], reply.output, ["--gentest", str(folder), *rest]))
    return findings


def _failure(status: object, output: str, arguments: Sequence[str]) -> Finding:
    """A pytest that failed before it collected anything, in its own words."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "INTERNALERROR> pytest"))] or lines[-1:]
    if any("argument" in line for line in lines):
        errors = [line.partition("error: ")[2] for line in lines if ": error: " in line] or errors
    stated = errors[0].removeprefix("ERROR:").removeprefix("INTERNALERROR>") if errors else "it printed nothing"
    message = raised_in(output) or stated.strip("! ")
    fix = f"run pytest {shlex.join(arguments)}"
    if "asyncio_default_fixture_loop_scope" in message:
        fix = "warnings are errors here: set asyncio_default_fixture_loop_scope = function in the ini file"
    elif "unrecognized arguments: --gentest" in output:
        fix = "the plugin is not loaded: look for -p no:gentest in an ini file or PYTEST_ADDOPTS"
    return Finding("pytest", f"ends with exit status {status}: {message[:300]}", stops=True, fix=fix)


def raised_in(output: str) -> str:
    """The exception in a traceback that pytest prints, with the exceptions that caused it; empty without one.

    >>> raised_in("E   FileNotFoundError: net.pt\\n\\nThe above exception was ...\\nE   RuntimeError: no weights")
    'RuntimeError: no weights; caused by FileNotFoundError: net.pt'
    """
    blocks = re.findall(r"(?:^E[ \t].*\n?)+", output, re.MULTILINE)
    raised = [[line[1:].strip() for line in block.splitlines()] for block in blocks]
    named = [next((line for line in lines if EXCEPTION.match(line)), lines[-1]) for lines in raised]
    return "; caused by ".join(dict.fromkeys(named[::-1]))


def _unwritten(folder: Path) -> list[Finding]:
    """The lines that `gentest init` left to the user, and that still have to be written."""
    path = (folder if folder.is_dir() else folder.parent) / "conftest.py"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [
        Finding("conftest.py", f"{path}:{at + 1}: still to be written", stops=True, fix=line.partition(EDIT)[2].strip())
        for at, line in enumerate(lines, 1)
        if EDIT in line and any(word in below for word in UNWRITTEN for below in lines[at : at + 3])
    ]
