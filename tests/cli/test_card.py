"""`gentest card`: it prints a card, or updates one in place, and refuses what it cannot update."""

from __future__ import annotations

from pathlib import Path

from gentest.report.model_card import BEGIN, END
from tests.helpers.commands import GOOD, VIOLATED, Run
from tests.helpers.handmade import written


def test_a_card_is_printed(run: Run) -> None:
    """Metadata, then the passage; the status is 0 although a property is violated."""
    written(Path("results.json"), [GOOD, VIOLATED])
    status, out, err = run("card", "results.json", "--name", "faces")
    assert (status, err) == (0, "")
    assert out.startswith("---\nmodel-index:\n- name: faces\n")
    assert out.endswith(f"{END}\n")
    assert VIOLATED.property in out


def test_a_card_is_updated_in_place(run: Run) -> None:
    """A new file is written, and the same results change nothing."""
    written(Path("results.json"), [GOOD])
    assert run("card", "results.json", "--into", "README.md") == (0, "README.md: updated\n", "")
    first = Path("README.md").read_text()
    assert run("card", "results.json", "--into", "README.md") == (0, "README.md: as it was\n", "")
    assert Path("README.md").read_text() == first
    Path("README.md").write_text(first.replace(BEGIN, f"# Faces\n{BEGIN}"))
    written(Path("results.json"), [VIOLATED])
    assert run("card", "results.json", "--into", "README.md")[:2] == (0, "README.md: updated\n")
    assert "# Faces\n" in Path("README.md").read_text()
    assert "violated" in Path("README.md").read_text()


def test_a_card_that_cannot_be_updated_stays_as_it_is(run: Run) -> None:
    """One line, status 2, and the file is untouched."""
    written(Path("results.json"), [GOOD])
    for name, content, message in (
        ("a.md", BEGIN.encode(), f"expected {BEGIN}"),
        ("b.md", b"\xff", "not UTF-8"),
        ("c.md", b"---\na: [\n---\n", "the metadata is not YAML"),
    ):
        Path(name).write_bytes(content)
        status, out, err = run("card", "results.json", "--into", name)
        assert (status, out) == (2, "")
        assert err.startswith(f"gentest: {name}: {message}")
        assert err.count("\n") == 1
        assert Path(name).read_bytes() == content
    assert run("card", "gone.json")[0] == 2
    assert run("card", "results.json", "--into", ".")[0] == 2
