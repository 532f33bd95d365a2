"""A run as a part of a model card: metadata as the Hugging Face Hub reads it, and a passage of Markdown.

The metadata is a `model-index`, which the Hub shows beside the card
(https://github.com/huggingface/hub-docs/blob/main/modelcard.md). A card keeps everything else that it has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import yaml

from gentest._support.printable import first_line, printable
from gentest.errors import InvalidArgument
from gentest.report import facts, markdown, run_facts
from gentest.results.document import Document
from gentest.results.outcome import Verdict
from gentest.results.result import Provenance, Result

BEGIN, END = "<!-- gentest: begin -->", "<!-- gentest: end -->"
"""The markers of the passage. An update replaces what is between them."""
DATASET = "gentest-latents"
"""The type of the dataset of gentest's results in a `model-index`: an update replaces those with this type."""
TASK = "unconditional-image-generation"
MEASURES = ("rate", "mmd2", "level_difference", "estimate", "violations")
"""The figure that stands for a result, the first that it has; a result without one has its verdict instead."""
FRONT = re.compile(r"\A(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|\Z))")
"""The block of metadata at the top, as the Hub finds it."""
KEY = re.compile(r"""["']?model-index["']?\s*:""")


def card(document: Document, *, name: str = "", task: str = TASK) -> str:
    """A card with nothing but gentest's part."""
    return updated("", document, name=name, task=task)


def updated(text: str, document: Document, *, name: str = "", task: str = TASK) -> str:
    """A card with gentest's part in it, in place of what an earlier run wrote there.

    `name` is the model's in the metadata (default: as it is there, else that of the checkpoint), and `task` one of the
    Hub's tasks. Everything else stays as it is, byte for byte. Raises `InvalidArgument` for metadata or markers that
    cannot be updated.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    front = FRONT.match(text)
    block, body = ("", text) if front is None else (front[2], text[front.end() :])
    block = _with_index(block.replace("\r\n", "\n"), _results(document, task), name, _default_name(document))
    opening, closing = ("---\n", "\n---\n") if front is None else (front[1], front[3])
    head = opening + block.replace("\n", newline) + closing
    return (head if front is not None else head.replace("\n", newline)) + _with_passage(body, document, newline)


# the passage


def passage(document: Document) -> str:
    """The results as Markdown: a table, what is certain, the model's fingerprint, and the command that checks again."""
    results = sorted(document.results, key=facts.severity)
    lines = [f"## Properties in the latent space ({f'gentest {document.gentest}'.strip()})", ""]
    if partial := run_facts.unfinished(document.interrupted, document.unchecked):
        lines += [f"❌ {markdown.cell(partial)}", ""]
    if document.gate is not None:
        lines += [f"{markdown.cell(run_facts.gate_total(document.gate) + ', ' + run_facts.against(document.gate))}", ""]
    lines += [*markdown.table(results), "", f"{markdown.cell(run_facts.totals(results))}", ""]
    lines += [line for text in run_facts.certainty(document) for line in (markdown.cell(text), "")]
    if fingerprints := ", ".join(_fingerprints(results)):
        lines += [f"fingerprint of the generator: {markdown.cell(fingerprints)}", ""]
    command = run_facts.check_command(document).replace("<!--", "<! --")
    fence = markdown.fence_of(command)
    return printable("\n".join([*lines, "Check it again:", "", f"{fence}bash", *command.splitlines(), fence]))


def _with_passage(body: str, document: Document, newline: str) -> str:
    whole = f"{BEGIN}\n{passage(document)}\n{END}".replace("\n", newline)
    if body.count(BEGIN) != body.count(END) or body.count(BEGIN) > 1 or body.find(BEGIN) > body.find(END):
        raise InvalidArgument(f"expected {BEGIN} and then {END}, each once")
    if BEGIN in body:
        before, _, rest = body.partition(BEGIN)
        return before + whole + rest.partition(END)[2]
    ending = "" if not body.strip() else body.rstrip("\r\n") + 2 * newline
    return ending + whole + newline


# the metadata


def _with_index(block: str, results: list[dict[str, Any]], name: str, default: str) -> str:
    """A block of YAML with the results in its `model-index`. Other keys, their order and comments stay."""
    metadata = _loaded(block)
    index = _merged(metadata.get("model-index"), results, name, default)
    written = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=120).rstrip("\n")
    lines = block.split("\n") if block.strip() else []
    start = next((i for i, line in enumerate(lines) if KEY.match(line)), len(lines))
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t-#]}"):
        end += 1
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1  # these belong to the next key
    new = "\n".join([*lines[:start], written, *lines[end:]])
    with suppress(InvalidArgument):
        if _loaded(new) == {**metadata, "model-index": index}:
            return new
    raise InvalidArgument("the model-index in the metadata cannot be replaced; write it as a key at the top level")


def _loaded(block: str) -> dict[str, Any]:
    try:
        metadata = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidArgument(f"the metadata is not YAML: {first_line(error)}") from error
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidArgument(f"the metadata is not a mapping but a {type(metadata).__name__}")
    return metadata or {}


def _merged(index: Any, results: list[dict[str, Any]], name: str, default: str) -> list[dict[str, Any]]:
    """A `model-index` with these results in place of gentest's earlier ones, in the entry of the model."""
    entries = [] if index is None else index
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "name" in e for e in entries):
        raise InvalidArgument("the model-index in the metadata is not a list of models with names")
    others = []
    for entry in entries:
        listed = entry.get("results") or []
        if not isinstance(listed, list):
            raise InvalidArgument("the results in the model-index are not a list")
        kept = [result for result in listed if not _is_ours(result)]
        if kept or not listed:
            others.append({**entry, "results": kept})
    name = name or (str(entries[0]["name"]) if entries else default)
    if not any(entry["name"] == name for entry in others):
        others.append({"name": name, "results": []})
    own = next(entry for entry in others if entry["name"] == name)
    own["results"] = [*own["results"], *results]
    return others


def _is_ours(result: Any) -> bool:
    dataset = result.get("dataset") if isinstance(result, dict) else None
    return isinstance(dataset, dict) and dataset.get("type") == DATASET


def _default_name(document: Document) -> str:
    checkpoint = (document.session.checkpoint or "").split(", ")[0]
    return re.split(r"[/\\]", checkpoint)[-1] or "model"


def _results(document: Document, task: str) -> list[dict[str, Any]]:
    """The results of a `model-index`: those of one prior, seed and checkpoint together."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in document.results:
        source = result.provenance
        key = (source.checkpoint, source.prior, source.truncation, str(source.seed))
        groups.setdefault(key, []).append(result)
    return [
        {
            "task": {"type": task},
            "dataset": _dataset(results[0].provenance, document),
            "metrics": [_metric(result) for result in results],
        }
        for results in groups.values()
    ]


def _dataset(source: Provenance, document: Document) -> dict[str, Any]:
    """The latents: their prior, truncation and seed, and how to check them again."""
    seed = document.session.seed if source.seed is None else source.seed
    latents = source.prior or "no latents"
    latents += f", truncated: {source.truncation}" if source.truncation else ""
    args = {"seed": seed, "gentest": document.gentest, "command": run_facts.check_command(document)}
    on = f" on {source.checkpoint}" if source.checkpoint else ""
    return {"name": latents, "type": DATASET, "config": f"{latents}, seed {seed}{on}", "args": args}


def _metric(result: Result) -> dict[str, Any]:
    """The rate, the distance or the number of violations, with its verdict, and all figures unrounded."""
    figures = result.figures()
    known = [name for name in MEASURES if name in figures and result.verdict is not Verdict.ERROR]
    kind, value = (known[0], figures[known[0]]) if known else ("verdict", result.verdict.value)
    test = {"test": result.test, "verdict": result.verdict.value, "generator": result.generator}
    name = f"{result.property}: {facts.verdict(result)}"
    return {"type": f"gentest-{kind}", "value": value, "name": name, "args": {**test, **figures}}


def _fingerprints(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.generator for result in results if result.generator))
