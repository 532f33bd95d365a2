"""Under pytest-xdist: a GPU for each worker, and tests that share evidence in one of them; nobody else can tell."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import execnet
import pytest
import torch

from gentest.plugin.xdist_workers import VISIBLE, Controller, gpu_of
from gentest.results.settings import Values
from tests.helpers.repository import TWO_GENERATORS

if TYPE_CHECKING:
    from tests.helpers.repository import Repository


SUITE = """
@HOLDS
def test_a(generator):
    return generator

@HOLDS
def test_b(other):
    return other

@gentest.monotone(gentest.brightness(), tolerance=0.1)
def test_c(generator):
    return generator

@gentest.monotone(gentest.brightness(), tolerance=0.1)
def test_d(other):
    return other

@pytest.mark.parametrize("psi", [0.3, 0.6])
@FAILS
def test_e(generator, psi):
    return generator.truncated(psi)

@pytest.mark.parametrize("psi", [0.3, 0.6])
@FAILS
def test_f(generator, psi):
    return generator.truncated(psi)

@pytest.mark.parametrize("n", range(3))
def test_plain(n):
    pass
"""

UNCACHED = ("-p", "no:cacheprovider")


def where(repository: Repository) -> dict[str, str]:
    """Which worker ran each test of the last run."""
    ran = {}
    for path in repository.path.glob("ran-*"):
        ran |= {line.partition("::")[2]: path.name.removeprefix("ran-") for line in path.read_text().splitlines()}
        path.unlink()
    return ran


def found(repository: Repository, *args: str) -> tuple[list[str], int]:
    """What a run's JSON says of each property, but for the time it took, and how many images it made."""
    result = repository.check("-v", "--gentest-json", "results.json", *UNCACHED, *args)
    assert result.ret == 1
    results = repository.document()["results"]
    assert {r["test"] for r in results} <= set(re.findall(r"test_model\.py::\S+", result.stdout.str()))
    assert "@" not in result.stdout.str()
    cost = {"cost": None, "audit": None}  # an audit is drawn by what is reused
    images = sum(r["cost"]["images"] - r["audit"]["images"] for r in results)
    return sorted(json.dumps(r | cost) for r in results), images


@pytest.mark.slow
def test_workers_change_nothing_but_the_time(repository: Repository) -> None:
    """Two workers give the results of one process, under the same names and for as many images."""
    repository.pytester.makeconftest(TWO_GENERATORS)
    repository.write(SUITE)
    alone = found(repository)
    assert len(alone[0]) == 8
    assert where(repository) == {}
    assert found(repository, "-n", "2") == alone
    ran = where(repository)
    assert len(ran) == 11
    assert set(ran.values()) == {"gw0", "gw1"}
    assert ran["test_a"] == ran["test_c"]
    assert ran["test_b"] == ran["test_d"]
    assert ran["test_e[0.3]"] == ran["test_f[0.3]"]
    assert ran["test_e[0.6]"] == ran["test_f[0.6]"]


@pytest.mark.slow
def test_one_worker_changes_nothing(repository: Repository) -> None:
    """One worker gives the results of one process, under the same names and for as many images."""
    repository.pytester.makeconftest(TWO_GENERATORS)
    repository.write(SUITE)
    assert found(repository, "-n", "1") == found(repository)
    assert set(where(repository).values()) == {"gw0"}


@pytest.mark.slow
def test_scattered_tests_make_images_again(repository: Repository) -> None:
    """Images tell whether evidence was shared: by file, which is respected, two workers make the same ones."""
    repository.pytester.makeconftest(TWO_GENERATORS)
    for name in ("test_one", "test_two"):
        repository.write("@HOLDS\ndef test_it(generator):\n    return generator", name)
    images = []
    for flags in ((), ("-n", "2"), ("-n", "2", "--dist", "loadfile")):
        repository.check("--gentest-json", "results.json", *flags).assert_outcomes(passed=2)
        images.append(sum(r["cost"]["images"] for r in repository.document()["results"]))
    assert images[0] == images[1] < images[2]


MARKED = """
@pytest.mark.xdist_group("first")
@FAILS
def test_a(generator):
    return generator

@pytest.mark.xdist_group("first")
@HOLDS
def test_b(other):
    return other

@pytest.mark.xdist_group("second")
@FAILS
def test_c(generator):
    return generator
"""


@pytest.mark.slow
def test_marks_are_respected_and_failures_remembered(repository: Repository) -> None:
    """Tests go where their own marks say, and what failed in a worker is looked at first without any."""
    repository.pytester.makeconftest(TWO_GENERATORS)
    repository.write(MARKED)
    repository.check("-n", "2", "--gentest-json", "results.json").assert_outcomes(passed=1, failed=2)
    ran = where(repository)
    assert ran["test_a"] == ran["test_b"] != ran["test_c"]
    results = repository.document()["results"]
    again = repository.results()
    assert {name.split()[0] for name, r in again.items() if r["search"]["replayed"]} == {"test_a", "test_c"}
    for one in results:
        if one["search"]["counterexample"] is not None:
            (two,) = (r for r in repository.document()["results"] if r["test"] == one["test"])
            assert two["search"]["counterexample"] == one["search"]["counterexample"]


DYING = """
import signal
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    Path(f"gpu-{os.environ['PYTEST_XDIST_WORKER']}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
else:
    torch.version.cuda = "12.6"
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 2
"""


@pytest.mark.slow
def test_a_worker_that_dies_takes_one_test_with_it(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed worker fails the test it ran, once; another, on the same GPU, runs what was left of the group.

    A worker's GPU is in its environment before a conftest file is imported.
    """
    monkeypatch.setenv(VISIBLE, "4,6")
    repository.pytester.makeconftest(TWO_GENERATORS + DYING)
    died = "test_d(other):\n    os.kill(os.getpid(), 9)"
    source = f"import os\n{SUITE}".replace("test_d(other):", died)
    repository.write(source.replace("@FAILS", "@HOLDS").replace("tolerance=0.1", "tolerance=1"))  # nothing fails else
    flags = ("-n", "2", *UNCACHED, "--gentest-examples", "20")
    result = repository.pytester.runpytest_subprocess("--gentest", *flags, timeout=300)
    result.assert_outcomes(passed=10, failed=1)
    result.stdout.fnmatch_lines(["worker 'gw?' crashed while running 'test_model.py::test_d'"])
    ran = where(repository)
    gpus = {path.name.removeprefix("gpu-"): path.read_text() for path in repository.path.glob("gpu-*")}
    assert {name: gpus[name] for name in ("gw0", "gw1")} == {"gw0": "4", "gw1": "6"}
    assert gpus["gw2"] == gpus[ran["test_d"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "scheduling"),
    [
        (("-n", "1"), "LoadScheduling"),
        (("-n", "1", "--gentest"), "GroupScheduling"),
    ],
)
def test_only_scattering_is_replaced(flags: tuple[str, ...], scheduling: str, repository: Repository) -> None:
    """xdist schedules by itself, but for `load` under --gentest."""
    repository.write("def test_plain(): pass\ndef test_other(): pass")
    result = repository.run("-v", *flags)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"scheduling tests via {scheduling}"])


@pytest.mark.slow
def test_a_scheduler_of_ones_own_is_respected(repository: Repository) -> None:
    """A conftest file that makes a scheduler has it, also under --gentest."""
    mine = "def pytest_xdist_make_scheduler(config, log):\n    return LoadFileScheduling(config, log)"
    repository.pytester.makeconftest(f"from xdist.scheduler import LoadFileScheduling\n{mine}")
    repository.write("def test_plain(): pass\ndef test_other(): pass")
    result = repository.run("-v", "-n", "1", "--gentest")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["scheduling tests via LoadFileScheduling"])


@pytest.mark.parametrize(
    ("visible", "n_gpus", "expected"),
    [
        (None, 0, [None, None]),
        (None, 1, ["0", "0"]),
        (None, 3, ["0", "1", "2", "0", "1"]),
        ("", 0, [None]),
        ("-1", 0, [None]),
        ("5", 1, ["5", "5"]),
        ("2,0", 2, ["2", "0", "2"]),
        (" 2 , 0 ", 2, ["2", "0"]),
        ("0,1,-1,2", 2, ["0", "1", "0"]),
        ("0,9,1", 1, ["0", "0"]),
        ("GPU-8932f937,GPU-d72b5ab3", 2, ["GPU-8932f937", "GPU-d72b5ab3", "GPU-8932f937"]),
        ("MIG-1b0c,MIG-77aa,MIG-f00d", 1, ["MIG-1b0c", "MIG-77aa", "MIG-f00d", "MIG-1b0c"]),
        ("MIG-GPU-8932f937/1/0", 1, ["MIG-GPU-8932f937/1/0", "MIG-GPU-8932f937/1/0"]),
    ],
)
def test_each_worker_has_one_of_the_runs_gpus(visible: str | None, n_gpus: int, expected: list[str | None]) -> None:
    """Workers take turns at the GPUs that the run sees, named as the run names them; without any nothing is said."""
    assert [gpu_of(worker, visible, n_gpus) for worker in range(len(expected))] == expected


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (None, ["0", "7", None, "0"]),
        ("cuda", ["0", "7", None, "0"]),
        ("cuda:1", [None, "7", None, None]),
        ("cpu", [None, "7", None, None]),
    ],
)
def test_only_local_workers_of_no_named_gpu_are_given_one(
    device: str | None, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device with an index, the CPU, an environment that --tx gives, and another machine are left as they are."""
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    texts = ["popen", f"popen//env:{VISIBLE}=7", "ssh=elsewhere", "popen"]
    specs = [execnet.XSpec(text) for text in texts]
    options: Any = SimpleNamespace(values=lambda: Values(device=device))
    Controller(options, lambda tests: None).pytest_xdist_setupnodes(specs)
    assert [spec.env.get(VISIBLE) for spec in specs] == expected
