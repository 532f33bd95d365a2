"""The attack: it finds what random search does not, on the prior, and leaves everything as it was."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest import Result, Verdict, settings
from gentest.engine.methods.attack.descent import MIN_TURN, POPULATION, Descent, _Shell, _Walker
from gentest.probes import shifts
from gentest.probes.ends import scores_of
from gentest.probes.probe import Probe
from tests.helpers import zoo

ATTACK = settings(examples=40, attack=4000)
CLIP = Path(gentest.__file__).parents[1] / "examples" / "fashion" / "clip"


@gentest.property(probes=gentest.points())
def dark(evidence: gentest.Evidence) -> Tensor:
    """No output is brighter than a half."""
    return 0.5 - evidence.scores(gentest.brightness())[:, 0]


def ridge(z: Tensor) -> Tensor:
    """Brighter than a half where the mean of 16 coordinates is 1: one sample in 30,000."""
    return torch.sigmoid(4.0 * (z[:, :16].mean(1) - 1.0))


def check(property: gentest.Property, level: object, latent: gentest.Space, **given: int) -> Result:
    """A property of a grey generator, under attack."""
    generator = zoo.generator(level, latent)  # type: ignore[arg-type]
    return property.check(generator, settings=settings(**{**ATTACK.given, **given}))


SPACES = [
    gentest.Normal(64),
    gentest.Normal((4, 4, 4)),
    gentest.Sphere(64),
    gentest.Uniform(64),
    gentest.TruncatedNormal(64),
    gentest.Normal(64).truncated(0.9),
]


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_what_is_rare_is_found_on_the_prior(space: gentest.Space) -> None:
    """In every prior, where 40 samples show nothing; the latent is as typical as a sample, and says how far it went."""
    result = check(dark(), lambda z: ridge(z.flatten(1)), space)
    assert result.verdict is Verdict.VIOLATED, result.message
    assert result.violations == 0
    assert result.attack is not None
    assert (result.attack.method, result.attack.found) == ("gradient", True)
    assert result.attack.probes <= 40 * POPULATION
    found = result.counterexample
    assert found is not None
    assert found.margin < 0
    assert found.moved is not None
    assert 0.0 < found.moved.distance < 1.0
    assert found.moved.start_margin > 0
    if found.typicality is not None:
        assert 0.001 <= found.typicality <= 0.999
    z = gentest.points().place(space, [Probe.from_json(found.probe)])[""]
    assert np.abs(z).max() <= {gentest.Uniform: 3**0.5 + 1e-6, gentest.TruncatedNormal: 2.0}.get(type(space), 9.0)


def test_only_the_coordinates_that_matter_stay_moved() -> None:
    """The defect is in 16 of 64 coordinates: none of the others is moved, and the way is cut short."""
    result = check(dark(), ridge, gentest.Normal(64))
    assert result.counterexample is not None
    assert result.worst is not None
    moved, at_first = result.counterexample.moved, result.worst.moved
    assert moved is not None
    assert at_first is not None
    assert {int(g) for g in moved.groups} <= set(range(16))
    assert len(moved.groups) < len(at_first.groups)
    assert moved.distance < at_first.distance


def test_a_finding_replays() -> None:
    """The replay string alone gives the same margin in a fresh session, and so does that of the sample it came from."""
    property = gentest.between(gentest.brightness(), tolerance=0.05)
    result = check(property, lambda z: 0.5 + 0.3 * torch.tanh(z[:, 0] * z[:, 1] / 4), gentest.Normal(32))
    found = result.counterexample
    assert found is not None
    generator = zoo.generator(lambda z: 0.5 + 0.3 * torch.tanh(z[:, 0] * z[:, 1] / 4), gentest.Normal(32))
    assert property.replay(generator, found.replay).margin.min == found.margin  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["numpy", "no_grad", "detach", "attribute"])
def test_without_a_gradient_evolution_finds_it(kind: str) -> None:
    """NumPy, a generator under no_grad, one that detaches, and an attribute that leaves torch."""
    space = gentest.Normal(32)

    def outputs(z: Tensor) -> Tensor:
        made = zoo.images(ridge(z))
        return made.detach() if kind == "detach" else made

    def brightness(images: Tensor) -> Tensor:
        return torch.from_numpy(images.numpy().mean((1, 2, 3)))

    @gentest.property(probes=gentest.points())
    def dim(evidence: gentest.Evidence) -> Tensor:
        return 0.5 - evidence.scores(brightness)[:, 0]

    generator = gentest.Generator(torch.no_grad()(outputs) if kind == "no_grad" else outputs, latent=space)
    if kind == "numpy":
        generator = gentest.Generator.from_numpy(lambda z: outputs(torch.from_numpy(z)).numpy(), latent=space)
    generator = replace_range(generator)
    result = (dim() if kind == "attribute" else dark()).check(generator, settings=ATTACK)
    assert result.attack is not None, result.message
    assert (result.attack.method, result.attack.found) == ("evolution", True)
    assert result.counterexample is not None
    assert result.counterexample.margin < 0


def test_evolution_without_cmaes_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is an error that names it, once the attack has found no gradient."""
    monkeypatch.setitem(sys.modules, "cmaes", None)
    result = check(dark(), lambda z: ridge(z).detach(), gentest.Normal(32))
    assert result.verdict is Verdict.ERROR
    assert "pip install 'pytest-gentest[attack]'" in result.message
    assert check(dark(), ridge, gentest.Normal(32)).attack is not None


def replace_range(generator: gentest.Generator) -> gentest.Generator:
    """The same generator with outputs in [0, 1]."""
    return gentest.Generator(generator.function, latent=generator.latent, output_range=zoo.UNIT)


def test_a_hard_edge_is_not_promised() -> None:
    """Flat all around, there is nowhere to go: the budget is spent, and the verdict says no more than before."""
    result = check(dark(), lambda z: (z[:, 0] > 8.0).float(), gentest.Normal(16), attack=500)
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE
    assert result.attack is not None
    assert not result.attack.found
    assert 500 <= result.attack.images <= 500 + 64
    assert result.attack.least == 0.5


@pytest.mark.parametrize("attack", [1, 100, 1000])
def test_the_budget_is_kept(attack: int) -> None:
    """No more than one round is made over it."""
    result = check(dark(), lambda z: 0.1 * torch.sigmoid(z[:, 0]), gentest.Normal(8), attack=attack)
    assert result.attack is not None
    assert attack <= result.attack.images <= attack + POPULATION + 1


@pytest.mark.parametrize("way", ["gradient", "evolution"])
def test_what_a_cache_holds_is_no_budget_saved(way: str, tmp_path: Path) -> None:
    """A second run, which finds everything measured, looks at the same probes and says the same."""

    def level(z: Tensor) -> Tensor:
        found = 0.45 * torch.sigmoid(z[:, 0])
        return found if way == "gradient" else found.detach()

    said = []
    for _ in range(2):
        looks = settings(**{**ATTACK.given, "attack": 600, "cache": str(tmp_path)})
        said.append(dark().check(zoo.generator(level, gentest.Normal(8)), settings=looks).attack)
    assert said[0] is not None
    assert said[1] is not None
    assert (said[0].method, said[0].found) == (way, False)
    assert (said[0].probes, said[0].least) == (said[1].probes, said[1].least)


def test_a_budget_that_the_first_look_spends_is_still_an_answer() -> None:
    """One that finds no gradient on its only round says what it saw there, in JSON too."""
    result = check(dark(), lambda z: ridge(z).detach(), gentest.Normal(32), attack=1)
    assert result.attack is not None, result.message
    assert result.attack.probes == POPULATION
    assert Result.from_json(result.to_json()).attack == result.attack


def test_it_runs_where_the_search_found_nothing_and_when_asked() -> None:
    """A counterexample that a search finds is enough; and without a budget there is no attack."""
    assert check(dark(), lambda z: torch.sigmoid(z[:, 0]), gentest.Normal(8)).attack is None
    assert check(dark(), ridge, gentest.Normal(64), attack=0).attack is None


def test_nothing_of_it_counts_in_a_rate() -> None:
    """The rate is the same to the last digit, and holds although the attack found a counterexample."""
    with_it = check(dark().at_rate(0.9), ridge, gentest.Normal(64))
    without = check(dark().at_rate(0.9), ridge, gentest.Normal(64), attack=0)
    assert with_it.verdict is without.verdict is Verdict.HOLDS
    assert with_it.rate == without.rate
    assert (with_it.examples, with_it.violations, with_it.margin) == (without.examples, 0, without.margin)
    assert with_it.counterexample is not None
    assert without.counterexample is None


def test_the_batch_size_changes_nothing() -> None:
    """The same counterexample, shift and all, at batches of 4, 32 and 128."""
    found = [check(dark(), ridge, gentest.Normal(64), batch_size=n).counterexample for n in (4, 32, 128)]
    assert found[0] is not None
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_says_the_same_twice(seed: int) -> None:
    """By gradients and by evolution."""
    for level in (ridge, lambda z: ridge(z).detach()):
        first, second = (check(dark(), level, gentest.Normal(32), seed=seed) for _ in range(2))
        assert first.counterexample == second.counterexample is not None
        assert first.attack == second.attack


def test_generator_and_clip_are_left_as_they_were() -> None:
    """Weights, gradients, flags, modes and every random state, also where evolution follows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Unflatten(1, (1, 8, 8)), nn.Tanh())
    net[0].weight.requires_grad = False
    generator = gentest.Generator(net, latent=gentest.Normal(8))
    property = gentest.between(gentest.clip("a shirt", against="a shoe"), tolerance=50.0)
    quick = settings(examples=8, attack=300, clip=f"local-dir:{CLIP}", device="cpu")
    property.check(generator, settings=replace_attack(quick, 0))  # loads the CLIP
    from gentest.attributes.clip.model import _models

    modules = [net, *(model._visual for model in _models.values())]
    before = [state(module) for module in modules]
    random_states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    result = property.check(generator, settings=quick)
    assert result.attack is not None, result.message
    assert (result.attack.method, result.verdict) == ("gradient", Verdict.NO_COUNTEREXAMPLE)
    assert [state(module) for module in modules] == before
    assert torch.equal(torch.get_rng_state(), random_states[0])
    assert np.random.get_state()[1].tolist() == random_states[1]  # noqa: NPY002
    assert random.getstate() == random_states[2]


def replace_attack(given: settings, attack: int) -> settings:
    """The same settings with another budget."""
    return settings(**{**given.given, "attack": attack})


def state(module: nn.Module) -> list[object]:
    """All of a module that somebody could have changed."""
    tensors = [
        (name, value.detach().numpy().tobytes(), value.requires_grad) for name, value in module.state_dict().items()
    ]
    parameters = [(name, p.requires_grad, p.grad is None) for name, p in module.named_parameters()]
    return [tensors, parameters, [m.training for m in module.modules()], torch.is_grad_enabled()]


def test_what_the_generator_cannot_do_where_it_is_led_is_an_error() -> None:
    """An output that is not finite, met on the way, is no pass: the error names the probe, and it replays."""
    result = check(
        dark(), lambda z: torch.where(z[:, :16].mean(1) > 0.8, torch.nan, 0.4 * ridge(z)), gentest.Normal(32)
    )
    assert result.verdict is Verdict.ERROR
    assert "not finite" in result.message
    assert "-s" in result.message


def test_a_labels_value_is_the_starts_own() -> None:
    """Choices stay those of the sample, of which the worst come first: label 3 alone can be made bright."""
    space = gentest.Joint(label=gentest.Categorical(5), z=gentest.Normal(32))
    generator = gentest.Generator(
        lambda label, z: zoo.images(torch.where(label == 3, 1.0, 0.3) * ridge(z)), latent=space, output_range=zoo.UNIT
    )
    result = dark().check(generator, settings=ATTACK)
    assert result.counterexample is not None
    assert list(result.counterexample.probe["choices"]) == [3]


def onto(scores: np.ndarray, origin: np.ndarray) -> bytes:
    """A shift to anywhere."""
    return shifts.to_bytes(scores - origin)


def test_a_step_up_is_taken_back() -> None:
    """A walker goes on from its best, in smaller steps, until it is stuck."""
    origin = np.array([3.0, 4.0])
    walker = _Walker(Probe(1), origin)
    walker.step(1.0, np.array([0.0, 2.0]), onto)
    np.testing.assert_allclose(origin + shifts.to_scores(walker.shift), [3.0, 4.0 - 0.2 * 5.0])
    for _ in range(10):
        walker.step(2.0, np.array([1.0, 0.0]), onto)
    assert walker.stuck
    assert walker.min_margin == 1.0
    assert not walker.shift or abs(shifts.to_scores(walker.shift)).max() < 5 * MIN_TURN
    flat = _Walker(Probe(1), origin)
    flat.step(1.0, np.zeros(2), onto)
    assert flat.stuck


def test_a_walker_that_a_step_leads_nowhere_makes_room() -> None:
    """Against the border of where samples lie every step ends where it was: that is no reason to look again."""
    walker = _Walker(Probe(1), np.array([3.0, 4.0]))
    walker.step(1.0, np.array([0.0, -1.0]), lambda scores, origin: b"\0\1")
    assert not walker.stuck
    walker.step(0.5, np.array([0.0, -1.0]), lambda scores, origin: b"\0\1")
    assert walker.stuck


def test_the_shell_is_where_all_but_one_in_a_hundred_lie() -> None:
    """Of 4,000 samples 1 % are moved, and what is too long or too short comes back as far as a shift reaches."""
    shell = _Shell(gentest.Normal(64), 1)
    samples = np.random.default_rng(0).normal(size=(4000, 64))
    assert 0.005 < np.mean([shell(row, row) != b"" for row in samples]) < 0.015
    lengths = np.linalg.norm(samples, axis=1)
    for scale in (0.5, 2.0):
        there = samples[0] + shifts.to_scores(shell(scale * samples[0], samples[0]))
        assert lengths.min() < np.linalg.norm(there) < lengths.max()


@pytest.mark.parametrize(
    "level", [lambda z: 0.45 * torch.sigmoid(z[:, 0] - 5), lambda z: 0.4 * torch.sigmoid(40 - z.norm(dim=1))]
)
def test_no_end_leaves_where_samples_lie(level: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one coordinate of 4,096 is all that matters, or the length itself: no probe looked at is off it."""
    looked: list[Probe] = []
    confirmed = Descent._confirmed
    monkeypatch.setattr(Descent, "_confirmed", lambda self, p, m: looked.extend(p) or confirmed(self, p, m))
    space = gentest.Normal(4096)
    result = check(dark(), level, space, attack=600)
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE
    lengths = np.linalg.norm(scores_of(space, looked, gentest.points().streams), axis=1)
    moved = np.array([bool(probe.shift) for probe in looked])
    assert moved.sum() > 100
    assert lengths[moved].min() > 0.97 * 62.2
    assert lengths[moved].max() < 1.03 * 65.9


@pytest.mark.parametrize("d", [1, 4, 64])
def test_the_budget_is_not_spent_on_what_was_seen(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a property cannot be violated, members end at the border and fresh samples take their places."""
    looked: list[Probe] = []
    confirmed = Descent._confirmed
    monkeypatch.setattr(Descent, "_confirmed", lambda self, p, m: looked.extend(p) or confirmed(self, p, m))
    check(dark(), lambda z: 0.45 * torch.sigmoid(z[:, 0]), gentest.Normal(d), attack=3000)
    assert len(looked) >= 3000
    assert len(set(looked)) > 0.9 * len(looked)
    assert len({probe.seed for probe in looked}) > 3 * POPULATION


def test_priors_of_other_coordinates_are_not_attacked() -> None:
    """A shift of one prior's scores says nothing under another that draws fewer: the result says so, and is green."""
    bank = gentest.Empirical(np.random.default_rng(0).normal(size=(50, 8)))
    property = gentest.prior_invariant(gentest.between(gentest.brightness(), tolerance=1.0), priors=[bank])
    result = check(property, lambda z: torch.sigmoid(z[:, 0]), gentest.Normal(8))
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE, result.message
    assert result.attack is not None
    assert "different numbers of coordinates" in result.attack.message


def test_latents_too_large_for_a_replay_are_not_attacked() -> None:
    """What could not be written on a command line is not looked for."""
    result = check(dark(), lambda z: 0.1 + 0 * z[:, 0], gentest.Normal(1 << 17), examples=2)
    assert result.attack is not None
    assert "131,072 coordinates" in result.attack.message


def test_a_mapping_that_leaves_torch_is_evolved() -> None:
    """A network of a Mapped space whose forward goes through NumPy has no gradient; no error comes of it."""

    class Leaves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, z: Tensor) -> Tensor:
            return torch.from_numpy(np.tanh(z.numpy())) * self.scale

    result = check(
        dark(), lambda w: 0.4 * torch.sigmoid(w[:, 0]), gentest.Mapped(gentest.Normal(4), Leaves()), attack=200
    )
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE, result.message
    assert result.attack is not None
    assert result.attack.method == "evolution"


@pytest.mark.parametrize("most", [0, 5])
def test_memory_that_runs_out_under_gradients_takes_no_answer_away(most: int) -> None:
    """Smaller blocks are tried, and at the end the attack is over; the session's batch size stays what it was."""

    def level(z: Tensor) -> Tensor:
        if z.requires_grad and len(z) > most:
            raise torch.cuda.OutOfMemoryError("simulated")
        return ridge(z)

    result = check(dark(), level, gentest.Normal(64), batch_size=4)
    assert result.attack is not None, result.message
    assert result.verdict is (Verdict.VIOLATED if most else Verdict.NO_COUNTEREXAMPLE)
    assert result.attack.found is bool(most)


def test_no_choice_is_moved_by_evolution() -> None:
    """A fresh start's label is its seed's own, and stays so."""
    space = gentest.Joint(label=gentest.Categorical(5), z=gentest.Normal(4))
    shell = _Shell(space, 2)
    origin = np.ones(10)
    by = shifts.to_scores(shell(origin + 0.5, origin))
    assert by[[0, 5]].tolist() == [0.0, 0.0]
    assert (by[1:5] != 0).all()
