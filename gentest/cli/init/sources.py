"""What --load means: a function or class, the one in a package, a file, a pipeline; and what is taken without it."""

from __future__ import annotations

import os
from pathlib import Path

from gentest.cli.init.answers import Weights
from gentest.cli.init.kinds import KINDS
from gentest.cli.init.looking import Defined, candidates, file_kind, model_files, places, within
from gentest.errors import InvalidArgument

GENERATORS = ("gen", "ema", "decoder")
"""What stands in the name of a file with the weights of one."""


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
        (":" in load, "/" in load, (path := _place(load, folder)).is_file(), (path / "model_index.json").exists())
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


def _place(load: str, folder: Path) -> Path:
    """The file or folder that --load may mean; where there is none, the fixture's folder has it still to come."""
    return next((path for place in places(folder) if (path := place / load).exists()), folder / load)


def kind_of(load: str | None, folder: Path) -> str:
    if load is None:
        return "torch"
    path = _place(load, folder)
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
    path = _place(load, folder)
    if KINDS[kind].source == "pipeline":
        return f"./{Path(os.path.relpath(path, folder)).as_posix()}" if path.exists() else load
    if not path.is_file():
        raise InvalidArgument.expected("the model's file", "--load", load)
    return Path(os.path.relpath(path, folder)).as_posix()


def weights_of(
    what: Defined, said: Path | None, folder: Path, there: list[Path]
) -> tuple[Weights | None, tuple[Path, ...]]:
    """The weights of a class: those that were named, that lie in the folder, or that came with its package.

    Of several files that of a generator, by its name. Where that does not tell: None, and the files to choose from.
    """
    if said is not None:
        return Weights(Path(os.path.relpath(said.absolute(), folder))), ()
    package = what.root / what.package if what.root is not None and not what.mine else None
    packaged = not there and package is not None and package.is_dir()
    found = model_files(package).get("weights", []) if packaged and package is not None else there
    likely = [path for path in found if any(word in path.name.lower() for word in GENERATORS)]
    one = found if len(found) == 1 else likely
    if len(one) != 1:
        return None, tuple(found)
    why = "the one file of weights" if one is found else "the one file of weights with the name of a generator"
    return Weights(one[0], packaged=packaged, why=f"{why} in {what.package if packaged else 'the folder'}"), ()
