"""The table of options in examples/guides/options.md, made from their declarations.

python -m tests.helpers.option_table    writes it; a test compares the two
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gentest.plugin.options import RUN_OPTIONS
from gentest.results.settings import SETTINGS, Option

PAGE = Path(__file__).parents[2] / "examples" / "guides" / "options.md"
BEGIN = "<!-- python -m tests.helpers.option_table writes this table -->\n"


def table() -> str:
    """The rows of every option and setting, in Markdown."""
    return "\n".join(_rows()) + "\n"


def written() -> str:
    """The table as the page has it."""
    after = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2]
    return after.partition("\n\n")[0] + "\n"


def _rows() -> Iterator[str]:
    yield "| option | setting | |"
    yield "|---|---|---|"
    yield "| `--gentest` | | check what gentest's properties decorate; without it those tests are skipped |"
    for option in SETTINGS:
        yield _row(option, f"`{option.name}`")
    for option in RUN_OPTIONS:
        if option.help:
            yield _row(option, "")


def _row(option: Option, setting: str) -> str:
    words = f"{option.flag} {option.kind.metavar}".strip().replace("|", "\\|")
    usage = f"`{words}`" if option.on_command_line else ""
    return f"| {usage} | {setting} | {option.described}{'' if option.in_ini else '; not in an ini file'} |"


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(before.replace(BEGIN + written(), BEGIN + table()), encoding="utf-8")
