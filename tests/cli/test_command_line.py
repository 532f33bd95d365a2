"""The command `gentest`: what it prints, its exit status, and that misuse is one line."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gentest import cli
from gentest.cli import results_files
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline
from gentest.results.comparison import Standing, Terms
from gentest.results.document import Document
from gentest.results.result import Counterexample, Provenance, Result, Verdict
from tests.helpers import handmade
from tests.helpers.handmade import baseline, look, outcomes, result, signed, written

N = 256
GOOD = result(outcomes(N), seen=look())
HELD = replace(result(outcomes(N), seen=look()))
WORSE = result(outcomes(N, lost=N), seen=look())
SHORT = result(outcomes(64), seen=look())
DRIFTED = result(outcomes(N), seen=look(level=3.0))
BROKEN = replace(result(None, verdict=Verdict.ERROR), message="it broke")
FOUND = Counterexample(
    {"seed": "1f"}, -0.2, {"brightness()": (0.1, 0.5, 0.2)}, (0.0, 0.5, 1.0), (), 0, 8, 0.4, "between:1f"
)
VIOLATED = replace(
    GOOD, verdict=Verdict.VIOLATED, search=replace(GOOD.search, violations=3, counterexample=FOUND, worst=FOUND)
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, run where `blessed.json` is a baseline of `GOOD`: exit status, output, error."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "blessed.json", baseline(GOOD))

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            status = cli.main(arguments)
        except SystemExit as error:
            status = int(str(error.code))
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def gated(run: Run, results: list[Result], *arguments: str) -> tuple[int, str, str]:
    """`gentest gate` of these results."""
    written(Path("results.json"), results)
    return run("gate", "results.json", "--baseline", "blessed.json", *arguments)


def misuse(said: tuple[int, str, str], *words: str) -> None:
    """Asserts exit status 2, nothing on standard output, and one line of these words."""
    status, out, err = said
    assert status == 2
    assert out == ""
    assert err.startswith("gentest: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err


# gate


@pytest.mark.parametrize(
    ("results", "arguments", "status", "said"),
    [
        ([HELD], [], 0, "gate: held (1 held; tolerance 0.05, 3 claims)"),
        ([WORSE], [], 1, "gate: regressed (1 regressed; tolerance 0.05, 3 claims)"),
        ([WORSE], ["--undecided", "warn"], 1, "gate: regressed"),
        ([SHORT], [], 3, "gate: undecided (1 undecided; tolerance 0.05, 3 claims)"),
        ([SHORT], ["--undecided", "warn"], 0, "gate: undecided"),
        ([SHORT], ["--tolerance", "0.3"], 0, "gate: held (1 held; tolerance 0.3, 3 claims)"),
        ([HELD, replace(HELD, test="new")], [], 3, "1 held, 1 undecided"),
        ([replace(HELD, test="new")], [], 3, "1 undecided, 1 not looked at"),
        ([DRIFTED], [], 0, "gate: held (1 held, 1 drifted;"),
        ([DRIFTED], ["--drift", "warn"], 0, "drift      level of brightness() by +"),
        ([DRIFTED], ["--drift", "fail"], 1, "gate: refused for drift (1 held, 1 drifted;"),
        ([DRIFTED], ["--drift", "fail", "--undecided", "warn"], 1, "1 drifted"),
        ([DRIFTED], ["--drift", "off"], 0, "gate: held (1 held; tolerance 0.05, 1 claim)"),
        ([HELD], ["--drift", "fail"], 0, "drift      not found in level of brightness(), distribution in pixels()"),
        ([BROKEN], [], 1, "the check of the candidate failed"),
        ([], [], 3, "1 not looked at"),
    ],
)
def test_gate_says_and_exits(results: list[Result], arguments: list[str], status: int, said: str, run: Run) -> None:
    """0 is held, 1 regressed (or drifted where that refuses), 3 undecided unless that only warns."""
    found, out, err = gated(run, results, *arguments)
    assert (found, err) == (status, "")
    assert said in out


def test_gate_shows_the_evidence(run: Run) -> None:
    """A regression is shown with rates, lost and won probes, discordance, evidence, and what it needs."""
    _, out, _ = gated(run, [WORSE])
    assert "against blessed.json (gan.pt blessed by ann on 2026-11-24, seed 3)" in out.splitlines()
    assert out.splitlines()[1].split("  ")[:2] == ["regressed", "no counterexample"]
    said = " ".join(out.split())
    assert "100 % -> 0 % of 32 probes, 32 lost and 0 won (discordance 100 %, difference within [" in said
    assert "that it is worse, needs 300 : 1" in said


def test_what_failed_cannot_be_waved_through(run: Run) -> None:
    """A candidate whose check failed is not excused by `--undecided warn`: nothing of it was compared."""
    status, out, _ = gated(run, [BROKEN], "--undecided", "warn")
    assert status == 1
    assert "the check of the candidate failed" in out


@pytest.mark.parametrize("arguments", [[], ["--undecided", "warn"]])
def test_results_without_outcomes_are_misuse(arguments: list[str], run: Run) -> None:
    """Results that were made without --gentest-outcomes have nothing to compare: the file is the wrong one."""
    misuse(gated(run, [result(None)], *arguments), "results.json: ", "--gentest-outcomes")


def test_the_gate_of_files_is_the_gate(run: Run) -> None:
    """The Markdown and the text say what `gate.decide` decided, of several checkpoints too."""
    results = [replace(r, provenance=Provenance(checkpoint=name)) for name, r in (("a.pt", HELD), ("b.pt", WORSE))]
    blessed = Baseline.load(Path("blessed.json"))
    terms = Terms(claims=gate.n_claims(blessed, drift=True, checkpoints=2))
    found = gate.decide(results, blessed, terms)
    assert [c.gate.standing for c in found.properties] == [Standing.HELD, Standing.REGRESSED]
    status, out, _ = gated(run, results)
    assert status == 1
    assert "tolerance 0.05, 6 claims" in out
    assert re.search(r"^held .*  a\.pt  ", out, re.MULTILINE)
    _, out, _ = gated(run, results, "--markdown")
    rows = [line for line in out.splitlines() if line.startswith("| ✅ held") or line.startswith("| ❌ regressed")]
    assert ["a.pt" in row for row in rows] == [True, False]
    assert ["b.pt" in row for row in rows] == [False, True]


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
    """What is missing, not JSON, of another schema, edited or does not fit is one line that names the file."""
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
    """Arguments that no command takes are explained as argparse does, with exit status 2."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("gentest")
    assert ": error: " in err


def test_a_file_that_is_too_large_is_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results beyond the limit are refused by their size alone."""
    monkeypatch.setattr(results_files, "MAX_BYTES", 100)
    misuse(gated(run, [HELD]), "results.json: not a JSON file: larger than")


# show


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([GOOD], 0),
        ([], 0),
        ([VIOLATED], 1),
        ([BROKEN], 1),
        ([replace(GOOD, verdict=Verdict.UNDECIDED)], 3),
        ([replace(GOOD, verdict=Verdict.UNDECIDED), VIOLATED], 1),
    ],
)
def test_show_exits_as_the_run_did(results: list[Result], status: int, run: Run) -> None:
    """0 where all passed, 1 where one is violated or failed, 3 where one is undecided."""
    written(Path("results.json"), results)
    found, out, err = run("show", "results.json")
    assert (found, err) == (status, "")
    assert f"{len(results)} propert" in out


def test_show_prints_what_the_run_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation is shown with its path, and how to replay it."""
    monkeypatch.setenv("COLUMNS", "100")
    written(Path("results.json"), [VIOLATED])
    _, out, _ = run("show", "results.json")
    assert f"{VIOLATED.property}: violated by 3 of 20 probes, worst margin -0.2" in out
    assert "brightness()  0.1 ▁█▃ 0.2" in out
    assert "replay   --gentest-replay between:1f" in out


@pytest.mark.parametrize(("results", "status"), [([HELD], 0), ([WORSE], 1), ([SHORT], 3), ([], 3)])
def test_show_says_what_the_gate_said(results: list[Result], status: int, run: Run) -> None:
    """A run against a baseline is shown with its comparison, and its exit status."""
    blessed = Baseline.load(Path("blessed.json"))
    found = gate.decide(results, blessed, Terms(claims=3))
    kept = [replace(r, gate=c.gate, sample=None) for r, c in zip(results, found.properties, strict=True)]
    Path("results.json").write_text(json.dumps(Document(handmade.SESSION, tuple(kept), found).to_json()))
    shown, out, _ = run("show", "results.json")
    assert shown == status
    assert f"gate: {found.standing.value} (" in out


def test_show_of_a_baseline(run: Run) -> None:
    """A baseline is shown by who blessed it, and how each property does on it."""
    status, out, err = run("show", "blessed.json")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "blessed.json: gan.pt blessed by ann on 2026-11-24, seed 3",
        f"no_counterexample  256 of 256, 100.00%      test_a.py::test_a {GOOD.property}",
        f"brightness(): {json.loads(Path('blessed.json').read_text())['outputs']['gan Normal(8) 3']['brightness()']}",
    ]


def test_show_of_a_baseline_takes_its_figures_from_its_outcomes(run: Run) -> None:
    """What a person is shown is what the gate compares, not what the file says of it."""
    body = json.loads(Path("blessed.json").read_text())
    entry = next(iter(body["properties"].values()))
    del entry["holds"]
    body["outputs"] = {}
    Path("blessed.json").write_text(signed(body))
    status, out, err = run("show", "blessed.json")
    assert (status, err) == (0, "")
    assert "256 of 256, 100.00%" in out


# Markdown

HOSTILE = "a|b`c`<script>alert(1)</script>\n# x\r\ny\r[l](javascript:x) ![i](u) *b* _e_ ~~s~~ \\| &lt; $m$ @all"


def hostile(value: Result, **changed: Any) -> Result:
    """A result of which every name and message is hostile."""
    search = replace(value.search, counterexample=replace(FOUND, replay=HOSTILE))
    provenance = Provenance(checkpoint=HOSTILE)
    return replace(
        value, test=HOSTILE, property=HOSTILE, message=HOSTILE, search=search, provenance=provenance, **changed
    )


@pytest.mark.parametrize("command", ["show", "gate"])
def test_hostile_names_stay_text_in_markdown(command: str, run: Run) -> None:
    """Names with pipes, backticks, tags and line ends stay in their cell, and are nothing but text."""
    blessing = replace(handmade.BLESSING, by=HOSTILE, note=HOSTILE, checkpoint=HOSTILE)
    good = replace(result(outcomes(N), seen=look()), test=HOSTILE, property=HOSTILE)
    blessed = baseline(good, replace(good, test="gone" + HOSTILE), blessing=blessing)
    written(Path("blessed.json"), blessed)
    results = [hostile(WORSE, verdict=Verdict.VIOLATED), hostile(BROKEN)]
    if command == "gate":
        status, out, _ = gated(run, results, "--markdown")
    else:
        found = gate.decide(results, Baseline.load(Path("blessed.json")), Terms(claims=4))
        session = replace(handmade.SESSION, device=HOSTILE)
        Path("results.json").write_text(json.dumps(Document(session, tuple(results), found).to_json()))
        status, out, _ = run("show", "results.json", "--markdown")
    assert status == 1
    text = re.sub(r"^(````*)text$.*?^\1$", "", out, flags=re.MULTILINE | re.DOTALL)  # in a fence, all is text
    assert set(re.findall(r"<[^>]*>?", text)) == {"<details>", "<summary>", "</summary>", "</details>"}
    text = re.sub(r"^<details><summary>[^\n<]*</summary>\n$", "", text, flags=re.MULTILINE)  # so it is in HTML
    assert "\r" not in text
    lines = text.splitlines()
    assert not any(line.startswith("# ") for line in lines)
    widths: dict[str, set[int]] = {}
    head = ""
    for line in lines:
        if not line.startswith("|"):
            head = ""
            continue
        head = head or line
        cells = line.replace("\\\\", "").replace("\\|", "").strip("|").count("|")
        widths.setdefault(head, set()).add(cells)
    assert len(widths) == 2
    assert all(len(found) == 1 for found in widths.values())
    assert "](" not in text.replace("\\](", "")
    for line in lines:
        ticks = line.replace("\\\\", "").replace("\\`", "").count("`")
        assert ticks in (0, 2)


def test_markdown_of_a_gate(run: Run) -> None:
    """The page says the standing first, then each property with its figures."""
    _, out, _ = gated(run, [WORSE], "--markdown")
    lines = out.splitlines()
    assert lines[0] == "### Gate: ❌ regressed"
    row = next(line for line in lines if line.startswith("| ❌"))
    assert "| 100 % | 0 % | 32 of 256 | 32 / 0 |" in row
    assert "### gentest" in lines


def test_markdown_of_results(run: Run) -> None:
    """A page of results alone has no gate, and the replay of what failed."""
    written(Path("results.json"), [VIOLATED])
    _, out, _ = run("show", "results.json", "--markdown")
    assert out.splitlines()[0] == "### gentest"
    assert "  replay   pytest --gentest test_a.py::test_a --gentest-replay between:1f" in out.splitlines()


@pytest.mark.parametrize("few", [1, 16, 31])
@pytest.mark.parametrize("arguments", [[], ["--markdown"]], ids=["text", "markdown"])
def test_results_of_too_few_probes_are_undecided(few: int, arguments: list[str], run: Run) -> None:
    """Results with fewer outcomes than the gate's first look compare none, and are shown all the same."""
    status, out, err = gated(run, [result(outcomes(few), seen=look())], *arguments)
    assert (status, err) == (3, "")
    assert "undecided" in out


@pytest.mark.parametrize("command", [["show", "results.json"], ["show", "results.json", "--markdown"]], ids=" ".join)
def test_a_terminal_of_few_characters_is_no_error(
    command: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where standard output cannot hold a sign or a name, it is escaped, and the exit status stays."""
    written(Path("results.json"), [replace(VIOLATED, provenance=Provenance(checkpoint="g\udcff"), test="模型")])
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.main(command) == 1
    sys.stdout.flush()
    assert b"\\u6a21" in raw.getvalue()


# bless

CONFTEST = """
import pytest
import gentest

@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    slope = float(gentest_checkpoint.read_text())
    return gentest.Generator(lambda z: (0.5 + slope * z[:, :1].tanh())[:, :, None, None], latent=gentest.Normal(3),
                             output_range=(0, 1))
"""
TEST = """
import gentest

@gentest.responsive(at_least=0.001).at_rate(0.5)
def test_it(generator):
    return generator
"""
FLAGS = ["-q", "--gentest-checkpoint", "gan.pt", "--gentest-examples", "5", "--gentest-baseline-probes", "64"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a model, where the command runs; pytest runs in this process."""
    for name, text in {"conftest.py": CONFTEST, "test_model.py": TEST, "gan.pt": "0.2"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:asyncio -p no:cacheprovider")
    return tmp_path


@pytest.mark.slow
def test_blessing_twice_rotates_the_seed(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first blessing is of seed 1, which no run uses unasked, the next of seed 2; newest first."""
    assert cli.main(["bless", "blessed.json", "--by", "ann", *FLAGS]) == 0
    assert "blessed.json: gan.pt blessed by ann on 20" in capfd.readouterr().out
    assert cli.main(["bless", "blessed.json", "--by", "bob", "--note", "better skin", *FLAGS]) == 0
    assert "seed 2: better skin" in capfd.readouterr().out
    blessed = Baseline.load(repository / "blessed.json")
    assert [(b.by, b.seed, b.note, b.checkpoint) for b in blessed.blessings] == [
        ("bob", 2, "better skin", "gan.pt"),
        ("ann", 1, "", "gan.pt"),
    ]
    assert {entry.sample.seed for entry in blessed.entries.values()} == {2}
    before = (repository / "blessed.json").read_bytes()
    (repository / "conftest.py").write_text(CONFTEST.replace("slope = float", "slope = 1 / 0 + float"))
    assert cli.main(["bless", "blessed.json", "--by", "eve", *FLAGS]) == 2
    assert "gentest: nothing was blessed: pytest ended with exit status 1\n" in capfd.readouterr().err
    assert (repository / "blessed.json").read_bytes() == before


def test_what_does_not_hold_is_known_from_now_on(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A violated property is blessed as it is, and the command says so; a seed may be said."""
    (repository / "gan.pt").write_text("0")
    assert cli.main(["bless", "blessed.json", "--by", "ann", "--seed", "7", *FLAGS]) == 0
    out = capfd.readouterr().out
    assert "later runs do not report it as new: test_model.py::test_it responsive(pixels()" in out
    assert Baseline.load(repository / "blessed.json").blessings[0].seed == 7


def test_nothing_is_blessed_where_nothing_was_checked(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file of tests without a property writes no baseline."""
    (repository / "test_model.py").write_text("def test_plain():\n    pass\n")
    assert cli.main(["bless", "blessed.json", "--by", "ann", *FLAGS]) == 2
    assert "gentest: nothing was blessed: pytest ended with exit status " in capfd.readouterr().err
    assert not (repository / "blessed.json").exists()


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


# suggest

SUGGEST_MISUSE = [
    (["none"], ["a folder", "FOLDER='none'"]),
    (["blessed.json"], ["a folder", "FOLDER='blessed.json'"]),
    (["--fixture", "a b"], ["the name of a fixture", "--fixture='a b'"]),
    (["--fixture", "class"], ["--fixture='class'"]),
    (["--output", "blessed.json"], ["blessed.json: exists already"]),
    (["--output", "."], ["exists already"]),
    (["--output", "none/test_it.py"], ["in a folder that exists"]),
    (["--rate", "1"], ["--rate=1.0"]),
    (["--rate", "nan"], ["--rate=nan"]),
    (["--confidence", "0"], ["--confidence=0.0"]),
    (["--seed", "-1"], ["--seed=-1"]),
    (["--n", "89"], ["a whole number >= 90", "n=89"]),
    (["--n", "-5"], ["n=-5"]),
    (["--clip", "a|b|c"], ["--clip='a|b|c'"]),
    (["--clip", "a|"], ["--clip='a|'"]),
    (["--clip", ""], ["--clip=''"]),
]


@pytest.mark.parametrize(("arguments", "words"), SUGGEST_MISUSE, ids=[" ".join(a) for a, _ in SUGGEST_MISUSE])
def test_misuse_of_suggest_is_one_line(arguments: list[str], words: list[str], run: Run) -> None:
    """What will not do is refused before pytest is started."""
    misuse(run("suggest", *arguments), *words)


@pytest.mark.parametrize("arguments", [["--attribute", "beauty"], ["--n", "many"], [".", "."], ["--gentest-seed", "1"]])
def test_wrong_arguments_of_suggest(arguments: list[str], run: Run) -> None:
    """Arguments that are not its own come after --."""
    status, out, err = run("suggest", *arguments)
    assert (status, out) == (2, "")
    assert ": error: " in err
    assert ("arguments of pytest come after --" in err) == (arguments[0].startswith((".", "--gentest")))
