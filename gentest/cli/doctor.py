"""The command `gentest doctor`: looks, says, and ends with 1 where something stops a run."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from gentest.cli.doctor_checks import AUTOLOAD, NOTE, PROBLEM, Finding, installed
from gentest.errors import InvalidArgument

SECONDS = 300
PYTEST = "import sys; sys.path.pop(0); import pytest; sys.exit(pytest.console_main())"
"""As the command `pytest`, which finds no module by the current folder."""
MARK = "EDIT:"
"""What `gentest init` leaves where a person has to write something."""
UNWRITTEN = ("NotImplementedError", "=...")


HELP = "find what would stop a run: versions, device, CLIP's weights, caches, other plugins"
DESCRIPTION = (
    "Looks at what is installed and lets pytest collect the tests of a folder, running none. "
    "Arguments after -- go to pytest: those that you run it with."
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: .")
    parser.add_argument("--clip", metavar="MODEL[:PRETRAINED]", help="as --gentest-clip: are its weights here?")
    parser.add_argument("--device", metavar="DEVICE", help="as --gentest-device")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(given: argparse.Namespace, rest: Sequence[str]) -> int:
    """Prints what was found; exit status 1 where something stops a run, else 0."""
    if not given.folder.exists():
        raise InvalidArgument.expected("a folder, or a test file", "FOLDER", str(given.folder))
    findings = installed()
    if not any(f.state == PROBLEM for f in findings if f.about in ("gentest", "torch", "pytest")):
        arguments = [
            word for name in ("clip", "device") if (v := getattr(given, name)) for word in (f"--gentest-{name}", v)
        ]
        findings += _of_pytest(given.folder, [*arguments, *rest])
    findings += _unwritten(given.folder)
    broken = any(f.state == PROBLEM for f in findings)
    if given.json:
        said = {"well": not broken, "findings": [f.to_json() for f in findings]}
        sys.stdout.write(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(table(findings)) + "\n")
    return 1 if broken else 0


def _of_pytest(folder: Path, rest: Sequence[str]) -> list[Finding]:
    """What pytest itself finds there, in a process of its own; and how that ended, where it broke."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        command = [sys.executable, "-c", PYTEST]
        if os.environ.get(AUTOLOAD):
            command += ["-p", "gentest.plugin"]
        command += ["-p", "gentest.cli.doctor_run", "--gentest", "--collect-only", "-q"]
        command += ["--gentest-examine", str(answer), str(folder), *rest]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            said = f"collecting the tests of {folder} took more than {SECONDS} seconds"
            return [Finding("pytest", PROBLEM, said, "load models in fixtures, not where a module is imported")]
        said = answer.read_text(encoding="utf-8") if answer.exists() else "{}"
    value = json.loads(said)
    findings = [Finding.from_json(f) for f in value.get("findings", [])]
    if not value.get("whole"):
        findings.append(_broken(done, ["--gentest", str(folder), *rest]))
    return findings


def _broken(done: subprocess.CompletedProcess[str], arguments: Sequence[str]) -> Finding:
    """Pytest did not come as far as to collect anything: its own words, and what is known of them."""
    lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "INTERNALERROR> pytest"))] or lines[-1:]
    if any("argument" in line for line in lines):
        errors = [line.partition("error: ")[2] for line in lines if ": error: " in line] or errors
    said = errors[0].removeprefix("ERROR:").removeprefix("INTERNALERROR>").strip() if errors else "it said nothing"
    do = f"see pytest {shlex.join(arguments)}"
    if "asyncio_default_fixture_loop_scope" in done.stderr + done.stdout:
        do = "warnings are errors here: set asyncio_default_fixture_loop_scope = function in the ini file"
    elif "unrecognized arguments: --gentest" in done.stderr + done.stdout:
        do = "the plugin is not loaded: is -p no:gentest in an ini file, or PYTEST_ADDOPTS?"
    return Finding("pytest", PROBLEM, f"ends with exit status {done.returncode}: {said[:300]}", do)


def _unwritten(folder: Path) -> list[Finding]:
    """What `gentest init` left to a person, and nobody wrote yet."""
    path = (folder if folder.is_dir() else folder.parent) / "conftest.py"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [
        Finding("conftest.py", PROBLEM, f"{path}:{at + 1}: still to be written", line.partition(MARK)[2].strip())
        for at, (line, below) in enumerate(pairwise(lines), 1)
        if MARK in line and any(word in below or word in " ".join(lines[at : at + 3]) for word in UNWRITTEN)
    ]


def table(findings: Sequence[Finding]) -> list[str]:
    """The findings as lines; what to do stands below what was seen."""
    about = max((len(f.about) for f in findings), default=0)
    lines = []
    for f in findings:
        lines.append(f"{f.state:<7}  {f.about:<{about}}  {f.said}".rstrip())
        if f.do:
            lines.append(f"{'':<7}  {'':<{about}}  -> {f.do}")
    counts = {state: sum(f.state == state for f in findings) for state in (PROBLEM, NOTE)}
    if counts[PROBLEM]:
        said = "a problem stops a run" if counts[PROBLEM] == 1 else f"{counts[PROBLEM]} problems stop a run"
    else:
        said = "nothing stops a run"
    notes = {0: "", 1: "; 1 note"}.get(counts[NOTE], f"; {counts[NOTE]} notes")
    return [*lines, f"{said}{notes}"]
