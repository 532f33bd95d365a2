"""What `gentest check` does with a folder of images, with pairs, and with a model that is slow."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import gentest
from gentest.cli import check_run
from gentest.cli.check_run import Check, check_model
from gentest.cli.model_options import Given
from gentest.cli.model_source import ModelKind, ModelSource
from gentest.results.outcome import Verdict


class Copying(nn.Module):
    """An autoencoder of images [3, 4, 4] that keeps a share of them."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        return (self.share * z).view(-1, 3, 4, 4)


def asked(monkeypatch: pytest.MonkeyPatch, model: object, **more: Any) -> dict[str, Any]:
    """The question about a model that is in memory."""
    monkeypatch.setattr(check_run, "load", lambda source: model)
    monkeypatch.setattr(check_run, "call_of", lambda source: "()")
    question: dict[str, Any] = {
        "model": ModelSource("MODEL", "my_model:load", ModelKind.CODE).to_json(),
        "kind": "code",
        "against": None,
        "given": Given().to_json(),
        "within": None,
        "data": None,
        "settings": {"seed": 0, "device": "cpu", "batch_size": None},
        "examples": 40,
        "started": time.time(),
        "minutes": 1.0,
        "replay": None,
        "report": None,
        "json": None,
        "command": "gentest check my_model:load",
    }
    return {**question, **more}


def verdicts(answer: dict[str, Any]) -> dict[str, str]:
    return {result["test"]: result["verdict"] for result in answer["document"]["results"]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 40 images, 4 x 4."""
    rng = torch.Generator().manual_seed(0)
    (tmp_path / "photos").mkdir()
    for i in range(40):
        pixels = torch.randint(0, 256, (4, 4, 3), generator=rng, dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(tmp_path / f"photos/{i}.png")
    return tmp_path / "photos"


GIVEN = Given.from_json({**Given().to_json(), "latent": {"space": "Normal", "shape": [48], "bounds": {}}})


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "no_counterexample"), (0.5, "violated")])
def test_images_come_back_from_an_autoencoder(
    share: float, verdict: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a folder of images, latents are their encodings, and each image must come back."""
    given = Given.from_json({**GIVEN.to_json(), "output_range": [-1, 1]})
    answer = check_model(asked(monkeypatch, Copying(share), data=str(photos), given=given.to_json()))
    assert "misuse" not in answer, answer
    assert verdicts(answer)["images come back"] == verdict
    told = {about: text for about, text, _ in answer["assumptions"]}
    assert told["latents"] == f"the encodings of 40 images in {photos}"
    assert told["matches"] == "not checked: 40 images are too few, and 256 are enough"


def test_a_pair_is_checked_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laws are about the candidate, and it must agree with the reference."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Unflatten(1, (3, 4, 4))).eval()
    generator = gentest.Generator(net, latent=gentest.Normal(6))
    pair = generator.then(lambda x: (x + 0.1).clamp(0, 1)).against(generator)
    found = verdicts(check_model(asked(monkeypatch, pair)))
    assert found["values are valid"] == "no_counterexample"
    assert found["agrees"] == "violated"


def test_a_slow_model_is_asked_for_few_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The searches are as long as the time allows, by the time that an output takes."""
    monkeypatch.setattr(Check, "_time", lambda check, generator: setattr(check, "seconds", 1.0))
    check = Check(asked(monkeypatch, None, examples=None))
    check.seconds = check.alone = 1.0
    check.context = check_run.shared_context(check.values)
    generator = gentest.Generator(lambda z: z.sigmoid()[:, None, None], latent=gentest.Normal(4), output_range=(0, 1))
    described = check_run.Described(generator)
    slow = {each.label: each.examples for each in check._asked(described, None)}
    assert slow == {"well_formed": 8, "reproducible": 4, "not_blank": 8, "responsive": 8, "diverse": 2}
    check.seconds = check.alone = 1e-5
    assert {each.label: each.examples for each in check._asked(described, None)} == check_run.MOST
    more = Check(asked(monkeypatch, None, examples=3_000))
    more.seconds, more.alone, more.context = 1e-5, 1e-5, check.context
    assert {each.examples for each in more._asked(described, None)} == {3_000}


@pytest.mark.parametrize(("minutes", "words"), [(1.0, "1 minute is over"), (0.5, "0.5 minutes are over")])
def test_the_end_of_the_time_is_told_in_the_right_number(
    minutes: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One minute is singular."""
    assert Check(asked(monkeypatch, None, minutes=minutes))._time_is_over() == f"{words}: give --max-minutes"


class Flow(nn.Module):
    """An affine coupling flow of rows [B, 4] with two layers. A collapsed one gives the same row for all latents."""

    def __init__(self, *, collapsed: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(2, 4) for _ in range(2))
        self.spread = 1e-8 if collapsed else 1.0

    def forward(self, z: Tensor) -> Tensor:
        kept, moved = z.chunk(2, dim=1)
        for layer in self.layers:
            scale, shift = layer(kept).chunk(2, dim=1)
            kept, moved = moved * scale.tanh().exp() + shift, kept
        return 3.0 + self.spread * torch.cat([kept, moved], dim=1)


@pytest.mark.parametrize("collapsed", [False, True])
def test_rows_need_only_differ(collapsed: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """Chance makes some of 16 rows of a few values nearly alike, and only duplicates violate `diverse`."""
    rows = {"space": "Normal", "shape": [4], "bounds": {}}
    given = {**Given().to_json(), "latent": rows}
    found = verdicts(check_model(asked(monkeypatch, Flow(collapsed=collapsed), given=given)))
    assert found["values are valid"] == "no_counterexample"
    assert found["samples differ"] == ("violated" if collapsed else "no_counterexample")
    assert found["latents matter"] == ("violated" if collapsed else "no_counterexample")


def test_an_error_stops_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that raises on some latents is an error, and never green."""
    calls = []

    def f(z: Tensor) -> Tensor:
        calls.append(len(z))
        if len(calls) > 8:
            raise RuntimeError("it broke")
        return z.sigmoid()[:, None, None]

    answer = check_model(asked(monkeypatch, gentest.Generator(f, latent=gentest.Normal(4), output_range=(0, 1))))
    assert Verdict.ERROR.value in verdicts(answer).values()
    assert answer["skipped"] == "an error stopped the check"
    assert answer["document"]["unchecked"]


def test_an_output_that_another_law_meets_refutes_that_values_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay that the report has gives the same error."""

    ramp = torch.tensor([[0.0, 0.5], [0.5, 1.0]])

    def rarely(z: Tensor) -> Tensor:
        return torch.where(z[:, :1] > 2.9, torch.nan, z).sigmoid()[:, :, None, None].repeat(1, 1, 2, 2) * ramp

    generator = gentest.Generator(rarely, latent=gentest.Normal(4), output_range=(0, 1))
    answer = check_model(asked(monkeypatch, generator))
    first, *_, last = answer["document"]["results"]
    assert (first["test"], first["verdict"], last["verdict"]) == ("values are valid", "violated", "error")
    assert first["search"]["violations"] == 0
    assert first["broken"]["n_places"] > 1
    again = check_model(asked(monkeypatch, generator, replay=first["broken"]["replay"]))
    assert verdicts(again) == {last["test"]: "error"}
    assert again["document"]["results"][0]["broken"]["probe"] == first["broken"]["probe"]


@pytest.mark.parametrize(("shape", "has_law"), [((4, 1, 1), False), ((1, 1, 2), True), ((3,), False), ((4,), True)])
def test_outputs_of_few_values_are_not_asked_for_contrast(
    shape: tuple[int, ...], *, has_law: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pixel has no contrast, and three numbers may well be nearly the same."""
    n = torch.Size(shape).numel()
    images = len(shape) == 3
    generator = gentest.Generator(
        lambda z: z[:, :n].sigmoid().unflatten(1, shape), latent=gentest.Normal(4), output_range=(0, 1), images=images
    )
    answer = check_model(asked(monkeypatch, generator, examples=10))
    assert ("no blank output" in verdicts(answer)) is has_law
    assert Verdict.ERROR.value not in verdicts(answer).values()


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "no_counterexample"), (1e-3, "no_counterexample"), (0.1, "violated")]
)
def test_the_distance_from_the_reference_is_told(shift: float, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far, on which latent, and in which value: whether or not the difference is allowed."""
    generator = gentest.Generator(
        lambda z: 0.8 * z.sigmoid()[:, :, None, None].repeat(1, 1, 2, 2), latent=gentest.Normal(3), output_range=(0, 1)
    )

    def shifted(x: Tensor) -> Tensor:
        return x + shift * (torch.arange(2) == 1) * x

    answer = check_model(asked(monkeypatch, generator.then(shifted).against(generator)))
    assert verdicts(answer)["agrees"] == verdict
    told = answer["information"][0]
    if not shift:
        assert told == "the outputs are those of the reference up to 1e-06, on all 40 latents"
        return
    found = re.fullmatch(
        r"the latent that differs most from the reference \(--replay (agrees:\S+)\) does so by (\S+) of the output "
        r"range, and 4/255 is allowed; there, \d+ of 12 values differ by more, the most at \[\d, \d, 1\] by \+(\S+?)"
        r"(, .*)?",
        told,
    )
    assert found is not None, told
    assert found[2] == found[3]
    latent = gentest.agrees(within=0.0).replay(generator.then(shifted).against(generator), found[1].partition(":")[2])
    assert latent.smallest_margin == pytest.approx(-float(found[2]), rel=0.01)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_label_whose_effect_no_law_asks_for_is_named(fixed: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """The output says what was not looked at; a fixed label has no other value."""
    space = gentest.Joint(z=gentest.Normal(12), label=gentest.Categorical(4))
    model = gentest.Generator(lambda z, label: z.sigmoid().view(-1, 3, 2, 2), latent=space, output_range=(0, 1))
    given = Given(choices={"label": 2} if fixed else {}).to_json()
    answer = check_model(asked(monkeypatch, model, given=given, examples=4))
    text = "whether another value of label gives another output of the same latent"
    named = [text for about, text, _ in answer["assumptions"] if about == "unasked"]
    assert named == ([] if fixed else [text])
