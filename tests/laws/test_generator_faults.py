"""What a generator may do wrong while it is checked: an error that names the probe, or a run that goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.probes.probe import Probe
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

FEW = settings(examples=40, batch_size=16, time_limit=0.5)

HOLDS = gentest.between(gentest.brightness(), tolerance=0.9)


def after(n_calls: int, then: Callable[[Tensor], Tensor]) -> gentest.Generator:
    """The linear generator, which does something else once it was called so often."""
    n = 0

    def f(z: Tensor) -> Tensor:
        nonlocal n
        n += 1
        return zoo.images(zoo.linear(z)) if n <= n_calls else then(z)

    return gentest.Generator(f, latent=gentest.Uniform(8), output_range=zoo.UNIT)


def where(condition: Callable[[Tensor], Tensor], then: Callable[[Tensor], Tensor]) -> gentest.Generator:
    """The linear generator, which does something else with batches that hold a latent [B] of this kind."""

    def f(z: Tensor) -> Tensor:
        return then(z) if bool(condition(z).any()) else zoo.images(zoo.linear(z))

    return gentest.Generator(f, latent=gentest.Uniform(8), output_range=zoo.UNIT)


def rare(z: Tensor) -> Tensor:
    """One latent in fifty."""
    return z[:, 0] > 1.66


def probe_of(result: Result) -> Probe:
    """The probe that an error's message names."""
    assert result.verdict is Verdict.ERROR
    return Probe.parse(result.message.rpartition("(probe ")[2].rstrip(")"))


def fails_on(generator: gentest.Generator, probe: Probe) -> bool:
    """Whether some latent of the probe is of the kind `rare`."""
    families = (gentest.segments(9), gentest.points())
    latents = [family.place(generator.latent, [probe])[""].reshape(-1, 8) for family in families]
    return bool(rare(torch.from_numpy(np.concatenate(latents))).any())


def broken(z: Tensor) -> Tensor:
    raise KeyError("layer 3")


def hangs(z: Tensor) -> Tensor:
    """Waits as a lock does that nobody lets go."""
    threading.Event().wait()
    raise AssertionError


def stubborn(z: Tensor) -> Tensor:
    """A loop that swallows exceptions."""
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (broken, "the generator raised KeyError: 'layer 3' *"),
        (hangs, "the generator did not return within 0.5 seconds *"),
        (stubborn, "the generator did not return within 0.5 seconds *"),
    ],
)
def test_one_latent_of_hundreds_is_named(then: Callable[[Tensor], Tensor], said: str) -> None:
    """Raised in a batch, or hung there: the error names the one probe that it fails on alone."""
    generator = where(rare, then)
    result = HOLDS.check(generator, settings=FEW)
    assert said.rstrip(" *") in result.message
    assert fails_on(generator, probe_of(result))
    assert result.counterexample is None
    assert result.rate is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_one_value_of_hundreds_is_named(value: float) -> None:
    """Not finite, or out of range, at one latent: an error that names its probe, at a rate as in a search."""
    generator = where(rare, lambda z: torch.where(rare(z)[:, None, None, None], value, zoo.images(zoo.linear(z))))
    for property in (HOLDS, HOLDS.at_rate(0.5)):
        result = property.check(generator, settings=FEW)
        assert result.verdict is Verdict.ERROR
        named = result.message.partition("of probe ")[2].partition(";")[0]
        assert fails_on(generator, Probe.parse(named))


@pytest.mark.parametrize("n_calls", [10, 20, 30, 41])
def test_a_generator_that_changes_between_calls_is_no_function(n_calls: int) -> None:
    """From some call on it gives something else: whatever was found by then is believed no more."""
    generator = after(n_calls, lambda z: zoo.images(zoo.linear(z) + 0.25))
    result = HOLDS.check(generator, settings=FEW)
    assert result.verdict is Verdict.ERROR
    assert "(probe " in result.message


def test_a_number_on_the_model_that_changes_makes_it_another() -> None:
    """A number on the model is part of its identity: evidence of before is not taken for what it makes now."""

    class Model(torch.nn.Module):
        level = 0.4

        def forward(self, z: Tensor) -> Tensor:
            return zoo.images(zoo.linear(z) * 0.1 + self.level)

    model = Model()
    generator = gentest.Generator(model, latent=gentest.Uniform(8), output_range=zoo.UNIT)
    dark = gentest.property(probes=gentest.points())(lambda evidence: 0.6 - evidence.scores(gentest.brightness())[:, 0])
    values = Values(device="cpu", examples=20)
    context = Context(values)
    assert check(Question(dark().definition), generator, context, values).verdict is Verdict.NO_COUNTEREXAMPLE
    model.level = 0.7
    result = check(Question(dark().definition), generator, context, values)
    assert result.verdict is Verdict.VIOLATED
    assert (result.violations, result.audit.reused if result.audit else None) == (20, 0)


def numpys() -> MemoryError:
    """What NumPy raises for an array that no machine holds."""
    try:
        np.empty(1 << 50)
    except MemoryError as error:
        return error
    raise AssertionError


NO_ROOM = {
    "cuda": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "torch's CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"),
    "numpy": numpys(),
    "python": MemoryError(),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "onnxruntime": RuntimeError("bad allocation"),
}


@pytest.mark.parametrize("kind", NO_ROOM)
@pytest.mark.parametrize("of", ["generator", "attribute"])
def test_memory_that_runs_out_halves_the_batch(kind: str, of: str) -> None:
    """Whoever says in whatever words that there is no memory is asked for fewer at once; the verdict is the same."""
    sizes: list[int] = []

    def at_most_5(n: int) -> None:
        sizes.append(n)
        if n > 5:
            raise NO_ROOM[kind]

    def f(z: Tensor) -> Tensor:
        at_most_5(len(z) if of == "generator" else 0)
        return zoo.images(zoo.fold(z))

    def bright(x: Tensor) -> Tensor:
        at_most_5(len(x) if of == "attribute" else 0)
        return gentest.brightness()(x)

    def checked(f: Callable[[Tensor], Tensor], bright: gentest.Attribute) -> Result:
        generator = gentest.Generator(f, latent=gentest.Uniform(8), output_range=zoo.UNIT)
        return gentest.between(bright, tolerance=0.1).at_rate(0.5).check(generator, settings=FEW)

    found = checked(f, bright)
    plain = checked(lambda z: zoo.images(zoo.fold(z)), gentest.brightness())
    assert max(sizes) > 5
    assert found.verdict is plain.verdict
    assert (found.margin, found.rate) == (plain.margin, plain.rate)
    assert found.counterexample is not None
    assert plain.counterexample is not None
    assert found.counterexample.probe == plain.counterexample.probe


def test_memory_that_is_not_enough_for_one_is_an_error() -> None:
    """Where not even one output fits, it is said."""

    def f(z: Tensor) -> Tensor:
        raise MemoryError("no room for 4 TiB")

    result = HOLDS.check(gentest.Generator(f, latent=gentest.Normal(2)), settings=FEW)
    assert result.verdict is Verdict.ERROR
    assert result.message == "out of memory with a single output at a time: MemoryError: no room for 4 TiB"


def test_memory_that_runs_out_in_a_margin_halves_the_block() -> None:
    """A property's own arithmetic on many probes at once, too."""
    sizes = []

    @gentest.property(probes=gentest.segments(3))
    def own(evidence: gentest.Evidence) -> Tensor:
        scores = evidence.scores(gentest.brightness())
        sizes.append(len(scores))
        if len(scores) > 3:
            raise MemoryError
        return scores[:, 1] - 0.45

    generator = zoo.generator(zoo.linear)
    result = own().check(generator, settings=FEW)
    assert max(sizes) > 3
    plain = gentest.property(probes=gentest.segments(3))(lambda e: e.scores(gentest.brightness())[:, 1] - 0.45)
    expected = plain().check(zoo.generator(zoo.linear), settings=FEW)
    assert (result.verdict, result.margin) == (expected.verdict, expected.margin)


def test_an_error_that_only_speaks_of_memory_is_an_error() -> None:
    """A user's own words do not make an error a lack of memory."""
    generator = where(rare, broken)
    assert "KeyError" in HOLDS.check(generator, settings=FEW).message


DEAF = """
import ctypes
import gentest, pytest, torch

def deaf(z):
    if len(z) > 1:
        mutex = ctypes.create_string_buffer(64)  # locked twice: waits in C, for ever, whatever signal comes
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
    return z.tanh()[:, :, None, None]

@pytest.fixture(scope="session")
def generator():
    from gentest.engine.evidence import time_limit
    time_limit.GRACE = 0.5
    return gentest.Generator(deaf, latent=gentest.Normal(3))

@gentest.between(gentest.brightness(), tolerance=1)
def test_it(generator):
    return generator
"""


@pytest.mark.slow
def test_what_nothing_interrupts_ends_the_run(tmp_path: Path) -> None:
    """A call that waits in C ends the process, which says what was checked and where it waits, and is no success."""
    (tmp_path / "test_it.py").write_text(DEAF)
    command = [sys.executable, "-m", "pytest", "-p", "no:asyncio", "--gentest", "--gentest-time-limit", "0.5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 3
    said = "gentest: test_it.py::test_it between(brightness(), tolerance=1): the generator has not returned for more "
    assert said in done.stderr
    assert ", line 9 in deaf" in done.stderr
