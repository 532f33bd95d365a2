"""What goes wrong inside a user's generator, attribute or property: one clear line, and every other result is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

BESIDE = "\n@HOLDS\ndef test_beside(generator):\n    return generator\n"


def failing(repository: Repository, source: str, *flags: str) -> pytest.RunResult:
    """The run of a source with one failing test, beside one that passes and whose result is kept."""
    repository.write(source + BESIDE)
    result = repository.check("--gentest-json", "results.json", *flags)
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    kept = {r["test"].split("::")[1]: r["verdict"] for r in repository.document()["results"]}
    assert kept.pop("test_beside") == "no_counterexample"
    assert set(kept.values()) <= {"error"}
    return result


def generator_of(function: str, **arguments: str) -> str:
    """A test module of one property on a generator that is written out."""
    given = ", ".join(f"{name}={value}" for name, value in {"latent": "gentest.Normal(3)", **arguments}.items())
    return f"@HOLDS\ndef test_it():\n    return gentest.Generator({function}, {given})\n"


GENERATORS = {
    "raises": (
        "def f(z):\n    raise KeyError('layer 3')\n" + generator_of("f"),
        "*error: the generator raised KeyError: 'layer 3' (latents {'z': (*, 3)} from Normal(3)) (probe *",
    ),
    "wants another size": (
        "model = torch.nn.Linear(5, 4)\n" + generator_of("lambda z: model(z)[:, None, None]"),
        "*error: the generator raised RuntimeError: *(latents {'z': (*, 3)} from Normal(3): does the space fit?)*",
    ),
    "nothing": (
        generator_of("lambda z: None"),
        "*error: the generator returned a NoneType; expected a tensor or array*",
    ),
    "list": (generator_of("lambda z: [z]"), "*error: the generator returned shape (*, 3) in x[0] for latents *"),
    "two tensors": (
        generator_of("lambda z: (z.tanh()[:, :, None, None],) * 1 + (z.tanh()[:, :, None, None] * 2,)"),
        "*error: the generator returned a tuple in which x[0] * and x[1] * may be its outputs: return x[0], or *",
    ),
    "vectors": (
        generator_of("lambda z: z.tanh()"),
        "*error: the generator returned shape (*, 3) for latents *; expected * C, H, W] or * H, W]*",
    ),
    "too many dimensions": (
        generator_of("lambda z: z.tanh()[:, :, None, None, None]"),
        "*error: the generator returned shape (*, 3, 1, 1, 1) for latents *",
    ),
    "one image for all": (
        generator_of("lambda z: z.tanh()[:1, :, None, None]"),
        "*error: the generator returned shape (1, 3, 1, 1) for latents *",
    ),
    "NaN": (
        generator_of("lambda z: z.log()[:, :, None, None].tanh()"),
        "*error: the generator returned values that are not finite (at probe *well_formed() looks for*",
    ),
    "infinite": (
        generator_of("lambda z: (z / 0)[:, :, None, None]", output_range="(0, 1)"),
        "*error: the generator returned values that are not finite *",
    ),
    "out of range": (
        generator_of("lambda z: z[:, :, None, None]"),
        "*error: the generator returned values from *, outside the default output_range=(-1, 1); say Generator(*",
    ),
    "out of declared range": (
        generator_of("lambda z: 255 * z.sigmoid()[:, :, None, None]", output_range="(0, 1)"),
        "*error: the generator returned values from *, outside the declared output_range=(0, 1); say Generator(*",
    ),
    "undeclared [0, 1]": (
        generator_of("lambda z: z.sigmoid()[:, :, None, None]"),
        "*error: no output is negative (values from * to *); say Generator(..., output_range=(0, 1))*",
    ),
    "undeclared uint8": (
        generator_of("lambda z: (255 * z.sigmoid()).byte()[:, :, None, None]"),
        "*error: the generator returned uint8 values; say Generator(..., output_range=(0, 255))*",
    ),
    "complex": (
        generator_of("lambda z: torch.complex(z, z)[:, :, None, None]"),
        "*error: the generator returned complex values; expected real images*",
    ),
    "two channels": (
        generator_of("lambda z: z.tanh()[:, :2, None, None]"),
        "*error: *Expected images of 1 or 3 channels but got shape (*, 2, 1, 1)*",
    ),
    "batch norm out of sight": (
        "norm = torch.nn.BatchNorm1d(3)\ndef f(z):\n    norm.train()\n    return norm(z).tanh()[:, :, None, None]\n"
        + generator_of("f"),
        "*error: the generator raised ValueError: Expected more than 1 value per channel when training*",
    ),
    "mean of the batch": (
        generator_of("lambda z: (z - z.mean(0)).tanh()[:, :, None, None]"),
        "*error: an output depends on the rest of its batch, by up to * of its range: *reproducible() shows it)*",
    ),
    "undeclared noise": (
        generator_of("lambda z: (z + torch.randn_like(z)).tanh()[:, :, None, None]"),
        "*error: an output depends on the rest of its batch, by up to * of its range: *noise=...)?*",
    ),
    "size by batch": (
        generator_of("lambda z: z.tanh()[:, :, None, None].expand(-1, -1, len(z), 1)"),
        "*error: an output depends on the rest of its batch*",
    ),
}


@pytest.mark.parametrize("what", GENERATORS)
def test_a_generator_that_is_not_one(what: str, repository: Repository) -> None:
    """A generator that raises, or gives what no property could judge, is an error that says what to do."""
    source, said = GENERATORS[what]
    result = failing(repository, source)
    result.stdout.fnmatch_lines([said.replace("[", "[[]")])
    result.stdout.no_fnmatch_line("*gentest/engine*")


def test_the_users_own_traceback_is_shown(repository: Repository) -> None:
    """Of a generator that raises, the frames of the user's code are shown, and none of gentest's."""
    repository.path.joinpath("model.py").write_text("def inner(z):\n    return z.nonsense\n")
    source = "import model\ndef f(z):\n    return model.inner(z)\n" + generator_of("f")
    result = failing(repository, source)
    result.stdout.fnmatch_lines(
        ["*model.py*, line 2, in inner", "*return z.nonsense*", "*AttributeError: 'Tensor' object has no*nonsense*"]
    )
    result.stdout.no_fnmatch_line("*generators.py*")


ATTRIBUTES = {
    "raises": ("lambda x: 1 / 0", "*error: * raised ZeroDivisionError for images (*)*: division by zero*"),
    "one for all": ("lambda x: x.mean()", "*error: attribute * gave shape () for images (*); expected one score*"),
    "a map": ("lambda x: x", "*error: attribute * gave shape (*, 3, 1, 1) for images *; expected one score*"),
    "NaN": ("lambda x: x.mean((1, 2, 3)) * float('nan')", "*error: * is nan at probe *; expected finite values*"),
    "infinite": ("lambda x: x.mean((1, 2, 3)) / 0", "*error: * is inf at probe *; expected finite values*"),
    "bool": ("lambda x: x.mean((1, 2, 3)) > 0.5", "*error: * gave torch.bool; expected floats*call .float()*"),
    "numbers": ("lambda x: 0.5", "*error: * gave a float; expected a tensor of numbers*"),
    "a list": ("lambda x: [0.5] * len(x)", "*error: * gave a list; expected a tensor of numbers*"),
    "not one": ("3", "between(...): error: between: Expected a callable on images *but got attribute=3 (type=int)*"),
    "a class": ("torch.nn.Identity", "*but got attribute=<class *>*; call it first*"),
}


@pytest.mark.parametrize("what", ATTRIBUTES)
def test_an_attribute_that_is_not_one(what: str, repository: Repository) -> None:
    """An attribute that raises, or gives anything but one finite score an image, is an error that names it."""
    attribute, said = ATTRIBUTES[what]
    source = f"@gentest.between({attribute}, tolerance=1)\ndef test_it(generator):\n    return generator\n"
    failing(repository, source).stdout.fnmatch_lines([said])


PROPERTIES = {
    "raises": ("raise KeyError('no')", "own() raised KeyError: 'no' (probe * and * more, latents {'z': (*, 1, 3)})*"),
    "nothing": ("return None", "own() gave a NoneType; expected one margin a probe, a tensor [*]*"),
    "number": ("return 1.0", "own() gave a float; expected one margin a probe*"),
    "wrong shape": ("return torch.zeros(3, 3)", "own() gave shape (3, 3); expected one margin a probe*"),
    "one for all": ("return torch.tensor(1.0)", "own() gave shape (); expected one margin a probe*"),
    "bool": ("return evidence.images.mean((1, 2, 3, 4)) > 0", "own() gave True or False; expected a margin*"),
    "NaN": ("return evidence.images.mean((1, 2, 3, 4)) * float('nan')", "own() gave the margin nan at probe *"),
    "infinite": ("return evidence.images.mean((1, 2, 3, 4)) / 0", "own() gave the margin inf at probe *"),
}


@pytest.mark.parametrize("what", PROPERTIES)
def test_a_property_of_ones_own_that_is_not_one(what: str, repository: Repository) -> None:
    """A margin that raises, or is not one finite number a probe, is an error that names the property."""
    body, said = PROPERTIES[what]
    source = (
        f"@gentest.property(probes=gentest.points())\ndef own(evidence):\n    {body}\n\n"
        "@own()\ndef test_it(generator):\n    return generator\n"
    )
    result = failing(repository, source)
    result.stdout.fnmatch_lines([f"own(): error: {said}".replace("[", "[[]")])


ARGUMENTS = [
    ("between", "tolerance=-1", "between: Expected a finite number >= 0 but got tolerance=-1 (type=int)"),
    ("between", "tolerance=float('nan')", "between: Expected a finite number >= 0 but got tolerance=nan (type=float)"),
    ("between", "tolerance=float('inf')", "between: Expected a finite number >= 0 but got tolerance=inf (type=float)"),
    ("between", "tolerance='0.05'", "between: Expected a finite number >= 0 but got tolerance='0.05' (type=str)"),
    ("between", "tolerance=True", "between: Expected a finite number >= 0 but got tolerance=True (type=bool)"),
    ("between", "tolerance=None", "between: Expected a finite number >= 0 but got tolerance=None (type=NoneType)"),
    ("monotone", "tolerance=1, points=2", "monotone: Expected a number of points >= 3 but got points=2 (type=int)"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), ARGUMENTS)
def test_a_wrong_argument_fails_one_test(name: str, arguments: str, said: str, repository: Repository) -> None:
    """A wrong argument of a property is an error of its test, and not of the whole file."""
    source = f"@gentest.{name}(gentest.brightness(), {arguments})\ndef test_it(generator):\n    return generator\n"
    failing(repository, source).stdout.fnmatch_lines([f"{name}(...): error: {said}"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("gentest.brightness()", "missing *'tolerance'"),
        ("tolerance=1", "missing *'attribute'"),
        ("gentest.brightness(), tolerance=1, tolerence=2", "*unexpected keyword argument 'tolerence'*"),
    ],
)
def test_a_forgotten_argument_is_pythons_own_error(arguments: str, said: str, repository: Repository) -> None:
    """A missing or misspelt argument is a TypeError at import, with the line where it stands."""
    repository.write(f"@gentest.between({arguments})\ndef test_it(generator):\n    return generator\n")
    result = repository.check()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*test_model.py:*: in <module>", f"E*TypeError: *{said}"])
    repository.write("@gentest.property(probes=gentest.points())\ndef own(evidence, *, floor):\n    pass\nown()")
    result = repository.check()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*test_model.py:*: in <module>", "E*TypeError: *missing *'floor'"])


JOINT = (
    "joint = gentest.Joint(z=gentest.Normal(3), label=gentest.Categorical(4))\n"
    "embedding = torch.nn.Embedding(2, 3)\n"
    "def f(z, label):\n    return (z + embedding(label)).tanh()[:, :, None, None]\n"
    "@HOLDS\ndef test_it():\n    return gentest.Generator(f, latent=joint)"
)
SPACES = {
    "label that the model lacks": (JOINT, "*error: the generator raised IndexError: index out of range*"),
    "label out of the space's range": (JOINT + ".given(label=7)", "Expected *label*7*"),
    "part that is not there": (JOINT + ".given(lable=1)", "No part is named 'lable'; the space has z, label"),
    "no parts": ("@HOLDS\ndef test_it():\n    return a_generator().given(label=1)", "*has no named parts*"),
    "truncation": ("@HOLDS\ndef test_it():\n    return a_generator().truncated(0)", "Expected a truncation in (0, 1]*"),
    "prior of another shape": (
        "@gentest.prior_invariant(HOLDS, priors=[gentest.Uniform(4)])\ndef test_it(generator):\n    return generator",
        "prior_invariant(*): error: Expected a prior of the shape of Normal(3) but got prior=Uniform(4)*",
    ),
    "prior that is none": (
        "@gentest.prior_invariant(HOLDS, priors=['uniform'])\ndef test_it(generator):\n    return generator",
        "prior_invariant(...): error: prior_invariant: Expected a list of latent spaces*",
    ),
    "no latent space": (
        "@HOLDS\ndef test_it():\n    return gentest.Generator(torch.tanh, latent=3)",
        "Expected a latent space such as gentest.Normal(128) but got latent=3 (type=int)",
    ),
    "nothing to call": (
        "@HOLDS\ndef test_it():\n    return gentest.Generator(torch.zeros(3), latent=gentest.Normal(3))",
        "Expected an nn.Module or a callable but got function=tensor(*",
    ),
    "range": (
        generator_of("torch.tanh", output_range="(1, 0)"),
        "Expected a range (low, high) with low < high but got output_range=(1, 0) (type=tuple)",
    ),
}


@pytest.mark.parametrize("what", SPACES)
def test_a_space_that_does_not_fit(what: str, repository: Repository) -> None:
    """A latent space, label, prior or range that is wrong is one line that names it."""
    source, said = SPACES[what]
    failing(repository, source + "\n").stdout.fnmatch_lines([said])


def test_a_fixture_that_fails_is_pytests_own_error(repository: Repository) -> None:
    """A generator that cannot be loaded is an error of set-up, and of each property that was to be checked."""
    repository.write(
        "@pytest.fixture\ndef broken():\n    raise FileNotFoundError('gan.pt')\n"
        "@HOLDS\ndef test_it(broken):\n    return broken\n" + BESIDE
    )
    result = repository.check()
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*FileNotFoundError: gan.pt", "2 properties: 1 no counterexample, 1 error*"])


CLIP = "@gentest.between(gentest.clip('a smile'), tolerance=1)\ndef test_it(generator):\n    return generator\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "*error: No CLIP was chosen: give --gentest-clip MODEL:PRETRAINED, gentest_clip in the ini file*"),
        (["--gentest-clip", "local-dir:none"], "*error: CLIP local-dir:none: no such folder: *"),
    ],
)
def test_a_clip_that_cannot_be_had(flags: list[str], said: str, repository: Repository) -> None:
    """Without a CLIP, tests that need none are checked, and the others say how to choose one."""
    failing(repository, CLIP, *flags).stdout.fnmatch_lines([said])


@pytest.mark.slow
def test_a_clip_that_nobody_lists(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown weights and models of CLIP, and weights that are not on this machine, are each one line."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(repository.path / "hub"))
    tests = "".join(
        f"@gentest.settings(clip={clip!r})\n@gentest.between(gentest.clip('a smile'), tolerance=1)\n"
        f"def test_{n}(generator):\n    return generator\n"
        for n, clip in enumerate(["ViT-B-32:nonsense", "ViT-B-23:openai", "ViT-B-32:laion2b_s34b_b79k"])
    )
    repository.write(tests + BESIDE)
    result = repository.apart()
    result.assert_outcomes(passed=1, failed=3)
    assert result.ret == 1
    text = " ".join(result.stdout.str().split())
    for said in (
        "error: CLIP ViT-B-32:nonsense: no weights called 'nonsense'; the tags of ViT-B-32: .*openai",
        "error: CLIP ViT-B-23:openai: open_clip has no model 'ViT-B-23'; did you mean .*ViT-B-32",
        "error: CLIP ViT-B-32:laion2b_s34b_b79k: its weights are not on this machine and cannot be downloaded",
    ):
        assert re.search(said, text)


UNREADABLE = """
def f(z):
    x = z.tanh()[:, :, None, None]
    return x, x * 0.5

@pytest.fixture(scope="session")
def two():
    return gentest.Generator(f, latent=gentest.Normal(3))

@HOLDS
@gentest.reproducible()
def test_first(two):
    return two

@gentest.well_formed()
def test_second(two):
    return two

@gentest.responsive(at_least=0.01)
def test_third(two):
    return two.truncated(0.5)
"""


def test_outputs_that_cannot_be_read_are_told_once_a_generator(repository: Repository) -> None:
    """The code to write is said by one property; the others fail too, and say which test has said it."""
    repository.write(f"import pytest\n{UNREADABLE}{BESIDE}")
    result = repository.check("--gentest-json", "results.json")
    result.assert_outcomes(passed=1, failed=3)
    said = [r["message"] for r in repository.document()["results"] if r["verdict"] == "error"]
    assert len(said) == 4
    assert [("return x[0]" in message) for message in said] == [True, False, False, False]
    assert said[1] == "the generator's outputs cannot be read, as reported above"
    assert all("cannot be read, as reported by test_model.py::test_first" in message for message in said[2:])


RARELY_NAN = """
def rarely(z):
    x = z.tanh()[:, :, None, None]
    return torch.where((z[:, 0] > 2.9)[:, None, None, None], torch.nan, x)

@pytest.fixture(scope="module")
def rarely_nan():
    return gentest.Generator(rarely, latent=gentest.Normal(3))

@gentest.well_formed()
def test_before(rarely_nan):
    return rarely_nan
{mark}
@gentest.well_formed()
@gentest.diverse(at_least=1e-6)
def test_both(rarely_nan):
    return rarely_nan

@gentest.well_formed()
def test_after(rarely_nan):
    return rarely_nan

@gentest.well_formed()
def test_truncated(rarely_nan):
    return rarely_nan.truncated(0.5)
"""


def test_well_formed_does_not_hold_if_another_property_meets_nan(repository: Repository) -> None:
    """Its own search is too short to see it: all tests of that generator fail, or the summary says so."""
    repository.write(RARELY_NAN.format(mark=""))
    result = repository.check("--gentest-examples", "40", "--gentest-json", "results.json")
    result.assert_outcomes(failed=2, passed=2)
    assert result.ret == 1
    found = {(r["test"].partition("::")[2], r["verdict"]): r for r in repository.document("results.json")["results"]}
    assert set(found) == {
        ("test_before", "violated"),
        ("test_both", "violated"),
        ("test_both", "error"),
        ("test_after", "violated"),
        ("test_truncated", "no_counterexample"),
    }
    result.stdout.fnmatch_lines(
        [
            "well_formed(tolerance=0.001): violated by an output that another property met*",
            "  because  3 of 3 values are not finite, in output * of 16 of probe *, which*",
            "  replay   pytest --gentest test_model.py::test_both --gentest-replay diverse:*",
            "diverse(*): error: the generator returned values that are not finite (in output*",
            "  replay   pytest --gentest test_model.py::test_both --gentest-replay diverse:*",
        ]
    )


def test_the_replay_of_an_output_that_is_not_finite_works(repository: Repository) -> None:
    """The command that is printed gives the same error."""
    repository.write(RARELY_NAN.format(mark=""))
    first = repository.check("--gentest-examples", "40")
    words = next(line for line in first.outlines if line.startswith("  replay ")).split()[2:]
    again = repository.run(*words)
    assert again.ret == 1
    again.stdout.fnmatch_lines(["diverse(*): error: the generator returned values that are not finite (in output*"])


def test_the_run_fails_if_the_test_that_met_nan_may_fail(repository: Repository) -> None:
    """Nothing else would make it fail, if a test that passed before is the only other one."""
    repository.write(RARELY_NAN.format(mark="@pytest.mark.xfail"))
    result = repository.check("--gentest-examples", "40", "-k", "before or both")
    result.assert_outcomes(passed=1, xfailed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["violated *test_before *", "*replay: test_model.py::test_both --gentest-replay diverse:*"]
    )
