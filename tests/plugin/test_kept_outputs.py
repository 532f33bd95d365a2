"""The outputs that a run keeps: each generator's once, from whatever process made them, and from memory if possible."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.gate import kept
from gentest.gate.baseline import Baseline
from gentest.plugin.kept_outputs import FOLDER, OutputsToKeep, inputs_of, remove_replaced
from gentest.probes.probe import independent
from gentest.results.settings import Values
from tests.helpers import handmade

VALUES = Values(device="cpu", examples=8, seed=3)
N = 20


def keeper(folder: Path, n: int = N) -> OutputsToKeep:
    """What a worker has whose controller named the folder."""
    config: Any = SimpleNamespace(workerinput={FOLDER: str(folder)})
    return OutputsToKeep(config, n)


def grey(z: Tensor) -> Tensor:
    return z[:, :1, None, None].sigmoid().expand(-1, 1, 4, 4)


def blessed(property: gentest.Property, generator: gentest.Generator, keeper: OutputsToKeep, test: str = "t::a") -> int:
    """The images of a check that keeps outputs."""
    question = Question(property.definition, test, "p", n_sampled=64, blesses=True, keeper=keeper)
    result = check(question, generator, Context(VALUES), VALUES)
    assert result.message == ""
    return result.images


def test_the_outputs_are_those_of_the_first_probes(tmp_path: Path) -> None:
    """They come back within rounding, with what tells their generator, and in the order of the seed's stream."""
    noisy = gentest.Generator(
        lambda z, noise: grey(z) * noise.sigmoid()[:, None],
        latent=gentest.Normal(3),
        noise={"noise": gentest.Normal((4, 4))},
        output_range=(0, 1),
    )
    blessed(gentest.well_formed(), noisy, keeper(tmp_path))
    file = keeper(tmp_path).save(tmp_path / "blessed.json")
    assert file is not None
    (one,) = file.outputs
    assert (one.tests, one.generator, one.space) == (("t::a",), noisy.fingerprint(), "Normal(3)")
    assert (one.noise, one.seed, one.n, one.shape) == ({"noise": "Normal((4, 4))"}, 3, N, (1, 4, 4))
    inputs = {name: torch.from_numpy(z) for name, z in inputs_of(noisy, 3, N).items()}
    expected = noisy.outputs({"": inputs[""]}, {"noise": inputs["noise"]}).numpy()
    found = kept.load(tmp_path / "blessed.json", file, 0).restored(np.arange(N))
    assert np.abs(found - expected).max() <= one.rounding + 1e-6
    probes = independent(3, 0, N)
    assert len(set(probes)) == N


def test_a_generator_is_kept_once_for_all_its_tests(tmp_path: Path) -> None:
    """A second process, or a second test, makes no outputs of it again, and both tests are named."""
    generator = gentest.Generator(grey, latent=gentest.Normal(3), output_range=(0, 1))
    first = blessed(gentest.between(gentest.brightness(), tolerance=0.5), generator, keeper(tmp_path), "t::b")
    again = blessed(gentest.between(gentest.brightness(), tolerance=0.5), generator, keeper(tmp_path), "t::a")
    assert first == again  # outputs of the summary were in memory
    file = keeper(tmp_path).save(tmp_path / "blessed.json")
    assert file is not None
    assert [one.tests for one in file.outputs] == [("t::a", "t::b")]


@pytest.mark.parametrize("property", [gentest.well_formed(), gentest.diverse(at_least=1e-6)], ids=str)
def test_outputs_in_memory_are_not_made_again(property: gentest.Property, tmp_path: Path) -> None:
    """The summary of the outputs, and a rate or a sample of single latents, look at the same probes."""
    generator = gentest.Generator(grey, latent=gentest.Normal(3), output_range=(0, 1))
    question = Question(property.definition, "t::a", "p", n_sampled=64, blesses=True)
    without = check(question, generator, Context(VALUES), VALUES).images
    assert blessed(property, generator, keeper(tmp_path)) == without


def test_nothing_is_written_if_no_generator_was_checked(tmp_path: Path) -> None:
    """An empty run leaves no file."""
    assert keeper(tmp_path).save(tmp_path / "blessed.json") is None
    assert not kept.outputs_path(tmp_path / "blessed.json").exists()


def test_only_outputs_of_the_replaced_baseline_are_removed(tmp_path: Path) -> None:
    """A file of another name stays where it is, whatever a baseline says."""
    generator = gentest.Generator(grey, latent=gentest.Normal(3), output_range=(0, 1))
    path = tmp_path / "blessed.json"
    blessed(gentest.well_formed(), generator, keeper(tmp_path))
    file = keeper(tmp_path).save(path)
    assert file is not None
    other = tmp_path / "other.json"
    remove_replaced(other, file, None)
    assert kept.outputs_path(path).exists()
    remove_replaced(path, file, file)
    assert kept.outputs_path(path).exists()
    remove_replaced(path, file, None)
    assert not kept.outputs_path(path).exists()
    assert Baseline.load(handmade.written(path, handmade.baseline(handmade.result(handmade.outcomes(64))))).kept is None
