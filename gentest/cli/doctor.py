"""The command `gentest doctor`: find what would stop a run, and say how to fix it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gentest._support.printable import printable
from gentest.cli import child
from gentest.cli.doctor_checks import AUTOLOAD, Finding, State, installed
from gentest.cli.write_tests import EDIT
from gentest.errors import InvalidArgument

HELP = "find what would stop a run: versions, device, CLIP's weights, caches, other plugins"
DESCRIPTION = (
    "Checks what is installed and lets pytest collect the tests of a folder, without running any. "
    "Arguments after -- go to pytest: give those that you run it with."
)
SECONDS = 300
"""Time limit of collecting the tests."""
STYLES = {State.OK: "green", State.NOTE: "yellow", State.PROBLEM: "bold red"}
UNWRAPPED = 1_000
"""Characters in a line, if the output is not a terminal."""
UNWRITTEN = ("NotImplementedError", "...")
"""Code below such a mark that nobody has replaced yet."""


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
    if not any(f.state is State.PROBLEM for f in findings if f.about in ("gentest", "torch", "pytest")):
        flags = {"--gentest-clip": options.clip, "--gentest-device": options.device}
        arguments = [word for flag, value in flags.items() if value for word in (flag, value)]
        findings += _collected(options.folder, [*arguments, *rest])
    findings += _unwritten(options.folder)
    well = all(f.state is not State.PROBLEM for f in findings)
    if options.json:
        document = {"well": well, "findings": [f.to_json() for f in findings]}
        sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    else:
        print_table(findings)
    return 0 if well else 1


def print_table(findings: Sequence[Finding]) -> None:
    """Print a row for each finding, with the fix below it, and a line that counts them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for f in findings:
        table.add_row(Text(f.state.value, STYLES[f.state]), Text(f.about), Text(printable(f.message)))
        if f.fix:
            table.add_row("", "", Text(printable(f"-> {f.fix}")))
    problems, notes = (sum(f.state is state for f in findings) for state in (State.PROBLEM, State.NOTE))
    summary = {0: "nothing stops a run", 1: "a problem stops a run"}.get(problems, f"{problems} problems stop a run")
    console = Console(width=None if sys.stdout.isatty() else UNWRAPPED)
    console.print(table)
    console.print(Text(summary + {0: "", 1: "; 1 note"}.get(notes, f"; {notes} notes")))


def _collected(folder: Path, rest: Sequence[str]) -> list[Finding]:
    """The findings of a pytest that collects the tests in a child process."""
    loaded = ["-p", "gentest.plugin"] if os.environ.get(AUTOLOAD) else []
    arguments = [*loaded, "--gentest", "--collect-only", "-q", str(folder), *rest]
    try:
        reply = child.call("gentest.cli.doctor_run:examine", arguments, seconds=SECONDS, stderr=subprocess.STDOUT)
    except child.ChildFailed as error:
        fix = "load models in fixtures, not where a module is imported"
        return [Finding("pytest", State.PROBLEM, f"collecting the tests of {folder}: {error}", fix)]
    findings = [Finding.from_json(value) for value in reply.value["findings"]]
    if not reply.value["finished"]:
        findings.append(_failure(reply.value["status"], reply.output, ["--gentest", str(folder), *rest]))
    return findings


def _failure(status: object, output: str, arguments: Sequence[str]) -> Finding:
    """A pytest that failed before it collected anything, in its own words."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "INTERNALERROR> pytest"))] or lines[-1:]
    if any("argument" in line for line in lines):
        errors = [line.partition("error: ")[2] for line in lines if ": error: " in line] or errors
    message = (
        errors[0].removeprefix("ERROR:").removeprefix("INTERNALERROR>").strip() if errors else "it printed nothing"
    )
    fix = f"run pytest {shlex.join(arguments)}"
    if "asyncio_default_fixture_loop_scope" in output:
        fix = "warnings are errors here: set asyncio_default_fixture_loop_scope = function in the ini file"
    elif "unrecognized arguments: --gentest" in output:
        fix = "the plugin is not loaded: look for -p no:gentest in an ini file or PYTEST_ADDOPTS"
    return Finding("pytest", State.PROBLEM, f"ends with exit status {status}: {message[:300]}", fix)


def _unwritten(folder: Path) -> list[Finding]:
    """The lines that `gentest init` left to the user, and that still have to be written."""
    path = (folder if folder.is_dir() else folder.parent) / "conftest.py"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [
        Finding("conftest.py", State.PROBLEM, f"{path}:{at + 1}: still to be written", line.partition(EDIT)[2].strip())
        for at, line in enumerate(lines, 1)
        if EDIT in line and any(word in below for word in UNWRITTEN for below in lines[at : at + 3])
    ]
