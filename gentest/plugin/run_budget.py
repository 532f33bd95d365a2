"""The budget of a run: `--gentest-max-images` and `--gentest-max-minutes`, for all of its tests and all of its workers.

The minutes begin when gentest starts. Workers of pytest-xdist on one machine claim their images from one file, so they
share a budget as the tests of one process do. A test with settings of its own has a further bound for itself.

Within a budget, the cheapest tests come first. Tests that share a fixture of a module, a class or a parameter stay
together, so that no fixture is set up twice.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from gentest.engine import cost
from gentest.engine.cost import Bound, Budget, Ledger, LocalLedger
from gentest.engine.evidence.audit import EXAMINED
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import ALONE
from gentest.engine.forecast import NOBODY_KNOWS, Forecast, Known, PlannedCheck
from gentest.plugin.items import params_of
from gentest.report import run_facts
from gentest.results.settings import Values
from gentest.spaces import Space

INPUT = "gentest_budget"
"""The key in a worker's input for the folder of the shared ledger and the time at which the run began."""


class FileLedger:
    """The images that the processes of one machine have claimed, counted in a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "claimed"
        self._lock = FileLock(folder / "lock")

    @property
    def claimed(self) -> int:
        """Images claimed so far."""
        with self._lock:
            return self._read()

    def claim(self, n: int, most: int) -> int:
        """Claim up to `n` images, as long as no more than `most` are claimed in all; gives the number claimed."""
        with self._lock:
            before = self._read()
            granted = max(0, min(n, most - before))
            self._path.write_text(str(before + granted))
            return granted

    def give_back(self, n: int) -> None:
        """Take back the claim on `n` images."""
        with self._lock:
            self._path.write_text(str(self._read() - n))

    def _read(self) -> int:
        return int(self._path.read_text()) if self._path.exists() else 0


class RunBudget:
    """The budget of this process's part of a run: of all of it, or of what a worker does of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._started, self._began = cost.clock(), time.time()
        self._folder: Path | None = None
        self._ledger: Ledger | None = None
        self._of_tests: dict[str, Bound] = {}
        self._config = config
        given = getattr(config, "workerinput", {}).get(INPUT)
        if given is not None:
            folder, self._began = given
            self._started -= max(time.time() - self._began, 0.0)
            self._ledger = FileLedger(Path(folder))

    def of_test(self, node_id: str, values: Values, of_run: Values) -> Budget:
        """What a test may spend, whose settings are `values`: the rest of the run's budget, and its own if it has one.

        Only a test's own settings differ from those of the run.
        """
        self._ledger = self._ledger or LocalLedger()
        bounds = [Bound.of(of_run, started=self._started, ledger=self._ledger)]
        if (values.max_images, values.max_minutes) != (of_run.max_images, of_run.max_minutes):
            bounds.append(self._of_tests.setdefault(node_id, Bound.of(values)))
        return Budget(*bounds)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where the run counts its images, and since when it runs."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="gentest-budget-"))
            self._config.add_cleanup(lambda: shutil.rmtree(self._folder or "", ignore_errors=True))
        node.workerinput[INPUT] = str(self._folder), self._began


class RunForecast:
    """What a run is going to cost, as soon as its first images tell how long one takes. `planned` are its checks."""

    def __init__(self, planned: Callable[[], Sequence[PlannedCheck]]) -> None:
        self._planned = planned
        self._known: dict[Hashable, Known] = {}
        self._made = 0
        self._pace = 0.0
        self._images: dict[tuple[str, str], int] = {}

    def count(self, images: int) -> None:
        """Count images that the run has made."""
        self._made += images

    def learn(self, generator: Hashable, fixtures: Hashable, space: Space, context: Context) -> bool:
        """Take note of a generator under test. True if its pace was missing for a forecast, and is known now.

        A forecast that there is counts anew, with what is known of this generator.
        """
        maker = context.maker
        self._pace = max((pace.seconds for pace in maker.paces), default=0.0)
        known = Known(space, context.slow, context.batch_size)
        if known == self._known.get(generator):
            return False
        is_first = not self._images
        if not all(pace.settled for pace in maker.paces) or self._made < (ALONE if context.slow else EXAMINED + ALONE):
            return False
        self._known[generator] = known
        self._known.setdefault(fixtures, known)
        self._images = forecast_of(self._planned(), self._known)
        return is_first

    @property
    def seconds(self) -> float:
        """The time of the whole run; 0 before it is known."""
        return self._pace * sum(self._images.values())

    def lines(self, *, verbose: bool) -> list[str]:
        """The forecast, with a line for each property if `verbose`."""
        table = run_facts.forecast_table(self._images) if verbose else []
        return [f"gentest: {run_facts.forecast(self._images, self._pace)}", *table]

    def left(self) -> str:
        """How far the run is; empty before there is a forecast."""
        return run_facts.run_left(self._made, sum(self._images.values()), self._pace) if self._images else ""


def forecast_of(
    planned: Sequence[PlannedCheck], known: dict[Hashable, Known] | None = None
) -> dict[tuple[str, str], int]:
    """The images that each property of a run adds to those before it, by its test and its label."""
    forecast = Forecast(known)
    return {(one.test, one.label): forecast.add(forecast.needs([one])) for one in planned}


def cheapest_first(
    items: Sequence[pytest.Item], asked: Callable[[pytest.Item], list[PlannedCheck]]
) -> list[pytest.Item]:
    """Tests in the order of their forecasts, each given the evidence of those before it. `asked` are its properties.

    The forecasts are those of slow generators: a budget ends their tests long before those of others.
    """
    slow: dict[Hashable, Known] = {None: Known(NOBODY_KNOWS, slow=True)}
    forecast, units = Forecast(slow), dict[Hashable, list[pytest.Item]]()
    for item in items:
        units.setdefault(_fixtures_that_last(item), []).append(item)
    needs = {item: forecast.needs(asked(item)) for item in items}
    of_all = Forecast(slow)
    means = {
        key: of_all.more(forecast.needs(one for i in unit for one in asked(i))) / len(unit)
        for key, unit in units.items()
    }
    ordered = []
    for key in sorted(units, key=means.__getitem__):
        left = list(units[key])
        while left:
            cheapest = min(left, key=lambda item: forecast.more(needs[item]))  # the first of equals
            left.remove(cheapest)
            forecast.add(needs[cheapest])
            ordered.append(cheapest)
    return ordered


def _fixtures_that_last(item: pytest.Item) -> Hashable:
    """The fixtures of a test that its neighbours may share, and that would be set up again if the tests were parted."""
    info, params = getattr(item, "_fixtureinfo", None), params_of(item)
    nodes = {
        "class": item.getparent(pytest.Class),
        "module": item.getparent(pytest.Module),
        "package": item.getparent(pytest.Package),
    }
    last: set[Hashable] = set()
    for name, definitions in (info.name2fixturedefs if info is not None else {}).items():
        scope = definitions[-1].scope
        if scope in nodes:
            last.add((name, getattr(nodes[scope], "nodeid", ""), repr(params.get(name))))
        elif scope == "session" and name in params:
            last.add((name, repr(params[name])))
    return frozenset(last)
