"""Ways in which a decorated test could pass without having been checked: each must fail, and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

FORGOTTEN = "returns a gentest.Generator, but no property decorates it: nothing was checked"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("@HOLDS\ndef test_it(generator):\n    pass", "test_it returned None (type=NoneType)*returns the gentest.Gen*"),
        ("@HOLDS\ndef test_it(generator):\n    return 3", "test_it returned 3 (type=int)*"),
        ("@HOLDS\ndef test_it(generator):\n    return [generator]", "test_it returned [[]Generator(*(type=list)*"),
        ("@HOLDS\ndef test_it(generator):\n    yield generator", "test_it returned <generator *(type=generator)*"),
        ("@HOLDS\ndef test_it():\n    return gentest.Generator", "test_it returned <class *(type=type)*"),
        ("@HOLDS\nasync def test_it(generator):\n    return generator", "test_it is async; make it a plain `def`*"),
        ("@HOLDS\nasync def test_it(generator):\n    yield generator", "test_it is async; make it a plain `def`*"),
        ("@HOLDS\n@FAILS\nasync def test_it(generator):\n    return generator", "test_it is async*"),
    ],
)
def test_a_body_that_gives_no_generator_fails(source: str, said: str, repository: Repository) -> None:
    """A decorated test that returns anything but a generator fails, in one line that says so."""
    repository.write(source)
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([said])


UNDECORATED = {
    "function": "def test_it(generator):\n    return generator",
    "method": "class TestIt:\n    def test_it(self, generator):\n        return generator",
    "static": "class TestIt:\n    @staticmethod\n    def test_it(generator):\n        return generator",
    "partial": "def body(x, generator):\n    return generator\ntest_it = functools.partial(body, 1)",
    "overrides a decorated test": (
        "class Base:\n    @HOLDS\n    def test_it(self, generator):\n        return generator\n"
        "class TestIt(Base):\n    def test_it(self, generator):\n        return generator"
    ),
    "settings alone": "@gentest.settings(examples=3)\ndef test_it(generator):\n    return generator",
}


@pytest.mark.parametrize("what", UNDECORATED)
def test_an_undecorated_test_that_returns_a_generator_fails(what: str, repository: Repository) -> None:
    """Under --gentest a generator that no property looks at was meant to be checked."""
    repository.write(UNDECORATED[what])
    select = [] if what != "overrides a decorated test" else ["-k", "TestIt"]
    result = repository.check(*select)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*{FORGOTTEN}"])


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_an_async_test_is_not_let_through(mode: str, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pytest-asyncio a decorated async test fails, and so does an undecorated one that returns a generator."""
    monkeypatch.delenv("PYTEST_ADDOPTS")
    repository.write(
        """
@HOLDS
@pytest.mark.asyncio
async def test_decorated():
    return a_generator()

@pytest.mark.asyncio
async def test_undecorated():
    return a_generator()

@pytest.mark.asyncio
async def test_plain():
    pass
"""
    )
    options = ("-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "default")
    result = repository.check(*options)  # a warning: pytest-asyncio finds a decorated test not to be async
    result.assert_outcomes(failed=2, passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["test_decorated is async; make it a plain `def`*", f"test_undecorated {FORGOTTEN}"])


def test_a_mark_is_not_a_property(repository: Repository) -> None:
    """A test that is only marked `gentest` fails: `-m gentest` would select it, and nothing would check it."""
    repository.write("@pytest.mark.gentest\ndef test_it(generator):\n    pass")
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["marked gentest, but no property of gentest decorates it: nothing was checked"])


SWALLOWED = {
    "exception": "except Exception:\n            pass",
    "everything": "except BaseException:\n            pass",
    "assertion": "except AssertionError:\n            pass",
}


@pytest.mark.parametrize("what", SWALLOWED)
def test_a_verdict_that_is_caught_still_fails(what: str, repository: Repository) -> None:
    """A decorator that swallows what gentest raises does not make the test pass."""
    repository.write(
        f"""
def forgiving(test):
    @functools.wraps(test)
    def inner(*args, **kwargs):
        try:
            test(*args, **kwargs)
        {SWALLOWED[what]}
    return inner

@forgiving
@HOLDS
@FAILS
def test_it(generator):
    return generator
"""
    )
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["something caught what gentest raised", "responsive(*): violated by 20 of 20*"])


def test_a_second_try_does_not_help(repository: Repository) -> None:
    """A violation stands even where a retry finds another generator on which the property holds."""
    repository.write(
        """
def twice(test):
    @functools.wraps(test)
    def inner(*args, **kwargs):
        try:
            test(*args, **kwargs)
        except AssertionError:
            test(*args, **kwargs)
    return inner

tried = []

@twice
@gentest.responsive(at_least=0.01)
def test_it(generator):
    tried.append(0)
    collapsed = gentest.Generator(lambda z: 0 * z[:, :, None, None] - 0.5, latent=gentest.Normal(3))
    return generator if len(tried) > 1 else collapsed
"""
    )
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["something caught what gentest raised"])


def test_a_check_that_breaks_off_and_is_caught_still_fails(repository: Repository) -> None:
    """Where the second of two properties could not be looked at, the first one's success does not stand for both."""
    repository.write(
        """
def forgiving(test):
    @functools.wraps(test)
    def inner(*args, **kwargs):
        try:
            test(*args, **kwargs)
        except Exception:
            pass
    return inner

class Rude:
    def __call__(self, images):
        return images.mean((1, 2, 3))

    @property
    def __name__(self):
        raise RuntimeError("no name")

@forgiving
@HOLDS
@gentest.between(Rude(), tolerance=1)
def test_it(generator):
    return generator
"""
    )
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1


OTHER_PLUGINS = {
    "does not call": "def pytest_pyfunc_call(pyfuncitem):\n    return True",
    "replaces at collection": (
        "@pytest.hookimpl(trylast=True)\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.obj = lambda generator: None"
    ),
    "replaces at set-up": (
        "@pytest.hookimpl(trylast=True)\ndef pytest_runtest_setup(item):\n    item.obj = lambda generator: None"
    ),
    "replaces in a fixture": (
        "@pytest.fixture(autouse=True)\ndef replaced(request):\n    request.node.obj = lambda generator: None"
    ),
    "runs something else": (
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_call(item):\n    item.runtest = lambda: None"
    ),
    "swallows": (
        "@pytest.hookimpl(wrapper=True, tryfirst=True)\ndef pytest_runtest_call(item):\n"
        "    try:\n        return (yield)\n    except Exception:\n        return None"
    ),
    "mends the report": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
        "    report = yield\n    report.outcome = 'passed'\n    return report"
    ),
}


@pytest.mark.parametrize("what", OTHER_PLUGINS)
def test_another_plugin_cannot_make_it_pass(what: str, repository: Repository) -> None:
    """A hook or fixture that replaces the test, does not call it or hides its failure leaves it failed."""
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text() + "\n" + OTHER_PLUGINS[what])
    repository.write("@FAILS\ndef test_it(generator):\n    return generator")
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1


def test_a_replaced_test_says_that_it_was_not_checked(repository: Repository) -> None:
    """Where another plugin ran the test its own way, the message says that gentest checked nothing."""
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text() + "\n" + OTHER_PLUGINS["does not call"])
    repository.write("@HOLDS\ndef test_it(generator):\n    return generator")
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["gentest did not check test_model.py::test_it: something else ran the test"])


def test_calling_a_decorated_test_checks_nothing_and_says_so(repository: Repository) -> None:
    """A decorated test called from a plain one, from `super()` or from another decorated one fails."""
    repository.write(
        """
@HOLDS
def test_it(generator):
    return generator

def test_plain(generator):
    test_it(generator)

@HOLDS
def test_other(generator):
    return test_it(generator)

class Base:
    @HOLDS
    def test_it(self, generator):
        return generator

class TestIt(Base):
    def test_it(self, generator):
        super().test_it(generator)
"""
    )
    result = repository.check()
    result.assert_outcomes(passed=1, failed=3)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "test_it is checked by gentest's pytest plugin, which is not active here*",
            "test_other returned None (type=NoneType)*",
            "Base.test_it is checked by gentest's pytest plugin, which is not active here*",
        ]
    )


def test_a_decorator_between_two_properties_is_applied(repository: Repository) -> None:
    """What stands between two properties wraps the body, and both properties are checked on what it returns."""
    repository.write(
        """
ran = []

def noted(test):
    @functools.wraps(test)
    def inner(*args, **kwargs):
        ran.append("decorator")
        return test(*args, **kwargs)
    return inner

@FAILS
@noted
@HOLDS
@noted
def test_it(generator):
    ran.append("body")
    return generator

def test_ran():
    assert ran == ["decorator", "decorator", "body"]
"""
    )
    result = repository.check()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["2 properties: 1 violated, 1 no counterexample*"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "a decorator between two properties ran the body of test_it 0 times*"),
        ("test(*args, **kwargs); test(*args, **kwargs)", "*ran the body of test_it 2 times*"),
    ],
    ids=["never", "twice"],
)
def test_a_decorator_between_two_properties_runs_the_body_once(body: str, said: str, repository: Repository) -> None:
    """A decorator between two properties that does not call the body, or calls it twice, fails the test."""
    repository.write(
        f"""
def odd(test):
    @functools.wraps(test)
    def inner(*args, **kwargs):
        {body}
    return inner

@HOLDS
@odd
@HOLDS
def test_it(generator):
    return generator
"""
    )
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([said])


def test_a_decorator_without_wraps_is_not_let_through(repository: Repository) -> None:
    """A decorator that hides a property leaves a test that fails, with and without --gentest."""
    repository.write(
        "def bare(test):\n    return lambda generator: test(generator)\n"
        "@bare\n@HOLDS\ndef test_a(generator):\n    return generator\n"
        "@HOLDS\n@bare\n@HOLDS\ndef test_b(generator):\n    return generator"
    )
    result = repository.check()
    result.assert_outcomes(failed=2)
    assert result.ret == 1
    result = repository.run()
    result.assert_outcomes(failed=1, skipped=1)
    assert result.ret == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("@given(st.integers(0, 3))\n@HOLDS", "*which is not active here*(such as Hypothesis's @given)*"),
        ("@HOLDS\n@given(st.integers(0, 3))", "*test_it also has Hypothesis's @given*"),
        ("@HOLDS\n@given(st.integers(0, 3))\n@HOLDS", "*test_it also has Hypothesis's @given*"),
    ],
)
def test_given_and_a_property_do_not_go_together(source: str, said: str, repository: Repository) -> None:
    """Hypothesis's own `@given` on a decorated test fails it, above a property, below one and between two."""
    repository.write(
        f"from hypothesis import given, strategies as st\n{source}\ndef test_it(n):\n    return a_generator()"
    )
    result = repository.check()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([said])


def test_a_body_that_runs_often_is_one_test(repository: Repository) -> None:
    """A decorator that runs a test several times reports each property once: the first result that does not pass."""
    repository.write(
        """
def thrice(test):
    @functools.wraps(test)
    def inner(generator):
        for psi in (1.0, 1e-5, 0.5):
            try:
                test(generator.truncated(psi))
            except AssertionError:
                pass
    return inner

@thrice
@HOLDS
@gentest.responsive(at_least=1e-4)
def test_it(generator):
    return generator
"""
    )
    results = repository.results()
    assert [r["verdict"] for r in results.values()] == ["no_counterexample", "violated"]
    assert repository.check().ret == 1


def test_tests_are_unchanged_without_a_property(repository: Repository) -> None:
    """What gentest is not asked to check passes, fails, skips and warns as ever, under --gentest too."""
    repository.write(
        """
def test_passes():
    pass

def test_fails():
    assert False

def test_skips():
    pytest.skip("later")

class TestIt(unittest.TestCase):
    def test_it(self):
        pass

@pytest.mark.xfail
def test_expected():
    assert False
"""
    )
    for run in (repository.run, repository.check):
        result = run()
        result.assert_outcomes(passed=2, failed=1, skipped=1, xfailed=1)
        assert result.ret == 1
        result.stdout.no_fnmatch_line("*= gentest =*")
