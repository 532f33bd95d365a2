"""What is installed, against what gentest was declared to need: read from the packages' metadata, none is imported."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from gentest.cli.doctor.finding import NOTE, OK, PROBLEM, Finding

DISTRIBUTION = "pytest-gentest"
NOT_FOR_USERS = ("test", "faces")
AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"


def installed() -> list[Finding]:
    """Python, gentest, everything that it needs, and its extras."""
    python = Finding("python", OK, f"{platform.python_version()} at {sys.executable}")
    try:
        declared = metadata.requires(DISTRIBUTION) or []
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        said = f"{DISTRIBUTION} is not installed, and pytest does not know --gentest"
        return [python, Finding("gentest", PROBLEM, said, f"pip install {DISTRIBUTION}")]
    here = Path(__file__).parents[1]
    return [
        python,
        Finding("gentest", OK, f"{version} at {here}"),
        *_needed(declared),
        *_extras(declared),
        *_autoload(),
    ]


def _needed(declared: list[str]) -> list[Finding]:
    from packaging.requirements import Requirement

    found = []
    for need in map(Requirement, declared):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        said = f"{version or 'not installed'} (needs {need.specifier})"
        fits = version is not None and need.specifier.contains(version, prereleases=True)
        do = "" if fits else f"pip install '{need.name}{need.specifier}'"
        found.append(Finding(need.name, OK if fits else PROBLEM, said, do))
    return found


def _extras(declared: list[str]) -> list[Finding]:
    """Which extras are there; one that is there in too old a version is worth a note."""
    from packaging.requirements import Requirement

    needs = [Requirement(text) for text in declared]
    markers = {need: need.marker for need in needs if need.marker is not None}
    there, missing, old = [], [], []
    for extra in sorted(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []):
        if extra in NOT_FOR_USERS:
            continue
        own = [n for n, marker in markers.items() if marker.evaluate({"extra": extra})]
        versions = {need: _version(need.name) for need in own if not markers[need].evaluate({"extra": ""})}
        if not versions or None in versions.values():
            missing.append(extra)
        else:
            there.append(extra)
            old += [n for n, v in versions.items() if v is not None and not n.specifier.contains(v, prereleases=True)]
    said = [
        *([f"installed: {', '.join(there)}"] if there else []),
        *([f"not: {', '.join(missing)}"] if missing else []),
    ]
    do = f"where they are needed: pip install '{DISTRIBUTION}[{','.join(missing)}]'" if missing else ""
    found = [Finding("extras", OK, "; ".join(said), do)] if said else []
    return found + [
        Finding(need.name, NOTE, f"{_version(need.name)} (an extra needs {need.specifier})", f"pip install -U '{need}'")
        for need in dict.fromkeys(old)
    ]


def _autoload() -> list[Finding]:
    if not os.environ.get(AUTOLOAD):
        return []
    said = f"{AUTOLOAD} is set, so pytest loads no plugin by itself"
    return [Finding("plugins", PROBLEM, said, "unset it, or run pytest -p gentest.plugin --gentest")]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
