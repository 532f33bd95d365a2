"""`gentest check`: the right verdicts on models of every kind, clean and broken, and misuse in one line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from gentest import cli
from gentest.cli import child
from gentest.cli.check_model import LAWS
from gentest.report import model_card
from gentest.results.document import Document
from gentest.results.outcome import Outcome, Verdict
from tests.helpers import pages
from tests.helpers.artefacts import ALSO, CODE, FAULTS, IN_FOLDERS, KINDS, VIOLATED, made
from tests.helpers.commands import Run, called, misuse

FEW = ("--examples", "40")


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`gentest check` in an empty folder: exit status, output and error."""
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *arguments: called(["check", *arguments], capfd)


def write_code(fault: str = "clean", more: str = "") -> None:
    """`my_gan.py`, whose `load` gives a GAN of 8 numbers."""
    Path("my_gan.py").write_text(f"{CODE}\n\ndef load():\n    return Gan({fault!r})\n{more}")


CASES = [
    pytest.param(
        kind,
        fault,
        id=f"{kind}-{fault}",
        marks=() if (kind, fault) == ("onnx", "NaN") else pytest.mark.slow,
    )
    for kind in KINDS
    for fault in IN_FOLDERS.get(kind, FAULTS)
]


@pytest.mark.parametrize(("kind", "fault"), CASES)
@pytest.mark.usefixtures("in_process")
def test_each_model_gets_the_right_verdicts(kind: str, fault: str, run: Run) -> None:
    """In an empty folder, the command alone finds each fault and nothing else, within two minutes."""
    if kind == "onnx":
        pytest.importorskip("onnx", reason="needs onnx to write graphs")
        pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    if kind in IN_FOLDERS:
        pytest.importorskip("diffusers", reason="needs diffusers")
    status, out, err = run(*made(kind, fault), "--json", "out.json")
    document = Document.from_json(json.loads(Path("out.json").read_text()))
    violated = tuple(result.test for result in document.results if result.verdict is Verdict.VIOLATED)
    assert status == (1 if VIOLATED[fault] else 0), out + err
    assert set(VIOLATED[fault]) <= set(violated) <= {*VIOLATED[fault], *ALSO.get(fault, ())}, out
    assert not any(result.verdict in (Verdict.ERROR, Verdict.UNDECIDED) for result in document.results), out
    assert "assumed  latents" in out
    assert sum(result.seconds for result in document.results) < 120
    assert ("replay   gentest check" in out) == bool(violated)


@pytest.mark.usefixtures("in_process")
def test_a_failure_is_explained_and_replayed(run: Run) -> None:
    """The block says what is asked and what usually is wrong, and its last line evaluates that latent again."""
    write_code("NaN")
    status, out, err = run("my_gan:load")
    assert (status, err) == (1, "")
    assert "my_gan:load: code, " in out
    assert "asks     every value of an output is a finite number within the output range" in out
    assert "because  192 of 192 values are not finite" in out
    assert "usually  the model overflows" in out
    assert "not checked: same again, no blank output, latents matter, samples differ" in out
    (command,) = re.findall(r"replay   gentest (check .*)$", out, re.MULTILINE)
    status, out, err = run(*command.split()[1:])
    assert (status, err) == (1, "")
    assert "violated by a replayed probe, margin -2" in out


@pytest.mark.usefixtures("in_process")
def test_each_assumption_names_the_option_that_changes_it(run: Run) -> None:
    """The options that the output names replace the guesses."""
    write_code()
    _, out, _ = run("my_gan:load", *FEW)
    assert "latents  Normal(8), since it takes [16, 8]; the prior is a guess (to change it: --latent" in out
    assert "(to change it: --range 0,1)" in " ".join(out.split())
    status, out, _ = run("my_gan:load", "--latent", "uniform:8:-1:1", "--range", "-1,1", *FEW)
    assert status == 0
    assert "assumed" not in out
    status, out, _ = run("my_gan:load", "--range", "0,1", *FEW)
    assert status == 1
    assert "well_formed(tolerance=0.001): violated" in out


@pytest.mark.usefixtures("in_process")
def test_the_time_bounds_the_check(run: Run) -> None:
    """What is not decided in time is undecided or not checked, and never green; the output says how to go on."""
    write_code(more="\n\ndef slow():\n    import time\n\n    f = Gan()\n\n    def g(z):\n        time.sleep(0.05)\n"
                    "        return f(z)\n\n    return g\n")  # fmt: skip
    status, out, _ = run("my_gan:slow", "--max-minutes", "0.03")
    assert status == 3
    assert "not checked: " in out
    said = " ".join(out.split())
    assert "0.03 minutes are over: give --max-minutes" in said
    assert "undecided, since max_minutes=0.03 ends the run: about" in said


@pytest.mark.usefixtures("in_process")
def test_a_reference_is_agreed_with_or_not(run: Run) -> None:
    """`--against` adds agreement, within 4/255 or as given."""
    write_code(more="\n\ndef near():\n    f = Gan()\n    return lambda z: f(z) * 0.99\n")
    status, out, _ = run("my_gan:near", "--against", "my_gan:load", "--latent", "normal:8", *FEW)
    assert (status, "agrees   within 4/255 of the output range" in out) == (0, True), out
    status, out, _ = run("my_gan:near", "--against", "my_gan:load", "--latent", "normal:8", "--within", "0.001", *FEW)
    assert status == 1
    assert "agrees(within=0.001): violated by" in out


@pytest.mark.usefixtures("in_process")
def test_a_report_and_results_are_written(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """The report shows each law, and its pictures' command replays; the ending of its name says its format."""
    write_code("blank")
    status, out, _ = run("my_gan:load", "--report", "out.html", "--json", "out.json", "--examples", "200")
    assert status == 1
    assert out.endswith("wrote out.html\nwrote out.json\n")
    page = Path("out.html").read_text(encoding="utf-8")
    assert "no blank output" in page
    assert "gentest check my_gan:load --replay not_blank:" in page
    document = Document.from_json(json.loads(Path("out.json").read_text()))
    assert document.outcome is Outcome.FAILED
    assert document.session.command == "gentest check my_gan:load"
    again = "gentest check my_gan:load --replay not_blank:"
    assert cli.main(["show", "out.json"]) == 1
    assert again in capfd.readouterr().out
    assert "Check it again:\n\n```bash\ngentest check my_gan:load\n```" in model_card.passage(document)
    run("my_gan:load", "--report", "out.md", "--examples", "200")
    text = Path("out.md").read_text(encoding="utf-8")
    assert text.startswith("#")
    assert again in text
    assert "pytest" not in text


@pytest.mark.usefixtures("in_process")
def test_other_outputs_are_checked_in_their_own_units(run: Run) -> None:
    """Rows of a table and audio need no images, and silence is blank."""
    write_code(more="\n\ndef rows():\n    return nn.Linear(D, 5)\n\n\ndef audio(z):\n"
                    "    return 40 * z[:, :1].clamp(min=0) * torch.sin(torch.arange(64.0))\n")  # fmt: skip
    status, out, _ = run("my_gan:rows", *FEW)
    assert status == 0, out
    assert "not images: for 16 latents it gives [16, 5]" in out
    status, out, _ = run("my_gan:audio", "--latent", "normal:2", "--no-images", *FEW)
    assert status == 1
    assert "not_blank(at_least=0.01): violated" in out


MORE_KINDS = """

def sound(z):
    tones = torch.sin(torch.arange(1, 801) * torch.arange(1, 9)[:, None] * 0.05)
    return 0.1 * z.sigmoid() @ tones


def video(z):
    return z.tanh()[:, :, None, None, None].expand(-1, -1, 3, 8, 8)


def text(z):
    return ["".join(chr(97 + int(25 * v)) for v in row) for row in z.sigmoid().tolist()]


def rows(z):
    return z.sigmoid()
"""


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ("audio:8000", "gentest.Audio(rate=8000)"),
        ("video:8", "gentest.Video()"),
        ("text:16", "gentest.Tokens(longest=16, text=True)"),
        ("rows:a,b,c,d,e,f,g,h", "gentest.Rows(columns=['a', 'b', "),
    ],
)
def test_outputs_of_each_kind_are_checked_and_written(run: Run, outputs: str, code: str) -> None:
    """`--outputs` says the kind, every law holds, and the tests that are written say the same."""
    write_code(more=MORE_KINDS)
    name = {"audio": "sound"}.get(word := outputs.partition(":")[0], word)
    status, out, _ = run(f"my_gan:{name}", "--latent", "normal:8", "--outputs", outputs, "--write", "tests", *FEW)
    assert status == 0, out
    assert ("no blank output" in out) is (name != "rows")
    assert f"outputs={code}" in Path("tests/conftest.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.onnx"], ["MODEL='none.onnx'", "no such file"]),
        (["my_gan:nothing"], ["my_gan:nothing: ", "has no attribute 'nothing'"]),
        (
            ["my_gan:load", "--latent", "normal:9"],
            ["my_gan:load: it does not take latents [16, 9], as --latent"],
        ),
        (["my_gan:load", "--given", "label=1"], ["has no named parts"]),
        (["my_gan:load", "--against", "none.onnx"], ["--against='none.onnx'"]),
        (["my_gan:load", "--data", "none"], ["--data='none'"]),
        (["my_gan:load", "--max-minutes", "0"], ["--max-minutes=0.0"]),
        (["my_gan:load", "--report", "no/page.html"], ["--report='no/page.html'"]),
        (["my_gan:load", "--replay", "x:1"], ["--replay='x:1'", "the line of a failure"]),
        (["my_gan:load", "--replay", "agrees:1"], ["this is not checked on this model"]),
        (["my_gan:load", "--within", "0.1"], ["--within is for --against"]),
        (["my_gan:load", "--class", "my_gan:Gan"], ["leave --class out"]),
        (["program.pt2"], ["loading it may run any code in it: add --trust"]),
    ],
    ids=lambda value: " ".join(value),
)
@pytest.mark.usefixtures("in_process")
def test_misuse_is_one_line_and_status_2(arguments: list[str], words: list[str], run: Run) -> None:
    """A model that is not there, and options that cannot be used, are named in one line."""
    write_code()
    Path("program.pt2").touch()
    misuse(run(*arguments), *words)


def test_a_child_that_fails_is_undecided(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt and the last time limit are status 3, and never green."""
    write_code()
    for error in (KeyboardInterrupt(), child.ChildFailed("no answer within 1 second")):

        def fail(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(child, "call", fail)
        status, out, err = run("my_gan:load")
        assert (status, out) == (3, "")
        assert err.startswith("gentest: undecided: ")


@pytest.mark.slow
def test_the_command_runs_in_a_child(run: Run) -> None:
    """Nothing of the model is imported by the command itself."""
    write_code()
    status, out, err = run("my_gan:load", *FEW)
    assert (status, err) == (0, "")
    assert "5 properties: 5 no counterexample" in out
    assert "my_gan" not in sys.modules


def test_every_law_is_named_once() -> None:
    """Tables, replays and explanations know each law by one name."""
    assert len({law.test for law in LAWS.values()}) == len(LAWS)


def test_the_table_of_the_guide_is_what_the_tests_expect() -> None:
    """Each cell of the guide's table is a case of this file, with its verdicts."""
    guide = (pages.ROOT / "examples/guides/check.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in guide.splitlines() if line.startswith("|")]
    (head,) = (row for row in rows if row[0] == "model")
    table = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows if row[0] in KINDS}
    expected = {
        kind: {
            fault: (", ".join(VIOLATED[fault]) or "all hold") if fault in IN_FOLDERS.get(kind, FAULTS) else "-"
            for fault in FAULTS
        }
        for kind in KINDS
    }
    assert table == expected


@pytest.mark.usefixtures("in_process")
def test_the_page_shows_what_is_printed(run: Run) -> None:
    """The front page has the output of a check of a graph with a fault."""
    pytest.importorskip("onnx", reason="needs onnx to write graphs")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    block = pages.block("README.md", "gentest check gan.onnx")
    status, out, _ = run(*made("onnx", "NaN"))
    assert status == 1
    pages.assert_shown(block, out)


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_pipeline_of_diffusers_is_checked_with_the_prompts_of_a_file(run: Run, folder: Path) -> None:
    """A real text-to-image pipeline, saved to a folder: every prompt is a choice, and the written tests have them."""
    pytest.importorskip("diffusers", reason="needs diffusers")
    pytest.importorskip("transformers", reason="needs transformers")
    from tests.helpers.tiny_pipelines import stable_diffusion

    stable_diffusion().save_pretrained("pipeline")
    Path("prompts.txt").write_text("a photo of the red hat\na big dog\nthe old blue coat\n")
    options = ["--steps", "2", "--examples", "4", "--max-minutes", "0.6"]
    status, out, err = run("pipeline", "--prompts", "prompts.txt", *options, "--json", "r.json", "--write", "tests")
    assert status in (0, 1, 3), out + err  # a slow machine decides little in this time
    results = json.loads(Path("r.json").read_text())["results"]
    assert results
    assert all(result["verdict"] != "error" for result in results), out
    assert all("prompt=" in result["provenance"]["prior"] for result in results), results
    written = Path("tests/conftest.py").read_text()
    assert 'gentest.Prompts.from_file(Path(__file__).parent / "../prompts.txt")' in written
