"""A part of the fuzz in every run of the tests; and what it is to find it does find."""

from __future__ import annotations

import json
import os
import pickle
import resource
import socket
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gentest.errors import InvalidArgument
from gentest.gate.baseline import Baseline
from gentest.report import page
from tests.audit import fuzz, parsers, watching
from tests.audit.malformed import TAG
from tests.audit.parsers import KINDS, Kind, Refused
from tests.audit.watching import Watch

N = 200
SEED = 20261128


@pytest.fixture(scope="module")
def watch() -> Watch:
    """The audit hook, of which a process needs one."""
    fuzz.warm_up()
    return Watch()


@pytest.mark.slow
def test_some_hundred_inputs_are_used_or_refused(watch: Watch) -> None:
    """Every parser is fed, some inputs are accepted and most refused, and none does what it may not."""
    tally = fuzz.run(N, SEED, watch=watch)
    assert tally.findings == []
    assert tally.accepted.total() > N // 10
    assert tally.refused.total() > N // 3
    assert {kind.name for kind in KINDS} == set(tally.accepted) | set(tally.refused)


def test_an_input_is_made_again(tmp_path: Path) -> None:
    """The same seed and number make the same input, byte for byte."""
    kind = KINDS[0]
    made = []
    for at in range(2):
        folder = tmp_path / str(at)
        folder.mkdir()
        kind.make(Random("7 baseline 3"), folder)
        made.append((folder / "blessed.json").read_bytes())
    assert made[0] == made[1]


def evaluates(made: str, folder: Path) -> None:
    eval(made)


def writes_outside(made: str, folder: Path) -> None:
    (folder.parent / "outside").write_text(made)


def writes_through_a_link(made: str, folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    (folder / "link" / "outside").write_text(made)


def removes_outside(made: str, folder: Path) -> None:
    (folder.parent / "outside").unlink()


def unpickles(made: str, folder: Path) -> None:
    pickle.loads(pickle.dumps(Path("x")))


def starts_a_process(made: str, folder: Path) -> None:
    subprocess.run(["true"], check=False)


def calls_the_shell(made: str, folder: Path) -> None:
    os.system("true")


def connects(made: str, folder: Path) -> None:
    socket.socket().close()


def imports(made: str, folder: Path) -> None:
    (folder / "stranger.py").write_text("")
    import sys

    sys.path.insert(0, str(folder))
    try:
        __import__("stranger")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("stranger", None)


def takes_memory(made: str, folder: Path) -> None:
    now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    bytearray(b"x") * (watching._most_memory() - now + (256 << 20))  # more than other tests of this process took


def takes_time(made: str, folder: Path) -> None:
    sum(i * i for i in range(3_000_000))


def warns(made: str, folder: Path) -> None:
    warnings.warn("of something", UserWarning, stacklevel=1)


def raises_another(made: str, folder: Path) -> None:
    raise KeyError(made)


def says_several_lines(made: str, folder: Path) -> None:
    raise InvalidArgument("planted:\n" + made)


def names_nothing(made: str, folder: Path) -> None:
    raise InvalidArgument("something is wrong")


PLANTED: list[tuple[Callable[[str, Path], None], str]] = [
    (evaluates, "exec"),
    (writes_outside, "opened for writing"),
    (writes_through_a_link, "opened for writing"),
    (removes_outside, "os.remove"),
    (unpickles, "pickle.find_class"),
    (starts_a_process, "subprocess.Popen"),
    (calls_the_shell, "os.system"),
    (connects, "socket"),
    (imports, "import"),
    (takes_memory, "MB more"),
    (takes_time, "s of this process"),
    (warns, "warned: of something"),
    (raises_another, "KeyError"),
    (says_several_lines, "a message of"),
    (names_nothing, "a message that does not name 'planted'"),
]


@pytest.mark.parametrize(("use", "said"), PLANTED, ids=[use.__name__ for use, _ in PLANTED])
def test_what_an_input_may_not_do_is_found(
    use: Callable[[str, Path], None], said: str, tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that runs code, leaves its folder, starts something, takes too much, or says too little, is found."""
    monkeypatch.setattr(watching, "SECONDS", 0.05)
    monkeypatch.setattr(watching, "MEMORY", 64 * 2**20)
    (tmp_path / "outside").write_text("somebody else's")
    kind = Kind("planted", 1, lambda rng, folder: "1 + 1", use, "planted")
    assert said in fuzz.feed(kind, 0, 0, tmp_path, watch)


def test_what_is_allowed_is_no_finding(tmp_path: Path, watch: Watch) -> None:
    """Writing inside the folder and refusing in one line that names the file are what parsers are to do."""

    def saves(made: str, folder: Path) -> None:
        (folder / "inside").write_text(made)

    def refuses(made: str, folder: Path) -> None:
        raise InvalidArgument("planted.json: was edited")

    def refused(made: str, folder: Path) -> None:
        raise Refused("as no memory")

    uses = (saves, refuses, refused)
    kinds = [Kind("planted", 1, lambda rng, folder: "1", use, "planted") for use in uses]
    assert [fuzz.feed(kind, 0, 0, tmp_path, watch) for kind in kinds] == ["accepted", "refused", "refused"]


def found(name: str, watch: Watch, n: int = 30) -> str:
    """All that is found of some inputs of a kind."""
    kind = next(kind for kind in KINDS if kind.name == name)
    return "\n".join(said for _, _, said in fuzz.run(n, SEED, (kind,), watch).findings)


def test_a_baseline_that_is_evaluated_is_found(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    """Where the real parser is broken so that it runs what it reads, the real inputs show it."""
    read = Baseline.load

    def evaluating(path: Path) -> Baseline:
        eval(repr(path.name))
        return read(path)

    monkeypatch.setattr(Baseline, "load", evaluating)
    assert "exec" in found("baseline", watch, 5)


def test_a_baseline_without_a_schema_is_found(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    """Where numbers are taken whatever they are, the gate or a report breaks on some input."""
    monkeypatch.setattr("gentest.results.records._within", lambda within, name, value: value)
    monkeypatch.setattr("gentest.results.records.read_record", lambda cls, value: cls(**value))
    monkeypatch.setattr("gentest.results.result.read_record", lambda cls, value: cls(**value))
    assert "Error" in found("results", watch)


def test_a_page_that_does_not_escape_is_found(monkeypatch: pytest.MonkeyPatch, watch: Watch, tmp_path: Path) -> None:
    """Without escaping, names from the inputs become elements and addresses of the page."""
    page._environment.cache_clear()
    monkeypatch.setattr(page._environment(), "autoescape", False)
    page._environment().cache.clear()  # type: ignore[union-attr]
    try:
        for template in ("page.html", "result.html"):  # compiled before the hook is armed
            page._environment().get_template(template)
        tree = replace(parsers.CANDIDATE, results=(replace(parsers.RESULTS[0], property=TAG),)).to_json()
        assert "a page has" in fuzz.feed(unchanged("results", tree), 0, 0, tmp_path, watch)
    finally:
        page._environment.cache_clear()
        fuzz.warm_up()


def test_codes_for_a_terminal_are_found(monkeypatch: pytest.MonkeyPatch, watch: Watch, tmp_path: Path) -> None:
    """Where names are printed as they are, some input moves the cursor or speaks to a CI runner."""
    for module in ("cli.results_files", "report.terminal"):
        monkeypatch.setattr(f"gentest.{module}.printable", lambda text: text)
    tree = replace(parsers.CANDIDATE, results=(replace(parsers.RESULTS[0], property="\x1b[2J"),)).to_json()
    assert "a terminal is shown" in fuzz.feed(unchanged("results", tree), 0, 0, tmp_path, watch)


def unchanged(name: str, tree: Any) -> Kind:
    """The kind of that name, of this very tree."""
    kind = next(kind for kind in KINDS if kind.name == name)
    return replace(kind, make=lambda rng, folder: (folder / kind.names).write_text(json.dumps(tree)))


def test_the_real_inputs_are_accepted(tmp_path: Path, watch: Watch) -> None:
    """What nobody changed is no error: the fuzz starts from files that gentest reads."""
    body = parsers.signed(parsers.PLAIN["baseline"])
    trees = [("baseline", body), ("results", parsers.PLAIN["results"]), ("results", parsers.PLAIN["candidate"])]
    trees += [("prompts", parsers.PROMPTS), ("direction", parsers.DIRECTION)]
    came = [fuzz.feed(unchanged(name, tree), 0, 0, tmp_path, watch) for name, tree in trees]
    assert came == ["accepted"] * len(trees)
