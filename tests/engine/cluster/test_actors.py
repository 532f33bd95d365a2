"""Ray's actors: the same results as one process gives, whatever happens to an actor.

One cluster of two cores serves all of these tests but the last, which runs pytest on one that gentest starts.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import _actor_resources, _even_blocks, _Pool, _quiet_ray, check_ray, shared_context
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.errors import InvalidArgument
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.properties.definition import Definition, Evidence
from gentest.results.result import Cost, Rounding
from gentest.results.settings import Values
from tests.helpers import zoo

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'pytest-gentest[ray]'")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two cores, of which gentest makes two actors."""
    with pytest.MonkeyPatch.context() as patch, _quiet_ray():
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield
        _Pool._open = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray forgets its processes before they have ended
            ray.shutdown()
            gc.collect()


class Prompted:
    """The fold of the zoo where a prompt says red, else flat."""

    def __call__(self, z: Tensor, prompt: list[str]) -> Tensor:
        red = torch.tensor(["red" in text for text in prompt])
        return zoo.images(torch.where(red, zoo.fold(z), torch.tensor(0.5)))


@dataclass
class Fragile:
    """The fold of the zoo; it kills any process but its first, once for each file in `lives`.

    Only the process that removed a file dies of it: two actors that see the same file do not both die.
    """

    lives: str
    home: int

    def __call__(self, z: Tensor) -> Tensor:
        if os.getpid() != self.home:
            for life in Path(self.lives).iterdir():
                with suppress(FileNotFoundError):
                    life.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
        return zoo.images(zoo.fold(z))


def fragile(folder: Path, n_lives: int) -> gentest.Generator:
    """A generator that ends so many actors."""
    for life in range(n_lives):
        (folder / str(life)).touch()
    function = Fragile(str(folder), os.getpid())
    return gentest.Generator(function, latent=gentest.Uniform(8), output_range=zoo.UNIT)


def folded() -> gentest.Generator:
    return zoo.generator(zoo.fold)


def told(result: gentest.Result) -> dict[str, Any]:
    """What a result says of the property: all but the time and the outputs that it took, and its audit.

    Each process measures by itself how near to zero a probe is decided alone.
    """
    said = asdict(replace(result, cost=Cost(), rounding=Rounding(), audit=None))
    margin = said["search"].pop("margin")
    return said | {name: pytest.approx(value, abs=1e-6) for name, value in (margin or {}).items()}


def compared(
    property: gentest.Property, make: Callable[[], gentest.Generator], **given: Any
) -> tuple[gentest.Result, gentest.Result]:
    """A property's results without Ray and with two actors, which say the same."""
    alone = property.check(make(), settings=settings(device="cpu", **given))
    shared = property.check(make(), settings=settings(device="cpu", **given, ray="auto"))
    assert told(shared) == told(alone)
    assert len(_Pool.connected("auto", CPU)) == 2
    return alone, shared


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "127.0.0.1:99999"])
def test_an_address_without_a_cluster_is_refused(address: str) -> None:
    """Nobody waits for a cluster that is not there, and the address is named. (Before this file has one of its own.)"""
    given = settings(device="cpu", examples=20, ray=address)
    result = gentest.between(gentest.brightness(), tolerance=1).check(folded(), settings=given)
    assert result.verdict is gentest.Verdict.ERROR
    assert f"the address of a Ray cluster, or local but got ray='{address}'" in result.message


@pytest.mark.usefixtures("cluster")
class TestSameResults:
    """What two actors decide is what one process does."""

    @pytest.mark.slow
    def test_a_counterexample(self) -> None:
        """A search finds, reduces and reports the same."""
        _, shared = compared(gentest.between(gentest.brightness(), tolerance=0.05), folded, examples=150, batch_size=32)
        assert shared.verdict is gentest.Verdict.VIOLATED
        assert shared.counterexample is not None

    @pytest.mark.slow
    def test_values_that_somebody_wrote(self) -> None:
        """Codes travel, and each actor gives its copy of the generator the values."""

        def prompted() -> gentest.Generator:
            space = gentest.Joint(z=gentest.Uniform(8), prompt=gentest.OneOf("a coat", "a red hat"))
            return gentest.Generator(Prompted(), latent=space, output_range=zoo.UNIT)

        _, shared = compared(
            gentest.between(gentest.brightness(), tolerance=0.05), prompted, examples=60, batch_size=32
        )
        assert shared.counterexample is not None
        assert shared.counterexample.choices == {"prompt": "a red hat"}

    @pytest.mark.parametrize("batch_size", [128, 16])
    def test_no_counterexample_and_every_output_counts(self, batch_size: int) -> None:
        """Outputs made by actors count, and so do those by which each measures how much rounding changes a margin."""
        property = gentest.between(gentest.brightness(), tolerance=0.5)
        alone, shared = compared(property, lambda: zoo.generator(zoo.linear), examples=100, batch_size=batch_size)
        assert shared.verdict is gentest.Verdict.NO_COUNTEREXAMPLE
        one_path, band = 9, 4 * 9
        assert alone.audit is not None
        assert shared.audit is not None
        assert shared.audit.drawn >= 4
        assert shared.audit.images >= 4 * 9  # whole probes, alone, where another process made them first
        assert shared.images - shared.audit.images == alone.images - alone.audit.images + one_path + band

    @pytest.mark.parametrize("p0", [0.6, 0.99])
    def test_a_rate_in_standard_deviations(self, p0: float) -> None:
        """A rate stops after the same probe, and a tolerance is the same number in every actor."""
        property = gentest.between(gentest.brightness(), tolerance=gentest.sd(0.7)).at_rate(p0)
        _, shared = compared(property, folded, examples=20, batch_size=64)
        assert shared.rate is not None
        assert shared.rate.verdict is (gentest.Verdict.HOLDS if p0 == 0.6 else gentest.Verdict.VIOLATED)

    def test_several_priors(self) -> None:
        """The rate under each prior, and whether they differ."""
        property = gentest.between(gentest.brightness(), tolerance=gentest.sd(0.5))
        priors = [gentest.Normal(8), gentest.Sphere(8)]
        _, shared = compared(
            gentest.prior_invariant(property, priors=priors, delta=0.3).at_rate(0.3), folded, examples=20
        )
        assert shared.rate is not None
        assert len(shared.rate.arms) == 3

    @pytest.mark.slow
    def test_a_radius(self) -> None:
        """How far a property holds is found on the same rays."""
        property = gentest.holds_within(gentest.between(gentest.brightness(), tolerance=0.04), 1.0, places=1)
        _, shared = compared(property.at_rate(0.9), folded, examples=20)
        assert shared.radius is not None
        assert 0.0 < shared.radius.certified < 1.0

    def test_labels(self) -> None:
        """Of a space with labels, each label's rate; the probe that violates names its label."""
        space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(5))
        property = gentest.follows_label(zoo.by_level(5), part="label").at_rate(0.9, each="label")

        def labelled() -> gentest.Generator:
            return gentest.Generator(zoo.Labelled(wrong=2), latent=space, output_range=zoo.UNIT)

        _, shared = compared(property, labelled, examples=40, batch_size=16)
        assert shared.verdict is gentest.Verdict.VIOLATED
        assert shared.counterexample is not None
        assert shared.counterexample.replay.endswith("-c2")

    def test_an_attack_is_not_shared(self) -> None:
        """An attack's outputs are counted against its budget, so it makes them where it is: all of them."""
        property = gentest.between(gentest.brightness(), tolerance=0.5)

        def flat() -> gentest.Generator:
            return zoo.generator(lambda z: zoo.linear(z.detach()))

        alone, shared = compared(property, flat, examples=50, attack=2000)
        assert shared.attack is not None
        assert shared.attack.method == "evolution"
        assert shared.attack == alone.attack

    def test_outputs_that_are_no_images(self) -> None:
        """The unit of outputs without a range is measured once, here."""

        def rows() -> gentest.Generator:
            return gentest.Generator(lambda z: z.cumsum(1), latent=gentest.Normal(3), images=False)

        compared(gentest.responsive(at_least=0.01), rows, examples=64)

    def test_a_torchscript_module(self) -> None:
        """What cannot be pickled as it is travels as torch saves it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated
            torch.manual_seed(0)
            module = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh()))
        space = gentest.Normal(3)
        compared(
            gentest.between(lambda rows: rows[:, 0], tolerance=0.3),
            lambda: gentest.Generator(module, latent=space, images=False),
            examples=64,
        )

    def test_weights_that_change_are_sent_anew(self) -> None:
        """The same module with other weights is another generator in the actors as well."""
        module = torch.nn.Linear(3, 4)
        torch.nn.init.zeros_(module.weight)
        property = gentest.responsive(at_least=1e-3)
        context = shared_context(Values(ray="auto", device="cpu"))
        verdicts = []
        for weight in (0.0, 1.0):
            torch.nn.init.constant_(module.weight, weight)
            generator = gentest.Generator(module, latent=gentest.Normal(3), images=False, output_range=(-9, 9))
            verdicts.append(check(Question(property.definition), generator, context, Values(examples=20)).verdict)
        assert verdicts == [gentest.Verdict.VIOLATED, gentest.Verdict.NO_COUNTEREXAMPLE]

    def test_a_baselines_standard_deviations_are_in_force(self) -> None:
        """Where a baseline says what sd(x) is, actors are told so, until it no longer does."""
        definition = gentest.between(gentest.brightness(), tolerance=gentest.sd(1)).definition
        context, apart = (shared_context(Values(device="cpu", ray=address)) for address in ("auto", None))
        subject, probes = Subject.of(folded()), independent(3, 0, 64)
        for spreads in ({"brightness()": 0.25}, {}):
            found = []
            for one in (context, apart):
                with one.measuring.measured_by(spreads):
                    found.append(Judge(one, subject, definition).margins(probes))
            assert found[0] == pytest.approx(found[1], abs=1e-6)


@pytest.mark.usefixtures("cluster")
class TestLostActors:
    """An actor that dies costs time, never a probe or a verdict."""

    property = gentest.between(gentest.brightness(), tolerance=0.05)

    def expected(self) -> dict[str, Any]:
        return told(self.property.check(folded(), settings=settings(device="cpu", examples=150)))

    def checked(self, generator: gentest.Generator) -> gentest.Result:
        return self.property.check(generator, settings=settings(device="cpu", examples=150, ray="auto"))

    def of(self, result: gentest.Result) -> dict[str, Any]:
        """What a result says, less the fingerprint, which is of another function."""
        return told(result) | {"provenance": self.expected()["provenance"]}

    @pytest.mark.slow
    def test_one_is_replaced(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Another actor answers for what was asked of one that was killed, and a new one takes its place."""
        before = {slot.actor for slot in _Pool.connected("auto", CPU)._slots}
        assert self.of(self.checked(fragile(tmp_path, 1))) == self.expected()
        assert not list(tmp_path.iterdir())
        after = {slot.actor for slot in _Pool.connected("auto", CPU)._slots}
        assert (len(before), len(after), len(before & after)) == (2, 2, 1)
        assert caplog.text.count("lost a Ray actor, its probes go to others") == 1

    def test_all_are_lost(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where none is left, and none may take its place, the work is done here."""
        pool = _Pool.connected("auto", CPU)
        monkeypatch.setattr(pool, "_replacements", 0)
        try:
            assert self.of(self.checked(fragile(tmp_path, 100))) == self.expected()
            assert len(pool) == 0
            assert self.of(self.checked(folded())) == self.expected()
        finally:
            _Pool._open = None


def at_fault(bad: float) -> Callable[[Tensor], Tensor]:
    """Levels; whoever asks for the latent whose first coordinate is `bad` is told off."""

    def level(z: Tensor) -> Tensor:
        if (z[:, 0] == bad).any():
            raise RuntimeError("boom")
        return zoo.linear(z)

    return level


def brightness(evidence: Evidence) -> Tensor:
    return evidence.scores(gentest.brightness())[:, 0]


def spoilt(evidence: Evidence) -> Tensor:
    """A margin that fails in any process but the first, which has evaluated no more than one probe."""
    if evidence.latents.shape[0] > 1:  # type: ignore[union-attr]
        raise ValueError("spoilt")
    return brightness(evidence)


@pytest.mark.usefixtures("cluster")
class TestErrors:
    """What goes wrong in an actor is what would go wrong here."""

    @pytest.fixture
    def shared(self) -> Context:
        return shared_context(Values(ray="auto", device="cpu", batch_size=8))

    def judge(self, context: Context, margin: Any, generator: gentest.Generator | None = None) -> Judge:
        generator = generator or zoo.generator(zoo.linear)
        return Judge(context, Subject.of(generator), Definition("custom", points(), margin))

    @pytest.mark.slow
    def test_the_generators(self, shared: Context) -> None:
        """The first probe that it fails on is named, as in one process, and the traceback is the user's."""
        probes = independent(1, 0, 32)
        bad = float(points().place(gentest.Uniform(8), [probes[21]])[""][0, 0, 0])
        with pytest.raises(gentest.GeneratorError, match=f"boom.*probe {probes[21]}") as caught:
            self.judge(shared, brightness, zoo.generator(at_fault(bad))).margins(probes)
        assert caught.value.probe == probes[21]
        assert 'raise RuntimeError("boom")' in str(caught.value.__cause__)
        assert "gentest/engine" not in str(caught.value.__cause__)

    def test_the_propertys(self, shared: Context) -> None:
        """A margin that raises is named with its probes, and the result carries the traceback."""
        result = check(
            Question(Definition("custom", points(), spoilt)),
            zoo.generator(zoo.linear),
            shared,
            Values(examples=32),
        )
        assert result.verdict is gentest.Verdict.ERROR
        assert result.message.startswith("custom() raised ValueError: spoilt (probe ")
        assert 'raise ValueError("spoilt")' in result.traceback
        assert "Ray" not in result.message + result.traceback

    def test_no_spread(self) -> None:
        """A tolerance in standard deviations of what does not vary."""
        property = gentest.between(gentest.brightness(), tolerance=gentest.sd(1))
        alone, _ = compared(property, lambda: zoo.generator(zoo.collapsed), examples=32)
        assert "does not vary under the prior" in alone.message

    def test_out_of_memory(self, shared: Context) -> None:
        """It is no lost actor, and is raised as it is."""

        def margin(evidence: Evidence) -> Tensor:
            raise torch.cuda.OutOfMemoryError("no room")

        with pytest.raises(torch.cuda.OutOfMemoryError, match="no room"):
            self.judge(shared, margin).margins(independent(1, 0, 32))

    def test_what_cannot_be_sent_is_named(self) -> None:
        """A generator that holds what no other process can have is refused in words."""
        lock = threading.Lock()

        def locked(z: Tensor) -> Tensor:
            with lock:
                return zoo.linear(z)

        given = settings(device="cpu", examples=20, ray="auto")
        result = gentest.between(gentest.brightness(), tolerance=1).check(zoo.generator(locked), settings=given)
        assert result.verdict is gentest.Verdict.ERROR
        assert "Ray cannot send the function of Generator(" in result.message


def test_missing_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ray the error says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    given = settings(device="cpu", examples=20, ray="local")
    result = gentest.between(gentest.brightness(), tolerance=1).check(folded(), settings=given)
    assert result.verdict is gentest.Verdict.ERROR
    assert "pip install 'pytest-gentest[ray]'" in result.message


def test_a_cluster_for_each_worker_is_refused() -> None:
    """`local` would start one in each of xdist's workers; an address is all of theirs."""
    with pytest.raises(InvalidArgument, match="ray start --head"):
        check_ray("local", has_workers=True)
    check_ray("auto", has_workers=True)
    check_ray("local", has_workers=False)


@pytest.mark.parametrize(
    ("n", "at_most", "n_actors"), [(300, 128, 2), (256, 128, 2), (9, 128, 8), (20, 128, 8), (50, 8, 3)]
)
def test_probes_are_divided_evenly(n: int, at_most: int, n_actors: int) -> None:
    """Each probe is in one block, in order; blocks are as large as one another, none too large nor too small."""
    probes = independent(0, 0, n)
    blocks = _even_blocks(probes, at_most, n_actors)
    assert [probe for block in blocks for probe in block] == probes
    sizes = [len(block) for block in blocks]
    assert max(sizes) <= at_most
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 4


@pytest.mark.parametrize(
    ("free", "device", "threads", "workers", "expected"),
    [
        ({"CPU": 8.0}, "cpu", None, None, (8, {"num_cpus": 1}, 1)),
        ({"CPU": 8.0}, "cpu", "4", None, (2, {"num_cpus": 4}, 4)),
        ({"CPU": 8.0}, "cpu", "64", None, (1, {"num_cpus": 8}, 8)),
        ({"CPU": 8.0}, "cpu", "many", "4", (2, {"num_cpus": 1}, 1)),
        ({}, "cpu", None, None, (1, {"num_cpus": 1}, 1)),
        ({"CPU": 8.0, "GPU": 4.0}, "cuda", "1", None, (4, {"num_cpus": 0, "num_gpus": 1}, None)),
        ({"CPU": 8.0, "GPU": 2.0}, "cuda:1", None, "8", (1, {"num_cpus": 0, "num_gpus": 1}, None)),
    ],
)
def test_each_actor_has_its_share_of_the_cluster(
    free: dict[str, float], device: str, threads: str | None, workers: str | None, expected: Any, monkeypatch: Any
) -> None:
    """One for each GPU, or for as many cores as torch has threads; xdist's workers have a share each."""
    for name, value in (("OMP_NUM_THREADS", threads), ("PYTEST_XDIST_WORKER_COUNT", workers)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert _actor_resources(free, torch.device(device)) == expected


def test_a_cluster_without_gpus_is_refused() -> None:
    """Where the device is CUDA, actors need GPUs."""
    with pytest.raises(InvalidArgument, match="the Ray cluster has free but got device='cuda'"):
        _actor_resources({"CPU": 8.0}, torch.device("cuda"))


CONFTEST = """
import pytest, torch
import gentest
from levels import level

class Generator:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, z):
        return (self.scale * level(z))[:, None, None, None].expand(-1, 1, 2, 2)

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(Generator(0.9), latent=gentest.Uniform(4), output_range=(0, 1))
"""
TEST = """
import os
import gentest

HOME = os.getpid()

def mean(images):
    return images.mean((1, 2, 3))

@gentest.property(probes=gentest.segments())
def bends_little(evidence, *, at_most):
    if len(evidence.t) > 1:
        assert os.getpid() != HOME, "evaluated here"
    scores = evidence.scores(mean)
    middle = (scores[:, :1] + scores[:, -1:]) / 2
    return at_most - (scores[:, 4:5] - middle).abs()[:, 0]

@bends_little(at_most=0.4)
def test_a_property_of_this_file(generator):
    return generator
"""


@pytest.mark.slow
def test_what_a_test_file_defines_reaches_the_actors(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator of conftest.py and a property of a test module, which no other process can import by name."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):  # where this test runs in one
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(pytester.mkdir("elsewhere"))  # whose modules python -m pytest can import
    pytester.makeini("[pytest]\npythonpath = lib\naddopts = -p no:asyncio --import-mode=importlib -W error")
    folder = pytester.mkdir("lib")
    (folder / "levels.py").write_text(
        "def level(z):\n    return 0.5 + 0.2 * z[:, 0].abs() / 3**0.5\n", encoding="utf-8"
    )
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_own=TEST)
    flags = ("--gentest", "--gentest-examples=40", "--gentest-device=cpu", "--gentest-json=results.json", "..")
    outcome = pytester.runpytest_subprocess(*flags, "--gentest-ray=local")
    outcome.assert_outcomes(passed=1)
    (result,) = json.loads(Path("results.json").read_text(encoding="utf-8"))["results"]
    assert (result["verdict"], result["search"]["examples"], result["message"]) == ("no_counterexample", 40, "")
    refused = pytester.runpytest_inprocess("--gentest", "--gentest-ray=local", "-n2")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines("*gentest: ray='local' would start a cluster in each of pytest-xdist's workers*")
