"""CLIP attributes, on a tiny random CLIP made of open_clip's own classes, and on a real one where there is one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.attributes import PromptCache, Readout, Setup, bind, clip, clip_classes, clip_embedding, embed, score
from gentest.attributes.clip.model import CPU_AT_ONCE, load_clip
from gentest.attributes.clip.scores import prompt_match
from gentest.errors import AttributeFailed, ClipError, InvalidArgument
from gentest.results.settings import Precision
from tests.helpers.tiny_clip import CPU, images, setup_of


@pytest.fixture
def setup(tiny: Path) -> Setup:
    return Setup(CPU, clip=f"local-dir:{tiny}")


def test_an_attribute_is_a_value() -> None:
    make: Callable[[], Any] = lambda: clip("a cat", templates=["a {}", "the {}"], model="ViT-B-32:openai")  # noqa: E731
    assert make() == make()
    assert len({make(), make(), clip("a cat"), clip("a cat", "a dog"), clip("a cat", probability=True)}) == 4
    assert pickle.loads(pickle.dumps(make())) == make()
    assert repr(clip("a cat")) == "clip('a cat')"
    assert repr(clip("a cat", "a dog", probability=True)) == "clip('a cat', 'a dog', probability=True)"
    assert eval(repr(make())) == make()
    assert (repr(clip_embedding()), repr(clip_embedding("X:y"))) == ("clip_embedding()", "clip_embedding('X:y')")


THREE = ["a red coat", "a blue hat", "a dog"]


@pytest.mark.parametrize(
    ("options", "against", "rivals"),
    [
        (THREE, None, {"a red coat": ["a blue hat", "a dog"], "a dog": ["a red coat", "a blue hat"]}),
        (THREE, "a cat", {"a red coat": ["a cat"], "a dog": ["a cat"]}),
        ([], None, {"a red coat": ["a photo"], "a dog": ["a photo"]}),
        (["a dog"], None, {"a dog": ["a photo"]}),
    ],
)
def test_a_prompt_match_is_log_odds_against_the_most_similar(
    setup: Setup, options: list[str], against: str | None, rivals: dict[str, list[str]]
) -> None:
    """The model's own logits: of the image's own prompt, minus the largest of the others."""
    bound = prompt_match(against=against).bind(setup)
    model, own = bound.feature.model, list(rivals)
    x = images(len(own))
    made = bound.given({"prompt": own}, {"prompt": options})(x)
    rows = model.embed(x)
    for row, prompt, score_of_it in zip(rows, own, made, strict=True):
        logits = [model.logit_scale * (row @ model.text_vectors([text])[0]) for text in (prompt, *rivals[prompt])]
        torch.testing.assert_close(score_of_it, logits[0] - max(logits[1:]), atol=1e-4, rtol=1e-4)


def test_a_prompt_that_is_no_text_is_told(setup: Setup) -> None:
    bound = prompt_match().bind(setup)
    with pytest.raises(InvalidArgument, match="a text in every prompt but got prompt=None"):
        bound.given({"prompt": ["a dog", None]}, {"prompt": []})


def test_a_prompt_match_needs_its_prompts() -> None:
    with pytest.raises(InvalidArgument, match="needs the prompts of the images"):
        prompt_match()(images(1))


@pytest.mark.filterwarnings("error")
def test_a_prompt_that_the_text_tower_cuts_is_told_once(copy: Path) -> None:
    """Not for as many words as it reads, and once for more."""
    model = load_clip(f"local-dir:{copy}", CPU)
    model.text_vectors([" ".join(["dog"] * 75)])
    with pytest.warns(UserWarning, match=r"reads 77 tokens, and a prompt has more: .* 'dog dog"):
        model.text_vectors([" ".join(["dog"] * 76)])
    model.text_vectors([" ".join(["dog"] * 77)])


def test_the_default_opposite_is_neutral() -> None:
    assert clip("a cat").prompts == ("a cat", "a photo")
    assert clip("cat", templates=["a {}", "{}!"]).prompts == ("a cat", "cat!", "a thing", "thing!")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "Expected a text but got text=''"),
        ({"text": 3}, "type=int"),
        ({"text": "a", "against": " "}, "against=' '"),
        ({"text": "a", "templates": ["a photo"]}, r"with {} where the prompt goes but got template='a photo'"),
        ({"text": "a", "templates": "a {}"}, "a list of templates"),
        ({"text": "a", "model": ""}, "model=''"),
        ({"text": "a", "against": "a"}, "another text than the one it is measured against"),
        ({"text": "a photo"}, "another text than the one"),
    ],
)
def test_misuse_is_refused_where_it_is_written(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        clip(**arguments)


@pytest.mark.slow
def test_importing_the_attributes_does_not_import_open_clip() -> None:
    code = "import sys, gentest.attributes; assert not {'open_clip', 'torchvision', 'huggingface_hub'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})


def test_the_score_is_the_difference_of_open_clips_logits(tiny: Path, setup: Setup, open_clip: ModuleType) -> None:
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tiny}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny}")(["a cat", "a dog"])
    squashed = torch.nn.functional.interpolate(images(), (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        logits, _ = model.eval().get_logits((squashed - 0.5) / 0.25, tokens)
    scores = score(bind(clip("a cat", "a dog"), setup), images())
    torch.testing.assert_close(scores, logits[:, 0] - logits[:, 1], atol=1e-4, rtol=1e-4)
    probabilities = score(bind(clip("a cat", "a dog", probability=True), setup), images())
    torch.testing.assert_close(probabilities, logits.softmax(1)[:, 0], atol=1e-4, rtol=1e-4)


def test_templates_are_averaged_between_normalisations(setup: Setup) -> None:
    bound = clip("cat", "dog", templates=["a {}", "my {} there"]).bind(setup)
    cat, dog = (bound.feature.model.text_vectors([f"a {name}", f"my {name} there"]).mean(0) for name in ("cat", "dog"))
    expected = bound.feature.model.logit_scale * (cat / cat.norm() - dog / dog.norm())
    torch.testing.assert_close(bound.texts, expected)


def test_the_opposite_has_the_opposite_sign(setup: Setup) -> None:
    there, back = (score(bind(clip(*pair), setup), images()) for pair in (("a cat", "a dog"), ("a dog", "a cat")))
    torch.testing.assert_close(there, -back)


def test_gradients_flow_to_the_images_and_not_to_the_model(setup: Setup) -> None:
    given = images().requires_grad_()
    bound = clip("a cat").bind(setup)
    score(bound, given).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in bound.feature.model._visual.parameters())


def test_attributes_of_one_model_are_read_out_of_one_feature(tiny: Path, setup: Setup) -> None:
    named = clip("a dog", model=f"local-dir:{tiny}").bind(setup)
    cat, feature = clip("a cat").bind(setup), bind(clip_embedding(), setup)
    assert cat.feature == named.feature == feature
    assert len({cat.feature, named.feature, feature}) == 1
    assert isinstance(cat, Readout)
    assert cat == clip("a cat").bind(setup) != clip("a dog").bind(setup)
    rows = embed(feature, images())
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(cat.read(rows), score(cat, images()))
    assert [repr(thing) for thing in (cat, feature)] == ["clip('a cat')", "clip_embedding()"]


def test_an_attribute_that_names_its_model_runs_unbound(tiny: Path, setup: Setup) -> None:
    model = f"local-dir:{tiny}"
    assert torch.equal(clip("a cat", model=model)(images()), score(bind(clip("a cat"), setup), images()))
    assert torch.equal(clip_embedding(model)(images()), embed(bind(clip_embedding(), setup), images()))


def test_a_relative_folder_is_relative_to_where_one_is(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    assert load_clip("local-dir:tiny", CPU) is load_clip(f"local-dir:{tiny}", CPU)


def test_a_wrong_image_is_named_with_the_attribute(setup: Setup) -> None:
    with pytest.raises(AttributeFailed, match=r"clip\('a cat'\) raised InvalidArgument.*1 or 3 channels"):
        score(bind(clip("a cat"), setup), torch.rand(2, 4, 8, 8))


def test_grey_images_are_taken(setup: Setup) -> None:
    assert score(bind(clip("a cat"), setup), torch.rand(2, 1, 28, 28)).shape == (2,)


def test_a_large_batch_is_embedded_in_parts(setup: Setup) -> None:
    """On a CPU, where parts are faster. The rows are those of the parts."""
    images = torch.rand(2 * CPU_AT_ONCE + 5, 3, 20, 20)
    feature = bind(clip_embedding(), setup)
    rows = embed(feature, images)
    assert rows.shape[0] == len(images)
    for start in range(0, len(images), CPU_AT_ONCE):
        some = images[start : start + CPU_AT_ONCE]
        assert torch.equal(rows[start : start + CPU_AT_ONCE], embed(feature, some))


def test_classes_are_read_out_of_the_same_embedding(setup: Setup) -> None:
    """A row of logits is logit scale x cosine, and their differences are the log-odds that `clip` gives."""
    bound = bind(clip_classes("a photo of a {}", ["cat", "dog", "bird"]), setup)
    assert isinstance(bound, Readout)
    assert bound.feature == bind(clip_embedding(), setup)
    logits = embed(bound, images())
    assert logits.shape == (3, 3)
    pair = score(bind(clip("a photo of a cat", "a photo of a dog"), setup), images())
    torch.testing.assert_close(logits[:, 0] - logits[:, 1], pair)
    torch.testing.assert_close(bound.read(bound.feature(images())), logits)
    assert eval(repr(bound)) == clip_classes("a photo of a {}", ["cat", "dog", "bird"])


def test_templates_of_a_class_are_averaged(setup: Setup) -> None:
    """Normalised before and after, like those of a text."""
    both = embed(bind(clip_classes(["a {}", "my {} there"], ["cat", "dog"]), setup), images())
    pair = score(bind(clip("cat", "dog", templates=["a {}", "my {} there"]), setup), images())
    torch.testing.assert_close(both[:, 0] - both[:, 1], pair)


def test_classes_run_without_a_text_tower_where_prompts_are_stored(copy: Path, tmp_path: Path) -> None:
    """The prompt file holds one embedding a class; a missing one is named."""
    classes = clip_classes("a {}", ["cat", "dog"])
    filled = PromptCache(tmp_path / "prompts.json", update=True)
    expected = embed(bind(classes, setup_of(copy, filled)), images())
    stored = setup_of(copy, PromptCache.load(tmp_path / "prompts.json"))
    # the same but for rounding, which follows how tensors are aligned in memory
    assert torch.allclose(embed(bind(classes, stored), images()), expected, rtol=0.0, atol=1e-5)
    with pytest.raises(ClipError, match="no embedding of 'a bird'"):
        bind(clip_classes("a {}", ["cat", "bird"]), stored)


def test_a_property_reads_classes_once_an_image(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """`follows_label` and an attribute of the same CLIP share one embedding of each output, and names are shown."""
    generator = gentest.Generator(
        lambda z, label: z[:, :, None, None].tanh().expand(-1, 3, 24, 24) + 0 * label[:, None, None, None],
        latent=gentest.Joint(z=gentest.Normal(3), label=gentest.Categorical(2)),
    )
    embedded: list[int] = []
    model = load_clip(str(setup.clip), CPU)
    whole = model.embed

    def embed(images: Tensor, precision: Precision) -> Tensor:
        embedded.append(len(images))
        return whole(images, precision)

    monkeypatch.setattr(model, "embed", embed)
    few = gentest.settings(examples=20, clip=setup.clip)
    classes = gentest.clip_classes("a {}", ["cat", "dog"])

    @gentest.property(probes=gentest.points())
    def both(evidence: gentest.Evidence) -> Tensor:
        return evidence.features(classes)[:, 0, 0] + 100 + 0 * evidence.scores(gentest.clip("a cat"))[:, 0]

    assert both().check(generator, settings=few).verdict.value == "no_counterexample"
    # each probe once in a batch and four alone, and those four again with outputs moved by as much as rounding might
    assert sum(embedded) == 20 + 4 + 8
    result = gentest.follows_label(classes).check(generator, settings=few)
    assert result.counterexample is not None
    assert list(result.counterexample.scores) == ["cat", "dog"]


def test_classes_have_a_spread_in_standard_deviations(setup: Setup) -> None:
    """`gentest.sd(x)` of a classifier is the spread of its rows, as of any feature."""
    generator = gentest.Generator(lambda z: z[:, :, None, None].tanh().expand(-1, 3, 24, 24), latent=gentest.Normal(3))
    property = gentest.continuous(gentest.clip_classes("a {}", ["cat", "dog"]), tolerance=gentest.sd(100))
    result = property.check(generator, settings=gentest.settings(examples=5, clip=setup.clip))
    assert result.verdict.value == "no_counterexample", result.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a photo", ["a", "b"]), "with {} where the prompt goes"),
        (([], ["a", "b"]), "a template, or a list of them"),
        ((3, ["a", "b"]), "template=3"),
        (("a {}", "ab"), "a list of two names or more"),
        (("a {}", ["a"]), "a list of two names or more"),
        (("a {}", ["a", " "]), "name=' '"),
        (("a {}", ["a", "a"]), "names that differ"),
        (("a {}", ["a", 3]), "name=3"),
    ],
)
def test_misused_classes_are_refused_where_they_are_written(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        clip_classes(*arguments)


@pytest.fixture(scope="module")
def real() -> Path:
    if not os.environ.get("GENTEST_REAL_CLIP"):
        pytest.skip("GENTEST_REAL_CLIP=DIR is not set: a folder with a real CLIP and its stored text embeddings")
    return Path(os.environ["GENTEST_REAL_CLIP"])


@pytest.fixture(scope="module")
def photos() -> Any:
    try:
        import skimage.data
    except ImportError:
        pytest.skip("scikit-image, whose photos these are, is not installed")
    return skimage.data


@pytest.fixture
def real_prompts(real: Path, tmp_path: Path) -> PromptCache:
    """A prompt file made of stored text embeddings, as one would for a model whose text tower is not at hand."""
    model = load_clip(f"local-dir:{real}", CPU, text=False)
    rows = np.load(real / "openai_vitb16_text_embeddings.npz")["coco_single"]
    names = json.loads((real / "text_names.json").read_text())["coco_stuff_171"]
    cache = PromptCache.load(tmp_path / "prompts.json", update=True)
    for name, row in zip(names, rows, strict=True):
        cache.put(model.fingerprint, f"a photo of a {name}", row, name=model.name, logit_scale=model.logit_scale)
    cache.save()
    return PromptCache.load(cache.path)


def photo(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.atleast_3d(array)[..., :3].copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.real_clip
def test_a_real_clip_tells_a_cat_from_a_dog(real: Path, real_prompts: PromptCache, photos: Any) -> None:
    bound = clip("a photo of a cat", against="a photo of a dog").bind(setup_of(real, real_prompts))
    assert bound.feature.model._text is None
    assert score(bound, photo(photos.chelsea())).item() > 3.0


@pytest.mark.real_clip
def test_a_real_clip_agrees_with_open_clips_own_pipeline_through_pil(
    real: Path,
    real_prompts: PromptCache,
    photos: Any,
    open_clip: ModuleType,
) -> None:
    from PIL import Image

    _, _, through_pil = open_clip.create_model_and_transforms(f"local-dir:{real}")
    pairs = [("cat", "dog"), ("person", "horse"), ("cup", "bottle"), ("motorcycle", "car")]
    bound = [clip(*(f"a photo of a {x}" for x in pair)).bind(setup_of(real, real_prompts)) for pair in pairs]
    model = bound[0].feature.model
    worst_pixel = worst_score = 0.0
    for name in ("astronaut", "chelsea", "coffee", "rocket", "camera", "moon", "brick"):
        array = getattr(photos, name)()
        theirs, ours = through_pil(Image.fromarray(array))[None], model.preprocess(photo(array))
        difference = (theirs - ours).abs() * torch.tensor(model.preprocess.std).view(3, 1, 1)
        worst_pixel = max(worst_pixel, difference.max().item() * 255)
        with torch.no_grad():
            rows = [torch.nn.functional.normalize(model._visual(given), dim=-1) for given in (theirs, ours)]
        for attribute in bound:
            worst_score = max(worst_score, (attribute.read(rows[0]) - attribute.read(rows[1])).abs().item())
    print(f"float against PIL: pixels {worst_pixel:.2f}/255, log-odds {worst_score:.3f}")  # noqa: T201 - with -s
    assert worst_pixel < 1.1
    assert worst_score < 0.5
