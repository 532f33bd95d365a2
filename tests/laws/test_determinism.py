"""The same seed gives the same verdict, counterexample and figures, whatever else is so in the process.

What is compared is the digest that each environment of the compatibility matrix prints (`digest.py`): latents, rates,
plans and findings of a few generators. What it came to with which releases is in `digest.json`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.report import facts, page, terminal
from gentest.report.terminal import table
from gentest.results.document import Document, Session
from gentest.results.result import Result, Rounding, Search, Verdict
from tests.audit import digest
from tests.helpers import zoo

RECORDED = json.loads(digest.RECORDED.read_text("utf-8"))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The digest as this process has it, with nothing changed."""
    return digest.found()


# --- across releases, machines and what is set in a process


def test_latents_and_rates_are_those_recorded_for_ever(found: dict[str, Any]) -> None:
    """Neither Python, torch, NumPy, SciPy nor Hypothesis changes a latent, or the verdict and figures of a rate."""
    for part in ("latents", "rates"):
        assert digest.differences(found[part], RECORDED[part]) == []


def test_a_search_is_what_its_hypothesis_drew(found: dict[str, Any]) -> None:
    """Plans, verdicts and counterexamples are those that were recorded with the same release of Hypothesis."""
    release = version("hypothesis")
    if release not in RECORDED["searches"]:
        pytest.skip(f"nothing is recorded with Hypothesis {release}: `python -m tests.audit.digest --write` does it")
    assert digest.differences(found["searches"][release], RECORDED["searches"][release]) == []


@pytest.mark.parametrize(
    ("part", "name"), [("latents", "Uniform(33) points()"), ("rates", "a fold"), ("searches", "plans")]
)
def test_the_comparison_can_fail(found: dict[str, Any], part: str, name: str) -> None:
    """A digest that differs anywhere is told by its name."""
    changed = json.loads(json.dumps(found).replace(json.dumps(found[part]), json.dumps({})))
    assert any(line.startswith(f"{part} / ") for line in digest.differences(found, changed))
    assert name in str(found[part])


@contextmanager
def another_world(tmp_path: Path) -> Iterator[None]:
    """Every setting of a process that a test, a fixture or a plugin may leave changed."""
    before, errors, tz = Path.cwd(), np.geterr(), os.environ.get("TZ")
    dtype, threads, precision = torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        os.chdir(tmp_path)
        os.environ["TZ"] = "Pacific/Kiritimati"
        np.seterr(all="raise")
        np.random.seed(11)  # noqa: NPY002
        random.seed(11)
        torch.manual_seed(11)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_num_threads(3 - min(threads, 2))
        torch.set_float32_matmul_precision("medium")
        torch.use_deterministic_algorithms(mode=True)
        torch.set_grad_enabled(False)
        yield
    finally:
        os.chdir(before)
        if tz is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = tz
        np.seterr(**errors)
        torch.set_default_dtype(dtype)
        torch.set_default_device(None)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(mode=False)
        torch.set_grad_enabled(True)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


@pytest.mark.slow
def test_what_is_set_in_the_process_changes_nothing(found: dict[str, Any], tmp_path: Path) -> None:
    """Default dtype, default device, threads, matmul precision, NumPy's errors, seeds, folder and time zone."""
    with another_world(tmp_path):
        here = digest.rates(), {"plans": digest.plans(), "found": digest.searches()}
    assert digest.differences(here[0], found["rates"]) == []
    assert digest.differences(here[1], found["searches"][version("hypothesis")]) == []


@pytest.mark.parametrize(
    ("size", "some"), [(1, ["a fold"]), (7, ["a fold", "a ridge", "other priors"]), (128, ["a fold", "other priors"])]
)
def test_the_size_of_a_batch_changes_nothing(found: dict[str, Any], size: int, some: list[str]) -> None:
    """Verdicts, counterexamples, counts and bounds are the same in batches of any size."""
    here = {"rates": digest.rates(size, *some), "searches": digest.searches(size, *some)}
    whole = {"rates": found["rates"], "searches": found["searches"][version("hypothesis")]["found"]}
    assert here == {part: {name: whole[part][name] for name in some} for part in whole}


# --- across processes: order of tests, workers, hash seeds, locale

CONFTEST = """
import os, random
import numpy as np
import pytest
import torch
import gentest

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(lambda z: z.tanh()[:, None, None], latent=gentest.Normal(8), output_range=(-1, 1))

@pytest.fixture(autouse=True)
def _reseeded(request):
    if "ANOTHER" in os.environ:  # as a plugin or a careless test leaves it
        seed = len(request.node.name)
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)

def pytest_collection_modifyitems(items):
    if "ANOTHER" in os.environ:
        items.reverse()
"""
SUITE = """
import gentest

@gentest.between(gentest.brightness(), tolerance=0.1)
@gentest.continuous(ratio=1.5)
def test_violated(generator):
    return generator

@gentest.between(gentest.contrast(), tolerance=0.05).at_rate(0.8)
def test_rate(generator):
    return generator.truncated(0.7)

@gentest.steers(gentest.brightness(), along=gentest.Direction([1, 0, 0, 0, 0, 0, 0, 0]), at_least=0.02)
@gentest.well_formed()
def test_others(generator):
    return generator
"""


def results(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """What a run in a process of its own found, but for times and how often the generator was called."""
    done = pytester.runpytest_subprocess(
        "--gentest", "--gentest-examples=24", "--gentest-budget=256", "--gentest-json=results.json", "-p", "no:asyncio",
        "-p", "no:cacheprovider", "-p", "no:randomly", *arguments
    )  # fmt: skip
    assert done.ret == 1, done.stdout.str()
    whole = json.loads((pytester.path / "results.json").read_text("utf-8"))["results"]
    effort = {"cost": None, "rounding": None, "audit": None}
    return sorted(json.dumps(rounded(result | effort)) for result in whole)


def rounded(value: Any) -> Any:
    """Floats to six digits, in whatever holds them."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


@pytest.mark.slow
def test_order_workers_hashes_and_locale_change_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, tests in reverse, another hash seed and locale, seeded fixtures, batches of 7: the same results."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_model=SUITE)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    first = results(pytester)
    assert len(first) == 5
    assert not any('"error"' in result for result in first)
    another = {"PYTHONHASHSEED": "4242", "ANOTHER": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, value in (another | {"TZ": "Pacific/Kiritimati"}).items():
        monkeypatch.setenv(name, value)
    assert results(pytester, "-n", "2", "--gentest-batch-size=7") == first


# --- where rounding could decide, the probe alone does, and the result says so


def shaky(z: Tensor) -> Tensor:
    """A level that is 0.5 or a little less, alone; in a batch it is off by up to 1e-4, another time another way."""
    noise = torch.randn(len(z), generator=torch.Generator().manual_seed(len(z)))
    return 0.5 - 2e-5 * (z[:, 0] > 1.2) + (1e-4 * noise.clamp(-1, 1) if len(z) > 1 else 0.0)


dark = gentest.property(probes=gentest.points())(
    lambda evidence: evidence.scores(gentest.brightness())[:, 0].double() - 0.49999
)


def checked(size: int) -> Result:
    return dark().check(zoo.generator(shaky), settings=settings(examples=60, batch_size=size, seed=1))


def test_a_result_says_how_many_probes_rounding_could_have_decided() -> None:
    """Where every margin is within rounding of zero, each probe is decided alone, at any batch size, and counted."""
    found = [checked(size) for size in (7, 64)]
    for result in found:
        assert result.verdict is Verdict.VIOLATED
        assert result.decided_alone >= 60
        assert Result.from_json(result.to_json()).decided_alone == result.decided_alone
    assert len({(r.violations, r.margin, str(r.counterexample), str(r.worst)) for r in found}) == 1
    steady = gentest.between(gentest.brightness(), tolerance=1).check(zoo.generator(zoo.linear))
    assert steady.decided_alone == 0


def test_reports_say_it_in_a_line() -> None:
    """A failing test's block and the page say so, a passing one's row under -v; nothing where it is none."""
    one = Result("t.py::t", "dark()", Verdict.NO_COUNTEREXAMPLE, search=Search(300), rounding=Rounding(1))
    some = Result("t.py::t", "dark()", Verdict.VIOLATED, search=Search(300), rounding=Rounding(1234))
    none = Result("t.py::t", "dark()", Verdict.VIOLATED, search=Search(300))
    said = (
        "the margins of 1,234 probes were within rounding of zero, and decided by each probe alone, in full precision"
    )
    assert f"  rounding {said}" in terminal.failure(some, "", width=200)
    assert "the margin of 1 probe was within rounding of zero, and decided by that probe alone" in str(
        table([one], width=200, verbose=True, replay=str)
    )
    assert "rounding" not in str(table([one], width=200, replay=str))
    session = Session(None, None, None, "cpu", 0, {})
    for result, there in ((one, True), (some, True), (none, False)):
        assert ("within rounding of zero" in page.page(Document(session, (result,)), at="")) is there
    assert not any(detail.word == "rounding" for detail in facts.details(none))
