"""A run that is told to stop leaves what it has, says so, and nothing passes on a part of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import cli, settings
from gentest.report.run_facts import unfinished
from gentest.results.outcome import Outcome
from gentest.results.result import Result
from tests.helpers import zoo

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

SOURCE = """
import os, signal
calls = 0

def stopping(z):
    global calls
    calls += 1
    if calls > 200:
        STOP
    return z.tanh()[:, :, None, None]

@HOLDS
def test_a(generator):
    return generator

@gentest.continuous(tolerance=5)
@HOLDS
@HOLDS
def test_b():
    return gentest.Generator(stopping, latent=gentest.Normal(3))

@HOLDS
def test_c(generator):
    return generator
"""
HOW = {
    "Ctrl-C": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
}
NAMES = [f"test_model.py::{name}" for name in ("test_a", "test_b", "test_c")]
FLAGS = ("--gentest-json", "results.json", "--gentest-report", "page.html", "--gentest-examples", "100")
BASELINE = ("--gentest-save-baseline", "baseline.json", "--gentest-baseline-probes", "256")


@pytest.fixture(autouse=True)
def _nobody_listens() -> Iterator[None]:
    """Signals end this process, as they do where no other test has started a Ray cluster, which listens to them."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stop_at(n: int) -> str:
    """The source, where the generator of the second test stops the run at its n-th call."""
    return SOURCE.replace("> 200", f"> {n}")


def stopped(repository: Repository, how: str, *flags: str, after: int = 14) -> None:
    """A run that is stopped in the middle of its second test."""
    repository.write(stop_at(after).replace("STOP", HOW[how][0]))
    with pytest.raises(KeyboardInterrupt):  # which pytester hands on
        repository.run("--gentest", "--gentest-batch-size", "100", *FLAGS, *flags)


@pytest.mark.parametrize("how", HOW)
def test_a_run_that_is_stopped_leaves_what_it_has(
    how: str, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON, page and summary hold what was decided, what stopped it, and which tests were not checked to the end."""
    before = signal.getsignal(signal.SIGTERM)
    stopped(repository, how)
    document = repository.document()
    assert (document["interrupted"], document["unchecked"]) == (HOW[how][1], NAMES[1:])
    decided = [(result["test"], result["verdict"]) for result in document["results"]]
    assert decided[0] == (NAMES[0], "no_counterexample")
    assert set(decided[1:]) <= {(NAMES[1], "no_counterexample")}
    said = f"interrupted ({HOW[how][1]}): 2 tests not checked: {NAMES[1]}, {NAMES[2]}"
    assert said in capsys.readouterr().out
    page = (repository.path / "page.html").read_text(encoding="utf-8")
    assert said in page
    assert "<title>partial" in page
    assert page.rstrip().endswith("</html>")
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_decided_of_the_test_it_was_stopped_in_is_kept(repository: Repository) -> None:
    """The first of three properties is in the results; the test is named as not checked."""
    repository.write(
        "def stops(images):\n    raise KeyboardInterrupt\n"
        "@HOLDS\n@gentest.between(stops, tolerance=1)\n@HOLDS\ndef test_a(generator):\n    return generator\n"
    )
    with pytest.raises(KeyboardInterrupt):
        repository.check("--gentest-json", "results.json")
    document = repository.document()
    assert [(r["test"], r["verdict"]) for r in document["results"]] == [(NAMES[0], "no_counterexample")]
    assert document["unchecked"] == NAMES[:1]


def test_no_gate_passes_a_part(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """`gentest gate` and `show` are undecided on a part, even where the baseline has no more than was checked."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    assert repository.check(*BASELINE).ret == 0
    stopped(repository, "Ctrl-C", "--gentest-baseline", "baseline.json", "--gentest-outcomes", "--gentest-drift", "off")
    part, whole = repository.path / "results.json", repository.path / "whole.json"
    document = repository.document()
    document["results"] = [r for r in document["results"] if r["test"] == NAMES[0]]
    part.write_text(json.dumps(document))
    whole.write_text(json.dumps(document | {"interrupted": "", "unchecked": []}))
    gate = ["--baseline", str(repository.path / "baseline.json"), "--undecided", "warn"]
    assert cli.main(["gate", str(whole), *gate]) == cli.main(["show", str(whole)]) == Outcome.PASSED.exit_status
    capsys.readouterr()
    for words in (["gate", str(part), *gate], ["show", str(part)]):
        assert cli.main(words) == Outcome.UNDECIDED.exit_status
        assert unfinished("KeyboardInterrupt", NAMES[1:]) in capsys.readouterr().out
    assert cli.main(["show", str(part), "--markdown"]) == Outcome.UNDECIDED.exit_status
    assert "❌ interrupted (KeyboardInterrupt)" in capsys.readouterr().out


def test_a_part_is_not_blessed(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    """The baseline stays as it was, and one line says why."""
    stopped(repository, "SIGTERM", *BASELINE)
    assert not (repository.path / "baseline.json").exists()
    assert f"not blessed: interrupted (SIGTERM): 2 tests not checked: {NAMES[1]}" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [(), BASELINE], ids=["checked", "blessed"])
def test_a_run_that_somebody_ends_early_is_no_success(repository: Repository, flags: tuple[str, ...]) -> None:
    """`pytest.exit` with exit status 0, before all was checked: neither passed nor blessed."""
    repository.write(
        "@HOLDS\ndef test_a(generator):\n    return generator\n"
        "def test_ends():\n    pytest.exit('enough', returncode=0)\n"
        "@HOLDS\ndef test_b(generator):\n    return generator\n"
    )
    result = repository.check("--gentest-json", "results.json", *flags)
    assert result.ret != 0
    assert (repository.document()["interrupted"], repository.document()["unchecked"]) == ("enough", [NAMES[1]])
    assert not (repository.path / "baseline.json").exists()


def test_a_second_interrupt_while_fixtures_end_takes_no_file_away(repository: Repository) -> None:
    """Files are written even where the end of a fixture is interrupted too."""
    (repository.path / "conftest.py").write_text(
        "import pytest, gentest\n\n@pytest.fixture(scope='session')\ndef generator():\n"
        "    yield gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))\n"
        "    raise KeyboardInterrupt\n"
    )
    stopped(repository, "Ctrl-C")
    assert repository.document()["unchecked"] == NAMES[1:]
    assert (repository.path / "page.html").exists()


@pytest.mark.slow
def test_workers_that_are_interrupted_leave_what_they_sent(repository: Repository) -> None:
    """Ctrl-C reaches the controller and its workers at once: the files are there and name what is missing."""
    slow = "".join(
        f"def slow{i}(z):\n    time.sleep(0.02)\n    return z.tanh()[:, :, None, None]\n"
        f"@HOLDS\ndef test_{i}():\n    if {i} > 1:\n        open('begun', 'w').close()\n        time.sleep(60)\n"
        f"    return gentest.Generator(slow{i}, latent=gentest.Normal(3))\n"
        for i in range(4)
    )
    repository.write("import time\n" + slow)
    command = [sys.executable, "-m", "pytest", "--gentest", "--gentest-examples", "20", "-n", "2", *FLAGS[:4]]
    running = subprocess.Popen(
        command,
        cwd=repository.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    until = time.monotonic() + 120
    while not (repository.path / "begun").exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)
    text = running.communicate(timeout=60)[0].decode()
    assert running.returncode == pytest.ExitCode.INTERRUPTED, text
    document = repository.document()
    assert document["interrupted"], text
    assert document["unchecked"]
    checked = {result["test"] for result in document["results"]}
    assert checked | set(document["unchecked"]) == {f"test_model.py::test_{i}" for i in range(4)}
    assert not checked & set(document["unchecked"])
    assert "not checked" in text
    assert (repository.path / "page.html").exists()


# --- within one check


class Stopping:
    """A function of latents that raises KeyboardInterrupt at its n-th call, having drawn random numbers before."""

    def __init__(self, n: int) -> None:
        self.n_calls, self._n = 0, n

    def __call__(self, z: Tensor) -> Tensor:
        self.n_calls += 1
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002 - the global one is meant
        if self.n_calls == self._n:
            raise KeyboardInterrupt
        return zoo.images(zoo.fold(z))


def state() -> tuple[object, ...]:
    """All that a check may change of this process."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    return (
        torch.get_rng_state().tolist(),
        str(numpy),
        random.getstate(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.flags,
        torch.are_deterministic_algorithms_enabled(),
        signal.getsignal(signal.SIGINT),
    )


LOOKS: dict[str, Callable[[], gentest.Property]] = {
    "search": lambda: gentest.between(gentest.brightness(), tolerance=0.01),
    "attack": lambda: gentest.between(gentest.brightness(), tolerance=0.3),
    "rate": lambda: gentest.between(gentest.brightness(), tolerance=gentest.sd(1)).at_rate(0.5),
    "total": lambda: gentest.well_formed(),
    "priors": lambda: gentest.prior_invariant(
        gentest.between(gentest.brightness(), tolerance=0.3), priors=[gentest.Uniform(8)]
    ),
}


@pytest.mark.parametrize("what", LOOKS)
def test_an_interrupt_is_no_error_and_leaves_everything_as_it_was(what: str) -> None:
    """Wherever in a check the generator is interrupted: it is raised, nothing of the process is changed, and the next
    check of the same comes to the same."""

    def result(generator: gentest.Generator) -> Result:
        with_attack = settings(examples=20, budget=64, device="cpu", attack=300 if what == "attack" else 0)
        found = LOOKS[what]().check(generator, settings=with_attack)
        cost = replace(found.cost, seconds=0.0)
        return replace(found, cost=cost, provenance=replace(found.provenance, generator=""))

    def made(function: Stopping) -> gentest.Generator:
        return gentest.Generator(function, latent=gentest.Normal(8), output_range=zoo.UNIT)

    undisturbed = Stopping(0)
    expected = result(made(undisturbed))
    before = state()
    last = undisturbed.n_calls
    for n in sorted({1, 2, last, *random.Random(what).sample(range(1, last + 1), min(2, last))}):
        stopping = Stopping(n)
        generator = made(stopping)
        with pytest.raises(KeyboardInterrupt):
            result(generator)
        assert state() == before
        assert result(generator) == expected
        assert state() == before
