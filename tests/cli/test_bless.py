"""`gentest bless` writes a baseline of the checked properties, with another seed each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gentest import cli
from gentest.gate.baseline import Baseline

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
    """The first blessing has seed 1, which no run uses by default, and the next seed 2. The newest stands first."""
    assert cli.main(["bless", "blessed.json", "--by", "ann", *FLAGS]) == 0
    assert "blessed.json: gan.pt blessed by ann on 20" in capfd.readouterr().out
    again = ["bless", "blessed.json", "--by", "bob", "--note", "better skin", *FLAGS, "--gentest-keep-outputs", "8"]
    assert cli.main(again) == 0
    out = capfd.readouterr().out
    assert "seed 2: better skin" in out
    assert out.splitlines()[-1].startswith(
        "done: 1 property in blessed.json and blessed.outputs.npz; all of them hold."
    )
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


@pytest.mark.slow
def test_what_does_not_hold_is_known_from_now_on(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The command blesses a violated property and says so. --seed chooses the seed."""
    (repository / "gan.pt").write_text("0")
    assert cli.main(["bless", "blessed.json", "--by", "ann", "--seed", "7", *FLAGS]) == 0
    out = capfd.readouterr().out
    *_, row, closing = out.splitlines()
    assert row.startswith("recorded as violated: test_model.py::test_it responsive(pixels()")
    assert row.endswith("(holds on 0 of 64 kept probes)")
    assert closing == (
        "done: 1 property in blessed.json; 1 of them does not hold and is recorded as above: the run above may call a "
        "test failed for that, and a candidate fails only if it is worse. Commit, and gate with pytest --gentest "
        "--gentest-baseline blessed.json"
    )
    assert Baseline.load(repository / "blessed.json").blessings[0].seed == 7


@pytest.mark.slow
def test_a_failure_that_no_baseline_records_is_told(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A test of something else fails: the baseline is written, and the command fails."""
    (repository / "test_model.py").write_text(TEST + "\ndef test_plain():\n    assert False\n")
    assert cli.main(["bless", "blessed.json", "--by", "ann", *FLAGS]) == 1
    closing = capfd.readouterr().out.splitlines()[-1]
    assert "all of them hold, but something else failed above, which no baseline records" in closing
    assert (repository / "blessed.json").exists()


@pytest.mark.slow
def test_nothing_is_blessed_where_nothing_was_checked(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file of tests without a property writes no baseline."""
    (repository / "test_model.py").write_text("def test_plain():\n    pass\n")
    assert cli.main(["bless", "blessed.json", "--by", "ann", *FLAGS]) == 2
    assert "gentest: nothing was blessed: pytest ended with exit status " in capfd.readouterr().err
    assert not (repository / "blessed.json").exists()
