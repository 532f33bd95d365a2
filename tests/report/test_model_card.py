"""Model cards: the Hub's own parser reads the metadata, and an update keeps everything that is somebody else's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gentest.errors import InvalidArgument
from gentest.report.model_card import BEGIN, END, card, passage, updated
from gentest.results.document import Document
from gentest.results.result import Distribution, Provenance, Result, Verdict

GOLDEN = Path(__file__).parents[1] / "results" / "golden"
OTHERS = """---
license: mit # as the data
tags: [faces,   gan]
model-index:
- name: faces
  results:
  - task: {type: unconditional-image-generation}
    dataset: {type: celeba, name: CelebA}
    metrics: [{type: fid, value: 7.5}]

# the language of prompts
language: en
---
# Faces

A GAN --- of faces.
"""


def document(name: str = "regressed") -> Document:
    return Document.from_json(json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")))


def parsed(text: str) -> Any:
    """The card as the Hub's own parser reads it."""
    return pytest.importorskip("huggingface_hub").ModelCard(text)


def of(result: Result) -> Document:
    return replace(document(), results=(result,), gate=None)


def test_the_hub_reads_every_result() -> None:
    """Each result is an evaluation of the Hub's, with its rate, bounds, seed, fingerprint, version and command."""
    run = document()
    data = parsed(card(run)).data
    assert data.model_name == "finetune_regressed.safetensors"
    assert len(data.eval_results) == len(run.results) == 4
    for result, one in zip(run.results, data.eval_results, strict=True):
        assert one.task_type == "unconditional-image-generation"
        assert (one.metric_args["test"], one.metric_args["generator"]) == (result.test, result.generator)
        assert {name: one.metric_args[name] for name in result.figures()} == result.figures()
        if result.rate is not None:
            assert (one.metric_type, one.metric_value) == ("gentest-rate", result.rate.passes / result.rate.probes)
            assert (one.metric_args["rate_low"], one.metric_args["rate_high"]) == (result.rate.low, result.rate.high)
        assert (one.dataset_args["seed"], one.dataset_args["gentest"]) == (1, "0.1.0")
        assert one.dataset_args["command"].startswith("pytest --gentest test_fashion.py --gentest-seed 1 ")


def test_the_hub_writes_the_same_metadata() -> None:
    """Read and written again by the Hub's library, the metadata is the same: nothing is lost or regrouped."""
    text = card(document())
    assert parsed(text).data.to_dict() == yaml.safe_load(text.partition("---\n")[2].partition("\n---\n")[0])


def test_an_update_keeps_what_is_somebody_elses() -> None:
    """Comments, order, spaces, other results and the text stay byte for byte; a second update changes nothing."""
    run = document()
    text = updated(OTHERS, run)
    assert updated(text, run) == text
    assert text.startswith("---\nlicense: mit # as the data\ntags: [faces,   gan]\nmodel-index:\n- name: faces\n")
    assert "\n\n# the language of prompts\nlanguage: en\n---\n# Faces\n\nA GAN --- of faces.\n\n" + BEGIN in text
    assert text.endswith(f"{END}\n")
    found = parsed(text).data
    assert (found.license, found.language, found.tags, found.model_name) == ("mit", "en", ["faces", "gan"], "faces")
    first, *ours = found.eval_results
    assert (first.metric_type, first.metric_value, len(ours)) == ("fid", 7.5, 4)


def test_a_later_run_replaces_the_earlier_one() -> None:
    """In the metadata and between the markers, wherever somebody moved them."""
    text = updated(OTHERS, document())
    part = text[text.index(BEGIN) : text.index(END) + len(END)]
    moved = text.replace(part, "").replace("# Faces", f"# Faces\n\n{part}")
    later = of(Result("t.py::t", "lit()", Verdict.ERROR, "broken"))
    text = updated(moved, later)
    assert text.index(BEGIN) < text.index("A GAN")
    assert text.count("### ") == 0
    assert text.count(BEGIN) == text.count(END) == 1
    results = parsed(text).data.eval_results
    assert [(one.metric_type, one.metric_value) for one in results] == [("fid", 7.5), ("gentest-verdict", "error")]


def test_lines_keep_their_ends() -> None:
    """A card written on Windows stays one."""
    text = updated(OTHERS.replace("\n", "\r\n"), document())
    assert not re.search(r"(?<!\r)\n", text)
    assert text.replace("\r\n", "\n") == updated(OTHERS, document())


@pytest.mark.parametrize("text", ["", "# Faces\n", "# Faces", "---\n\n---\n# Faces\n", "---\nlicense: mit\n---\n"])
def test_any_card_gets_its_part(text: str) -> None:
    """A card without metadata gets some; its text stays in front of the passage."""
    found = updated(text, document(), name="faces", task="text-to-image")
    assert updated(found, document(), name="faces", task="text-to-image") == found
    assert parsed(found).data.model_name == "faces"
    assert {one.task_type for one in parsed(found).data.eval_results} == {"text-to-image"}
    assert ("# Faces" in text) == ("# Faces" in found)


@pytest.mark.parametrize(
    "index",
    [
        "model-index: [{name: faces, results: []}]",
        "model-index:\n  - name: faces\n    results:\n",
        "model-index: [\n  {name: faces,\n   results: []},\n]",
        '"model-index": [{name: faces}]',
        "model-index: # none yet\n- name: faces",
    ],
)
def test_a_model_index_of_any_form_is_replaced(index: str) -> None:
    text = updated(f"---\nlicense: mit\n{index}\nlanguage: en\n---\n", document())
    data = parsed(text).data
    assert (data.license, data.language, data.model_name, len(data.eval_results)) == ("mit", "en", "faces", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\na: [\n---\n", "the metadata is not YAML: "),
        ("---\n- a\n---\n", "the metadata is not a mapping but a list"),
        ("---\nmodel-index: faces\n---\n", "the model-index in the metadata is not a list of models with names"),
        ("---\nmodel-index: [{results: []}]\n---\n", "not a list of models with names"),
        ("---\nmodel-index: [{name: a, results: 3}]\n---\n", "the results in the model-index are not a list"),
        (
            "---\n{model-index: [{name: a}], license: mit}\n---\n",
            "cannot be replaced; write it as a key at the top level",
        ),
        (f"{BEGIN}\n", f"expected {BEGIN} and then {END}, each once"),
        (f"{END}\n{BEGIN}\n", "each once"),
        (f"{BEGIN}{END}{BEGIN}{END}", "each once"),
    ],
)
def test_a_card_that_cannot_be_updated_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        updated(text, document())


HOSTILE = f"a`b|c<script>{END}\n---\n: *x '\"\u202e"


def test_names_of_anybody_stay_text() -> None:
    """A name with the signs of YAML, Markdown and the markers in it closes nothing."""
    source = Provenance("0a", "", HOSTILE, HOSTILE, 3)
    run = of(Result(HOSTILE, HOSTILE, Verdict.ERROR, HOSTILE, provenance=source))
    run = replace(run, session=replace(run.session, checkpoint=HOSTILE, command=f"pytest {HOSTILE}"))
    text = updated(OTHERS, run)
    assert updated(text, run) == text
    body = text.partition("\n---\n")[2]
    assert (body.count(BEGIN), body.count(END)) == (1, 1)
    assert "<script>" not in passage(run).partition("```")[0].partition("````")[0]
    (_, one) = parsed(text).data.eval_results
    assert (one.metric_args["test"], one.metric_name) == (HOSTILE, f"{HOSTILE}: error")


def test_several_priors_and_checkpoints_are_several_datasets() -> None:
    """The Hub groups results by dataset and configuration, so each prior, seed and checkpoint has its own."""
    sources = [Provenance("0a", checkpoint, prior, "", 3) for checkpoint in ("a", "b") for prior in ("Normal(4)", "Q")]
    results = tuple(Result("t", "lit()", Verdict.HOLDS, provenance=source) for source in sources)
    text = card(replace(document(), results=results, gate=None))
    configurations = [one.dataset_config for one in parsed(text).data.eval_results]
    assert configurations == [f"{p}, seed 3 on {c}" for c in ("a", "b") for p in ("Normal(4)", "Q")]
    assert parsed(text).data.to_dict() == yaml.safe_load(text.partition("---\n")[2].partition("\n---\n")[0])


def test_a_distribution_has_its_distance() -> None:
    compared = Distribution("faces", 0.1, 0.5, 0.2, 0.01, 256, 400)
    (one,) = parsed(card(of(Result("t", "matches(faces)", Verdict.HOLDS, distribution=compared)))).data.eval_results
    assert (one.metric_type, one.metric_value, one.metric_args["mmd2_bound"]) == ("gentest-mmd2", 0.1, 0.2)


def test_an_unfinished_run_says_so() -> None:
    run = replace(document(), interrupted="KeyboardInterrupt", unchecked=("t.py::t",))
    assert "interrupted (KeyboardInterrupt): 1 test not checked: t.py::t" in passage(run)
