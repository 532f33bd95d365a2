"""Tiny pipelines of diffusers, each a function of the noise that it starts from."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    CMStochasticIterativeScheduler,
    ConsistencyModelPipeline,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DModel,
)

import gentest
from gentest import Generator
from gentest.errors import GeneratorError, InvalidArgument
from tests.helpers import planted, tiny_pipelines

if TYPE_CHECKING:
    from tests.helpers.whole_check import Checked

SIZE = 4
NOISE = gentest.Normal((3, SIZE, SIZE))
LABELLED = gentest.Joint(latents=NOISE, class_labels=gentest.Categorical(5))


def unet(**options: Any) -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=SIZE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8,),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        add_attention=False,
        **options,
    )


def ddim() -> Any:
    return DDIMPipeline(unet(), DDIMScheduler(num_train_timesteps=10))


def ddpm() -> Any:
    return DDPMPipeline(unet(), DDPMScheduler(num_train_timesteps=10))


def consistency() -> Any:
    return ConsistencyModelPipeline(unet(num_class_embeds=5), CMStochasticIterativeScheduler(num_train_timesteps=10))


def dit() -> Any:
    """A latent diffusion: a transformer on latents of 4 channels, and a VAE that makes images of them."""
    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        sample_size=SIZE,
        patch_size=2,
        num_embeds_ada_norm=1000,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, sample_size=SIZE)
    return DiTPipeline(transformer, vae, DDIMScheduler(num_train_timesteps=10))


Z = torch.linspace(-1, 1, 3 * 3 * SIZE * SIZE).reshape(3, 3, SIZE, SIZE)


def test_ddim_is_a_function_of_its_noise(checked: Checked) -> None:
    """Its outputs are what the scheduler's steps make of the latents, written out here, as floats in [0, 1]."""
    pipeline = ddim()
    generator = Generator.from_diffusers(pipeline, steps=2)
    assert generator.latent == NOISE
    made = generator.outputs({"": Z})
    scheduler = DDIMScheduler(num_train_timesteps=10)
    scheduler.set_timesteps(2)
    x = Z
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(pipeline.unet(x, t).sample, t, x, eta=0.0).prev_sample
    torch.testing.assert_close(made, (x / 2 + 0.5).clamp(0, 1))
    assert len(made.unique()) > 50
    checked(generator)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_noise_on_the_way_belongs_to_each_sample(eta: float) -> None:
    """With eta 1 noise is added on the way: each sample's own, the same alone, in a batch and in any order."""
    generator = Generator.from_diffusers(ddim(), steps=3, eta=eta)
    assert dict(generator.noise) == ({"scheduler_noise": gentest.Uniform(2)} if eta else {})
    own = torch.tensor([[0.1, 0.2], [0.3, -0.4], [0.1, 0.2]])
    noise = {"scheduler_noise": own} if eta else {}
    together = generator.outputs({"": Z}, noise)
    alone = [generator.outputs({"": z[None]}, {k: v[i : i + 1] for k, v in noise.items()}) for i, z in enumerate(Z)]
    torch.testing.assert_close(torch.cat(alone), together)
    flipped = generator.outputs({"": Z.flip(0)}, {k: v.flip(0) for k, v in noise.items()})
    torch.testing.assert_close(flipped.flip(0), together)
    torch.testing.assert_close(generator.outputs({"": Z}, noise, chance=1), together)
    if eta:
        same = generator.outputs({"": Z[:1].expand(3, -1, -1, -1)}, noise)
        assert not torch.allclose(same[0], same[1])
        torch.testing.assert_close(same[0], same[2])


def test_pipelines_whose_schedulers_draw_and_do_not_are_compared() -> None:
    """The deterministic side takes the other's noise input, which changes nothing."""
    still, noisy = Generator.from_diffusers(ddim(), steps=2), Generator.from_diffusers(ddim(), steps=2, eta=1.0)
    for pair in (still.against(noisy), noisy.against(still)):
        result = gentest.agrees(within=1e-3).check(pair, settings=gentest.settings(examples=4, device="cpu"))
        assert result.verdict is gentest.Verdict.VIOLATED, result.message
    noise = torch.zeros(3, 2)
    given = still.against(noisy).candidate.outputs({"": Z}, {"scheduler_noise": noise})
    torch.testing.assert_close(given, still.outputs({"": Z}))


def test_ddpm_is_a_function_of_its_noise(checked: Checked) -> None:
    """Ancestral sampling is reproducible, and passes through a whole check."""
    checked(Generator.from_diffusers(ddpm(), steps=2))


def test_a_class_conditional_pipeline_takes_latents_and_labels(checked: Checked) -> None:
    """`latents=` is what the pipeline starts from, and the other part goes to it by name."""
    generator = Generator.from_diffusers(consistency(), latent=LABELLED, steps=1)
    labels = torch.tensor([0, 1, 2])
    made = generator.outputs({"latents": Z, "class_labels": labels})
    again = consistency()
    again.set_progress_bar_config(disable=True)
    with torch.no_grad():
        same = again(3, class_labels=labels, latents=Z, num_inference_steps=1, output_type="pt").images
    torch.testing.assert_close(made, same)
    other = generator.outputs({"latents": Z, "class_labels": labels.flip(0)})
    assert not torch.allclose(made[0], other[0])
    torch.testing.assert_close(made[1], other[1])
    checked(generator)


@pytest.mark.slow
def test_latent_diffusion_starts_from_latents(checked: Checked) -> None:
    """A pipeline with a VAE, without `latents=`, whose noise is of its transformer's channels."""
    space = gentest.Joint(latents=gentest.Normal((4, SIZE, SIZE)), class_labels=gentest.Categorical(5))
    with pytest.raises(TypeError, match="class_labels"):
        dit()()
    generator = Generator.from_diffusers(dit(), latent=space, steps=2, guidance_scale=1.0)
    assert Generator.from_diffusers(dit(), steps=2).latent == gentest.Normal((4, SIZE, SIZE))
    batch = {"latents": torch.randn(3, 4, SIZE, SIZE), "class_labels": torch.tensor([0, 1, 2])}
    made = generator.outputs(batch)
    assert made.shape[:2] == (3, 3)
    assert not torch.allclose(made[0], generator.outputs({**batch, "latents": -batch["latents"]})[0])
    checked(generator)


def test_progress_bars_are_off(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed while images are made."""
    Generator.from_diffusers(ddim(), steps=2).outputs({"": Z})
    assert capfd.readouterr() == ("", "")


def test_random_numbers_elsewhere_are_left_alone() -> None:
    """`torch.randn` is as it was after a call, and numbers of another shape are its own during one."""
    generator = Generator.from_diffusers(ddim(), steps=2)
    torch.manual_seed(3)
    before = torch.randn(1, 3, SIZE, SIZE)
    torch.manual_seed(3)
    generator.outputs({"": Z})
    assert torch.equal(torch.randn(1, 3, SIZE, SIZE), before)


def test_a_fingerprint_is_of_weights_and_settings() -> None:
    """The same before and after a call; other weights, steps, arguments or schedulers are another generator."""
    generator = Generator.from_diffusers(ddim(), steps=2)
    before = generator.fingerprint()
    generator.outputs({"": Z})
    assert generator.fingerprint() == before == Generator.from_diffusers(ddim(), steps=2).fingerprint()
    changed = ddim()
    next(changed.unet.parameters()).data += 1e-3
    others = [
        Generator.from_diffusers(changed, steps=2),
        Generator.from_diffusers(ddim(), steps=3),
        Generator.from_diffusers(ddim(), steps=2, eta=0.5),
        Generator.from_diffusers(ddpm(), steps=2),
        Generator.from_diffusers(DDIMPipeline(unet(), DDIMScheduler(num_train_timesteps=11)), steps=2),
    ]
    assert len({before, *(other.fingerprint() for other in others)}) == 6


def test_modules_are_found_and_put_in_eval_mode() -> None:
    """The parts of a pipeline that are modules are the generator's."""
    pipeline = dit()
    pipeline.vae.train()
    generator = Generator.from_diffusers(pipeline, steps=2)
    assert set(generator.modules) == {pipeline.transformer, pipeline.vae}
    assert not pipeline.vae.training


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: 3, {}, "Expected a diffusers pipeline but got pipeline=3"),
        (unet, {}, "a diffusers pipeline but got pipeline="),
        (lambda: DDIMPipeline, {}, "a diffusers pipeline"),
        (ddim, {"steps": 0}, "a number of steps >= 1 but got steps=0"),
        (ddim, {"steps": 2.0}, "steps=2.0"),
        (ddim, {"prompt": "a cat"}, "DDIMPipeline takes no 'prompt' argument; it takes eta, num_inference_steps"),
        (ddim, {"output_type": "pil"}, "gentest passes the 'output_type' argument itself"),
        (ddim, {"latent": 3}, "a latent space"),
        (
            ddim,
            {"latent": gentest.Joint(z=NOISE)},
            "a part named 'latents' that is the initial noise but got latent=Joint",
        ),
    ],
)
def test_misuse_is_refused(make: Callable[[], Any], arguments: dict[str, Any], message: str) -> None:
    """What is no pipeline, and arguments that its call does not take, are told when the generator is made."""
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        Generator.from_diffusers(make(), **arguments)


def test_noise_of_another_shape_is_told() -> None:
    """A pipeline that never asks for noise of the latent's shape did not start from it: that is an error."""
    generator = Generator.from_diffusers(ddim(), latent=gentest.Normal((3, 8, 8)), steps=2)
    with pytest.raises(GeneratorError, match=r"DDIMPipeline drew no noise of shape \(3, 8, 8\) to start from"):
        generator.outputs({"": torch.zeros(2, 3, 8, 8)})


class Older:
    """A pipeline of an older diffusers: it knows no "pt", and gives arrays [B, H, W, C]."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {"unet": torch.nn.Conv2d(3, 3, 1)}

    def set_progress_bar_config(self, **config: Any) -> None:
        assert config == {"disable": True}

    def __call__(self, prompt: Any, latents: Any = None, generator: Any = None, output_type: str = "pil") -> Any:
        assert prompt == ["a cat"] * len(latents)
        assert len(generator) == len(latents)
        return [latents.sigmoid().permute(0, 2, 3, 1).numpy()]


def test_arrays_become_tensors_and_a_prompt_is_repeated() -> None:
    """Where a pipeline gives float arrays with channels last, they become images; a prompt is one for each image."""
    made = Generator.from_diffusers(Older(), latent=NOISE, prompt="a cat").outputs({"": Z})
    torch.testing.assert_close(made, Z.sigmoid())
    with pytest.raises(InvalidArgument, match=r"say latent=gentest.Normal\(\(channels, height, width\)\)"):
        Generator.from_diffusers(Older(), prompt="a cat")


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """What a scheduler keeps as a set, and the addresses of objects, do not enter the fingerprint."""
    prints = []
    for order in (["eta", "steps"], ["steps", "eta"]):
        pipeline = Older()
        pipeline.components["scheduler"] = DDIMScheduler(num_train_timesteps=10)
        pipeline.components["scheduler"].register_to_config(_use_default_values=order)
        torch.nn.init.zeros_(pipeline.components["unet"].weight)
        torch.nn.init.zeros_(pipeline.components["unet"].bias)
        g = Generator.from_diffusers(pipeline, latent=NOISE, prompt=object())
        prints.append(g.fingerprint())
    assert prints[0] == prints[1]


class OfPrompts:
    """A pipeline that makes so many outputs of each prompt, as those of videos, images and sounds do."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {"unet": torch.nn.Conv2d(3, 3, 1)}
        self.sizes: list[int] = []

    def set_progress_bar_config(self, **config: Any) -> None:
        assert config == {"disable": True}

    def made(self, prompt: Any, prompt_embeds: Any, count: int, generator: Any, latents: Any) -> Any:
        n = count * (1 if isinstance(prompt, str) else len(prompt_embeds if prompt is None else prompt))
        self.sizes.append(n)
        assert len(generator) == len(latents) == n
        return (latents.sigmoid(),)


class OfVideos(OfPrompts):
    def __call__(
        self,
        prompt: Any = None,
        num_videos_per_prompt: int = 1,
        prompt_embeds: Any = None,
        generator: Any = None,
        latents: Any = None,
        output_type: str = "pt",
    ) -> Any:
        return self.made(prompt, prompt_embeds, num_videos_per_prompt, generator, latents)


class OfSounds(OfPrompts):
    def __call__(
        self,
        prompt: Any = None,
        num_waveforms_per_prompt: int = 1,
        prompt_embeds: Any = None,
        generator: Any = None,
        latents: Any = None,
        output_type: str = "pt",
    ) -> Any:
        return self.made(prompt, prompt_embeds, num_waveforms_per_prompt, generator, latents)


class OfImages(OfPrompts):
    def __call__(
        self,
        prompt: Any = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: Any = None,
        generator: Any = None,
        latents: Any = None,
        output_type: str = "pt",
    ) -> Any:
        return self.made(prompt, prompt_embeds, num_images_per_prompt, generator, latents)


COUNTS = {OfVideos: "num_videos_per_prompt", OfSounds: "num_waveforms_per_prompt", OfImages: "num_images_per_prompt"}
FRAMES = gentest.Normal((2, 3, SIZE, SIZE))


@pytest.mark.parametrize("make", COUNTS)
@pytest.mark.parametrize("given", [{"prompt_embeds": torch.zeros(1, 4)}, {"prompt": "a cat"}, {"prompt": ["a cat"]}])
def test_the_count_of_a_prompt_is_found_in_the_signature(make: type[OfPrompts], given: dict[str, Any]) -> None:
    """Whatever a pipeline calls it, it makes as many outputs of its one prompt as there are latents, in any batch."""
    pipeline = make()
    generator = Generator.from_diffusers(pipeline, latent=FRAMES, images=False, **given)
    for batch_size in (1, 8):
        conditions = gentest.settings(examples=10, batch_size=batch_size, device="cpu")
        for property in (gentest.well_formed(), gentest.reproducible()):
            result = property.check(generator, settings=conditions)
            assert result.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, result.message
    assert {1, 4, 8} <= set(pipeline.sizes)


@pytest.mark.parametrize("make", COUNTS)
def test_the_count_of_a_prompt_is_not_the_users_to_give(make: type[OfPrompts]) -> None:
    """It is told when the generator is made, as are several prompts."""
    count = COUNTS[make]
    with pytest.raises(InvalidArgument, match=f"gentest passes the '{count}' argument itself"):
        Generator.from_diffusers(make(), latent=FRAMES, **{count: 3})
    for several in ({"prompt": ["a", "b"]}, {"prompt_embeds": torch.zeros(2, 4)}):
        with pytest.raises(
            InvalidArgument, match=r"Expected one prompt.* but got 2 in prompt\w*: .* or make one generator for each"
        ):
            Generator.from_diffusers(make(), latent=FRAMES, **several)


def test_arguments_that_a_pipeline_takes_do_not_list_what_gentest_gives() -> None:
    """An unknown argument is told with those that are left."""
    with pytest.raises(InvalidArgument, match=r"OfVideos takes no 'eta' argument; it takes prompt, prompt_embeds$"):
        Generator.from_diffusers(OfVideos(), latent=FRAMES, eta=1.0)


class OfPictures(OfPrompts):
    """A pipeline that gives PIL images or arrays whatever it is asked for."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def __call__(
        self, batch_size: int = 1, generator: Any = None, latents: Any = None, output_type: str = "pil"
    ) -> Any:
        from PIL import Image

        arrays = (latents.sigmoid() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        if self.form == "pil":
            return ([Image.fromarray(array) for array in arrays], None)
        return (arrays.astype("float32") / 255,)


@pytest.mark.parametrize("form", ["pil", "np"])
def test_pictures_of_a_pipeline_are_read_as_any_others(form: str) -> None:
    """PIL images and arrays with channels last become images [B, C, H, W] in [0, 1]."""
    made = Generator.from_diffusers(OfPictures(form), latent=NOISE).outputs({"": Z})
    torch.testing.assert_close(made, Z.sigmoid(), atol=0.5 / 255 + 1e-6, rtol=0)


LATENTS = gentest.Normal((4, 12, 12))


def autoencoder() -> AutoencoderKL:
    """A small `AutoencoderKL` with random weights that doubles the sides, whose latents are scaled and shifted."""
    torch.manual_seed(0)
    made: AutoencoderKL = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.36,
        shift_factor=0.15,
    )
    return made.eval()


def decoder(*, tile: int | None = None, overlap: float = 0.25, shifted: bool = True) -> Generator:
    """The decoder as a generator of images: whole or in tiles, and with or without the shift of its config."""
    vae = autoencoder()
    if tile is not None:
        vae.tile_latent_min_size, vae.tile_sample_min_size, vae.tile_overlap_factor = tile, 2 * tile, overlap
        vae.enable_tiling()
    shift = vae.config.shift_factor if shifted else 0.0
    return Generator(lambda z: vae.decode(z / vae.config.scaling_factor + shift).sample.tanh(), latent=LATENTS)


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0.25, 0.0])
def test_seams_of_tiles_are_found(overlap: float) -> None:
    """With and without an overlap, at any latent; a single tile is the whole image."""
    _, minimal = planted.found(
        gentest.agrees(within=0.02), decoder(tile=8, overlap=overlap).against(decoder()), examples=16
    )
    assert minimal.groups == (), "any latent will do"
    assert " of 1,728 values differ by more, the most at [" in minimal.note
    one_tile = decoder(tile=16, overlap=overlap).against(decoder())
    same = gentest.agrees(within=1e-4).check(one_tile, settings=gentest.settings(device="cpu", examples=16))
    assert same.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, same.message


@pytest.mark.slow
def test_a_shift_factor_that_decode_drops_is_found() -> None:
    """The decoder receives latents that are scaled back and not shifted back."""
    planted.found(gentest.agrees(within=0.01), decoder(shifted=False).against(decoder()), examples=16)
    same = gentest.agrees(within=1e-4).check(
        decoder().against(decoder()), settings=gentest.settings(device="cpu", examples=16)
    )
    assert same.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, same.message


PROMPTS = gentest.Prompts("a red coat", "a blue hat on the table", "a dog")


def prompted(kind: str) -> Generator:
    """A tiny pipeline as it ships, with a prompt and the noise as parts of its space."""
    shape = {"wan": (16, 1, 2, 2), "flux": (4, 16)}.get(kind, (4, tiny_pipelines.SIZE, tiny_pipelines.SIZE))
    space = gentest.Joint(latents=gentest.Normal(shape), prompt=PROMPTS)
    further = {
        "flux": {"height": 4, "width": 4, "max_sequence_length": tiny_pipelines.LENGTH},
        "wan": {"height": 16, "width": 16, "num_frames": 1, "images": False, "max_sequence_length": 16},
    }.get(kind, {})
    return Generator.from_diffusers(getattr(tiny_pipelines, kind)(), latent=space, steps=2, **further)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl", "flux", "wan"])
def test_a_batch_of_prompts_is_one_call(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample follows its own prompt, and is what the pipeline makes of its prompt and noise alone."""
    generator = prompted(kind)
    pipeline = generator.function.pipeline  # type: ignore[attr-defined]
    asked: list[Any] = []
    call = type(pipeline).__call__
    monkeypatch.setattr(type(pipeline), "__call__", lambda self, **k: asked.append(k["prompt"]) or call(self, **k))
    z = torch.randn(3, *generator.latent.parts["latents"].shape, generator=torch.Generator().manual_seed(1))
    together = generator.outputs({"latents": z, "prompt": list(PROMPTS.values)})
    assert asked == [list(PROMPTS.values)]
    for i, prompt in enumerate(PROMPTS.values):
        alone = generator.outputs({"latents": z[i : i + 1], "prompt": [prompt]})
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=0)
        other = generator.outputs({"latents": z[i : i + 1], "prompt": [PROMPTS.values[i - 1]]})
        assert (other[0] - together[i]).abs().max() > 5e-6
    monkeypatch.undo()
    result = gentest.reproducible().check(generator, settings=gentest.settings(examples=8, device="cpu"))
    assert result.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, result.message


class Recorded:
    """A pipeline that takes a list of prompts, and writes down how it is called."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {"unet": torch.nn.Conv2d(3, 3, 1)}
        self.calls: list[dict[str, Any]] = []

    def set_progress_bar_config(self, **config: Any) -> None:
        assert config == {"disable": True}

    def __call__(
        self,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        guidance_scale: float = 7.5,
        num_images_per_prompt: int = 1,
        sigmas: list[float] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
    ) -> Any:
        assert latents is not None
        n = len(prompt) if isinstance(prompt, list) else num_images_per_prompt
        assert len(latents) == n
        assert isinstance(generator, list)
        assert len(generator) == n
        assert negative_prompt is None or isinstance(negative_prompt, str) or len(negative_prompt) == n
        self.calls.append({"prompt": prompt, "negative_prompt": negative_prompt, "scale": guidance_scale, "s": sigmas})
        return ((latents * guidance_scale / 10).sigmoid(),)


def test_arguments_of_a_whole_call_split_a_batch() -> None:
    """One call for each distinct value, in plain numbers; outputs come back in the order of the latents."""
    space = gentest.Joint(
        latents=NOISE,
        negative_prompt=gentest.OneOf(None, "old"),
        guidance_scale=gentest.OneOf(0.1, 7.5),
        sigmas=gentest.OneOf((1.0, 0.5), (1.0,)),
    )
    pipeline = Recorded()
    generator = Generator.from_diffusers(pipeline, latent=space, prompt="a cat")
    z = torch.cat([Z, Z[:1]])
    scale = torch.tensor([7.5, 0.1, 7.5, 7.5])
    inputs = {"latents": z, "negative_prompt": [None, "old", "old", "old"], "guidance_scale": scale}
    made = generator.outputs({**inputs, "sigmas": [(1.0,)] * 4})
    torch.testing.assert_close(made, (z * scale[:, None, None, None] / 10).sigmoid())
    assert pipeline.calls == [
        {"prompt": "a cat", "negative_prompt": None, "scale": 7.5, "s": (1.0,)},
        {"prompt": ["a cat"], "negative_prompt": ["old"], "scale": 0.1, "s": (1.0,)},
        {"prompt": ["a cat"] * 2, "negative_prompt": ["old"] * 2, "scale": 7.5, "s": (1.0,)},
    ]


def test_parts_that_a_pipeline_does_not_take_are_told() -> None:
    """When the generator is made, and so is a part that is also an argument."""
    for name in ("guidance", "prompt"):
        space = gentest.Joint(latents=NOISE, **{name: gentest.OneOf("a", "b")})
        with pytest.raises(InvalidArgument, match=r"takes no 'guidance'; it takes prompt, negative|give it once"):
            Generator.from_diffusers(Recorded(), latent=space, prompt="a cat")


@pytest.mark.parametrize("mark", ["_hf_hook", "_diffusers_hook", "hf_device_map", "is_loaded_in_8bit"])
def test_modules_that_somebody_places_are_not_moved(mark: str) -> None:
    """Offloading, device maps and quantized parts stay as they are."""
    pipeline = Recorded()
    setattr(pipeline.components["unet"], mark, {"": "cpu"})
    Generator.from_diffusers(pipeline, latent=NOISE, prompt="a cat").to(torch.device("meta"))
    assert pipeline.components["unet"].weight.device.type == "cpu"


def test_an_identity_names_what_cannot_be_read() -> None:
    """With `identity=`, a pipeline with an unreadable part has the same fingerprint twice."""
    pipeline = Recorded()
    pipeline.components["engine"] = (n for n in [1])
    unnamed = Generator.from_diffusers(pipeline, latent=NOISE, prompt="a cat")
    assert unnamed.fingerprint() != unnamed.fingerprint()
    named = Generator.from_diffusers(pipeline, latent=NOISE, prompt="a cat", identity="engine 1")
    assert named.fingerprint() == named.fingerprint()


class Planted(StableDiffusionPipeline):  # type: ignore[misc]
    """A pipeline whose text side is wrong in a way that depends on the prompt."""

    reads: Callable[[str], str] = str
    embeds: Callable[[list[str], torch.Tensor], torch.Tensor] | None = None
    saturates_at: float | None = None

    def encode_prompt(self, prompt: Any, *arguments: Any, **named: Any) -> Any:
        prompts = [prompt] if isinstance(prompt, str) else prompt
        own, negative = super().encode_prompt([self.reads(text) for text in prompts], *arguments, **named)
        return own if self.embeds is None else self.embeds(prompts, own), negative

    def run_safety_checker(self, image: Any, device: Any, dtype: Any) -> Any:
        """The last step before the images are scaled to [0, 1]."""
        return image * (1e4 if self.guidance_scale == self.saturates_at else 1.0), None


def planted_pipeline(**defect: Any) -> StableDiffusionPipeline:
    """The tiny pipeline with a defect; without one it is clean."""
    pipeline = Planted(**tiny_pipelines.stable_diffusion().components, requires_safety_checker=False)
    for name, value in defect.items():
        setattr(pipeline, name, value)
    return pipeline


FORTY = [
    f"{thing} {place}"
    for place in ("on the table", "with a hat", "and a cat", "of the dog")
    for thing in (
        *("a red coat", "a blue coat", "a green coat", "a big dog", "a small cat"),
        *("a old hat", "a new table", "a photo", "a red dog", "a green cat"),
    )
]
TEMPLATE = gentest.Template(
    "a {size} {color} {thing}",
    size=[None, "big", "small"],
    color=["red", "green", "blue"],
    thing=["coat", "hat", "dog"],
)
LONG = gentest.Prompts("a cat", "a dog", "a very very old red coat on a big table with a small dog")
START = gentest.Normal((4, tiny_pipelines.SIZE, tiny_pipelines.SIZE))


def with_prompts(prompts: gentest.Space, defect: dict[str, Any], **parts: Any) -> Generator:
    space = gentest.Joint(latents=START, prompt=prompts, **parts)
    return Generator.from_diffusers(planted_pipeline(**defect), latent=space, steps=1)


def without(generator: Generator, words: str) -> gentest.Pair:
    """The generator beside itself without some words of its prompts."""
    cut = re.compile(rf"\b({words})\b ?")

    def strip(parts: dict[str, Any]) -> dict[str, Any]:
        return {**parts, "prompt": [cut.sub("", text) for text in parts["prompt"]]}

    return generator.against(generator.before(strip))


@gentest.property(probes=gentest.points())
def not_saturated(evidence: gentest.Evidence) -> torch.Tensor:
    images = evidence.images.flatten(1)
    return 0.9 - ((images == 0.0) | (images == 1.0)).float().mean(1)


DEFECTS: dict[str, tuple[Any, Callable[[dict[str, Any]], Any], dict[str, Any], dict[str, Any]]] = {
    "one prompt of 40 ignored": (
        gentest.differs(at_least=1e-4),
        lambda defect: without(with_prompts(gentest.Prompts(*FORTY), defect), r"\w+"),
        {"reads": lambda text: "" if text == FORTY[23] else text},
        {"prompt": FORTY[23]},
    ),
    "one color word ignored": (
        gentest.differs(at_least=1e-4),
        lambda defect: without(with_prompts(TEMPLATE, defect), "red|green|blue"),
        {"reads": lambda text: text.replace("blue ", "")},
        {"prompt": "a blue coat"},
    ),
    "guidance 7.5 saturates": (
        not_saturated(),
        lambda defect: with_prompts(TEMPLATE, defect, guidance_scale=gentest.OneOf(3.0, 5.0, 7.5)),
        {"saturates_at": 7.5},
        {"prompt": "a red coat", "guidance_scale": 7.5},
    ),
    "a long prompt changes its neighbours": (
        gentest.reproducible(),
        lambda defect: with_prompts(LONG, defect),
        {"embeds": lambda prompts, own: own + (own * longer(prompts)).sum(0) - own * longer(prompts)},
        {"prompt": "a cat"},  # any short one: the words that matter are its neighbour's
    ),
    "padding changes the image": (
        gentest.reproducible(),
        lambda defect: with_prompts(LONG, defect),
        {"embeds": lambda prompts, own: own * max(len(text.split()) for text in prompts)},
        {"prompt": "a cat"},
    ),
}


def longer(prompts: list[str]) -> torch.Tensor:
    """1 for prompts of more than eight words, [B, 1, 1]."""
    return torch.tensor([float(len(text.split()) > 8) for text in prompts])[:, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_that_depends_on_the_prompt_is_found(name: str) -> None:
    """Reduced to the words that matter, shown in words, replayed from the string; the clean pipeline has none."""
    property, make, defect, choices = DEFECTS[name]
    conditions = gentest.settings(device="cpu", examples=160 if "40" in name else 40)
    result = property.check(make(defect), settings=conditions)
    assert result.verdict is gentest.Verdict.VIOLATED, result.message
    minimal = result.counterexample
    assert minimal is not None
    assert minimal.choices == choices
    assert len(minimal.groups) <= 4, "nearly any noise will do"
    if property.definition.again:
        long = LONG.values[2]
        n_words = 9 if "long" in name else 3
        assert f"the output changes after a sample of prompt={long!r}; prompt=" in minimal.note
        fewest = minimal.note.split("; prompt='")[1].removesuffix("' is enough")
        assert len(fewest.split()) == n_words, "the words of the neighbour that matter: any, but so many"
    again = property.replay(make(defect), minimal.replay, settings=conditions)
    assert again.verdict is gentest.Verdict.VIOLATED, again.message
    clean = property.check(make({}), settings=conditions)
    assert clean.verdict in (gentest.Verdict.NO_COUNTEREXAMPLE, gentest.Verdict.HOLDS), clean.message


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["compiled", "offloaded", "offloaded in groups"])
def test_a_pipeline_that_somebody_placed_is_left_alone(how: str) -> None:
    """Its weights stay where they are, its outputs are the plain pipeline's, and its weights are its identity."""
    from accelerate import cpu_offload

    cpu, prints = torch.device("cpu"), []
    z = torch.randn(2, 4, tiny_pipelines.SIZE, tiny_pipelines.SIZE)
    plain = Generator.from_diffusers(tiny_pipelines.stable_diffusion(), latent=START, steps=1, prompt="a dog")
    for change in (0.0, 0.0, 0.1):
        pipeline = tiny_pipelines.stable_diffusion()
        next(pipeline.unet.parameters()).data += change
        if how == "compiled":
            pipeline.unet = torch.compile(pipeline.unet, backend="eager")
        elif how == "offloaded":
            cpu_offload(pipeline.unet, execution_device=cpu)
        else:
            pipeline.unet.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")
        generator = Generator.from_diffusers(pipeline, latent=START, steps=1, prompt="a dog")
        there = [weight.device for weight in pipeline.unet.parameters()]
        generator.to(cpu)
        assert [weight.device for weight in pipeline.unet.parameters()] == there
        prints.append(generator.fingerprint())
        if not change:
            torch.testing.assert_close(generator.outputs({"": z}), plain.outputs({"": z}))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("scheduler", "draws"),
    [
        (EulerAncestralDiscreteScheduler, True),
        (EulerDiscreteScheduler, False),
        (partial(DPMSolverMultistepScheduler, algorithm_type="sde-dpmsolver++"), True),
        (DPMSolverMultistepScheduler, False),
    ],
)
def test_each_scheduler_gives_a_sample_that_depends_on_its_seed_alone(
    scheduler: Callable[..., Any], *, draws: bool
) -> None:
    """Those that draw noise on the way have the noise input; each is reproducible in any batch."""
    made = scheduler(num_train_timesteps=100, steps_offset=1)
    pipeline = tiny_pipelines.stable_diffusion(scheduler=made)
    space = gentest.Joint(latents=START, prompt=PROMPTS)
    generator = Generator.from_diffusers(pipeline, latent=space, steps=3)
    assert bool(generator.noise) == draws
    result = gentest.reproducible().check(generator, settings=gentest.settings(examples=6, device="cpu"))
    assert result.verdict is gentest.Verdict.NO_COUNTEREXAMPLE, result.message
