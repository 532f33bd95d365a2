"""The command `gentest`: misuse is one line with exit status 2, and nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.commands import HELD, WORSE, N, Run, misuse
from tests.helpers.handmade import look, outcomes, result, written

MISUSE = [
    (["gate", "none.json", "--baseline", "blessed.json"], ["none.json", "No such file"]),
    (["gate", "results.json", "--baseline", "none.json"], ["none.json: No such file", "--gentest-save-baseline"]),
    (["gate", ".", "--baseline", "blessed.json"], ["Is a directory"]),
    (["gate", "weights.pt", "--baseline", "blessed.json"], ["weights.pt: not a JSON file"]),
    (["gate", "deep.json", "--baseline", "blessed.json"], ["deep.json: not a JSON file"]),
    (["gate", "results.json", "--baseline", "weights.pt"], ["weights.pt: not a whole JSON file"]),
    (
        ["gate", "blessed.json", "--baseline", "blessed.json"],
        ["json: not results of schema 3 or 2 (schema: 1)"],
    ),
    (["gate", "list.json", "--baseline", "blessed.json"], ["list.json: not results of schema 3 or 2 (schema: None)"]),
    (["gate", "old.json", "--baseline", "blessed.json"], ["old.json: not results of schema 3 or 2 (schema: 99)"]),
    (["gate", "results.json", "--baseline", "results.json"], ["not a baseline of schema 1 (schema: 3)"]),
    (["gate", "results.json", "--baseline", "edited.json"], ["edited.json: was edited since gentest wrote it"]),
    (["gate", "results.json", "--baseline", "blessed.json", "--tolerance", "1"], ["--tolerance=1.0"]),
    (["gate", "results.json", "--baseline", "blessed.json", "--tolerance", "nan"], ["--tolerance=nan"]),
    (["gate", "other-seed.json", "--baseline", "blessed.json"], ["of seed 3, these of seed 4"]),
    (
        ["gate", "other-space.json", "--baseline", "blessed.json"],
        ["latent space is Normal(8), the generator's Normal(9)"],
    ),
    (["gate", "bad-margins.json", "--baseline", "blessed.json"], ["not base64 of float32"]),
    (["gate", "bad-look.json", "--baseline", "blessed.json"], ["not base64 of float32"]),
    (["show", "none.json"], ["none.json", "No such file"]),
    (["show", "weights.pt"], ["weights.pt: not a JSON file"]),
    (["show", "deep.json"], ["deep.json: not a JSON file"]),
    (["show", "list.json"], ["not results of schema 3 or 2"]),
    (["show", "edited.json"], ["was edited since gentest wrote it"]),
    (["bless", "weights.pt", "--by", "ann"], ["weights.pt: not a whole JSON file"]),
    (["bless", "edited.json", "--by", "ann"], ["was edited since gentest wrote it"]),
    (["bless", ".", "--by", "ann"], ["Is a directory"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISUSE, ids=[" ".join(a) for a, _ in MISUSE])
def test_misuse_is_one_line_and_status_2(arguments: list[str], words: list[str], run: Run, tmp_path: Path) -> None:
    """A file that is missing, not JSON, of another schema, edited or that does not fit is named in one line."""
    written(tmp_path / "results.json", [HELD])
    Path("weights.pt").write_bytes(b"\x80\x02}q\x00")
    Path("deep.json").write_text("[" * 100_000)
    Path("list.json").write_text("[1]")
    Path("old.json").write_text('{"schema": 99}')
    Path("edited.json").write_text(Path("blessed.json").read_text().replace("ann", "eve"))
    for name, changed in {"seed": {"seed": 4}, "space": {"space": "Normal(9)"}}.items():
        written(tmp_path / f"other-{name}.json", [result(outcomes(N), **changed)])
    assert HELD.sample is not None
    written(tmp_path / "bad-margins.json", [replace(HELD, sample=replace(HELD.sample, margins="!"))])
    broken = replace(look(), levels={"brightness()": "!"})
    written(tmp_path / "bad-look.json", [replace(HELD, sample=replace(HELD.sample, look=broken))])
    misuse(run(*arguments), *words)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["gate", "results.json"],
        ["gate", "results.json", "--baseline", "blessed.json", "--drift", "maybe"],
        ["gate", "results.json", "--baseline", "blessed.json", "--tolerance", "much"],
        ["gate", "results.json", "--baseline", "blessed.json", "more.json"],
        ["show"],
        ["show", "results.json", "--nonsense"],
        ["bless", "blessed.json"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_status_2(arguments: list[str], run: Run) -> None:
    """argparse explains arguments that no command takes, with exit status 2."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("gentest")
    assert ": error: " in err


def test_the_command_imports_no_torch(run: Run) -> None:
    """`python -m gentest` gates and shows without torch, Hypothesis or pytest."""
    written(Path("results.json"), [WORSE])
    script = (
        "import sys, runpy\n"
        "for line in ('gate results.json --baseline blessed.json', 'show results.json --markdown'):\n"
        "    sys.argv = ['gentest', *line.split()]\n"
        "    try:\n"
        "        runpy.run_module('gentest', run_name='__main__')\n"
        "    except SystemExit as error:\n"
        "        print('status', error.code)\n"
        "print('heavy', *sorted({'torch', 'hypothesis', 'pytest', 'open_clip'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert "status 1" in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy"
