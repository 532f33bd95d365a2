"""Conditional generators: outputs are what the condition asked for."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from gentest._support.arguments import as_number
from gentest.attributes import Feature
from gentest.attributes.attribute import describe
from gentest.attributes.clip.scores import prompt_match
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.probes.families import points
from gentest.properties.definition import Definition, Evidence, Measure, check_callable, non_defaults


def follows_label(
    classifier: Feature, *, part: str | None = None, classes: Mapping[Any, int] | None = None
) -> Definition:
    """A conditional generator obeys its condition: a classifier assigns each output to the class of its label.

    `classifier` maps images [B, C, H, W] to logits [B, K], K >= 2: any callable, or `gentest.clip_classes`. `part`
    names the discrete part of the space that is the label; with a single discrete part it may be left out. `classes`
    maps label values to class indices if they differ, as `{"a cat": 0, "a dog": 1}` for texts; two labels may share a
    class.

    The property judges two models at once: choose a rate that the classifier reaches on real images. After
    `generator.given(label=3)` it judges that label alone.

    Margin: the logit of the label's class minus the largest other logit, in the classifier's units (log-odds).

    >>> import gentest
    >>> gentest.follows_label(gentest.clip_classes("a photo of a {}", ["cat", "dog"])).at_rate(0.9)
    follows_label(clip_classes('a photo of a {}', ['cat', 'dog'])).at_rate(0.9)
    """
    check_callable("classifier", classifier)
    if part is not None and not isinstance(part, str):
        raise InvalidArgument.expected("the name of a discrete part", "part", part)
    _check_classes(classes)

    def margin(evidence: Evidence) -> Tensor:
        labels = _labels(evidence.latents, part)  # [N]
        logits = evidence.features(classifier)[:, 0]  # [N, K]
        if logits.shape[1] < 2:
            raise InvalidArgument(f"{describe(classifier)} gives one number per image; expected a logit for each class")
        if bool((logits == logits[:, :1]).all(1).any()):
            raise AttributeFailed(f"{describe(classifier)} gives all classes the same logit: it cannot tell them apart")
        of_label = {value: _class_of(value, classes, logits.shape[1]) for value in set(labels)}
        index = torch.tensor([[of_label[value]] for value in labels], device=logits.device)  # [N, 1]
        others = logits.scatter(1, index, -torch.inf).amax(1)
        return logits.gather(1, index)[:, 0] - others

    known = None if classes is None else dict(classes)
    arguments = non_defaults(follows_label, classifier=classifier, part=part, classes=known)
    return Definition(
        "follows_label", points(), margin, arguments=arguments, measures=(Measure(classifier, scalar=False),)
    )


def follows_prompt(
    *, at_least: float = 0.0, against: str | None = None, part: str = "prompt", model: str | None = None
) -> Definition:
    """A generator obeys its prompt: by CLIP, each output looks more like its own prompt than like others.

    The score is the log-odds of `gentest.prompt_match`: own prompt against the most similar of the space's other
    prompts, or against the text `against` (by default "a photo" in a space of one prompt, or of more than 64).
    `at_least` is the smallest score that is allowed, in log-odds: 0 says that CLIP picks the right prompt, 0.7 that it
    finds it twice as likely. `part` names the prompt among the parts of the space.

    The property judges two models at once: choose a rate that CLIP reaches on real images.

    Margin: the score minus `at_least`, in log-odds. Raises `InvalidArgument` for anything but a finite number.

    >>> import gentest
    >>> gentest.follows_prompt(at_least=1.0).at_rate(0.9)
    follows_prompt(at_least=1.0).at_rate(0.9)
    """
    least = as_number(at_least)
    if not isfinite(least):
        raise InvalidArgument.expected("a finite number", "at_least", at_least)
    match = prompt_match(part, against=against, model=model)

    def margin(evidence: Evidence) -> Tensor:
        return evidence.scores(match)[:, 0] - least

    arguments = non_defaults(follows_prompt, at_least=least, against=against, part=part, model=model)
    return Definition("follows_prompt", points(), margin, arguments=arguments, measures=(Measure(match, scalar=True),))


def _labels(latents: Any, part: str | None) -> list[Any]:
    """The label of each probe: the values of the discrete part with that name, or of the only one."""
    parts = latents if isinstance(latents, Mapping) else {"": latents}
    discrete = {name: z for name, z in parts.items() if not (isinstance(z, Tensor) and z.is_floating_point())}
    if not discrete:
        hint = "gentest.Joint(z=..., label=gentest.Categorical(10))"
        raise InvalidArgument(f"follows_label() needs a latent space with a discrete part, such as {hint}")
    if part is None and len(discrete) > 1:
        raise InvalidArgument(f"follows_label() needs part=, one of {', '.join(map(repr, discrete))}")
    name = next(iter(discrete)) if part is None else part
    if name not in discrete:
        raise InvalidArgument.expected(f"one of the discrete parts {', '.join(map(repr, discrete))}", "part", part)
    labels: list[Any] = discrete[name][:, 0].tolist()
    return labels


def _class_of(label: Any, classes: Mapping[Any, int] | None, n: int) -> int:
    """The class index of a label among `n`."""
    if classes is not None and label not in classes:
        raise InvalidArgument(f"classes={dict(classes)} has no class for the label {label!r}")
    if classes is None and (not isinstance(label, int) or label < 0):
        raise InvalidArgument(f"the label {label!r} is no class index: give classes={{{label!r}: 0, ...}}")
    index = label if classes is None else classes[label]
    if index >= n:
        raise InvalidArgument(f"the label {label} is class {index}, and the classifier gives {n} logits: give classes=")
    return index


def _check_classes(classes: object) -> None:
    if classes is None:
        return
    good = isinstance(classes, Mapping) and len(classes) > 0
    pairs = classes.items() if isinstance(classes, Mapping) else ()
    if not good or any(type(n) is not int or n < 0 or isinstance(value, bool) for value, n in pairs):
        raise InvalidArgument.expected("class indices by label, such as {0: 7, 1: 3}", "classes", classes)
