"""Tests that share evidence are one group, which xdist keeps on one worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.helpers.repository import TWO_GENERATORS

if TYPE_CHECKING:
    from tests.helpers.repository import Repository


GROUPED = """
import json
from pathlib import Path
from gentest.plugin.shared_evidence import groups

@pytest.fixture
def weights():
    return 1.0

@pytest.fixture
def shaped(weights):
    return a_model(lambda z: (weights * z).tanh())

@pytest.fixture(scope="session")
def blessed(gentest_checkpoint):
    return a_model(torch.tanh)

@pytest.fixture
def worker_side(request):
    return request

def pytest_collection_finish(session):
    found = {}
    for node, group in groups(session.items).items():
        found.setdefault(group, []).append(node.partition("::")[2])
    Path("groups.json").write_text(json.dumps(list(found.values())))
"""

TESTS = {
    "one family": (
        "@HOLDS\ndef test_1(generator): pass\n"
        "@gentest.monotone(gentest.brightness(), tolerance=1).at_rate(0.9)\ndef test_2(generator, tmp_path): pass\n"
        "@FAILS\ndef test_3(generator): pass\n@HOLDS\ndef test_4(other): pass\ndef test_plain(generator): pass",
        ["1 2", "3", "4"],
    ),
    "stacked": (
        "@HOLDS\ndef test_1(generator): pass\n@FAILS\ndef test_2(generator): pass\n@FAILS\ndef test_3(other): pass\n"
        "@gentest.well_formed()\ndef test_4(generator): pass\n@FAILS\n@HOLDS\ndef test_5(generator): pass",
        ["1 2 5", "3", "4"],
    ),
    "points of a path": (
        "@HOLDS\ndef test_1(generator): pass\n"
        "@gentest.between(gentest.brightness(), tolerance=1, points=5)\ndef test_2(generator): pass",
        ["1", "2"],
    ),
    "parameters": (
        "@pytest.mark.parametrize('psi', [0.5, 0.7])\n@HOLDS\ndef test_1(generator, psi): pass\n"
        "@pytest.mark.parametrize('psi', [0.7])\n@HOLDS\ndef test_2(generator, psi): pass\n"
        "@pytest.mark.parametrize('how', [0.7])\n@HOLDS\ndef test_3(generator, how): pass",
        ["1[0.5]", "1[0.7] 2[0.7]", "3[0.7]"],
    ),
    "values without a hash": (
        "BIG = [1]\n@pytest.mark.parametrize('z', [BIG, [2]])\n@HOLDS\ndef test_1(generator, z): pass\n"
        "@pytest.mark.parametrize('z', [BIG])\n@HOLDS\ndef test_2(generator, z): pass",
        ["1[z0] 2[z0]", "1[z1]"],
    ),
    "a fixture of a class's own": (
        "@HOLDS\ndef test_1(generator): pass\nclass TestIt:\n    @pytest.fixture\n    def generator(self): pass\n"
        "    @HOLDS\n    def test_2(self, generator): pass\n    @HOLDS\n    def test_3(self, generator): pass",
        ["1", "2 3"],
    ),
    "a fixture's fixture": (
        "@HOLDS\ndef test_1(shaped): pass\nclass TestIt:\n    @pytest.fixture\n    def weights(self): return 2.0\n"
        "    @HOLDS\n    def test_2(self, shaped): pass",
        ["1", "2"],
    ),
    "no fixture": ("@HOLDS\ndef test_1(): pass\n@HOLDS\ndef test_2(): pass", ["1 2", "other"]),
    "settings": (
        "@HOLDS\ndef test_1(generator): pass\n@gentest.settings(examples=30)\n@HOLDS\ndef test_2(generator): pass\n"
        "@gentest.settings(batch_size=2)\n@HOLDS\ndef test_3(generator): pass",
        ["1 2", "3"],
    ),
    "wrong arguments": (
        "@gentest.between(gentest.brightness(), tolerance=-1)\ndef test_1(generator): pass\n"
        "@HOLDS\ndef test_2(generator): pass",
        ["2"],
    ),
    "marks": (
        "@pytest.mark.xdist_group('mine')\n@HOLDS\ndef test_1(generator): pass\n@HOLDS\ndef test_2(generator): pass\n"
        "@pytest.mark.xdist_group(name='mine')\ndef test_3(): pass\n@pytest.mark.xdist_group\ndef test_4(): pass\n"
        "@HOLDS\ndef test_5(generator): pass",
        ["1 3", "2 5", "4"],
    ),
    "checkpoints": (
        "@HOLDS\ndef test_1(blessed): pass\n@HOLDS\ndef test_2(blessed): pass\n@HOLDS\ndef test_3(generator): pass",
        ["1[checkpoint=a.pt] 2[checkpoint=a.pt]", "1[checkpoint=b.pt] 2[checkpoint=b.pt]", "3"],
    ),
}


@pytest.mark.parametrize("case", TESTS)
def test_what_shares_evidence_is_one_group(case: str, repository: Repository) -> None:
    """A group is of one generator, as far as fixtures, parameters and settings tell, and of one family of probes."""
    source, expected = TESTS[case]
    repository.pytester.makeconftest(TWO_GENERATORS + GROUPED)
    repository.write(source)
    if expected[-1] == "other":
        repository.write("@HOLDS\ndef test_other(): pass", "test_other")
    for name in ("a.pt", "b.pt"):
        (repository.path / name).write_text("weights")
    checkpoints = ("--gentest-checkpoint", "?.pt") if case == "checkpoints" else ()
    assert repository.check("--collect-only", *checkpoints).ret == 0
    groups = json.loads((repository.path / "groups.json").read_text())
    names = [" ".join(sorted(node.split("test_", 1)[1] for node in group)) for group in groups]
    assert sorted(names) == expected
