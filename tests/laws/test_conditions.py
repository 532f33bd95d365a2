"""Values that a person wrote reach the generator as they are, in every call; results, errors and replays show them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.errors import InvalidArgument
from gentest.report import facts, page
from gentest.results.result import Cost, Result
from tests.helpers import zoo
from tests.helpers.recalled import InMemory

COLOURS = ("green", "red", "blue")
PROMPT = gentest.Template("a {size} {colour} {thing}", size=[None, "big"], colour=list(COLOURS), thing=["coat", "hat"])
SPACE = gentest.Joint(z=gentest.Uniform(4), prompt=PROMPT, scale=gentest.OneOf(3.0, 5.0, 7.5))


@dataclass
class Painter:
    """Grey images: a little brighter with the scale, and too bright for prompts that `is_bad` names."""

    is_bad: Callable[[str], bool] = lambda prompt: False
    calls: list[tuple[list[str], Tensor]] = field(default_factory=list)

    def __call__(self, z: Tensor, prompt: list[str], scale: Tensor) -> Tensor:
        assert type(prompt) is list
        assert scale.dtype == torch.float32
        assert len(prompt) == len(scale) == len(z)
        self.calls.append((prompt, scale))
        bad = torch.tensor([self.is_bad(text) for text in prompt]).float()
        return zoo.images(0.3 + 0.01 * z[:, 0] + 0.01 * scale + 0.4 * bad)


def painted(is_bad: Callable[[str], bool] = lambda prompt: False, space: gentest.Space = SPACE) -> gentest.Generator:
    return gentest.Generator(Painter(is_bad), latent=space, output_range=zoo.UNIT)


@gentest.property(probes=gentest.points())
def dark(evidence: gentest.Evidence) -> Tensor:
    """Brightness is at most a half."""
    return 0.5 - evidence.scores(gentest.brightness())[:, 0]


def is_red(prompt: str) -> bool:
    return "red" in prompt


FEW = settings(examples=60, budget=400)


def decided(result: Result) -> dict[str, Any]:
    """What a result says, besides its cost and its audit."""
    return replace(result, cost=Cost(), audit=None).to_json()


@pytest.mark.parametrize(
    "prop",
    [
        gentest.reproducible(),
        gentest.well_formed(),
        gentest.between(gentest.brightness(), tolerance=0.1),
        gentest.responsive(at_least=1e-9),
        dark(),
    ],
    ids=lambda prop: prop.name,
)
def test_every_call_gets_values(prop: gentest.Property) -> None:
    """In batches, alone, in company, padded or examined: `Painter` checks its inputs, and most values come."""
    generator = painted()
    result = prop.check(generator, settings=FEW)
    assert result.passed, result.message
    prompts = {text for prompt, _ in generator.function.calls for text in prompt}
    assert prompts <= {PROMPT.shown(option) for option in PROMPT.options()}
    assert len(prompts) >= 8
    assert {value for _, scale in generator.function.calls for value in scale.tolist()} == {3.0, 5.0, 7.5}


def test_a_counterexample_shows_values_and_each_slot_is_shrunk() -> None:
    result = dark().check(painted(is_red), settings=FEW)
    found = result.counterexample
    assert found is not None
    assert found.choices == {"prompt": "a red coat", "scale": 3.0}
    assert "prompt='a red coat', scale=3.0" in facts.place(found)
    assert Result.from_json(json.loads(json.dumps(result.to_json()))).counterexample == found


def test_a_replay_knows_the_value_in_a_list_that_grew() -> None:
    """More colours in front, more things behind: the same margin. Without red: an error that names the part."""
    result = dark().check(painted(is_red), settings=FEW)
    assert result.counterexample is not None
    replay = result.counterexample.replay

    def space(*colours: str) -> gentest.Space:
        prompt = gentest.Template(
            "a {size} {colour} {thing}", size=[None, "big"], colour=list(colours), thing=["coat", "hat", "sock"]
        )
        return gentest.Joint(z=gentest.Uniform(4), prompt=prompt, scale=gentest.OneOf(3.0, 5.0, 7.5, 9.0))

    again = dark().replay(painted(is_red, space("white", *COLOURS)), replay)
    assert again.counterexample is not None
    assert again.counterexample.margin == result.counterexample.margin
    assert again.counterexample.choices == {"prompt": "a red coat", "scale": 3.0}
    gone = dark().replay(painted(is_red, space("green", "blue")), replay)
    assert gone.verdict is gentest.Verdict.ERROR
    assert "the probe has a value of prompt that the space no longer has" in gone.message
    assert "value 1 is 'blue' now" in gone.message


def test_a_replay_without_digests_is_still_read() -> None:
    """As one of a `Categorical`, by its place in the list."""
    result = dark().replay(painted(is_red), "dark:1f-m0-c0.1.0.0")
    assert result.counterexample is not None
    assert result.counterexample.choices["prompt"] == "a red coat"


def test_probes_of_the_prior_keep_their_values_in_a_replay() -> None:
    """Those of a rate have no choices of their own; the replay string names the drawn ones."""
    result = dark().at_rate(0.9).check(painted(is_red), settings=settings(examples=1, budget=400, reduce=0))
    assert result.worst is not None
    assert result.worst.choices["prompt"].split()[-2] == "red"
    replayed = dark().replay(painted(is_red), result.worst.replay)
    assert replayed.counterexample is not None
    assert replayed.counterexample.choices == result.worst.choices


def test_an_error_names_the_values() -> None:
    def fails(prompt: str) -> bool:
        if "red" in prompt:
            raise ValueError("no red")
        return False

    result = dark().check(painted(fails), settings=FEW)
    assert result.verdict is gentest.Verdict.ERROR
    assert "; there prompt='a " in result.message
    assert "red" in result.message.rpartition("; there ")[2]


def test_a_pair_gets_the_same_values() -> None:
    pair = painted(is_red).against(lambda z, prompt, scale: Painter()(z, prompt, scale))
    result = gentest.agrees(within=0.1).check(pair, settings=FEW)
    assert result.counterexample is not None
    assert result.counterexample.choices == {"prompt": "a red coat", "scale": 3.0}


def test_noise_and_values_go_together() -> None:
    def f(z: Tensor, prompt: list[str], scale: Tensor, noise: Tensor) -> Tensor:
        return Painter()(z, prompt, scale) + 0.01 * noise[:, :, None, None]

    generator = gentest.Generator(f, latent=SPACE, output_range=zoo.UNIT, noise={"noise": gentest.Uniform(1)})
    assert gentest.reproducible().check(generator, settings=FEW).passed


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_decides_nothing(batch_size: int) -> None:
    results = [
        dark().at_rate(0.9).check(painted(is_red), settings=settings(examples=40, budget=200, batch_size=size))
        for size in (batch_size, 50)
    ]
    assert decided(results[0]) == decided(results[1])


def test_the_disk_cache_knows_other_values(tmp_path: Path) -> None:
    """The same list needs few images again; other words in the same places are another space."""
    values = settings(examples=60, cache=str(tmp_path))
    brighter = gentest.Joint(z=gentest.Uniform(4), prompt=gentest.OneOf("a coat", "a hat"), scale=SPACE.parts["scale"])
    redder = gentest.Joint(
        z=gentest.Uniform(4), prompt=gentest.OneOf("a coat", "a red hat"), scale=SPACE.parts["scale"]
    )
    first = dark().check(painted(is_red, brighter), settings=values)
    again = dark().check(painted(is_red, brighter), settings=values)
    other = dark().check(painted(is_red, redder), settings=values)
    assert first.passed
    assert again.images < first.images
    assert not other.passed


def test_margins_see_values() -> None:
    """Texts as arrays of objects [N, P], numbers as tensors [N, P]."""
    seen: list[Any] = []

    @gentest.property(probes=gentest.segments(3))
    def look(evidence: gentest.Evidence) -> Tensor:
        seen.append(evidence.latents)
        return torch.ones(len(evidence.probes))

    assert look().check(painted(), settings=FEW).passed
    latents = max(seen, key=lambda latents: len(latents["z"]))
    assert latents["prompt"].shape == latents["scale"].shape == (len(latents["z"]), 3)
    assert isinstance(latents["prompt"], np.ndarray)
    assert all(isinstance(text, str) for text in latents["prompt"].flat)
    assert (latents["prompt"] == latents["prompt"][:, :1]).all()
    assert latents["scale"].dtype == torch.float32


def test_a_space_of_one_condition_is_a_generator_of_texts() -> None:
    generator = gentest.Generator(
        lambda prompts: zoo.images(torch.tensor([len(text) / 20 for text in prompts])),
        latent=gentest.Prompts("a hat", "a red coat", "a rather long blue"),
        output_range=zoo.UNIT,
    )
    result = dark().check(generator, settings=settings(examples=20))
    assert result.counterexample is not None
    assert result.counterexample.choices == {"": "a rather long blue"}
    assert (result.distinct, result.inputs) == (3, 3)
    assert "'a rather long blue'" in facts.place(result.counterexample)


@pytest.mark.parametrize(
    "given",
    [
        {"prompt": "a red coat"},
        {"scale": 5.0},
        {"z": torch.zeros(4)},
        {"z": [0.0, 1.0, 0.0, 1.0], "prompt": "a big blue hat", "scale": 7.5},
    ],
    ids=lambda given: ", ".join(given),
)
def test_a_given_part_stays_as_it_is(given: dict[str, Any]) -> None:
    """Along paths, under truncation, in every call."""
    seen: list[dict[str, Any]] = []

    def f(**latents: Any) -> Tensor:
        seen.append(latents)
        return Painter()(**latents)

    generator = gentest.Generator(f, latent=SPACE, output_range=zoo.UNIT).given(**given).truncated(0.5)
    prop = gentest.between(gentest.brightness(), tolerance=0.1) if "z" not in given else dark()
    result = prop.check(generator, settings=FEW)
    assert result.passed, result.message
    for latents in seen:
        for name, value in given.items():
            rows = latents[name].tolist() if isinstance(latents[name], Tensor) else latents[name]
            expected = value.tolist() if isinstance(value, Tensor) else value
            assert all(row == expected for row in rows)


def test_a_prior_stands_in_for_another_with_the_same_values() -> None:
    """Other weights, yes; other values, no."""
    generator = painted()
    weighted = gentest.Joint(z=gentest.Normal(4), prompt=PROMPT, scale=gentest.OneOf(3.0, 5.0, 7.5, weights=[1, 1, 2]))
    assert gentest.prior_invariant(dark(), priors=[weighted]).check(generator, settings=FEW).passed
    other = gentest.Joint(z=gentest.Normal(4), prompt=PROMPT, scale=gentest.OneOf(3.0, 5.0, 8.0))
    with pytest.raises(InvalidArgument, match="Expected a prior of the shape of"):
        generator.under(other)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_rate_for_each_value(weighted: bool) -> None:  # noqa: FBT001
    """The arms are named by values, and the whole prior's rate weights them as it draws them."""
    scale = gentest.OneOf(3.0, 5.0, 7.5, weights=[6, 1, 1] if weighted else None)
    space = gentest.Joint(z=gentest.Uniform(4), prompt=gentest.OneOf("a coat", "a hat"), scale=scale)

    def f(z: Tensor, prompt: list[str], scale: Tensor) -> Tensor:
        return zoo.images(torch.where(scale > 4, 0.9, 0.1))

    generator = gentest.Generator(f, latent=space, output_range=zoo.UNIT)
    rate = dark().at_rate(0.9, each="scale").check(generator, settings=FEW).rate
    assert rate is not None
    assert {arm.arm: arm.passes > 0 for arm in rate.arms} == {"scale=3.0": True, "scale=5.0": False, "scale=7.5": False}
    assert rate.overall == pytest.approx(0.75 if weighted else 1 / 3)


def test_a_rate_for_each_text_of_a_template() -> None:
    rate = dark().at_rate(0.9, each="prompt").check(painted(is_red), settings=FEW).rate
    assert rate is not None
    assert len(rate.arms) == 12
    refuted = {arm.arm for arm in rate.arms if arm.verdict is gentest.Verdict.VIOLATED}
    assert refuted == {f"prompt='a {size}red {thing}'" for size in ("", "big ") for thing in ("coat", "hat")}


def test_more_than_64_values_have_the_rate_of_the_prior_and_the_ten_worst() -> None:
    """Every tenth prompt fails always: the ten are named, with bounds for all values at once, and no other is."""
    prompts = [f"number {i}" for i in range(100)]

    def f(z: Tensor, prompt: list[str]) -> Tensor:
        return zoo.images(torch.tensor([0.9 if text.endswith("7") else 0.1 for text in prompt]))

    space = gentest.Joint(z=gentest.Uniform(4), prompt=gentest.Prompts(*prompts))
    generator = gentest.Generator(f, latent=space, output_range=zoo.UNIT)
    result = dark().at_rate(0.93, slack=0.0, each="prompt").check(generator, settings=settings(examples=8, budget=2048))
    assert result.rate is not None
    assert (result.rate.arms, result.rate.n_values) == ((), 100)
    assert len(result.rate.worst) == 10
    for one in result.rate.worst:
        assert one.value.endswith("7'")
        assert one.passes == 0 < one.probes
        assert one.low == 0.0 < one.high < 1.0
        assert one.each_end == pytest.approx(1 - 0.01 / 100)
    assert [one.high for one in result.rate.worst] == sorted(one.high for one in result.rate.worst)
    (detail,) = [detail for detail in facts.details(result) if detail.word == "values"]
    assert "the worst of 100, which are too many for a rate each" in detail.text
    assert detail.rows[0][0].startswith("prompt='number ")
    section = page.section(result)
    assert "the worst of 100, which are too many for a rate each" in section
    assert "prompt=&#39;number 7&#39; 0 %" in section
    assert Result.from_json(json.loads(json.dumps(result.to_json()))).rate == result.rate


def test_noise_and_words_are_reduced_together() -> None:
    """A path that fails for one coordinate and one word keeps both, and nothing else."""
    space = gentest.Joint(z=gentest.Uniform(16), prompt=PROMPT, scale=gentest.OneOf(3.0, 5.0, 7.5))

    def f(z: Tensor, prompt: list[str], scale: Tensor) -> Tensor:
        red = torch.tensor([is_red(text) for text in prompt]).float()
        return zoo.images(0.2 + 0.3 * red * z[:, 5].abs())

    generator = gentest.Generator(f, latent=space, output_range=zoo.UNIT)
    prop = gentest.between(gentest.brightness(), tolerance=0.05)
    found = prop.check(generator, settings=settings(examples=300)).counterexample
    assert found is not None
    assert found.groups == ("z[5]",)
    assert found.choices == {"prompt": "a red coat", "scale": 3.0}


def test_a_property_that_demands_a_change_reduces_words_alone() -> None:
    """`responsive` keeps all coordinates, and the shortest prompt that is dead is found."""

    def f(z: Tensor, prompt: list[str], scale: Tensor) -> Tensor:
        alive = torch.tensor([not is_red(text) for text in prompt]).float()
        return zoo.images(0.5 + 0.1 * alive * z[:, 0])

    generator = gentest.Generator(f, latent=SPACE, output_range=zoo.UNIT)
    found = gentest.responsive(at_least=1e-6).check(generator, settings=FEW).counterexample
    assert found is not None
    assert len(found.groups) == found.n_groups
    assert found.choices == {"prompt": "a red coat", "scale": 3.0}


def test_fewer_words_are_a_remark_outside_the_prior() -> None:
    result = dark().check(painted(lambda text: "big" in text and "hat" in text), settings=FEW)
    found = result.counterexample
    assert found is not None
    assert found.choices["prompt"] == "a big green hat"
    assert found.fewer_words is not None
    assert (found.fewer_words.part, found.fewer_words.text) == ("prompt", "a big green hat")
    assert found.fewer_words.fewer == "big hat"
    assert found.fewer_words.margin < 0
    (detail,) = [detail for detail in facts.details(result) if detail.word == "words"]
    assert "prompt='big hat' fails as well" in detail.text
    assert "the prior does not have this text" in detail.text
    assert "prompt=&#39;big hat&#39; fails as well" in page.section(result)
    again = Result.from_json(json.loads(json.dumps(result.to_json())))
    assert again.counterexample == found


def test_a_generator_that_knows_only_its_prompts_has_no_remark() -> None:
    """A table of embeddings raises for other texts, and the verdict stands."""
    known = {text: "red" in text for text in (PROMPT.shown(option) for option in PROMPT.options())}
    result = dark().check(painted(lambda text: known[text]), settings=FEW)
    assert result.verdict is gentest.Verdict.VIOLATED, result.message
    assert result.counterexample is not None
    assert result.counterexample.choices["prompt"] == "a red coat"
    assert result.counterexample.fewer_words is None


def test_the_remark_measures_standard_deviations_as_the_property_does() -> None:
    """`gentest.sd` is the spread under the prior, also where a text is tried that the prior does not have."""
    generator = painted(is_red)

    @gentest.property(probes=gentest.points())
    def near(evidence: gentest.Evidence) -> Tensor:
        brightness = gentest.brightness()
        return evidence.in_units(gentest.sd(1.5), brightness) + 0.3 - evidence.scores(brightness)[:, 0]

    result = near().check(generator, settings=FEW)
    assert result.counterexample is not None
    assert result.counterexample.fewer_words is not None
    assert result.counterexample.fewer_words.fewer == "red"
    assert result.counterexample.fewer_words.margin == pytest.approx(result.counterexample.margin, abs=1e-6)
    pilots = [prompt for prompt, _ in generator.function.calls if "red" in prompt and "a red coat" not in prompt]
    assert max(map(len, pilots), default=0) < 32


def test_a_list_of_words_is_lowered_to_the_first_that_fails() -> None:
    """Of 40 prompts the third is the first that fails; in one of 5,000 the reduction goes far down."""
    for n, first in ((40, 2), (5_000, 100)):
        prompts = [f"prompt {i}" for i in range(n)]
        bad = set(prompts[first:])

        def f(prompt: list[str], bad: set[str] = bad) -> Tensor:
            return zoo.images(torch.tensor([0.9 if text in bad else 0.1 for text in prompt]))

        generator = gentest.Generator(f, latent=gentest.Prompts(*prompts), output_range=zoo.UNIT)
        found = dark().check(generator, settings=settings(examples=50)).counterexample
        assert found is not None
        place = prompts.index(found.choices[""])
        assert place == first if n == 40 else first <= place < 500


@pytest.mark.parametrize("prop", [gentest.between, gentest.monotone])
def test_only_parts_that_move_are_to_blame(prop: Any) -> None:
    """A fold in one part is found where that part moves, and nowhere else; the other stays as it is."""
    space = gentest.Joint(z=gentest.Uniform(4), w=gentest.Uniform(2))
    seen: list[tuple[Tensor, Tensor]] = []

    def f(z: Tensor, w: Tensor) -> Tensor:
        seen.append((z, w))
        return zoo.images(0.3 + 0.2 * z[:, 0].abs() + 0.01 * w[:, 0])

    generator = gentest.Generator(f, latent=space, output_range=zoo.UNIT)
    found = prop(gentest.brightness(), tolerance=0.05, moves=["z"]).check(generator, settings=FEW).counterexample
    assert found is not None
    assert found.groups == ("z[0]",)
    assert (found.n_groups, found.n_coordinates) == (4, 4)
    assert prop(gentest.brightness(), tolerance=0.05, moves=["w"]).check(generator, settings=FEW).passed
    wrong = prop(gentest.brightness(), tolerance=0.05, moves=["y"]).check(generator, settings=FEW)
    assert "'y' cannot move, since Joint(z=Uniform(4), w=Uniform(2)) has no such part; 'z', 'w' can" in wrong.message


def test_kept_outputs_are_found_by_values() -> None:
    """A reference of kept outputs takes the texts that the candidate takes, and a replay finds its probe."""
    source = InMemory(painted(), 64)
    result = gentest.agrees(within=0.1).check(painted(is_red).against(source), settings=FEW)
    assert result.verdict is gentest.Verdict.VIOLATED, result.message
    assert result.counterexample is not None
    replayed = gentest.agrees(within=0.1).replay(painted(is_red).against(source), result.counterexample.replay)
    assert replayed.counterexample is not None, replayed.message
    assert replayed.counterexample.margin == result.counterexample.margin
    assert gentest.agrees(within=0.01).check(painted().against(source), settings=FEW).passed
