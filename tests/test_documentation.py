"""Documentation that runs: the blocks of every page, the commands and links in its prose, and the API reference."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import gentest
from tests.helpers import option_table, pages
from tests.helpers.pages import PAGES, ROOT, Block

STAND_INS = Path(__file__).parent / "helpers" / "stand_ins"
"""Stand-ins for a reader's own modules, `my_model` and `my_encoder`."""
FASHION_CLIP = f"local-dir:{ROOT / 'examples/fashion/clip'}"
FEW = gentest.settings(examples=4, budget=32, reduce=0, clip=FASHION_CLIP)
SHELL = ("bash", "console")
PROGRAMS = ("pytest", "gentest", "python", "pip", "pdoc")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in pages.blocks(page, *languages)]


def quoted(text: str) -> Path | None:
    """The file that the first line of a block of Python names in a comment, or None."""
    first = re.match(r"# (\S+/\S+\.py)\n", text)
    return ROOT / first[1] if first else None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of Python run one after the other, hidden ones too.

    Each property that they declare is then checked on the page's `generator`. It may hold or not, but without an error.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gentest.settings, "_profiles", dict(gentest.settings._profiles))  # a page registers its own
    for folder in (STAND_INS, page.parent, ROOT / "examples" / "fashion"):
        monkeypatch.syspath_prepend(folder)
    document = Sybil([PythonCodeBlockParser()], path=str(ROOT), encoding="utf-8").parse(page)
    for example in document.examples():
        if quoted(str(example.parsed)) is None:
            example.evaluate()
    names = document.namespace
    for declared in [value._gentest_declared for value in names.values() if hasattr(value, "_gentest_declared")]:
        generator = declared.function(names["generator"])
        for property in declared.properties:
            result = property.check(generator, settings=FEW)
            assert result.verdict is not gentest.Verdict.ERROR, result.message


@pytest.mark.parametrize("block", [b for b in all_blocks("python") if quoted(b.text)], ids=str)
def test_quoted_code_is_the_code(block: Block) -> None:
    """A block that begins with the path of a file is a part of that file, word for word."""
    path = quoted(block.text)
    assert path is not None
    assert block.text.partition("\n")[2].strip() in path.read_text(encoding="utf-8")


def test_every_block_is_tested() -> None:
    """Every fenced block names its language, and tests know that language."""
    for page in PAGES:
        found = list(pages.blocks(page))
        assert {block.language for block in found} <= {"python", "yaml", *SHELL}, page
        fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(found), f"{page}: a block without a language"


def commands(page: Path) -> Iterator[list[str]]:
    """The commands in the blocks and the prose of a page, each as words."""
    texts = [block.text for block in pages.blocks(page, "bash")]
    texts += [block.command for block in pages.blocks(page, "console")]
    texts += re.findall(rf"`((?:{'|'.join(PROGRAMS)}) [^`\n]*)`", page.read_text(encoding="utf-8"))
    for line in "\n".join(texts).replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in shlex.shlex(line, posix=True, punctuation_chars=True):
            if word in ("&&", "|", ";"):
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


@cache
def options(*command: str) -> frozenset[str]:
    """The options that a command's `--help` lists."""
    asked = [sys.executable, "-m", *command, "--help"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout))


def script_of(words: list[str]) -> Path:
    """The file that `python FILE` or `python -m PACKAGE.MODULE` runs."""
    if words[1] != "-m":
        return ROOT / words[1]
    path = ROOT / words[2].replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def unknown(words: list[str]) -> list[str]:
    """The options of a command that its program does not have, and the files and extras that do not exist."""
    program = words[0]
    given = [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-zA-Z]", word)]
    known: frozenset[str] = frozenset()
    if program in ("pytest", "pdoc"):
        known = options(program)
    elif program == "gentest":
        passed_on = words.index("--") if "--" in words else len(words)
        takes_pytests = words[1:2] == ["bless"] or passed_on < len(words)
        known = options("gentest", *words[1:2]) | (options("pytest") if takes_pytests else frozenset())
    elif program == "python":
        script = script_of(words).read_text(encoding="utf-8")
        known = frozenset(word for word in given if f'"{word}"' in script) | {"-m"}
    elif program == "pip":
        known = frozenset({"-e"})
        extras = re.findall(r"\[([\w,]+)\]", " ".join(words))
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        given += [one for one in ",".join(extras).split(",") if f"\n{one} = [" not in project and one]
        given += [word for word in words if re.match(r"gentest\b", word)]  # somebody else's distribution
    files = [word.partition("::")[0] for word in words if re.match(r"(examples|tests|gentest)/", word)]
    return [word for word in given if word not in known] + [file for file in files if not (ROOT / file).exists()]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_right(page: Path) -> None:
    """Commands of a page parse in bash, their programs have the options, and their files exist."""
    for block in pages.blocks(page, "bash"):
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for words in commands(page):
        assert not unknown(words), f"{name(page)}: {shlex.join(words)}"
    for option in re.findall(r"--gentest(?:-\w+)*", page.read_text(encoding="utf-8")):
        assert option in options("pytest"), f"{name(page)}: {option}"


def test_wrong_commands_are_noticed() -> None:
    """The check finds wrong options, missing files and extras, and the name of somebody else's distribution."""
    for line, wrong in {
        "pytest --gentest-exmples 3 tests/helpers/zoo.py": "--gentest-exmples",
        "pytest --gentest examples/nothing": "examples/nothing",
        "gentest suggest --notes x": "--notes",
        "python -m tests.audit.attack --none": "--none",
        "pip install pytest-gentest[none]": "none",
        "pip install gentest": "gentest",
    }.items():
        assert unknown(shlex.split(line)) == [wrong]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page, or the tests of a file."""
    if page.suffix == ".py":
        tree = ast.walk(ast.parse(page.read_text(encoding="utf-8")))
        return {node.name for node in tree if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Links within the repository lead to files that exist, and to headings that their pages have."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name(page)}: {target}"
        assert not anchor or anchor in anchors(there), f"{name(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_files_exist(page: Path) -> None:
    """A path of the repository that a page names, in backticks, exists."""
    for path in re.findall(r"`((?:examples|tests|gentest)/[\w./]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), f"{name(page)}: {path}"


def test_the_table_of_rooms_is_the_package() -> None:
    """The table lists each folder and module of the package once, and the files that a row names are in its room."""
    package = ROOT / "gentest"
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|", (package / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = [room.rstrip("/") for rooms, _ in rows for room in re.findall(r"`([^`]+)`", rooms)]
    there = [path.name for path in package.iterdir() if (path / "__init__.py").is_file() or path.suffix == ".py"]
    assert sorted(listed) == sorted(set(there) - {"__init__.py", "__main__.py"})
    for rooms, text in rows:
        room = package / re.findall(r"`([^`]+)`", rooms)[0]
        for file in re.findall(r"`(\w+(?:\.py|/))`", text):
            assert (room / file).exists(), f"{room.name}: {file}"


def test_every_page_is_tested() -> None:
    """No page of Markdown in the repository escapes these tests."""
    found = [*ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md"), *(ROOT / "gentest").rglob("*.md")]
    assert {page for page in found if "/." not in name(page)} == set(PAGES)


README = (ROOT / "README.md").read_text(encoding="utf-8")
RELIABILITY = (ROOT / "examples/guides/reliability.md").read_text(encoding="utf-8")
FAULT = re.compile(r"^\| \[([^\]]+)\]\((?:\.\./)*tests/\S+\.py#\w+\) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
"""A row of the table of faults. It links to its test; `test_links_lead_somewhere` shows that the test exists."""


def test_every_fault_is_a_test_of_its_own_row() -> None:
    """Every row of the table links to a test, and no fault stands there twice."""
    table = RELIABILITY.partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    faults = FAULT.findall(RELIABILITY)
    assert len(rows) == len(faults) + 2
    assert len(set(faults)) == len(faults) >= 25


def test_the_readme_is_one_page_and_leads_to_every_guide() -> None:
    """The README has at most 150 lines and links to each of the other pages."""
    assert len(README.splitlines()) <= 150
    for page in PAGES[1:]:
        assert f"({name(page)}" in README, page


@pytest.mark.slow
def test_the_readme_model_repository_is_checked(pytester: pytest.Pytester) -> None:
    """The conftest.py and the tests that the README shows pass under `pytest --gentest`."""
    files = {block.text.partition("\n")[0]: block.text for block in pages.blocks(ROOT / "README.md", "python")}
    pytester.makeconftest(files["# conftest.py"])
    pytester.makepyfile(test_latent=files["# test_latent.py"])
    pytester.makeini(f"[pytest]\npythonpath = {STAND_INS}\n")
    result = pytester.runpytest_subprocess("--gentest", "--gentest-examples", "20", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["3 properties: 3 no counterexample*"])


def test_the_table_of_options_is_that_of_their_declarations() -> None:
    """The page of options has every option with its help text; `python -m tests.helpers.option_table` writes it."""
    assert option_table.written() == option_table.table()


def run(command: str) -> str:
    """The output of a shell command in the root of the repository, on a clean pytest with this Python."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "COLUMNS": "100"}
    env |= {"PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider"}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


QUICK = '-k "centred or shade"'
"""The end of the command whose output is compared in the default suite too; others take longer."""


def shown() -> Iterator[object]:
    """Each block of console, slow unless it is quick or another script runs it."""
    for block in all_blocks("console"):
        is_slow = block.run_by is None and not block.command.endswith(QUICK)
        yield pytest.param(block, id=str(block), marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.slow
@pytest.mark.parametrize("block", list(shown()))
def test_what_is_printed_is_shown(block: Block) -> None:
    """A command prints the lines of its page, seconds aside; or the page names the test or script that runs it."""
    if block.run_by is not None:
        assert (ROOT / block.run_by).is_file()
        return
    pages.assert_shown(block, run(block.command))


def test_what_is_not_printed_is_noticed() -> None:
    """The comparison finds another word, another figure, a line too many, and a missing gap."""
    printed = ["==== 3 failed in 4.0s ====", "a  margin -0.50, x:0123456789abcdef-m1", "b", "c  12 images in 3.1 s"]
    shown = ["== 3 failed in 7.9s ==", printed[1].replace("0.50", "0.501"), "[... more ...]", "c  12 [...] in 9 s"]
    assert pages.difference(shown, printed) is None
    for at, line in enumerate(("== 4 failed in 4.0s ==", shown[1].replace("a ", "e "), "c", "c  15 images in 3.1 s")):
        assert pages.difference([*shown[:at], line, *shown[at + 1 :]], printed) == line
    assert pages.difference([shown[1], shown[3]], printed) == shown[3]
    other = shown[1].replace("0.501", "0.7").replace("0123456789abcdef", "fedcba9876543210")
    assert pages.difference([other], printed) == other
    assert pages.difference([other], printed, figures=False) is None


@pytest.mark.slow
def test_the_api_reference_is_built(tmp_path: Path) -> None:
    """The README's command makes a reference without a warning, with every public name and its docstring."""
    (command,) = (words for words in commands(ROOT / "README.md") if words[0] == "pdoc")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *command, "-o", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "gentest.html").read_text(encoding="utf-8")
    for public in set(gentest.__all__) - {"strategies"}:
        (section,) = re.findall(rf'<section id="{public}">.*?</section>', page, re.DOTALL)
        assert public in ("__version__", "Tolerance") or '<div class="docstring">' in section, public
    assert '<section id="segments">' in (tmp_path / "gentest" / "probes" / "strategies.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    """Every cell of the notebook runs and shows a result, and the file holds no output."""
    import nbformat
    from nbclient import NotebookClient

    path = ROOT / "examples" / "notebook" / "fashion.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    results = [str(output.data) for cell in cells[1:] for output in cell.outputs if output.output_type != "stream"]
    assert len(results) == len(cells) - 1
    assert any("Verdict.VIOLATED" in result for result in results)
    assert any("Verdict.HOLDS" in result for result in results)
