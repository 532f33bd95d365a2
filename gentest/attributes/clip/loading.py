"""Finds and loads a CLIP. Only this module imports open_clip, and only when a model is needed.

If the weights are a safetensors file and every prompt is stored, the text tower is never allocated: a stub takes its
place in the model, and only the image tower's tensors are read. Otherwise open_clip loads both towers. Weights are
never random: missing weights are an error.
"""

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
"""The file that open_clip tries first, in a folder and on the hub."""
MAX_CONFIG = 2**20
"""The largest configuration, in bytes."""
WEIGHT_FILES = (".safetensors", ".bin", ".pth")
"""The suffixes of files that open_clip accepts as weights in a folder."""

TEXT_STUB = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class ClipSource:
    """The place from which a model is loaded."""

    spec: str
    """The user's own words, for messages."""
    name: str
    """The same without folders, for reports and prompt files."""
    key: str
    """Equal for the same model, however the user wrote it."""
    arguments: tuple[str, ...]
    """The arguments of `open_clip.create_model`: the model, and its tag or file."""
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    """The weights, if this module found the file on this machine."""
    hub_only: bool = False
    """The hub is needed, since its cache on this machine lacks the model."""
    downloads: bool = False
    """open_clip downloads the weights if they are not in its own cache."""


class TextTower(NamedTuple):
    """CLIP's text side: open_clip's own model without its image tower, and the tokenizer."""

    model: Any
    tokenizer: Any


class Towers(NamedTuple):
    """The loaded towers, on the CPU, in float32."""

    visual: nn.Module
    text: TextTower | None
    logit_scale: float
    preprocess: Preprocess


def find_source(spec: str) -> ClipSource:
    """The source that `MODEL:PRETRAINED`, `MODEL:FILE`, `local-dir:DIR` or `hf-hub:ORG/REPO` stands for.

    Raises `ClipError` if open_clip does not know the model or tag, or if the folder or file does not exist.
    """
    if not isinstance(spec, str) or not spec.strip():
        raise InvalidArgument.expected("MODEL:PRETRAINED or local-dir:DIR", "clip", spec)
    if spec.startswith(LOCAL_DIR):
        return _folder(spec)
    if spec.startswith(HF_HUB):
        cached = _cached(spec.removeprefix(HF_HUB), [CONFIG]) is not None
        return ClipSource(spec, spec, spec, (spec,), hub_only=not cached, downloads=True)
    return _named(spec)


def load_towers(source: ClipSource, *, text: bool) -> Towers:
    """The image tower and, with `text`, the text tower. Raises `ClipError` for unavailable or unreadable weights."""
    with _quietly(), tensors_only(), torch.random.fork_rng(devices=[]):  # building a model draws initial weights
        try:
            _check_reachable(source)
            towers = None if text else _image_tower(source)
            towers = towers or _both_towers(source)
        except ClipError:
            raise
        except Exception as error:  # open_clip raises whatever its parsers and hubs raise
            raise _load_failed(source, error) from error
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
        raise ClipError(f"CLIP {spec}: open_clip has no model {model!r}{hint}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not pretrained:
        example = f"{model}:{tags[0]}" if tags else f"{model}:FILE"
        raise ClipError(f"CLIP {spec}: name the weights, for example {example!r}; {_list_tags(model, tags)}")
    if open_clip.is_pretrained_cfg(model, pretrained):
        return _tagged(spec, model, pretrained)
    path = Path(pretrained).expanduser().resolve()
    if path.is_file():
        return _file(spec, model, path)
    if path.suffix or len(Path(pretrained).parts) > 1:
        raise ClipError(f"CLIP {spec}: no such file: {path}; {_list_tags(model, tags)}")
    raise ClipError(f"CLIP {spec}: no weights called {pretrained!r}; {_list_tags(model, tags)}")


def _list_tags(model: str, tags: list[str]) -> str:
    return f"the tags of {model}: {', '.join(tags)}" if tags else f"open_clip lists no weights for {model}"


def _tagged(spec: str, model: str, tag: str) -> ClipSource:
    """Weights that open_clip lists, taken from the hub's cache if they are there, so that nothing needs the network."""
    import open_clip

    listed = open_clip.get_pretrained_cfg(model, tag)
    # Some weights were trained with QuickGELU. The plain model name does not say so, and open_clip only warns.
    options: dict[str, Any] = {"force_quick_gelu": bool(listed.get("quick_gelu"))}
    name = f"{model}:{tag}"
    key = name.lower().replace("_", "-")
    repo, file = os.path.split(listed.get("hf_hub", ""))
    stem = os.path.splitext(file)[0]
    cached = _cached(repo, [f"{stem}.safetensors", file] if file else [WEIGHTS, "open_clip_pytorch_model.bin"])
    if cached is None:
        return ClipSource(spec, name, key, (model, tag), options, hub_only=bool(repo), downloads=True)
    options["force_preprocess_cfg"] = _without_size(listed)
    return ClipSource(spec, name, key, (model, str(cached)), options, weights=cached)


def _file(spec: str, model: str, path: Path) -> ClipSource:
    """Weights in a file, used as the configuration beside it says. Without one, a warning names the assumptions."""
    name, config = f"{model}:{path.name}", path.with_name(CONFIG)
    options: dict[str, Any] = {}
    if config.is_file():
        stored = _config(config, name)
        options["force_preprocess_cfg"] = _without_size(stored.get("preprocess_cfg") or {})
        options["force_quick_gelu"] = bool((stored.get("model_cfg") or {}).get("quick_gelu"))
    else:
        warnings.warn(
            f"CLIP {name}: no {CONFIG} beside it, so gentest preprocesses images as for OpenAI's CLIP (its mean and "
            f"std, bicubic, shortest side, the size of {model}); scores are wrong if the model needs anything else",
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
    """The first of the files that is in the hub's cache on this machine."""
    if not repo:
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        paths = [try_to_load_from_cache(repo, file) for file in files]
    except ValueError as error:
        raise ClipError(f"CLIP {HF_HUB}{repo}: not the name of a repository, such as ORG/REPO") from error
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _check_reachable(source: ClipSource) -> None:
    """Raises `ClipError` at once if the hub's name does not resolve; its client would retry for most of a minute."""
    if not source.hub_only or getproxies():
        return
    from huggingface_hub import constants

    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError as error:
        raise _unreachable(source, error) from error


def _image_tower(source: ClipSource) -> Towers | None:
    """The image tower without its text tower; None if only open_clip itself can load the weights."""
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
        tensors = {name: stored.get_tensor(name) for name in names if name.startswith("visual.")}
        if "logit_scale" not in names or {name: tensor.shape for name, tensor in tensors.items()} != wanted:
            return None  # another project's names or sizes: open_clip converts them
        scale = stored.get_tensor("logit_scale")
    model.visual.load_state_dict({name.removeprefix("visual."): tensor for name, tensor in tensors.items()})
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


def _load_failed(source: ClipSource, error: Exception) -> ClipError:
    if source.downloads and _is_caused_by_os_error(error):
        return _unreachable(source, error)
    text = in_one_line(str(error).strip() or type(error).__name__)
    where = f" from {source.weights}" if source.weights else ""
    return ClipError(f"CLIP {source.spec}: cannot load the model{where}: {type(error).__name__}: {text}")


def _is_caused_by_os_error(error: BaseException | None) -> bool:
    """True for a failed download: open_clip and its hubs wrap the `OSError` of the network in errors of their own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error is not None


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
    """Keep open_clip off the root logger, and from adding a handler to it; it raises anything that matters."""
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
