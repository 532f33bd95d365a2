"""Every option and its ini option: its value arrives, and a wrong one ends the run with one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gentest.attributes.clip import low_precision

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

TEST = "@HOLDS\ndef test_it(generator):\n    return generator\n"
FAILING = "@FAILS\ndef test_it(generator):\n    return generator\n"


def refused(result: pytest.RunResult, *lines: str) -> None:
    """Asserts that a run ended with a usage error of these lines, and no traceback."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(list(lines))
    result.stderr.no_fnmatch_line("*Traceback*")
    assert len([line for line in result.stderr.lines if line.strip()]) == len(lines)


def session_and_result(repository: Repository, *args: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run's JSON says of the session, and of its only result."""
    repository.run("--gentest-json", "results.json", *args)
    document = repository.document()
    (found,) = document["results"]
    return document["session"], found


def test_an_ini_option_switches_gentest_on_and_the_command_line_off(repository: Repository) -> None:
    """`gentest = true` checks without being asked; `-o gentest=false` takes it back."""
    repository.write(TEST)
    repository.pytester.makeini("[pytest]\ngentest = true\ngentest_examples = 20")
    result = repository.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 property: 1 no counterexample;*"])
    assert result.ret == 0
    result = repository.run("-o", "gentest=false")
    result.assert_outcomes(skipped=1)
    assert result.ret == 0


@pytest.mark.parametrize(
    ("profile", "ini", "decorator", "flag", "expected"),
    [
        ("", "", "", "", 300),
        ("quick", "", "", "", 50),
        ("quick", "40", "", "", 40),
        ("quick", "40", "30", "", 30),
        ("quick", "40", "30", "20", 20),
        ("", "", "30", "20", 20),
        ("own", "", "", "", 11),
    ],
)
def test_the_order_in_which_settings_count(
    *, profile: str, ini: str, decorator: str, flag: str, expected: int, repository: Repository
) -> None:
    """The command line comes before a test's own settings, these before the ini file, that before the profile."""
    conftest = repository.path / "conftest.py"
    registers = "gentest.settings.register_profile('own', gentest.settings(examples=11))\n"
    conftest.write_text(f"{conftest.read_text()}\n{registers}")
    repository.write((f"@gentest.settings(examples={decorator})\n" if decorator else "") + TEST)
    lines = [f"gentest_{name} = {value}" for name, value in {"profile": profile, "examples": ini}.items() if value]
    repository.pytester.makeini("\n".join(["[pytest]", "gentest = true", *lines]))
    _, found = session_and_result(repository, *(["--gentest-examples", flag] if flag else []))
    assert found["search"]["examples"] == expected


def test_a_profile_named_on_the_command_line_comes_before_the_ini_files(repository: Repository) -> None:
    """`--gentest-profile` wins over `gentest_profile`, and CI chooses one only where nothing else does."""
    repository.write(TEST)
    repository.pytester.makeini("[pytest]\ngentest_profile = thorough")
    _, found = session_and_result(repository, "--gentest", "--gentest-profile", "quick")
    assert found["search"]["examples"] == 50


def test_seed_and_device_arrive(repository: Repository) -> None:
    """The session says which seed and device were used, from the ini file or the command line."""
    repository.write(TEST)
    repository.pytester.makeini("[pytest]\ngentest = 1\ngentest_seed = 5\ngentest_device = cpu\ngentest_examples = 20")
    session, first = session_and_result(repository)
    assert (session["seed"], session["device"]) == (5, "cpu")
    session, second = session_and_result(repository, "--gentest-seed", "6")
    assert session["seed"] == 6
    assert first["search"]["margin"] != second["search"]["margin"]


@pytest.mark.parametrize("how", ["flag", "ini"])
def test_the_batch_size_arrives_and_decides_nothing(how: str, repository: Repository) -> None:
    """The generator gets at most so many latents at once, and every margin stays what it was."""
    repository.write(
        """
largest = []

@HOLDS
def test_it():
    def f(z):
        largest.append(len(z))
        return z.tanh()[:, :, None, None]
    return gentest.Generator(f, latent=gentest.Normal(3))

def test_largest(record_property):
    import pathlib
    pathlib.Path("largest").write_text(str(max(largest)))
"""
    )
    margins = []
    for size, expected in [("7", "7"), ("auto", None), ("1", "1")]:
        if how == "ini":
            repository.pytester.makeini(f"[pytest]\ngentest_batch_size = {size}")
        flags = ["--gentest-batch-size", size] if how == "flag" else []
        _, found = session_and_result(repository, "--gentest", "--gentest-examples", "20", *flags)
        margins.append(found["search"]["margin"])
        largest = (repository.path / "largest").read_text()
        assert largest == expected if expected else int(largest) > 7
    assert margins[0] == pytest.approx(margins[1])
    assert margins[0] == pytest.approx(margins[2])


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("how", ["flag", "ini", "neither"])
def test_fixtures_give_checkpoint_and_device(
    *, how: str, on: bool, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gentest_checkpoint` is an absolute path, an ini file's relative to it; both fixtures serve any test."""
    folder = repository.path / "models"
    folder.mkdir()
    (folder / "gan.pt").write_text("weights")
    given = ("--gentest-checkpoint", "gan.pt") if how == "flag" else ()
    if how == "ini":
        repository.pytester.makeini("[pytest]\ngentest_checkpoint = models/gan.pt\ngentest_device = cpu")
    expected = None if how == "neither" else str(folder / "gan.pt")
    repository.write(
        f"""
def test_it(gentest_checkpoint, gentest_device, monkeypatch):
    assert str(gentest_checkpoint) == {str(expected)!r}
    assert gentest_checkpoint is None or gentest_checkpoint.read_text() == "weights"
    assert isinstance(gentest_device, torch.device)
"""
    )
    monkeypatch.chdir(folder if how == "flag" else repository.path)
    result = repository.run(*(["--gentest"] if on else []), *given, str(repository.path / "test_model.py"))
    result.assert_outcomes(passed=1)
    assert result.ret == 0


def test_paths_are_those_of_where_pytest_was_started(repository: Repository) -> None:
    """A test that leaves the run in another folder changes neither the checkpoint nor where results go."""
    (repository.path / "gan.pt").write_text("weights")
    (repository.path / "elsewhere").mkdir()
    repository.write(
        """
import os

def test_first():
    os.chdir("elsewhere")

@HOLDS
def test_it(generator, gentest_checkpoint):
    assert gentest_checkpoint.read_text() == "weights"
    return generator
"""
    )
    result = repository.check("--gentest-checkpoint", "gan.pt", "--gentest-json", "results.json")
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    document = repository.document()
    assert document["session"]["checkpoint"] == "gan.pt"
    assert len(document["results"]) == 1


WRONG = [
    ("examples", "0", "--gentest-examples: expected a whole number >= 1 but got '0'"),
    ("examples", "many", "--gentest-examples: expected a whole number >= 1 but got 'many'"),
    ("examples", "1.5", "--gentest-examples: expected a whole number >= 1 but got '1.5'"),
    ("examples", "²", "--gentest-examples: expected a whole number >= 1 but got '²'"),
    ("examples", "--5", "--gentest-examples: expected a whole number >= 1 but got '--5'"),
    ("examples", "9" * 5000, "--gentest-examples: expected a whole number >= 1 but got '9999*"),
    ("seed", "-1", "--gentest-seed: expected a whole number >= 0 and <= 9223372036854775807 but got '-1'"),
    ("seed", str(2**63), "--gentest-seed: expected a whole number >= 0 and <= * but got '9223372036854775808'"),
    ("batch-size", "0", "--gentest-batch-size: expected a whole number >= 1, or auto but got '0'"),
    ("batch-size", "all", "--gentest-batch-size: expected a whole number >= 1, or auto but got 'all'"),
    (
        "checkpoint",
        "none.pt",
        "--gentest-checkpoint: expected a file or folder that exists, or a pattern* but got '*none.pt'",
    ),
    ("checkpoint", "x" * 5000, "--gentest-checkpoint: expected a file or folder that exists, or a pattern* but got *"),
    ("json", "none/results.json", "--gentest-json: expected a file in a folder that exists but got *"),
    ("json", ".", "--gentest-json: expected a file in a folder that exists but got *"),
    ("device", "abacus", "gentest: Expected a torch device that is here but got device='abacus' (type=str); *"),
    ("device", "cuda:99", "gentest: Expected a torch device that is here but got device='cuda:99' (type=str); *"),
    ("profile", "nonsense", "gentest: Expected one of ci, default, quick, thorough but got profile='nonsense'*"),
    ("prompts", "none.json", "gentest: *none.json: no such prompt file; make it with --gentest-update-prompts"),
    (
        "replay",
        "garbage",
        "--gentest-replay: expected PROPERTY:PROBE, as a failing * a file that holds it but got 'garbage'",
    ),
    (
        "replay",
        "between:",
        "--gentest-replay: expected PROPERTY:PROBE, as a failing * a file that holds it but got 'between:'",
    ),
    (
        "replay",
        "between:xyz",
        "--gentest-replay: Expected a probe as gentest prints it* but got probe='xyz'*",
    ),
    ("replay", "between:1f-w9.3", "--gentest-replay: Expected a window low.high with 0 <= low < high <= 64 but got *"),
    ("replay", "between:" + "f" * 17, "--gentest-replay: Expected a probe as gentest prints it* but got *"),
    (
        "replay",
        "between:" + "f" * 99999,
        "--gentest-replay: Expected a probe as gentest prints it* but got *",
    ),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=[f"{name}-{value[:12]}" for name, value, _ in WRONG])
def test_a_wrong_value_is_a_usage_error(name: str, value: str, said: str, repository: Repository) -> None:
    """A bad value ends the run before any test, with one line that names the option, the value and what is wanted."""
    repository.write(TEST)
    refused(repository.run("--gentest", f"--gentest-{name}={value}"), f"ERROR: {said}")
    if (name == "replay" and len(value) > 1000) or value in ("none/results.json", "."):
        return
    repository.pytester.makeini(f"[pytest]\ngentest_{name.replace('-', '_')} = {value}")
    ini = said.replace(f"--gentest-{name}:", f"ini option gentest_{name.replace('-', '_')}:")
    refused(repository.run("--gentest"), f"ERROR: {ini}")
    result = repository.run()  # a repository's ini file never stops its other tests
    result.assert_outcomes(skipped=1)
    assert result.ret == 0


NAMES = ["checkpoint", "device", "clip", "examples", "seed", "profile", "batch-size", "json", "prompts", "replay"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["", " "], ids=["empty", "blank"])
def test_an_empty_value_is_a_usage_error(name: str, value: str, repository: Repository) -> None:
    """An empty value, as an unset variable of a shell gives, is not taken for the default."""
    repository.write(TEST)
    refused(repository.run("--gentest", f"--gentest-{name}={value}"), f"ERROR: --gentest-{name}: expected * but got *")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "checkpoint"])
def test_an_option_without_gentest_is_a_usage_error(name: str, repository: Repository) -> None:
    """An option that would do nothing says so; in the ini file it waits for --gentest."""
    repository.write(TEST)
    refused(repository.run(f"--gentest-{name}=1"), f"ERROR: --gentest-{name}: needs --gentest")
    repository.pytester.makeini(f"[pytest]\ngentest_{name.replace('-', '_')} = 1")
    assert repository.run().ret == 0


def test_update_prompts_needs_gentest_and_a_file(repository: Repository) -> None:
    """`--gentest-update-prompts` has nothing to write without --gentest, or without --gentest-prompts."""
    repository.write(TEST)
    refused(repository.run("--gentest-update-prompts"), "ERROR: --gentest-update-prompts: needs --gentest")
    said = "ERROR: --gentest-update-prompts needs --gentest-prompts FILE"
    refused(repository.run("--gentest", "--gentest-update-prompts"), said)
    repository.pytester.makeini("[pytest]\ngentest_update_prompts = true")
    refused(repository.run("--gentest"), said)
    assert repository.run().ret == 0


@pytest.mark.parametrize("how", ["flag", "ini"])
def test_prompts_are_written_where_they_are_asked_for(how: str, repository: Repository) -> None:
    """With --gentest-update-prompts the file is there afterwards, and the next run reads it."""
    repository.write(TEST)
    if how == "ini":
        repository.pytester.makeini("[pytest]\ngentest_prompts = prompts.json\ngentest_update_prompts = true")
        flags = []
    else:
        flags = ["--gentest-prompts", "prompts.json"]
    result = repository.check(*flags, *(["--gentest-update-prompts"] if how == "flag" else []))
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert repository.document("prompts.json") == {"schema": 1, "models": {}}
    result = repository.check(*flags)
    assert result.ret == 0


def test_a_precision_whose_packages_are_missing_is_a_usage_error(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops the run before a generator is loaded; other precisions need no package."""
    repository.write(TEST)
    monkeypatch.setattr(low_precision, "find_spec", lambda name: None if name == "onnx" else name)
    said = "ERROR: gentest: precision int8 needs onnx: pip install 'pytest-gentest[[]int8]'"
    refused(repository.run("--gentest", "--gentest-precision", "int8"), said)
    repository.run("--gentest", "--gentest-precision", "bf16", "--gentest-examples", "20").assert_outcomes(passed=1)


def test_a_missing_checkpoint_stops_a_run_without_gentest_too(repository: Repository) -> None:
    """`--gentest-checkpoint` may serve plain tests: a file that is not there is said at once."""
    repository.write("def test_it(gentest_checkpoint):\n    pass")
    said = "ERROR: --gentest-checkpoint: expected a file or folder that exists, or a pattern* but got '*none.pt'"
    refused(repository.run("--gentest-checkpoint", "none.pt"), said)


def test_a_device_that_one_test_asks_for_fails_that_test(repository: Repository) -> None:
    """`settings(device=...)` of a device that is not here is an error of its test alone."""
    repository.write(
        TEST + "\n@gentest.settings(device='abacus')\n@HOLDS\ndef test_other(generator):\n    return generator"
    )
    result = repository.check()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["between(*): error: Expected a torch device that is here but got device='abacus'*"])


def test_a_local_clip_in_the_ini_file_is_relative_to_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gentest_clip = local-dir:clip` means the folder beside the ini file, wherever pytest is started."""
    repository.pytester.makeini("[pytest]\ngentest = true\ngentest_clip = local-dir:clip")
    (repository.path / "sub").mkdir()
    repository.write("def test_it():\n    pass").rename(repository.path / "sub" / "test_model.py")
    monkeypatch.chdir(repository.path / "sub")
    result = repository.run("--gentest-json", "results.json")
    assert result.ret == 0
    assert repository.document("sub/results.json")["session"]["clip"] == f"local-dir:{repository.path / 'clip'}"


def test_help_lists_every_option(repository: Repository) -> None:
    """`--help` shows each option with its metavar, and each ini option."""
    result = repository.run("--help")
    assert result.ret == 0
    text = " ".join(result.stdout.str().split())
    for name in NAMES:
        assert f"--gentest-{name}=" in text
        assert f"gentest_{name.replace('-', '_')} (string):" in text
    for name in ("gentest", "gentest_update_prompts"):
        assert f"{name} (bool):" in text


def test_an_unknown_profile_stops_workers_too(repository: Repository) -> None:
    """Under xdist an unknown profile is the same one line, and no worker starts."""
    repository.write(TEST)
    said = "ERROR: gentest: Expected one of ci, default, quick, thorough but got profile='nonsense' (type=str)"
    refused(repository.check("-n", "1", "--gentest-profile", "nonsense"), said)
