"""Finding and loading a CLIP: the one place that imports open_clip, and only when a model is asked for.

Only the image tower is sure to be needed. Where the weights are a safetensors file and every prompt is stored, the
text tower is never allocated: the model is built with a stub in its place, and the image tower's tensors alone are
read. Everywhere else open_clip loads the whole. Weights are never random: they are there, or it is an error."""

from __future__ import annotations

import difflib
import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from gentest._support.files import read_json, tensors_only
from gentest._support.printable import in_one_line
from gentest.attributes.clip.preprocess import Preprocess
from gentest.errors import ClipError, InvalidArgument

LOCAL_DIR, HF_HUB = "local-dir:", "hf-hub:"
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
"""What open_clip looks for first in a folder, and on the hub."""
MAX_CONFIG = 2**20
"""Bytes of a configuration."""
WEIGHT_FILES = (".safetensors", ".bin", ".pth")
"""What open_clip takes for weights in a folder."""

TEXT_STUB = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class ClipSource:
    """Where a model comes from."""

    spec: str
    """As it was given, to tell a person what to type."""
    name: str
    """The same without folders: it goes into reports and prompt files."""
    key: str
    """The same model has the same key, however it was given."""
    arguments: tuple[str, ...]
    """Of `open_clip.create_model`: the model, and its tag or file."""
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    """The weights, where they are on this machine."""
    hub_only: bool = False
    """Whether the weights must come from the hub."""


class TextTower(NamedTuple):
    model: Any
    """open_clip's own model, without its image tower."""
    tokenizer: Any


class Towers(NamedTuple):
    """What was loaded, on the CPU, in float32."""

    visual: nn.Module
    text: TextTower | None
    logit_scale: float
    preprocess: Preprocess


def find(spec: str) -> ClipSource:
    """What `MODEL:PRETRAINED`, `MODEL:FILE`, `local-dir:DIR` or `hf-hub:ORG/REPO` means.

    Raises `ClipError` where open_clip knows no such model or tag, or the folder or file is not there.
    """
    if not isinstance(spec, str) or not spec.strip():
        raise InvalidArgument.expected("MODEL:PRETRAINED or local-dir:DIR", "clip", spec)
    if spec.startswith(LOCAL_DIR):
        return _folder(spec)
    if spec.startswith(HF_HUB):
        cached = _cached(spec.removeprefix(HF_HUB), [CONFIG]) is not None
        return ClipSource(spec, spec, spec, (spec,), hub_only=not cached)
    return _named(spec)


def load(source: ClipSource, *, text: bool) -> Towers:
    """The image tower, and with `text` the text tower. Raises `ClipError` for weights that cannot be had or read."""
    with _quietly(), tensors_only(), torch.random.fork_rng(devices=[]):  # building a model draws initial weights
        try:
            _check_reachable(source)
            towers = None if text else _image_tower(source)
            towers = towers or _both_towers(source)
        except ClipError:
            raise
        except Exception as error:  # open_clip raises whatever its parsers and hubs raise
            raise _failed(source, error) from error
    return towers if text else towers._replace(text=None)


def _folder(spec: str) -> ClipSource:
    folder = Path(spec.removeprefix(LOCAL_DIR)).expanduser().resolve()
    name, config = f"{LOCAL_DIR}{folder.name}", folder / CONFIG
    if spec == LOCAL_DIR or not folder.is_dir():
        raise ClipError(f"CLIP {spec}: no such folder: {folder}")
    if not config.is_file():
        raise ClipError(f"CLIP {spec}: {folder} has no {CONFIG} (as open_clip saves it, with model_cfg)")
    if not isinstance(_config(config, name).get("model_cfg"), dict):
        raise ClipError(f"CLIP {spec}: {config} has no model_cfg")
    if not any(path.suffix in WEIGHT_FILES for path in folder.iterdir()):
        raise ClipError(f"CLIP {spec}: {folder} has no weights, such as {WEIGHTS}")
    local = f"{LOCAL_DIR}{folder}"
    preferred = folder / WEIGHTS
    return ClipSource(spec, name, local, (local,), weights=preferred if preferred.is_file() else None)


def _named(spec: str) -> ClipSource:
    import open_clip

    model, _, pretrained = spec.partition(":")
    model = model.replace("/", "-")  # as open_clip does: ViT-B/32 is ViT-B-32
    models = open_clip.list_models()
    if model not in models:
        close = difflib.get_close_matches(model, models, n=4, cutoff=0.5)
        hint = f"; did you mean {', '.join(close)}?" if close else "; open_clip.list_models() lists them"
        raise ClipError(f"CLIP {spec}: open_clip knows no model {model!r}{hint}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not pretrained:
        example = f"{model}:{tags[0]}" if tags else f"{model}:FILE"
        raise ClipError(f"CLIP {spec}: which weights? Say {example!r}; {_listed(model, tags)}")
    if open_clip.is_pretrained_cfg(model, pretrained):
        return _tagged(spec, model, pretrained)
    path = Path(pretrained).expanduser().resolve()
    if path.is_file():
        return _file(spec, model, path)
    if path.suffix or len(Path(pretrained).parts) > 1:
        raise ClipError(f"CLIP {spec}: no such file: {path}; {_listed(model, tags)}")
    raise ClipError(f"CLIP {spec}: no weights called {pretrained!r}; {_listed(model, tags)}")


def _listed(model: str, tags: list[str]) -> str:
    return f"the tags of {model}: {', '.join(tags)}" if tags else f"open_clip lists no weights for {model}"


def _tagged(spec: str, model: str, tag: str) -> ClipSource:
    """Weights that open_clip lists; from the hub's cache where they are there, so that nothing asks the network."""
    import open_clip

    listed = open_clip.get_pretrained_cfg(model, tag)
    # Some weights were trained with QuickGELU, which the plain model name does not say: open_clip only warns.
    options: dict[str, Any] = {"force_quick_gelu": bool(listed.get("quick_gelu"))}
    name = f"{model}:{tag}"
    key = name.lower().replace("_", "-")
    repo, file = os.path.split(listed.get("hf_hub", ""))
    stem = os.path.splitext(file)[0]
    cached = _cached(repo, [f"{stem}.safetensors", file] if file else [WEIGHTS, "open_clip_pytorch_model.bin"])
    if cached is None:
        return ClipSource(spec, name, key, (model, tag), options, hub_only=bool(repo))
    options["force_preprocess_cfg"] = _without_size(listed)
    return ClipSource(spec, name, key, (model, str(cached)), options, weights=cached)


def _file(spec: str, model: str, path: Path) -> ClipSource:
    """Weights in a file, used as the configuration beside it says; with none, a warning says what is assumed."""
    name, config = f"{model}:{path.name}", path.with_name(CONFIG)
    options: dict[str, Any] = {}
    if config.is_file():
        stored = _config(config, name)
        options["force_preprocess_cfg"] = _without_size(stored.get("preprocess_cfg") or {})
        options["force_quick_gelu"] = bool((stored.get("model_cfg") or {}).get("quick_gelu"))
    else:
        warnings.warn(
            f"CLIP {name}: no {CONFIG} beside it, so images are preprocessed as OpenAI's CLIP does (its mean and std, "
            f"bicubic, shortest side, the size of {model}); with other preprocessing the scores are wrong",
            UserWarning,
            stacklevel=2,
        )
    return ClipSource(spec, name, f"{model}:{path}", (model, str(path)), options, weights=path)


def _without_size(preprocess: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in preprocess.items() if name != "size"}  # the architecture has its own


def _config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = read_json(path, most_bytes=MAX_CONFIG)
    except (OSError, ValueError) as error:
        raise ClipError(f"CLIP {name}: cannot read {path}: {in_one_line(str(error))}") from error
    if not isinstance(config, dict):
        raise ClipError(f"CLIP {name}: {path} is not a JSON object")
    return config


def _cached(repo: str, files: list[str]) -> Path | None:
    """The first of the files that the hub's cache on this machine has."""
    if not repo:
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        paths = [try_to_load_from_cache(repo, file) for file in files]
    except ValueError as error:
        raise ClipError(f"CLIP {HF_HUB}{repo}: not the name of a repository, as ORG/REPO") from error
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _check_reachable(source: ClipSource) -> None:
    """Fails at once where the hub's name does not resolve: its client would try again for most of a minute."""
    if not source.hub_only or getproxies():
        return
    from huggingface_hub import constants

    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError as error:
        raise _unreachable(source, error) from error


def _image_tower(source: ClipSource) -> Towers | None:
    """The image tower alone, its text tower never built; None where only open_clip itself can load the weights."""
    if source.weights is None or source.weights.suffix != ".safetensors":
        return None
    import open_clip
    from safetensors import safe_open

    if "multimodal_cfg" in open_clip.get_model_config(source.arguments[0]):  # a captioner has a third tower
        return None
    model = open_clip.create_model(*source.arguments, load_weights=False, text_cfg=dict(TEXT_STUB), **source.options)
    wanted = {f"visual.{name}": tensor.shape for name, tensor in model.visual.state_dict().items()}
    with safe_open(source.weights, framework="pt") as stored:
        names = set(stored.keys())
        found = {name: stored.get_tensor(name) for name in names if name.startswith("visual.")}
        if "logit_scale" not in names or {name: tensor.shape for name, tensor in found.items()} != wanted:
            return None  # another project's names or sizes: open_clip converts them
        scale = stored.get_tensor("logit_scale")
    model.visual.load_state_dict({name.removeprefix("visual."): tensor for name, tensor in found.items()})
    return Towers(_frozen(model.visual), None, _exp(scale), _preprocess(model, source))


def _both_towers(source: ClipSource) -> Towers:
    import open_clip

    model = open_clip.create_model(*source.arguments, require_pretrained=True, weights_only=True, **source.options)
    tokenizer = open_clip.get_tokenizer(source.arguments[0])
    preprocess, visual = _preprocess(model, source), model.visual
    model.visual = nn.Identity()
    return Towers(_frozen(visual), TextTower(_frozen(model), tokenizer), _exp(model.logit_scale), preprocess)


def _preprocess(model: Any, source: ClipSource) -> Preprocess:
    return Preprocess.from_config(model.visual.preprocess_cfg, source.name)


def _frozen(module: nn.Module) -> nn.Module:
    return module.float().eval().requires_grad_(requires_grad=False)


def _exp(logit_scale: Tensor) -> float:
    return float(logit_scale.detach().double().exp())


def _failed(source: ClipSource, error: Exception) -> ClipError:
    text = in_one_line(str(error).strip() or type(error).__name__)
    if source.weights is None and "ownload" in text:
        return _unreachable(source, error)
    where = f" from {source.weights}" if source.weights else ""
    return ClipError(f"CLIP {source.spec}: cannot load the model{where}: {type(error).__name__}: {text}")


def _unreachable(source: ClipSource, error: Exception) -> ClipError:
    model, *tag = source.arguments
    call = f"open_clip.create_model({model!r}" + (f", pretrained={tag[0]!r})" if tag else ")")
    return ClipError(
        f"CLIP {source.spec}: its weights are not on this machine and cannot be downloaded ({type(error).__name__}). "
        f'Fetch them where there is a network, with the same HF_HOME: python -c "import open_clip; {call}"; '
        f"or give a folder as {LOCAL_DIR}DIR"
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps open_clip from writing to the root logger, or giving it a handler: what matters is raised."""
    root, handler = logging.getLogger(), logging.NullHandler()

    def not_open_clip(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addHandler(handler)
    root.addFilter(not_open_clip)
    try:
        yield
    finally:
        root.removeFilter(not_open_clip)
        root.removeHandler(handler)
