"""examples/ci does what it says: its steps and scripts are run by bash, as CI runs them, in a small repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.comment_server import BOT, CommentServer

Post = Callable[[CommentServer, Path], "subprocess.CompletedProcess[str]"]
CI = Path(__file__).parents[1] / "examples" / "ci"
WORKFLOWS = ("gate.yml", "bless.yml")
PINNED = {
    "actions/checkout@v6",
    "actions/setup-python@v6",
    "actions/upload-artifact@v6",
    "actions/download-artifact@v7",
    "./.github/actions/gate",
}
GITHUB = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "org/faces", "GITHUB_RUN_ID": "7"}

CONFTEST = """
import json

import pytest
import torch

import gentest


@pytest.fixture(scope="session")
def generator(gentest_checkpoint):
    said = json.loads(gentest_checkpoint.read_text())

    def draw(z):
        whole = z[:, 1:2].abs() < said["sound"]
        return torch.where(whole, z[:, :1].tanh() / 2 + said["bright"], torch.nan)[:, :, None, None]

    return gentest.Generator(draw, latent=gentest.Normal(16))
"""
TESTS = """
import gentest


@gentest.well_formed()
def test_outputs(generator):
    return generator


@gentest.between(gentest.brightness(), tolerance=0.2)
def test_paths(generator):
    return generator
"""
CHECKPOINTS = {
    "good": '{"sound": 99, "bright": 0.0}',
    "bad": '{"sound": 1, "bright": 0.0}',
    "brighter": '{"sound": 99, "bright": 0.2}',
}


def steps(name: str) -> list[dict[str, Any]]:
    """Every step of a workflow or of the action, in order."""
    said = yaml.safe_load((CI / name).read_text(encoding="utf-8"))
    if "runs" in said:
        return list(said["runs"]["steps"])
    return [step for job in said["jobs"].values() for step in job["steps"]]


class ModelRepository:
    """The repository of a model whose quality stands in its checkpoint, with a blessed baseline."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in {"conftest.py": CONFTEST, "test_latent.py": TESTS}.items():
            self._write(f"tests/{name}", text)
        for name, text in CHECKPOINTS.items():
            self._write(f"checkpoints/{name}.json", text)
        self.bash(f"python -m gentest bless gentest_baseline.json --by tests {self.checkpoint('good')} tests", {})

    def _write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    @staticmethod
    def checkpoint(name: str) -> str:
        """The option that names one of its checkpoints."""
        return f"--gentest-checkpoint=checkpoints/{name}.json"

    def bash(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """A script as GitHub's `shell: bash` runs it, in this repository."""
        bare = {
            name: os.environ[name] for name in ("HOME", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH") if name in os.environ
        }
        bare["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        bare |= {"CI": "true", "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider"}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.path,
            env=bare | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def gate(self, folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """gate.sh with these arguments, which leaves its files in `folder`."""
        words = " ".join(f"'{argument}'" for argument in (str(CI / "gate.sh"), *arguments))
        return self.bash(words, {"GATE_FOLDER": str(folder), **env})


def stub(folder: Path, *, run: int, show: int) -> str:
    """A Python whose pytest keeps its arguments, writes results and ends with `run`, and whose gentest with `show`."""
    python = folder / "python"
    python.write_text(
        f"""#!/usr/bin/env bash
if [[ $2 == gentest ]]; then exit {show}; fi
printf '%s\\n' "$@" >'{folder}/arguments'
for argument; do
  case $argument in --gentest-json=*) echo '{{}}' >"${{argument#*=}}" ;; esac
done
exit {run}
"""
    )
    python.chmod(0o755)
    return str(python)


class Job:
    """The action in a job of GitHub's, as far as a runner's part in it is variables and files."""

    def __init__(self, repository: ModelRepository, folder: Path, *, python: str = "python", **inputs: str) -> None:
        self.repository = repository
        self.python = python
        self.folder = folder
        said = yaml.safe_load((CI / "action.yml").read_text(encoding="utf-8"))["inputs"]
        assert inputs.keys() <= said.keys()
        self.inputs = {name: inputs.get(name, value.get("default", "")) for name, value in said.items()}
        self.outputs: dict[str, str] = {}
        self.summary = ""
        self.statuses: list[int] = []
        self.log = ""

    def run(self) -> Job:
        """Every shell step of the action, one after the other."""
        for step in steps("action.yml"):
            if "run" in step:
                self._step(step)
        return self

    def _step(self, step: dict[str, Any]) -> None:
        files = {name: self.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("", encoding="utf-8")
        env = {name: self._evaluated(value) for name, value in step.get("env", {}).items()}
        runner = {"RUNNER_TEMP": str(self.folder), "GITHUB_ACTION_PATH": str(CI), "PYTHON": self.python, **GITHUB}
        done = self.repository.bash(step["run"], env | runner | {name: str(path) for name, path in files.items()})
        self.statuses.append(done.returncode)
        self.log += done.stdout + done.stderr
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        self.outputs |= dict(line.split("=", 1) for line in lines)

    def _evaluated(self, value: str) -> str:
        """The two kinds of expression that the action's variables use."""
        name = re.fullmatch(r"\$\{\{ (?:inputs|steps\.gate\.outputs)\.(\w+) \}\}", value)
        assert name is not None, value
        return (self.inputs if ".outputs." not in value else self.outputs).get(name[1], "")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    made = ModelRepository(tmp_path_factory.mktemp("model"))
    assert (made.path / "gentest_baseline.json").exists()
    return made


@pytest.mark.parametrize(
    ("checkpoint", "status", "standing", "title"),
    [
        pytest.param("good", 0, "held", "### Gate: ✅ held", marks=pytest.mark.slow),
        ("bad", 1, "regressed", "### Gate: ❌ regressed"),
    ],
)
def test_the_action_gates_a_checkpoint(
    repository: ModelRepository, tmp_path: Path, checkpoint: str, status: int, standing: str, title: str
) -> None:
    """The action ends with the gate's status, after it wrote the page, the standing and the results."""
    job = Job(repository, tmp_path, checkpoint=f"checkpoints/{checkpoint}.json").run()
    assert job.statuses == [0, status], job.log
    assert job.outputs["standing"] == standing
    assert job.summary.startswith(title)
    folder = Path(job.outputs["folder"])
    assert (folder / "gentest.json").stat().st_size > 0
    assert (folder / "comment.md").exists(), job.log
    comment = (folder / "comment.md").read_text(encoding="utf-8")
    assert comment.startswith("<!-- gentest comment -->\n### gentest: ")
    assert "https://github.com/org/faces/actions/runs/7" in comment
    assert ("┌─" in comment) == (checkpoint == "bad")


def test_what_is_given_to_the_action_is_never_run(repository: ModelRepository, tmp_path: Path) -> None:
    """Inputs with the shell's own signs in them reach pytest as they are, one argument a line."""
    hostile = "$(touch ran) `touch ran`; touch ran; \"' touch ran *"
    inputs = {"checkpoint": hostile, "arguments": f"-k\n{hostile}\n\n", "tests": "tests\nmore tests"}
    job = Job(repository, tmp_path, **inputs, prompts=hostile, python=stub(tmp_path, run=4, show=0)).run()
    assert job.statuses == [0, 2], job.log
    given = (tmp_path / "arguments").read_text(encoding="utf-8").splitlines()
    assert {f"--gentest-checkpoint={hostile}", f"--gentest-prompts={hostile}"} <= set(given)
    assert given[-4:] == ["-k", hostile, "tests", "more tests"]
    assert not (repository.path / "ran").exists()


GATES: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "held": (["good"], {}, 0, "held"),
    "regressed": (["bad"], {}, 1, "regressed"),
    "undecided": (["good"], {"GATE_TOLERANCE": "0.001"}, 3, "undecided"),
    "misuse": (["good"], {"GATE_BASELINE": "nowhere.json"}, 2, ""),
    "drift": (["brighter"], {"GATE_DRIFT": "fail"}, 1, "regressed"),
    "a property not looked at": (["good", "-k", "outputs"], {}, 3, "undecided"),
}
"""Real runs of gate.sh: the checkpoint and pytest's arguments, the environment, the exit status, the standing."""


@pytest.fixture(scope="module")
def gated(repository: ModelRepository) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each of `GATES` came to; two at a time, since most of a run is loading torch."""

    def run(name: str) -> subprocess.CompletedProcess[str]:
        (checkpoint, *arguments), env, _, _ = GATES[name]
        folder = repository.path / f"gate {name}"
        return repository.gate(folder, f"checkpoints/{checkpoint}.json", "tests", *arguments, **env)

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(GATES, pool.map(run, GATES), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", GATES)
def test_gate_sh_ends_with_the_decision(
    repository: ModelRepository, gated: dict[str, subprocess.CompletedProcess[str]], name: str
) -> None:
    """gate.sh ends with 0, 1, 3 or 2, and writes a page and the standing beside the results."""
    done, (_, _, status, standing) = gated[name], GATES[name]
    folder = repository.path / f"gate {name}"
    assert done.returncode == status, done.stdout + done.stderr
    assert (folder / "standing.env").read_text() == f"standing={standing}\n"
    page = (folder / "summary.md").read_text(encoding="utf-8")
    said = {
        "held": "### Gate: ✅ held",
        "drift": "⚠️ drift: level of brightness",
        "a property not looked at": "### Gate: ⚠️ held in part",
    }
    assert said.get(name, standing) in page


@pytest.mark.parametrize(
    ("run", "show", "undecided", "status", "standing"),
    [
        (0, 0, "fail", 0, "held"),
        (1, 0, "fail", 1, "regressed"),
        (1, 1, "fail", 1, "regressed"),
        (0, 1, "fail", 1, "regressed"),
        (1, 3, "fail", 3, "undecided"),
        (0, 3, "fail", 3, "undecided"),
        (0, 3, "warn", 0, "undecided"),
        (1, 3, "warn", 1, "regressed"),
        (0, 2, "fail", 2, ""),
        (0, 127, "warn", 2, ""),
        *((broken, 0, "warn", 2, "") for broken in (2, 3, 4, 5, 137)),
    ],
)
def test_gate_sh_lets_nothing_through_that_was_not_decided(
    repository: ModelRepository, tmp_path: Path, run: int, show: int, undecided: str, status: int, standing: str
) -> None:
    """Of pytest's exit status and that of `gentest show` the worse decides, and a broken run is never held."""
    python = stub(tmp_path, run=run, show=show)
    done = repository.gate(tmp_path, "candidate", PYTHON=python, GATE_UNDECIDED=undecided)
    assert done.returncode == status, done.stdout + done.stderr
    assert (tmp_path / "standing.env").read_text() == f"standing={standing}\n"


def test_an_earlier_run_does_not_speak_for_a_later_one(repository: ModelRepository, tmp_path: Path) -> None:
    """Results that lie there already are gone before pytest starts."""
    (tmp_path / "gentest.json").write_text("{}")
    done = repository.gate(tmp_path, "checkpoints/good.json", PYTHON="false")
    assert done.returncode == 2
    assert not (tmp_path / "gentest.json").exists()


def test_gate_sh_without_a_checkpoint_says_how_it_is_used(repository: ModelRepository, tmp_path: Path) -> None:
    """Misuse is one line and exit status 2, before anything is run."""
    for arguments in ((), ("",), ("--gentest-seed=1",)):
        done = repository.gate(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: gate.sh CHECKPOINT")


@pytest.mark.slow
def test_a_blessing_goes_to_a_branch_of_its_own(repository: ModelRepository, tmp_path: Path) -> None:
    """bless.yml blesses on the seed after the last one's, and pushes one commit with the baseline on a branch."""
    git = "git -c user.name=tests -c user.email=tests@example.org"
    start = f"git init -q -b main . && git add . && {git} commit -qm model && git init -q --bare {tmp_path}/origin"
    copy = ModelRepository.__new__(ModelRepository)
    copy.path = tmp_path / "copy"
    done = repository.bash(f"cp -r . {copy.path}", {})
    assert done.returncode == 0, done.stderr
    done = copy.bash(f"{start} && git remote add origin {tmp_path}/origin && git push -q origin main", {})
    assert done.returncode == 0, done.stderr
    env = {"BASELINE": "gentest_baseline.json", "CHECKPOINT": "checkpoints/good.json", "WHO": "-a", "NOTE": "$(why)"}
    env |= {"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "somebody"}
    env |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    for step in steps("bless.yml")[-2:]:
        done = copy.bash(step["run"], env)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = copy.bash("git --git-dir ../origin log --format='%an|%s|%b' --name-only main..bless/7-1", {}).stdout
    assert shown.split() == ["somebody|Bless", "checkpoints/good.json|$(why)", "gentest_baseline.json"]
    baseline = copy.bash("git --git-dir ../origin show bless/7-1:gentest_baseline.json", {}).stdout
    assert [blessing["seed"] for blessing in yaml.safe_load(baseline)["blessed"]] == [2, 1]
    assert "bless/7-1" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("name", ["action.yml", *WORKFLOWS])
def test_no_expression_stands_in_a_script(name: str) -> None:
    """What a person typed reaches the shell through variables, and every action is pinned to a major version."""
    for step in steps(name):
        assert "${{" not in step.get("run", "")
        assert "uses" not in step or step["uses"] in PINNED
    assert any("run" in step for step in steps(name))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_ask_for_little(name: str) -> None:
    """Each names the one permission that it needs, ends in time, and runs once at a time."""
    said = yaml.safe_load((CI / name).read_text(encoding="utf-8"))
    assert said["permissions"] == {"contents": "write" if name == "bless.yml" else "read"}
    own = {job: said["jobs"][job]["permissions"] for job in said["jobs"] if "permissions" in said["jobs"][job]}
    assert own == ({"comment": {"pull-requests": "write"}} if name == "gate.yml" else {})
    assert said["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 60 for job in said["jobs"].values())
    assert "pull_request_target" not in said[True]  # YAML 1.1 reads `on` as true


def test_the_workflow_gives_the_action_inputs_that_it_has() -> None:
    """Every input in gate.yml is one that action.yml declares, and the one that has no default is there."""
    declared = yaml.safe_load((CI / "action.yml").read_text(encoding="utf-8"))["inputs"]
    (given,) = (step["with"] for step in steps("gate.yml") if step.get("uses") == "./.github/actions/gate")
    assert {name for name, value in declared.items() if value.get("required")} <= given.keys() <= declared.keys()


def test_the_gitlab_job_of_the_readme_parses() -> None:
    """The snippet is YAML, calls gate.sh, and lets no exit status through but that of undecided."""
    text = (CI / "README.md").read_text(encoding="utf-8")
    (job,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    assert job["comment"]["script"] == ["python ci/gitlab_note.py gentest-gate/comment.md"]
    assert job["comment"]["needs"] == ["gate"]
    assert job["comment"]["rules"][0]["when"] == "always"
    assert job["gate"]["script"][-1].startswith("ci/gate.sh ")
    assert job["gate"]["allow_failure"] == {"exit_codes": [3]}


@pytest.fixture
def server() -> Iterator[CommentServer]:
    with CommentServer() as running:
        yield running


def post_on_github(server: CommentServer, folder: Path) -> subprocess.CompletedProcess[str]:
    """The step that posts, as the runner runs it: Python on its script, with the variables that it names."""
    job = yaml.safe_load((CI / "gate.yml").read_text(encoding="utf-8"))["jobs"]["comment"]
    (step,) = [step for step in job["steps"] if "run" in step]
    assert step["shell"] == "python"
    values = {
        "github.token": "secret",
        "github.api_url": server.url,
        "github.repository": "org/faces",
        "github.event.pull_request.number": "3",
    }
    env = {n: re.sub(r"\$\{\{ (\S+) \}\}", lambda m: values[m[1]], text) for n, text in step["env"].items()}
    (folder / "script.py").write_text(step["run"], encoding="utf-8")
    return run_python(folder / "script.py", folder, env)


def post_on_gitlab(server: CommentServer, folder: Path) -> subprocess.CompletedProcess[str]:
    """gitlab_note.py with the variables of a job."""
    env = {"CI_API_V4_URL": server.url, "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "3", "GENTEST_TOKEN": "secret"}
    return run_python(CI / "gitlab_note.py", folder, env, "comment.md")


def run_python(script: Path, folder: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(script), *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("post", [post_on_github, post_on_gitlab])
def test_a_comment_is_posted_once_and_then_updated(post: Post, server: CommentServer, tmp_path: Path) -> None:
    """Of hundreds of comments, the bot's own is replaced; a person who quotes the marker keeps theirs."""
    marker = "<!-- gentest comment -->"
    server.add("person", f"{marker}\nquoted")
    for n in range(150):
        server.add("person", f"comment {n}")
    (tmp_path / "comment.md").write_text(f"{marker}\nfirst ✅\n", encoding="utf-8")
    done = post(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.bodies()[-1] == f"{marker}\nfirst ✅\n"
    server.add("person", "thanks")
    (tmp_path / "comment.md").write_text(f"{marker}\nsecond ❌\n", encoding="utf-8")
    assert post(server, tmp_path).returncode == 0
    assert [body for body in server.bodies() if marker in body] == [f"{marker}\nquoted", f"{marker}\nsecond ❌\n"]
    assert len(server.bodies()) == 153
    assert server.tokens == {"secret"}


@pytest.mark.parametrize("post", [post_on_github, post_on_gitlab])
def test_a_gate_without_a_comment_posts_nothing(post: Post, server: CommentServer, tmp_path: Path) -> None:
    """A broken run leaves no file, and the job says so."""
    done = post(server, tmp_path)
    assert (done.returncode, server.bodies()) == (1, [])
    assert "the gate wrote no comment: see its log" in done.stderr


@pytest.mark.parametrize("post", [post_on_github, post_on_gitlab])
@pytest.mark.parametrize("text", ["", "\n", "<!-- another bot -->\nfirst\n"])
def test_only_a_comment_of_gentest_is_posted(text: str, post: Post, server: CommentServer, tmp_path: Path) -> None:
    """The file is an artifact of a job that ran the pull request's code: it cannot take another bot's comment."""
    server.add(BOT["github"], "<!-- another bot -->\nits comment")
    (tmp_path / "comment.md").write_text(text)
    done = post(server, tmp_path)
    assert (done.returncode, server.bodies()) == (1, ["<!-- another bot -->\nits comment"])
    assert "not a comment of gentest" in done.stderr


def test_the_commenting_job_runs_nothing_of_the_pull_request() -> None:
    """It checks out nothing and takes one artifact, so its token meets no code of a stranger's."""
    job = yaml.safe_load((CI / "gate.yml").read_text(encoding="utf-8"))["jobs"]["comment"]
    assert [step["uses"] for step in job["steps"] if "uses" in step] == ["actions/download-artifact@v7"]
    assert "head.repo.full_name == github.repository" in job["if"]
    action = yaml.safe_load((CI / "action.yml").read_text(encoding="utf-8"))
    assert job["steps"][0]["with"]["name"] == action["inputs"]["artifact"]["default"]


def test_nothing_names_the_distribution_of_somebody_else() -> None:
    """The distribution is pytest-gentest: no file of the example installs the name gentest."""
    for path in CI.iterdir():
        assert not re.search(r"pip3? install (\S+ )*gentest", path.read_text(encoding="utf-8")), path
