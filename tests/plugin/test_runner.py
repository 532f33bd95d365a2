"""Where a decorated test may stand, what may stand around it, and what the run then says of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

PLACES = {
    "module": "@{p}\ndef test_it(generator):\n    return generator",
    "class": "class TestIt:\n    @{p}\n    def test_it(self, generator):\n        return generator",
    "static": "class TestIt:\n    @staticmethod\n    @{p}\n    def test_it(generator):\n        return generator",
    "over static": "class TestIt:\n    @{p}\n    @staticmethod\n    def test_it(generator):\n        return generator",
    "class method": (
        "class TestIt:\n    @classmethod\n    @{p}\n    def test_it(cls, generator):\n        return generator"
    ),
    "over class method": (
        "class TestIt:\n    @{p}\n    @classmethod\n    def test_it(cls, generator):\n        return generator"
    ),
    "TestCase": "class TestIt(unittest.TestCase):\n    @{p}\n    def test_it(self):\n        return a_generator()",
    "inherited": (
        "class Base:\n    @{p}\n    def test_it(self, generator):\n        return generator\n"
        "class TestIt(Base):\n    pass"
    ),
    "lambda": "test_it = {p}(lambda generator: generator)",
    "partial": (
        "def body(psi, generator):\n    return generator.truncated(psi)\ntest_it = {p}(functools.partial(body, 0.5))"
    ),
    "partial of a decorated test": (
        "@{p}\ndef body(psi, generator):\n    return generator.truncated(psi)\ntest_it = functools.partial(body, 0.5)"
    ),
    "wrapped": (
        "def plain(test):\n    @functools.wraps(test)\n    def inner(*args, **kwargs):\n"
        "        return test(*args, **kwargs)\n    return inner\n"
        "@plain\n@{p}\n@plain\ndef test_it(generator):\n    return generator"
    ),
    "patched": (
        "from unittest import mock\n@mock.patch('os.sep', '!')\n@{p}\n@mock.patch('os.getcwd')\n"
        "def test_it(getcwd, generator):\n    import os\n    assert os.sep == '!' and os.getcwd is getcwd\n"
        "    return generator"
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_decorated_test_is_checked_wherever_it_stands(place: str, repository: Repository) -> None:
    """Whatever kind of function it is, it passes where its property holds and fails where it does not."""
    repository.write(PLACES[place].format(p="HOLDS"))
    result = repository.check("-W", "error", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no counterexample  *test_it  between(*tolerance=1) *20  *"])
    repository.write(PLACES[place].format(p="FAILS"))
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["responsive(pixels(), at_least=10.0): violated by 20 of 20 probes*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*decorators.py*")


@pytest.mark.parametrize("place", PLACES)
def test_without_gentest_it_is_skipped_before_any_fixture(place: str, repository: Repository) -> None:
    """A decorated test is skipped at collection: not even a session fixture runs."""
    repository.pytester.makeconftest(
        "import pytest\n@pytest.fixture(scope='session', autouse=True)\n"
        "def generator():\n    raise RuntimeError('loaded')"
    )
    repository.write(PLACES[place].format(p="FAILS"))
    result = repository.run("-rs")
    result.assert_outcomes(skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED*needs --gentest"])


@pytest.mark.parametrize("place", [place for place in PLACES if place != "TestCase"])
@pytest.mark.parametrize("flag", ["-p no:gentest", "-p no:gentest-runner"])
def test_it_fails_where_the_engine_is_not_there(flag: str, place: str, repository: Repository) -> None:
    """With the plugin, or its runner, switched off a decorated test says so and fails."""
    repository.write(PLACES[place].format(p="HOLDS"))
    args = flag.split() if flag == "-p no:gentest" else [*flag.split(), "--gentest"]
    result = repository.run(*args)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*checked by gentest's pytest plugin, which is not active here*"])


@pytest.mark.parametrize("scope", ["function", "class", "module", "session"])
def test_fixtures_of_every_scope_reach_it(scope: str, repository: Repository) -> None:
    """The body runs once a test, with fixtures of any scope."""
    repository.write(
        f"""
ran = []

@pytest.fixture(scope={scope!r})
def psi():
    ran.append("fixture")
    return 0.5

@HOLDS
@FAILS
def test_it(generator, psi, tmp_path):
    ran.append("body")
    assert tmp_path.is_dir()
    return generator.truncated(psi)

def test_ran():
    assert ran == ["fixture", "body"]
"""
    )
    result = repository.check()
    result.assert_outcomes(failed=1, passed=1)
    assert result.ret == 1


ABOVE_OR_BELOW = pytest.mark.parametrize("order", ["{mark}\n{p}\n", "{p}\n{mark}\n"], ids=["above", "below"])


@ABOVE_OR_BELOW
@pytest.mark.parametrize(
    ("mark", "outcome", "code"),
    [
        ("@pytest.mark.skip(reason='later')", {"skipped": 1}, 0),
        ("@pytest.mark.skipif(True, reason='later')", {"skipped": 1}, 0),
        ("@pytest.mark.skipif(False, reason='later')", {"failed": 1}, 1),
        ("@pytest.mark.xfail", {"xfailed": 1}, 0),
        ("@pytest.mark.xfail(raises=gentest.Violation, strict=True)", {"xfailed": 1}, 0),
        ("@pytest.mark.xfail(raises=AssertionError)", {"xfailed": 1}, 0),
        ("@pytest.mark.xfail(raises=KeyError)", {"failed": 1}, 1),
        ("@pytest.mark.usefixtures('tmp_path')", {"failed": 1}, 1),
        ("@pytest.mark.custom", {"failed": 1}, 1),
    ],
)
def test_marks_mean_what_they_mean_elsewhere(
    mark: str, outcome: dict[str, int], code: int, order: str, repository: Repository
) -> None:
    """pytest's own marks work above and below a property."""
    repository.pytester.makeini("[pytest]\nmarkers = custom: of one's own\naddopts = --strict-markers")
    repository.write(order.format(mark=mark, p="@FAILS") + "def test_it(generator):\n    return generator")
    result = repository.check()
    result.assert_outcomes(**outcome)
    assert result.ret == code


@pytest.mark.parametrize(
    ("strict", "outcome", "code"), [(False, {"xpassed": 1}, 0), (True, {"failed": 1}, 1)], ids=["lax", "strict"]
)
def test_an_expected_failure_that_holds_is_an_unexpected_pass(
    *, strict: bool, outcome: dict[str, int], code: int, repository: Repository
) -> None:
    """`xfail` on a property that holds is XPASS, and fails where it is strict."""
    repository.write(f"@pytest.mark.xfail(strict={strict})\n@HOLDS\ndef test_it(generator):\n    return generator")
    result = repository.check()
    result.assert_outcomes(**outcome)
    assert result.ret == code


def test_an_error_is_not_an_expected_violation(repository: Repository) -> None:
    """`xfail(raises=gentest.Violation)` does not hide a generator that raises."""
    repository.write(
        """
def broken(z):
    raise RuntimeError("no weights")

@pytest.mark.xfail(raises=gentest.Violation)
@HOLDS
def test_it():
    return gentest.Generator(broken, latent=gentest.Normal(3))
"""
    )
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*error: the generator raised RuntimeError: no weights*"])


@pytest.mark.parametrize(
    ("select", "n"), [("gentest", 2), ("not gentest", 1), ("custom", 1), ("custom and gentest", 1)]
)
def test_the_mark_gentest_selects_decorated_tests(select: str, n: int, repository: Repository) -> None:
    """`-m gentest` selects what gentest checks, beside marks of one's own."""
    repository.pytester.makeini("[pytest]\nmarkers = custom: of one's own")
    repository.write(
        """
@pytest.mark.custom
@HOLDS
def test_a(generator):
    return generator

@HOLDS
def test_b(generator):
    return generator

def test_plain():
    pass
"""
    )
    result = repository.check("-m", select)
    result.assert_outcomes(passed=n, deselected=3 - n)
    assert result.ret == 0


@ABOVE_OR_BELOW
def test_each_set_of_parameters_is_a_test_of_its_own(order: str, repository: Repository) -> None:
    """`parametrize` above and below a property gives one checked test for each set, with its own marks."""
    marks = "@pytest.mark.parametrize('psi', [0.5, pytest.param(1.0, id='a b[c]'), pytest.param(2, marks=MARK)])"
    repository.write(
        "MARK = pytest.mark.skip(reason='too far')\n"
        + order.format(mark=marks, p="@HOLDS")
        + "def test_it(generator, psi):\n    return generator.truncated(psi)"
    )
    results = repository.results()
    assert list(results) == [
        "test_it[0.5] between(brightness(), tolerance=1)",
        "test_it[a b[c]] between(brightness(), tolerance=1)",
    ]
    result = repository.check()
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == 0


def test_generated_parameters_are_checked_each(repository: Repository) -> None:
    """What `pytest_generate_tests` adds is checked like any other test."""
    repository.write(
        """
def pytest_generate_tests(metafunc):
    metafunc.parametrize("psi", [0.5, 3.0])

@HOLDS
def test_it(generator, psi):
    return generator.truncated(psi)
"""
    )
    result = repository.check()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["Expected a truncation in (0, 1] but got psi=3.0 (type=float)"])


def test_every_stacked_property_is_checked_and_reported(repository: Repository) -> None:
    """The upper ones come first, none hides another, and any failure fails the test."""
    repository.write("@HOLDS\n@FAILS\n@gentest.well_formed()\n@FAILS\ndef test_it(generator):\n    return generator")
    result = repository.check("--gentest-json", "results.json")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    found = [(r["property"].split("(")[0], r["verdict"]) for r in repository.document()["results"]]
    assert found == [
        ("between", "no_counterexample"),
        ("responsive", "violated"),
        ("well_formed", "no_counterexample"),
        ("responsive", "violated"),
    ]
    result.stdout.fnmatch_lines(
        [
            "responsive(*): violated by*",
            "*--gentest-replay responsive:*",
            "responsive(*): violated by*",
            "*--gentest-replay responsive.2:*",
            "4 properties: 2 violated, 2 no counterexample*",
        ]
    )


def test_the_same_property_twice_has_two_names(repository: Repository) -> None:
    """A property stacked on itself is `responsive` and `responsive.2`, each replayed by its own name."""
    repository.write("@FAILS\n@gentest.responsive(at_least=0.0001)\ndef test_it(generator):\n    return generator")
    assert repository.check("--gentest-replay", "responsive:1f").ret == 1
    assert repository.check("--gentest-replay", "responsive.2:1f").ret == 0
    result = repository.check("--gentest-replay", "responsive.3:1f")
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["--gentest-replay: no selected test has a property 'responsive.3'"])


@ABOVE_OR_BELOW
def test_settings_apply_above_and_below(order: str, repository: Repository) -> None:
    """`gentest.settings` works above and below a property, and the upper of two wins."""
    repository.write(
        order.format(mark="@gentest.settings(examples=7)", p="@HOLDS")
        + "@gentest.settings(examples=9, seed=3)\ndef test_it(generator):\n    return generator"
    )
    repository.run("--gentest", "--gentest-json", "results.json")
    (found,) = repository.document()["results"]
    assert found["search"]["examples"] == 7


@pytest.mark.parametrize("method", ["staticmethod", "classmethod"])
def test_settings_reach_a_static_or_class_method(method: str, repository: Repository) -> None:
    """`gentest.settings` above `@staticmethod` is not lost."""
    argument = "cls, " if method == "classmethod" else ""
    repository.write(
        f"class TestIt:\n    @gentest.settings(examples=7)\n    @{method}\n    @HOLDS\n"
        f"    def test_it({argument}generator):\n        return generator"
    )
    repository.run("--gentest", "--gentest-json", "results.json")
    (found,) = repository.document()["results"]
    assert found["search"]["examples"] == 7


@pytest.mark.parametrize("decorator", ["HOLDS", "gentest.settings(examples=7)"])
def test_a_class_is_not_decorated_in_silence(decorator: str, repository: Repository) -> None:
    """A decorator on a class says at once that it belongs on the tests."""
    repository.write(f"@{decorator}\nclass TestIt:\n    def test_it(self, generator):\n        return None")
    result = repository.check()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["E*InvalidArgument: Expected a test function*decorate the tests of a class one by one"]
    )


def test_one_function_may_be_two_tests(repository: Repository) -> None:
    """A function decorated twice under two names is two tests, each with its own property alone."""
    repository.write("def body(generator):\n    return generator\ntest_a = HOLDS(body)\ntest_b = FAILS(body)")
    results = repository.results()
    assert {name: r["verdict"] for name, r in results.items()} == {
        "test_a between(brightness(), tolerance=1)": "no_counterexample",
        "test_b responsive(pixels(), at_least=10.0)": "violated",
    }
    assert repository.check().ret == 1


def test_the_tests_of_a_base_class_are_checked_in_each_class(repository: Repository) -> None:
    """A subclass's own fixtures decide what its inherited tests look at."""
    repository.write(
        """
class Base:
    psi = 0.5

    @HOLDS
    def test_it(self, generator):
        return generator.truncated(self.psi)

class TestA(Base):
    pass

class TestB(Base):
    psi = 2
"""
    )
    result = repository.check()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1


def test_a_body_that_skips_is_skipped(repository: Repository) -> None:
    """`pytest.skip` in the body skips the test, and nothing is reported as checked."""
    repository.write("@FAILS\ndef test_it(generator):\n    pytest.skip('no weights here')")
    result = repository.check("-rs")
    result.assert_outcomes(skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED*no weights here"])
    result.stdout.no_fnmatch_line("*properties:*")


def test_a_body_that_raises_fails_with_its_own_traceback(repository: Repository) -> None:
    """An exception of the body is shown as pytest shows any other."""
    repository.write("@HOLDS\ndef test_it(generator):\n    assert generator is None, 'not so'\n    return generator")
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([">       assert generator is None, 'not so'", "E       AssertionError: not so"])


def test_unittests_own_words_keep_their_meaning(repository: Repository) -> None:
    """In a `TestCase`, setUp runs, `expectedFailure` is honoured, and `skipTest` skips."""
    repository.write(
        """
class TestIt(unittest.TestCase):
    def setUp(self):
        self.generator = a_generator()

    @HOLDS
    def test_holds(self):
        return self.generator

    @unittest.expectedFailure
    @FAILS
    def test_expected(self):
        return self.generator

    @FAILS
    def test_skips(self):
        self.skipTest("later")

    def test_undecorated(self):
        return self.generator
"""
    )
    result = repository.check()
    result.assert_outcomes(passed=1, xfailed=1, skipped=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_undecorated returns a gentest.Generator, but no property decorates it*"])


SUBTESTS = {
    "fixture": (
        "@{p}\ndef test_it(subtests):\n    for n in (1, {n}):\n        with subtests.test(n=n):\n            assert n\n"
        "    return a_generator()"
    ),
    "TestCase": (
        "class TestIt(unittest.TestCase):\n    @{p}\n    def test_it(self):\n        for n in (1, {n}):\n"
        "            with self.subTest(n=n):\n                assert n\n        return a_generator()"
    ),
}


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="pytest has subtests from 9.0")
@pytest.mark.parametrize("kind", SUBTESTS)
def test_subtests_are_not_taken_for_the_test(kind: str, repository: Repository) -> None:
    """The body may have subtests: their outcome is theirs, and the property is checked after them."""
    repository.write(SUBTESTS[kind].format(p="HOLDS", n=2))
    result = repository.check()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 property: 1 no counterexample*"])
    repository.write(SUBTESTS[kind].format(p="HOLDS", n=0))
    result = repository.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*assert 0", "1 property: 1 no counterexample*"])
    repository.write(SUBTESTS[kind].format(p="FAILS", n=2))
    result = repository.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["responsive(*): violated by*", "1 property: 1 violated*"])


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_every_way_of_importing_works(mode: str, repository: Repository) -> None:
    """The plugin does not mind how pytest imports tests."""
    (repository.path / "conftest.py").unlink()  # another module of this name is on this process's path
    repository.write("@HOLDS\ndef test_it():\n    return a_generator()")
    result = repository.check(f"--import-mode={mode}")
    result.assert_outcomes(passed=1)
    assert result.ret == 0


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_nothing_runs_where_tests_are_only_collected(*, on: bool, repository: Repository) -> None:
    """`--collect-only` and `--setup-plan` list decorated tests and check none; earlier results stay as they are."""
    repository.write("@FAILS\ndef test_it(generator):\n    return generator")
    repository.path.joinpath("results.json").write_text("earlier")
    flags = ["--gentest", "--gentest-json", "results.json"] if on else []
    result = repository.run(*flags, "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_model.py::test_it"])
    assert repository.path.joinpath("results.json").read_text() == "earlier"
    result = repository.run(*flags[:1], "--setup-plan")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*violated*")


def test_a_failure_stops_a_run_and_is_run_again_as_asked(repository: Repository) -> None:
    """`-x` stops after a violation, `--lf` runs it again alone."""
    repository.write(
        """
@HOLDS
def test_a(generator):
    return generator

@FAILS
def test_b(generator):
    return generator

@HOLDS
def test_c(generator):
    return generator
"""
    )
    result = repository.check("-x")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result = repository.check("--lf")
    result.assert_outcomes(failed=1)
    assert result.ret == 1


def test_it_works_without_pytests_cache(repository: Repository) -> None:
    """`-p no:cacheprovider` only means that no failure is remembered."""
    repository.write("@FAILS\ndef test_it(generator):\n    return generator")
    result = repository.check("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*violated by 20 of 20 probes*"])


@pytest.mark.slow
def test_a_run_leaves_no_warning(repository: Repository) -> None:
    """With warnings as errors, in a process of its own, a run passes and ends in peace."""
    repository.write("@HOLDS\ndef test_it(generator):\n    return generator")
    result = repository.apart("-W", "error", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert result.stderr.str() == ""


def test_a_test_outside_the_root_is_checked(repository: Repository) -> None:
    """A test may lie outside rootdir, and pytest may be started elsewhere."""
    root, elsewhere = repository.path / "root", repository.path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    repository.write("@FAILS\ndef test_it(generator):\n    return generator").rename(elsewhere / "test_a.py")
    repository.write("@FAILS\ndef test_it(generator):\n    return generator").rename(elsewhere / "test_b.py")
    (repository.path / "conftest.py").rename(elsewhere / "conftest.py")
    args = ("-c", "root/pytest.ini", "--rootdir", "root")
    result = repository.check(*args, "elsewhere/test_a.py", "elsewhere/test_b.py", "--gentest-json", "results.json")
    result.assert_outcomes(failed=2)
    assert result.ret == 1
    assert len(repository.document()["results"]) == 2
    (command,) = {line for line in result.outlines if "test_a.py::test_it --gentest-replay" in line}
    words = shlex.split(command)[2:]
    assert words[:2] == ["--gentest", "elsewhere/test_a.py::test_it"]
    result = repository.run(*words)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
