"""The names by which results go: a test has the same name in a run of one checkpoint and in a run of several."""

from __future__ import annotations

from pathlib import Path

import pytest

from gentest.plugin.checkpoints import checkpoint_name, checkpoint_of
from gentest.plugin.items import name_in_file, name_of

SOURCE = """
import pytest

@pytest.fixture
def generator(gentest_checkpoint): pass

@pytest.fixture(params=["checkpoint=other"])
def chosen(request): pass

def test_plain(): pass
def test_it(generator): pass

@pytest.mark.parametrize("psi", [0.5])
def test_number(generator, psi): pass

@pytest.mark.parametrize(("a", "b"), [("x", "y")])
@pytest.mark.parametrize("c", ["[", "]", "a::b", "a--b", "checkpoint"])
def test_text(a, b, c, generator): pass

def test_fixture(generator, chosen): pass

class TestIt:
    def test_it(self, generator): pass
    class TestInner:
        @pytest.mark.parametrize("c", ["-"])
        def test_it(self, c, gentest_checkpoint): pass
"""
NAMES = ["b-1.pt", "gänse.pt", "two\nlines.pt", "back\\slash.pt", "模型.pt", "c[1].pt"]


def collected(pytester: pytest.Pytester, *checkpoints: str) -> list[pytest.Item]:
    """The tests of a run of these checkpoints, and of one more file in a folder with brackets in its name."""
    (pytester.path / "dir[1]").mkdir(exist_ok=True)
    for path in ("test_model.py", "dir[1]/test_other.py"):
        (pytester.path / path).write_text(SOURCE, encoding="utf-8")
    flags = [word for name in checkpoints for word in ("--gentest-checkpoint", name)]
    items, _ = pytester.inline_genitems("-p", "no:asyncio", "-p", "no:randomly", *flags)
    return items


@pytest.mark.parametrize("name", NAMES)
def test_a_test_has_the_name_of_a_run_of_one_checkpoint(name: str, pytester: pytest.Pytester) -> None:
    """The checkpoint is not part of a test's name, whatever it is called and wherever its id stands."""
    for checkpoint in ("a.pt", name):
        (pytester.path / checkpoint).write_text("weights")
    alone = [item.nodeid for item in collected(pytester)]
    assert "dir[1]/test_other.py::TestIt::TestInner::test_it[-]" in alone
    items = collected(pytester, "a.pt", name)
    names = {checkpoint_name(item): [] for item in items}  # type: dict[str, list[str]]
    for item in items:
        names[checkpoint_name(item)].append(name_of(item))
        assert name_of(item) == f"{item.path.relative_to(pytester.path).as_posix()}::{name_in_file(item)}"
    assert set(names) == {"", "a.pt", name}
    assert sorted(names["a.pt"]) == sorted(names[name]) == sorted(set(alone) - set(names[""]))
    assert {node.split("::")[1] for node in names[""]} == {"test_plain"}


def test_a_run_of_one_checkpoint_keeps_node_ids(pytester: pytest.Pytester) -> None:
    """With a single checkpoint no test is run for one of several: node ids and names agree."""
    (pytester.path / "a.pt").write_text("weights")
    for item in collected(pytester, "a.pt"):
        assert name_of(item) == item.nodeid
        assert checkpoint_of(item) is None


def test_a_checkpoint_is_a_path_and_a_name(pytester: pytest.Pytester) -> None:
    """A test that is run for one of several carries the path and the name of its own."""
    for checkpoint in ("a.pt", "b.pt"):
        (pytester.path / checkpoint).write_text("weights")
    given = {checkpoint_of(item) for item in collected(pytester, "*.pt")} - {None}
    assert {(c.path, c.name) for c in given if c} == {(Path(pytester.path / n), n) for n in ("a.pt", "b.pt")}


@pytest.mark.parametrize("dist", ["loadgroup", "load"])
def test_a_group_in_a_node_id_is_not_part_of_the_name(dist: str, pytester: pytest.Pytester) -> None:
    """pytest-xdist appends a group to node ids under --dist loadgroup; the names of tests stay as they are."""
    pytester.makeconftest(
        """
        from pathlib import Path
        from gentest.plugin.items import name_of

        def pytest_collection_finish(session):
            if hasattr(session.config, "workerinput"):
                Path("names").write_text("\\n".join(name_of(item) for item in session.items))
        """
    )
    source = "import pytest\n\n@pytest.mark.xdist_group('one')\n@pytest.mark.parametrize('c', ['@one'])\n"
    pytester.makepyfile(f"{source}def test_it(c): pass")
    pytester.runpytest_subprocess("-n", "1", "--dist", dist, "-p", "no:asyncio").assert_outcomes(passed=1)
    name = "test_a_group_in_a_node_id_is_not_part_of_the_name.py::test_it[@one]"
    assert (pytester.path / "names").read_text() == name
