"""What --load means: a function or class, the one in a package, a file, a pipeline; and what is taken without it."""

from __future__ import annotations

import os
from pathlib import Path

from gentest.errors import InvalidArgument
from gentest.starting.answers import Weights
from gentest.starting.kinds import KINDS
from gentest.starting.looking import Defined, candidates, file_kind, model_files, within


def source_there(there: dict[str, list[Path]], folder: Path, kind: str | None) -> str | None:
    """What in the folder is likely to be the model, of that kind where one is given."""
    wanted = [kind] if kind else [name for name, k in KINDS.items() if k.source != "code"]
    for name in wanted:
        if there.get(name):
            return there[name][0].as_posix()
    if folder.is_dir() and (kind is None or KINDS[kind].source == "code"):
        return next(iter(candidates(folder)), None)
    return None


def is_package(load: str, kind: str | None, folder: Path) -> bool:
    """Whether --load names a package or module, and nothing in it."""
    return (kind is None or KINDS[kind].source == "code") and not any(
        (":" in load, "/" in load, (folder / load).is_file(), (folder / load / "model_index.json").exists())
    )


def one_of(package: str, folder: Path) -> str:
    """The one function or class in a package that is likely to make a generator."""
    names = within(package, folder)
    if len(names) == 1:
        return names[0]
    if names:
        raise InvalidArgument(f"--load {package}: name one of {', '.join(names[:8])}")
    raise InvalidArgument.expected(
        "MODULE:NAME, such as my_model:load, or a file that is there; or say --kind diffusers", "--load", package
    )


def kind_of(load: str | None, folder: Path) -> str:
    if load is None:
        return "torch"
    path = folder / load
    if path.is_dir() and file_kind(path / "model_index.json") and (path / "model_index.json").is_file():
        return "diffusers"
    if path.is_file():
        kind = file_kind(path)
        if kind in KINDS:
            return kind
        what = "holds weights alone; name the class they belong to, as in --load my_model:Generator --weights FILE"
        raise InvalidArgument(
            f"--load {load}: {what}" if kind else f"--load {load}: no kind of model is known by that name"
        )
    if ":" in load:
        return "torch"
    raise InvalidArgument.expected("MODULE:NAME, or a file that is there; or say --kind diffusers", "--load", load)


def file_of(load: str | None, kind: str, folder: Path) -> str:
    """The model's file as the fixture finds it, or the pipeline's name."""
    if load is None:
        raise InvalidArgument(f"--kind {kind} needs --load: {KINDS[kind].what}")
    path = folder / load if (folder / load).exists() else Path(load).absolute()
    if KINDS[kind].source == "pipeline":
        return f"./{Path(os.path.relpath(path, folder)).as_posix()}" if path.exists() else load
    if not path.is_file():
        raise InvalidArgument.expected("the model's file", "--load", load)
    return Path(os.path.relpath(path, folder)).as_posix()


def weights_of(what: Defined, said: Path | None, folder: Path, there: list[Path]) -> Weights | None:
    """The weights of a class: those that were named, that lie in the folder, or that came with its package."""
    if said is not None:
        return Weights(Path(os.path.relpath(said.absolute(), folder)))
    if there:
        return Weights(there[0])
    if what.root is not None and what.distribution:
        package = what.root / what.package
        for path in model_files(package).get("weights", []) if package.is_dir() else []:
            return Weights(path, packaged=True)
    return None
