"""Rows `end-to-end` and `plain given`: gentest beside the loop anybody would write, and beside Hypothesis alone."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import gentest
from tests.bench import models
from tests.bench.figures import NEVER, Asked, Figure, Target, compared, in_turn, sound, spent

POINTS = 9
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""Images at once, of which the bare loop takes the fastest."""
ANY = 1e3
"""A tolerance in log-odds that no path exceeds: a logit scale is 100 at most, so scores lie within 200."""


@dataclass(frozen=True)
class Clip:
    """A CLIP as open_clip itself loads it, on the device, and the direction [D] that a score is read along."""

    model: Any
    preprocess: Callable[[Any], Tensor]
    direction: Tensor
    mean: Tensor
    std: Tensor
    size: int
    dtype: torch.dtype = torch.float32
    """That of the image tower."""

    @classmethod
    def load(cls, spec: str, device: torch.device) -> Clip:
        import open_clip

        name, _, tag = spec.partition(":") if not spec.startswith("local-dir:") else (spec, "", "")
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=tag or None)
        model = model.float().eval().to(device)
        given = model.visual.preprocess_cfg
        with torch.inference_mode():
            text = F.normalize(
                model.encode_text(open_clip.get_tokenizer(name)(list(models.PROMPTS)).to(device)), dim=-1
            )
            direction = (model.logit_scale.exp() * (text[0] - text[1])).clone()
        mean, std = (torch.tensor(given[key], device=device)[:, None, None] for key in ("mean", "std"))
        size = given["size"]
        return cls(model, preprocess, direction, mean, std, size if isinstance(size, int) else size[0])

    def in_bfloat16(self) -> Clip:
        """The same model with a copy of its image tower in bfloat16."""
        model = copy.copy(self.model)
        model._modules = dict(model._modules) | {"visual": copy.deepcopy(model.visual).bfloat16()}
        return replace(self, model=model, dtype=torch.bfloat16)

    def scores(self, images: Tensor) -> Tensor:
        """Scores [B] of images [B, 3, H, W] in [0, 1], in floats on the device."""
        fitted = F.interpolate(images, (self.size, self.size), mode="bicubic", antialias=True)
        inputs = ((fitted - self.mean) / self.std).to(self.dtype)
        embedding = F.normalize(self.model.encode_image(inputs).float(), dim=-1)
        found: Tensor = embedding @ self.direction
        return found

    def score_of_one(self, image: Tensor) -> Tensor:
        """The score [1] of one image [3, H, W] in [0, 1] by open_clip's own preprocessing, through PIL."""
        from torchvision.transforms.functional import to_pil_image

        batch = self.preprocess(to_pil_image(image.cpu()))[None].to(self.direction.device)
        found: Tensor = F.normalize(self.model.encode_image(batch), dim=-1) @ self.direction
        return found


def bare(net: nn.Module, dim: int, clip: Clip, n_paths: int, size: int, device: torch.device) -> Tensor:
    """The scores [n, 9] of straight paths between random latents: generator and CLIP, `size` images at once."""
    steps = torch.linspace(0, 1, POINTS, device=device)[:, None]
    with torch.inference_mode():
        ends = torch.randn(n_paths, 2, dim, device=device)
        latents = torch.lerp(ends[:, :1], ends[:, 1:], steps).flatten(0, 1)
        scores = [clip.scores((net(z) + 1) / 2) for z in latents.split(size)]
        return torch.cat(scores).reshape(n_paths, POINTS).cpu()


def fastest(net: nn.Module, dim: int, clip: Clip, asked: Asked, n_paths: int) -> int:
    """The size of batch at which the bare loop makes most images a second, on so many paths."""
    rates: dict[int, float] = {}
    for size in SIZES:
        if size > n_paths * POINTS and rates:
            break
        try:
            bare(net, dim, clip, -(-size // POINTS), size, asked.device)  # warm at this size
            found = in_turn(
                {"": lambda s=size: asked.seconds(lambda: bare(net, dim, clip, n_paths, s, asked.device))}, 2
            )
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        rates[size] = n_paths / min(found[""])
    return max(rates, key=lambda size: rates[size])


def end_to_end(asked: Asked) -> Iterator[Figure]:
    """Images a second of a rate whose budget is spent, and of the bare loop on as many paths."""
    with tempfile.TemporaryDirectory() as folder:
        spec = asked.clip or models.write_clip(Path(folder), small=asked.quick)
        clip = Clip.load(spec, asked.device)
        for name in ("tiny",) if asked.quick else ("faces", "dcgan256"):
            try:
                yield against_bare(name, spec, clip, asked, n_paths=asked.size(128, 4096, 4))
            except models.Missing as error:
                yield Figure(f"images/s, {name}", note=f"skipped: {error}")


def against_bare(
    name: str, spec: str, clip: Clip, asked: Asked, *, n_paths: int, called: str = "ViT-B-32", precision: Any = "full"
) -> Figure:
    """Images a second of a rate on a generator, over those of the bare loop with the same tower in that precision.

    Raises `models.Missing` if the generator is not installed.
    """
    generator, (_, dim) = models.named(name), models.NETS[name]
    generator.to(asked.device)
    tower = clip.in_bfloat16() if precision == "bf16" else clip
    size = fastest(generator.function, dim, tower, asked, min(n_paths, asked.size(32, 512, 2)))
    own = gentest.between(gentest.clip(*models.PROMPTS), tolerance=ANY).at_rate(NEVER)
    results: list[gentest.Result] = []

    def ours(budget: int = n_paths) -> float:
        looks = gentest.settings(examples=1, budget=budget, clip=spec, precision=precision, device=str(asked.device))
        seconds = asked.seconds(lambda: results.append(own.check(generator, settings=looks)))
        spent(results[-1], budget)
        return budget * POINTS / seconds

    def loop() -> float:
        seconds = asked.seconds(lambda: bare(generator.function, dim, tower, n_paths, size, asked.device))
        return n_paths * POINTS / seconds

    ours(1)  # and warm: models are loaded, prompts embedded
    found = in_turn({"gentest": ours, "bare loop": loop}, asked.rounds)
    more = results[-1].images - n_paths * POINTS
    note = f"{n_paths:,} paths; the loop's best batch {size}; gentest makes {more} images more"
    return compared(
        f"images/s, {name} + {called}, {precision}, against the bare loop",
        found["gentest"],
        found["bare loop"],
        unit="images/s",
        target=Target(0.9 if asked.on_gpu else 0.95),
        note=note,
    )


GIVEN_TARGETS = {"cpu": {"full": 1.7, "int8": 3.0}, "cuda": {"bf16": 100.0}}


def plain_given(asked: Asked) -> Iterator[Figure]:
    """Paths a second of a search at each precision, and of a plain Hypothesis test that scores image by image."""
    with tempfile.TemporaryDirectory() as folder:
        spec = asked.clip or models.write_clip(Path(folder), small=asked.quick)
        clip = Clip.load(spec, asked.device)
        name = "tiny" if asked.quick else "faces"
        try:
            generator = models.named(name)
        except models.Missing:
            name, generator = "dcgan64", models.named("dcgan64")
        generator.to(asked.device)
        n_ours, n_theirs = asked.size(300, 4096, 8), asked.size(16, 64, 2)
        own = gentest.between(gentest.clip(*models.PROMPTS), tolerance=gentest.sd(2))
        results: dict[str, gentest.Result] = {}

        def ours(precision: Any, n: int = n_ours) -> float:
            looks = gentest.settings(examples=n, clip=spec, precision=precision, reduce=0, device=str(asked.device))
            seconds = asked.seconds(lambda: results.update({precision: own.check(generator, settings=looks)}))
            if sound(results[precision]).examples != n:
                raise RuntimeError(f"{results[precision].examples} examples were looked at, of {n}")
            return n / seconds

        def theirs(n: int = n_theirs) -> float:
            called: list[int] = []
            dim = models.NETS[name][1]
            seconds = asked.seconds(lambda: called.append(hypothesis_alone(generator.function, dim, clip, n, asked)))
            return called[0] / seconds

        precisions = ("full", "bf16") if asked.on_gpu else ("full", "bf16", "int8")
        for precision in precisions:  # and warm: models are loaded in each precision, prompts embedded
            ours(precision, 1)
        theirs(1)
        ways: dict[str, Callable[[], float]] = {p: lambda p=p: ours(p) for p in precisions}
        found = in_turn(ways | {"given": theirs}, asked.rounds)
        for precision in precisions:
            result = results[precision]
            again = "none" if result.screening is None else f"{result.screening.again}"
            note = f"{n_ours} paths ({n_theirs} by @given), {result.violations} violate, {again} in full once more"
            bound = GIVEN_TARGETS[asked.device.type].get(precision)
            yield compared(
                f"paths/s, {name} + ViT-B-32, {precision}",
                found[precision],
                found["given"],
                unit="paths/s",
                target=None if bound is None else Target(bound),
                note=note,
            )
        if len({(result.verdict, result.violations) for result in results.values()}) > 1:
            raise RuntimeError(f"verdicts differ by precision: {results}")


def hypothesis_alone(net: nn.Module, dim: int, clip: Clip, n: int, asked: Asked) -> int:
    """What people write today: a seed is drawn, its path made in one batch, and every image scored by itself.

    How many paths it looked at: `n`, but for what Hypothesis repeats.
    """
    seeds: list[int] = []
    steps = torch.linspace(0, 1, POINTS)[:, None]
    quietly = settings(
        max_examples=n, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )

    @quietly
    @given(st.integers(0, 2**63 - 1))
    def between(seed: int) -> None:
        seeds.append(seed)
        ends = torch.randn(2, dim, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            images = (net(torch.lerp(ends[:1], ends[1:], steps).to(asked.device)) + 1) / 2
            scores = torch.cat([clip.score_of_one(image) for image in images])
        low, high = scores[[0, -1]].aminmax()
        assert bool(((scores >= low - ANY) & (scores <= high + ANY)).all())

    between()
    return len(seeds)
