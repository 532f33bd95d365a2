"""The detection bench is what it says: broken is broken, harmless is harmless, and its account can come out bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gentest
from tests.audit.detection import accounting, breaking, changing, harmless
from tests.audit.detection.judging import Judged, Plan, bless, from_json, judge, to_json
from tests.audit.detection.models import MODELS, Model

FASHION = MODELS["fashion"]
BROKEN = {candidate.name: candidate for candidate in breaking.broken(FASHION)}


def images(generator: gentest.Generator, latents: dict[str, Tensor]) -> Tensor:
    """What a generator makes, without a gradient."""
    with torch.no_grad():
        return generator.outputs(latents)


@pytest.fixture(scope="module")
def latents() -> dict[str, Tensor]:
    return FASHION.inputs(48, seed=5)


@pytest.fixture(scope="module")
def good(latents: dict[str, Tensor]) -> Tensor:
    return images(FASHION.generator(FASHION.module(FASHION.good())), latents)


def models() -> list[object]:
    """Both models; the face GAN's checks take longer."""
    return [pytest.param("faces", marks=pytest.mark.slow), "fashion"]


def model_of(name: str) -> Model:
    if name == "faces":
        pytest.importorskip("gan_face_generate")
    return MODELS[name]


# broken is broken


@pytest.mark.parametrize("name", models())
def test_every_way_of_breaking_moves_images_by_more_than_a_step(name: str) -> None:
    """No broken checkpoint is one by name alone."""
    model = model_of(name)
    moved = {c.name: harmless.difference(model, c.make(), n=32) for c in breaking.broken(model)}
    assert len(moved) >= 19
    assert min(moved.values()) > harmless.STEP, moved


def test_noise_is_as_strong_as_it_says() -> None:
    """The change of each tensor has the share of its standard deviation that was asked for; counters stay."""
    state = FASHION.good()
    noisy = changing.noised(state, 0.3)
    name = "conv1.weight"
    assert (noisy[name] - state[name]).std().item() == pytest.approx(0.3 * state[name].std().item(), rel=0.02)
    assert all(torch.equal(noisy[n], state[n]) for n in state if "running" in n or "tracked" in n)


def test_rounding_leaves_as_many_values_as_bits_give() -> None:
    """Four bits are fifteen values a tensor, or a row of it; vectors stay."""
    state = FASHION.good()
    whole, rows = changing.rounded(state, 4), changing.rounded(state, 4, rows=True)
    assert len(whole["conv1.weight"].unique()) <= 15 < len(rows["conv1.weight"].unique())
    assert max(len(row.unique()) for row in rows["conv1.weight"]) <= 15
    assert torch.equal(whole["conv1.bias"], state["conv1.bias"])


def test_a_layer_alone_is_initialised_anew() -> None:
    """The other weights stay."""
    state, anew = FASHION.good(), changing.reinitialised(FASHION, "conv1").state_dict()
    assert {name for name in state if not torch.equal(state[name], anew[name])} == {"conv1.weight", "conv1.bias"}


def test_half_of_the_latent_is_ignored(latents: dict[str, Tensor]) -> None:
    """The first half of the coordinates changes nothing, the second half does."""
    generator, z = BROKEN["half latent"].make(), latents["z"]
    halves = z.split(32, dim=1)
    first = {**latents, "z": torch.cat([-halves[0], halves[1]], 1)}
    second = {**latents, "z": torch.cat([halves[0], -halves[1]], 1)}
    here = images(generator, latents)
    assert torch.allclose(images(generator, first), here, atol=1e-6)
    assert not torch.allclose(images(generator, second), here, atol=1e-2)


def test_a_collapse_has_few_images() -> None:
    """Of one label there are at most as many images as modes."""
    latents = FASHION.inputs(200, seed=5)
    made = images(BROKEN["few modes"].make(), {**latents, "label": torch.zeros_like(latents["label"])})
    assert 1 < len((made * 1000).round().flatten(1).unique(dim=0)) <= breaking.MODES


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("near mean", lambda z, label: (breaking.SHRUNK * z, label)),
        ("flipped", lambda z, label: (-z, label)),
        ("labels", lambda z, label: (z, (label + 1) % 10)),
    ],
)
def test_a_latent_is_changed_as_it_says(
    name: str, same: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], latents: dict[str, Tensor]
) -> None:
    """The broken checkpoint makes what the good one makes of the changed latents."""
    generator = FASHION.generator(FASHION.module(FASHION.good()))
    z, label = same(latents["z"], latents["label"])
    broken = images(BROKEN[name].make(), latents)
    assert torch.allclose(broken, images(generator, {"z": z, "label": label}), atol=1e-5)


def test_permuted_coordinates_are_the_same_numbers() -> None:
    """Nothing is lost of a latent, and the order is another one."""
    z = FASHION.inputs(4)["z"]
    moved = breaking._permuted(z)
    assert torch.equal(moved.sort(1).values, z.sort(1).values)
    assert not torch.equal(moved, z)


def test_ranges_are_changed_as_they_say(latents: dict[str, Tensor], good: Tensor) -> None:
    """Clipped values, values of half the range, and values that saturate."""
    clipped, halved, gained = (images(BROKEN[name].make(), latents) for name in ("clipped", "range", "gain"))
    assert torch.allclose(clipped, good.clamp(0.25, 0.75), atol=1e-5)
    assert torch.allclose(halved, (good + 1) / 2, atol=1e-5)
    saturated = [float(((x < 0.01) | (x > 0.99)).float().mean()) for x in (good, gained)]
    assert saturated[1] > saturated[0]


def test_batch_norm_in_train_mode_depends_on_the_batch(latents: dict[str, Tensor], good: Tensor) -> None:
    """Alone a latent gives another image than among others, though gentest puts modules in eval mode."""
    generator = BROKEN["bn batch"].make()
    few = {name: part[:4] for name, part in latents.items()}
    assert not torch.allclose(images(generator, latents)[:4], images(generator, few), atol=1e-2)
    whole = FASHION.generator(FASHION.module(FASHION.good()))
    assert torch.allclose(good[:4], images(whole, few), atol=1e-5)


def test_statistics_are_lost() -> None:
    """Means of 0, variances of 1."""
    norms = changing.norms(changing.without_statistics(FASHION.module(FASHION.good())))
    assert norms
    assert all(bool((n.running_mean == 0).all()) and bool((n.running_var == 1).all()) for n in norms)


def test_a_checkerboard_is_one_pixel_of_four() -> None:
    """The upsampling's other three phases stay."""
    ones = breaking.Phase()(torch.ones(1, 1, 4, 4))
    assert ones[..., ::2, ::2].unique().tolist() == [breaking.PHASE]
    assert ones.sum().item() == 12 + 4 * breaking.PHASE


# harmless is harmless


@pytest.mark.slow
@pytest.mark.parametrize("name", models())
def test_harmless_changes_are_harmless(name: str) -> None:
    """Twenty of each model, all within one step of 8 bits on average."""
    model = model_of(name)
    changed = harmless.harmless(model)
    assert len({candidate.name for candidate in changed}) == 20
    for candidate in changed:
        harmless.confirmed(model, candidate.make(), n=8)


def test_what_is_not_harmless_is_not_called_so() -> None:
    """The bench stops at a change that moves images by more than a step."""
    with pytest.raises(ValueError, match="not harmless, images differ by"):
        harmless.confirmed(FASHION, BROKEN["noise 0.3"].make(), n=32)


# the account

PASSED = Judged("faces", "8 bit", "weights in 8 bits", harmless=True, moved=0.002)
REFUSED = Judged("faces", "noise", "noise", harmless=False, refused=True, regressed=("steers",), needed=32)


def judged(*, harmless: bool, name: str = "x", **found: object) -> Judged:
    """A judgement of which only some is of interest."""
    return Judged("faces", name, name, harmless=harmless, **found)  # type: ignore[arg-type]


def test_all_well_is_good() -> None:
    """Refused where broken, passed where harmless."""
    found = accounting.account([PASSED, REFUSED], ["faces/8 bit", "faces/noise"])
    assert found.good
    assert found.share == 1.0
    assert accounting.summary(found) == [
        "Broken: the gate refused 1 of 1, 100%.",
        "Harmless: 0 of 1 refused, 0 undecided; images moved by at most 0.51/255 on average.",
    ]


def test_one_escape_in_ten_is_let_pass_and_two_are_not() -> None:
    """The share is of broken checkpoints, and a property's own verdict does not make one refused."""
    nine = [REFUSED] * 9
    escaped = judged(harmless=False, fails=("between",))
    assert accounting.account([*nine, escaped], []).good
    two = accounting.account([*nine, escaped, escaped], [])
    assert not two.good
    assert (len(two.refused), len(two.escaped)) == (9, 2)
    assert "- escaped: faces, x; but between fails the run by itself" in accounting.summary(two)


@pytest.mark.parametrize(
    "alarm",
    [{"refused": True, "drifted": ("level of sharpness()",)}, {"fails": ("between",)}, {"failed": ("between",)}],
)
def test_a_harmless_checkpoint_that_is_refused_is_a_false_alarm(alarm: dict[str, object]) -> None:
    """By the gate, by a property's own verdict, or by an error."""
    found = accounting.account([REFUSED, judged(harmless=True, **alarm)], [])
    assert not found.good
    assert len(found.alarms) == 1
    assert any(line.startswith("- false alarm: faces, x") for line in accounting.summary(found))


def test_an_undecided_harmless_checkpoint_is_counted_by_itself() -> None:
    """No false alarm, and said."""
    found = accounting.account([REFUSED, judged(harmless=True, undecided=("steers",))], [])
    assert found.good
    assert "- undecided: faces, x: steers" in accounting.summary(found)


def test_what_was_not_judged_is_no_success() -> None:
    """Neither is nothing at all."""
    missing = accounting.account([REFUSED], ["faces/noise", "faces/other"])
    assert not missing.good
    assert "- not judged: faces/other" in accounting.summary(missing)
    assert not accounting.account([], []).good


def test_a_row_of_the_table_says_who_found_it() -> None:
    """A cell for each way of finding it, and the images that the gate needed."""
    row = judged(harmless=False, searched=("diverse",), attacked=("between",), refused=True, drifted=("level of a",))
    lines = accounting.table([row, PASSED], attack=True)
    assert lines[2:] == ["| faces | x | diverse | - | between | drift: level of a | - |"]
    assert accounting.table([judged(harmless=False)], attack=False)[2] == "| faces | x | - | - | **not refused** | - |"


def test_a_judgement_is_kept_in_json() -> None:
    """What a run wrote, another prints."""
    assert from_json(to_json(REFUSED)) == REFUSED


@pytest.mark.slow
def test_the_bench_refuses_a_broken_checkpoint_and_passes_a_harmless_one(tmp_path: Path) -> None:
    """Through the engine and the gate, on few probes: labels off by one, and weights in half precision."""
    plan = Plan(examples=8, budget=128, probes=224)
    blessed, results = bless(FASHION, plan, tmp_path / "good.json")
    assert all(result.message == "" for result in results)
    fine = {candidate.name: candidate for candidate in harmless.harmless(FASHION)}["fp16"]
    broken, same = (
        judge(candidate, plan, blessed, harmless=candidate is fine, plans={}) for candidate in (BROKEN["labels"], fine)
    )
    assert broken.refused
    assert "follows_label" in broken.regressed
    assert "follows_label" in broken.rated
    assert 0 < broken.needed < broken.images
    assert not same.red
    assert same.regressed == same.drifted == ()
