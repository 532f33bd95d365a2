"""What a folder and its sources say of a model, read and not run."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gentest.cli.init.kinds import KINDS, WEIGHTS
from gentest.errors import InvalidArgument

DEPTH = 3
"""Folders below the one that is looked at."""
MANY = 10_000
"""Entries after which looking stops."""
SKIPPED = {"node_modules", "site-packages", "__pycache__", "venv", "env", "build", "dist"}
MODULES = 300
"""Modules of a package that are looked through."""
MOST_SOURCE = 4 * 2**20
"""Bytes of a module."""
HOPS = 5
"""Modules that a name is followed through."""


@dataclass(frozen=True)
class Defined:
    """A function or class that --load names, as its source has it."""

    module: str
    name: str
    path: Path | None
    """The file it stands in; None where it is not told by the source."""
    line: int = 0
    """Where in that file; 0 where it is not told."""
    is_class: bool = False
    needs: tuple[str, ...] = ()
    """The arguments that a call must give it."""
    takes: int = 0
    """How many arguments can be given by place."""
    root: Path | None = None
    """The folder that its package or module lies in, which Python has to import from."""
    distribution: str = ""
    """What installs it from an index, pinned; "" for a module of the user's own."""
    mine: bool = False
    """Whether it lies in the user's folders, not where others' packages are installed."""
    told: bool = False
    """Whether Python has to be told of `root`: it is not the fixture's folder, and nothing is installed from it."""
    known: bool = True
    """Whether the source says what a call takes."""
    placed: int = 0
    """How many of the arguments that a call must give it can be given by place."""

    @property
    def is_ready(self) -> bool:
        """Whether it is a function that takes a checkpoint, or nothing."""
        return self.known and not self.is_class and len(self.needs) == self.placed <= 1

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def repository(folder: Path) -> Path:
    """The folder of the repository, which workflows belong to; the folder itself where there is none."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def places(folder: Path) -> list[Path]:
    """Where what is named is looked for: the folder, the one that the command runs in, that of the repository."""
    return list(dict.fromkeys((folder, Path.cwd(), repository(folder))))


def model_files(folder: Path) -> dict[str, list[Path]]:
    """Files of models in a folder, relative to it, by kind; those that hold weights alone by `weights`."""
    found: dict[str, list[Path]] = {}
    for path in sorted(_files(folder), key=lambda path: (len(path.parts), path)):
        if kind := file_kind(folder / path):
            found.setdefault(kind, []).append(path if kind != "diffusers" else path.parent)
    return found


def file_kind(path: Path) -> str:
    """The kind of a model's file by its name, and by its table of contents where that tells; "" for any other."""
    suffix = path.suffix.lower()
    if path.name == "model_index.json":
        return "diffusers"
    if suffix in KINDS["torchscript"].suffixes and _is_script(path):
        return "torchscript"
    for name in ("exported", "onnx"):
        if suffix in KINDS[name].suffixes:
            return name
    return "weights" if suffix in WEIGHTS else ""


def _is_script(path: Path) -> bool:
    """Whether torch.jit.save wrote a file: its archive holds code."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # of a broken one it raises whatever it stumbles over
        names = [name.partition("/")[2] for name in archive.namelist()]
        return "constants.pkl" in names and any(name.startswith("code/") for name in names)
    return False


def _files(folder: Path) -> Iterator[Path]:
    seen = 0
    for where, folders, names in os.walk(folder):
        here = Path(where).relative_to(folder)
        deep = len(here.parts) >= DEPTH
        folders[:] = [] if deep else [n for n in folders if n not in SKIPPED and not n.startswith(".")]
        yield from (here / name for name in names)
        seen += len(names) + len(folders)
        if seen > MANY:
            return


def defined(load: str, folder: Path) -> Defined:
    """What PACKAGE.MODULE:NAME is, by its source in the folder or where it is installed. Nothing of it is run.

    Raises `InvalidArgument` where there is no such module, or no such name in it.
    """
    module, _, name = load.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or not name.isidentifier():
        raise InvalidArgument.expected("PACKAGE.MODULE:NAME, such as my_model:load", "--load", load)
    top = module.partition(".")[0]
    root = _root(top, folder)
    if root is None:
        raise InvalidArgument(f"--load {load}: no module {top!r} in {folder}, and none is installed")
    mine = any(root in (place, place / "src") for place in places(folder))
    told = root not in (folder, _installed(top))
    distribution = "" if mine else _distribution(top, root, folder)
    found = Defined(module, name, None, root=root, distribution=distribution, mine=mine, told=mine and told)
    path = _module_file(root, module)
    if path is None:
        if not _is_source(root, top):
            return replace(found, known=False)
        raise InvalidArgument(f"--load {load}: {top!r} lies in {root}, and has no module {module!r}")
    node, at = _definition(root, module, name)
    if isinstance(node, ast.ClassDef):
        needs, placed, takes = _arguments(_init_of(node), bound=True)
        found = replace(found, path=at, line=node.lineno, is_class=True)
        return replace(found, needs=needs, placed=placed, takes=takes)
    if node is not None:
        needs, placed, takes = _arguments(node, bound=False)
        found = replace(found, path=at, line=node.lineno, known=not isinstance(node, ast.AsyncFunctionDef))
        return replace(found, needs=needs, placed=placed, takes=takes)
    if at is None:
        names = [f"{module}:{n}" for n in _names(path)]
        names = [n for n in within(top, folder) if n.endswith(f":{name}")] or names
        said = f"; there is {', '.join(names)}" if names else ""
        raise InvalidArgument(f"--load {load}: {path} defines no {name!r}{said}")
    return replace(found, path=at, takes=1, known=False)


def candidates(folder: Path) -> list[str]:
    """Functions and classes in a folder's sources that are likely to load a generator, as --load names them."""
    found: list[tuple[int, str]] = []
    for place in (folder, folder / "src"):
        for path in sorted(place.glob("*.py")):
            if path.stem.startswith(("test_", "conftest", "setup", "_")) or not path.stem.isidentifier():
                continue
            tree = _parsed(path)
            for node in tree.body if tree else []:
                if isinstance(node, Node) and (rank := _likely(node)):
                    found.append((rank, f"{path.stem}:{node.name}"))
    return [name for _, name in sorted(found)]


def within(name: str, folder: Path) -> list[str]:
    """Generators in a package or module, by its name or that of what installs it, as --load names them."""
    module = name.replace("-", "_")
    if not all(part.isidentifier() for part in module.split(".")):
        return []
    root = _root(module.partition(".")[0], folder)
    if root is None:
        return []
    stem = root.joinpath(*module.split("."))
    paths = [path for path in _files(stem) if path.suffix == ".py"] if stem.is_dir() else []
    places = [stem / path for path in sorted(paths)] or [stem.with_suffix(".py")]
    found: list[tuple[int, str]] = []
    for place in places[:MODULES]:
        tree = _parsed(place)
        parts = place.relative_to(root).with_suffix("").parts
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in tree.body if tree else []:
            if isinstance(node, Node) and (rank := _likely(node)):
                found.append((rank, f"{dotted}:{node.name}"))
    return [name for _, name in sorted(found)]


def _likely(node: ast.stmt) -> int:
    """How likely a definition is to load a generator: 1 the most, 0 not at all."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        likely = ("load_generator", "load_model", "load")
        fits = node.name in likely and len(_arguments(node, bound=False)[0]) <= 1
        return 1 + likely.index(node.name) if fits else 0
    return 4 if isinstance(node, ast.ClassDef) and node.name.endswith(("Generator", "Decoder")) else 0


def _root(top: str, folder: Path) -> Path | None:
    """The folder that a top-level module is imported from."""
    for near in places(folder):
        for place in (near, near / "src"):
            if _is_source(place, top):
                return place
    return _installed(top)


def _installed(top: str) -> Path | None:
    """The folder that a top-level module is imported from wherever Python is started."""
    path = sys.path
    sys.path = [place for place in path if place and Path(place).absolute() != Path.cwd()]  # there `python -m` is
    try:
        spec = importlib.util.find_spec(top)  # of a top-level name nothing is imported
    except (ImportError, ValueError):
        spec = None
    finally:
        sys.path = path
    if spec is None:
        return None
    found = list(spec.submodule_search_locations or ([spec.origin] if spec.origin else []))
    return Path(found[0]).absolute().parent if found else None


def _is_source(root: Path, top: str) -> bool:
    return (root / top).is_dir() or (root / f"{top}.py").is_file()


def _distribution(top: str, root: Path, folder: Path) -> str:
    """What to install for a top-level module, pinned; "" where that is not known.

    What lies in the repository, or was installed from a folder or an address (PEP 610), may be somebody else's on an
    index.
    """
    names = importlib.metadata.packages_distributions().get(top, [])
    theirs = {"site-packages", "dist-packages"} & set(root.parts)  # a virtual environment may lie in the repository
    if not names or (not theirs and root.is_relative_to(repository(folder))):
        return ""
    found = importlib.metadata.distribution(names[0])
    return "" if found.read_text("direct_url.json") else f"{names[0]}=={found.version}"


def _module_file(root: Path, module: str) -> Path | None:
    stem = root.joinpath(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


Node = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def _definition(root: Path, module: str, name: str) -> tuple[ast.ClassDef | Function | None, Path | None]:
    """A name's definition, followed through imports of the package; the file alone where it is otherwise set there."""
    path = None
    for _ in range(HOPS):
        path = _module_file(root, module)
        tree = _parsed(path) if path is not None else None
        if path is None:
            return None, None
        if tree is None:
            raise InvalidArgument(f"{path}: cannot be read as Python")
        hop: tuple[str, str] | None = None
        known = False
        for node in _statements(tree):
            if isinstance(node, Node) and node.name == name:
                return node, path
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        hop = _absolute(module, path, node), alias.name
            if isinstance(node, ast.Assign) and name in _set_by(node) and isinstance(node.value, ast.Lambda):
                return node.value, path
            known |= name in _set_by(node)
        if hop is None:
            return None, path if known else None
        module, name = hop
        if module.partition(".")[0] and _module_file(root, module) is None:
            return None, path  # of another package, which is not looked at
    return None, path


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those in its conditions too."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop(0)
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def _set_by(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {target.id for target in targets if isinstance(target, ast.Name)}
    return {node.name} if isinstance(node, Node) else set()


def _absolute(module: str, path: Path, node: ast.ImportFrom) -> str:
    """The module that `from ... import` means."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - (path.name == "__init__.py")
    return ".".join([*parts[: len(parts) - up], *(node.module.split(".") if node.module else [])])


def _parsed(path: Path) -> ast.Module | None:
    try:
        if not path.is_file() or path.stat().st_size > MOST_SOURCE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a stranger's escapes in strings
            return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):  # the last two of what is nested too deep
        return None


def _names(path: Path) -> list[str]:
    """What a module defines that could be meant."""
    tree = _parsed(path)
    return [n.name for n in (tree.body if tree else []) if isinstance(n, Node) and not n.name.startswith("_")][:8]


def _init_of(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)


def _arguments(node: Function | None, *, bound: bool) -> tuple[tuple[str, ...], int, int]:
    """The arguments that a call must give, how many of them by place, and how many it can give by place."""
    if node is None:
        return (), 0, 0
    a = node.args
    placed = [*a.posonlyargs, *a.args][1 if bound else 0 :]
    needed = placed[: len(placed) - len(a.defaults)] if len(a.defaults) <= len(placed) else []
    keywords = [arg for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True) if default is None]
    names = tuple(arg.arg for arg in [*needed, *keywords])
    return names, len(needed), len(placed) + (a.vararg is not None)
